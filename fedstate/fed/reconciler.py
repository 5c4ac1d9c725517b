"""Observe, plan, carry out, report: the federation's loop for one instance, or for what a former one left behind."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from fedstate.api.conditions import InstanceState
from fedstate.api.karmada import CLUSTERS, OVERRIDE_POLICIES, PROPAGATION_POLICIES, RESOURCE_BINDINGS, WORKS
from fedstate.api.naming import (
    FIELD_MANAGER_FEDERATION,
    LABEL_COMPONENT,
    LABEL_INSTANCE,
    LABEL_MANAGED_BY,
    LABEL_PART_OF,
    MONGODBS,
    MULTI_CLOUD_MONGODBS,
    auth_secret_name,
    binding_name,
    hostconf_name,
    policy_name,
)
from fedstate.control.reconciler import DONE, Result
from fedstate.fed.auth import keyfile_of
from fedstate.fed.changes import Action, Verb
from fedstate.fed.cleanup import cleanup_name
from fedstate.fed.ending import holds_back
from fedstate.fed.freshness import Heartbeats
from fedstate.fed.look import Parsed, Surroundings, look, parse
from fedstate.fed.members import CONFIG_COMPONENT, pull_secret_name
from fedstate.fed.news import news
from fedstate.fed.observed import ClusterReport, Karmada, Observed, References, ReplsetView, reports_of
from fedstate.fed.outcome import FederationPlan, Stage
from fedstate.fed.plan import plan_for
from fedstate.fed.policies import clusters_of, plan_in_force, preserves
from fedstate.fed.references import read_references
from fedstate.fed.status import is_reported, status_for
from fedstate.fed.view import ReplsetViews
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import AlreadyExists, NotFound
from fedstate.kube.events import EventRecorder
from fedstate.kube.informer import InformerSet
from fedstate.kube.objects import Key, KubeObject, labels_of, name_of, namespace_of, uid_of
from fedstate.kube.resources import CONFIG_MAPS, SECRETS
from fedstate.kube.store import Store

_log = logging.getLogger(__name__)

OURS = f"{LABEL_PART_OF}=fedstate,{LABEL_MANAGED_BY}=fedstate"
BY_INSTANCE = "instance"
LOOK_AGAIN_SETTLED = 15.0
LOOK_AGAIN_MOVING = 3.0
LOOK_AGAIN_BLOCKED = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Caches:
    """The stores the federation reads; user-owned objects are not among them."""

    instances: Store
    templates: Store
    bindings: Store
    clusters: Store
    propagations: Store
    overrides: Store
    secrets: Store
    config_maps: Store

    @classmethod
    def from_informers(cls, informers: InformerSet, namespace: str) -> "Caches":
        def own(resource: object) -> Store:
            return informers.informer(resource, namespace, label_selector=OURS).store  # type: ignore[arg-type]

        config_maps = own(CONFIG_MAPS)
        config_maps.add_index(BY_INSTANCE, lambda obj: (f"{namespace_of(obj)}/{labels_of(obj).get(LABEL_INSTANCE)}",))
        return cls(
            instances=informers.informer(MULTI_CLOUD_MONGODBS, namespace).store,
            bindings=informers.informer(RESOURCE_BINDINGS, namespace).store,
            clusters=informers.informer(CLUSTERS).store,
            templates=own(MONGODBS),
            propagations=own(PROPAGATION_POLICIES),
            overrides=own(OVERRIDE_POLICIES),
            secrets=own(SECRETS),
            config_maps=config_maps,
        )

    def objects_of(self, key: Key) -> Karmada:
        def at(store: Store, name: str) -> KubeObject | None:
            return store.get(Key(key.namespace, name))

        return Karmada(
            auth=at(self.secrets, auth_secret_name(key.name)),
            pull_secret=at(self.secrets, pull_secret_name(key.name)),
            hostconf=at(self.config_maps, hostconf_name(key.name)),
            configs=self._configs_of(key),
            cleanup=at(self.config_maps, cleanup_name(key.name)),
            override=at(self.overrides, policy_name(key.name)),
            propagation=at(self.propagations, policy_name(key.name)),
            template=at(self.templates, key.name),
            binding=at(self.bindings, binding_name(key.name)),
        )

    def _configs_of(self, key: Key) -> dict[str, KubeObject]:
        found = self.config_maps.by_index(BY_INSTANCE, str(key))
        return {name_of(obj): obj for obj in found if labels_of(obj).get(LABEL_COMPONENT) == CONFIG_COMPONENT}


class FederationReconciler:
    """Takes one instance one step nearer to what its owner and its scheduler want, and says how it is."""

    def __init__(
        self,
        client: KubeClient,
        caches: Caches,
        views: ReplsetViews,
        events: EventRecorder,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._caches = caches
        self._views = views
        self._events = events
        self._clock = clock
        self._heartbeats = Heartbeats()

    async def reconcile(self, key: Key) -> Result:
        parsed, objects = parse(self._caches.instances.get(key)), self._caches.objects_of(key)
        if parsed.raw is None and objects.cleanup is None:
            self._forget(key)
            return DONE
        observed, silent_in = await self._observe(key, parsed, objects)
        plan = plan_for(observed, secrets.token_bytes)
        if plan.stage is Stage.GONE:
            self._forget(key)
            return DONE
        # Told before it is done: the last action of a deletion takes the object away.
        state = await self._report(observed, plan)
        await self._carry_out(plan)
        pause = _pause(plan, state)
        return Result(requeue_after=pause if silent_in is None else min(pause, silent_in + 0.1))

    def _forget(self, key: Key) -> None:
        self._views.forget(key)
        self._heartbeats.forget(key)

    async def _observe(self, key: Key, parsed: Parsed, objects: Karmada) -> tuple[Observed, float | None]:
        now = self._clock()
        reports = reports_of(objects.binding, frozenset())
        beats = {cluster: report.heartbeat for cluster, report in reports.items()}
        silent, silent_in = self._heartbeats.silent(key, beats, clock=asyncio.get_running_loop().time(), now=now)
        ending = parsed.raw is None or bool(parsed.raw["metadata"].get("deletionTimestamp"))
        references = References()
        if parsed.instance is not None and not ending:
            references = await read_references(self._client, parsed.instance)
        around = Surroundings(
            clusters={name_of(cluster): cluster for cluster in self._caches.clusters.list()},
            now=now,
            silent=silent,
            references=references,
            view=None if parsed.raw is None else await self._view(key, uid_of(parsed.raw), objects, reports),
            works_follow=not ending or await self._works_follow(key, objects),
        )
        return look(key, parsed, objects, around), silent_in

    async def _view(self, key: Key, uid: str, objects: Karmada, reports: Mapping[str, ClusterReport]) -> ReplsetView | None:
        plan = plan_in_force(objects.hostconf, objects.override, uid)
        if plan is not None:
            hosts = [member.host for member in plan.members] + [gone.host for gone in plan.retiring]
        else:
            hosts = [member.host for report in reports.values() if report.about(uid) for member in report.members if member.host]
        return await self._views.look(key, hosts, keyfile_of(objects.auth))

    async def _works_follow(self, key: Key, objects: Karmada) -> bool:
        """Whether every Work of the instance has taken over that its member object may be deleted."""
        if objects.propagation is None or preserves(objects.propagation) or objects.template is None:
            return True
        for cluster in clusters_of(objects.propagation):
            for work in await self._client.list_all(WORKS, f"karmada-es-{cluster}"):
                if holds_back(work, key):
                    return False
        return True

    async def _carry_out(self, plan: FederationPlan) -> None:
        for action in plan.actions:
            await self._do(action)
            _log.info("changed an object", extra={"action": str(action)})

    async def _do(self, action: Action) -> None:
        name, namespace = name_of(action.obj), namespace_of(action.obj)
        if action.verb is Verb.CREATE:
            try:
                await self._client.create(action.resource, action.obj)
            except AlreadyExists:
                # Of ours but without our labels, so no cache has it: label it, look again, and keep what it holds.
                labels = {"metadata": {field: action.obj["metadata"][field] for field in ("name", "namespace", "labels")}}
                await self._client.apply(action.resource, labels, field_manager=FIELD_MANAGER_FEDERATION)
                raise
        elif action.verb is Verb.APPLY:
            await self._client.apply(action.resource, action.obj, field_manager=FIELD_MANAGER_FEDERATION)
        elif action.verb is Verb.DELETE:
            try:
                await self._client.delete(action.resource, name, namespace=namespace, uid=uid_of(action.obj))
            except NotFound:
                _log.debug("was gone already", extra={"action": str(action)})
        else:
            fields = {field: action.obj["metadata"][field] for field in ("resourceVersion", "finalizers")}
            await self._client.merge_patch(action.resource, name, {"metadata": fields}, namespace=namespace)

    async def _report(self, observed: Observed, plan: FederationPlan) -> str:
        raw = observed.raw
        if raw is None:
            return ""
        status = status_for(observed, plan)
        if not is_reported(raw, status):
            intent = {"metadata": {"name": observed.name, "namespace": observed.namespace}, "status": status}
            try:
                await self._client.apply(
                    MULTI_CLOUD_MONGODBS, intent, subresource="status", field_manager=FIELD_MANAGER_FEDERATION
                )
            except NotFound:
                _log.debug("the instance went while it was looked at")
                return ""
            for item in news(raw.get("status") or {}, status):
                self._events.event(raw, item.type, item.reason, item.note)
        return str(status["state"])


def _pause(plan: FederationPlan, state: str) -> float:
    """How long until the next look, if nothing changes before."""
    if plan.stage in (Stage.BLOCKED, Stage.UNPLACED) or (plan.problems and not plan.waiting):
        return LOOK_AGAIN_BLOCKED
    if plan.stage is Stage.RUNNING and state == InstanceState.HEALTH and not plan.actions:
        return LOOK_AGAIN_SETTLED
    return LOOK_AGAIN_MOVING
