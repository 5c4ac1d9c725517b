"""Brings the Kubernetes side of an instance to its spec: Secret, configuration, StatefulSets, Services, the standalone plan.

Says what stands in the way as problems; knows nothing of replica-set states beyond what its callers hand in.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from fedstate.api.configfile import FILE_NAME, config_problem, custom_text
from fedstate.api.mongodb import MongoDB
from fedstate.api.naming import (
    AUTH_KEYFILE,
    HOSTCONF_REPLSET,
    LABEL_INSTANCE_UID,
    auth_secret_name,
    hostconf_name,
    member_name,
    replset_name,
)
from fedstate.api.replset import ReplsetPlan
from fedstate.dataplane.credentials import Credentials, read_credentials, secret_text
from fedstate.dataplane.holdings import Holdings, OwnMember
from fedstate.dataplane.inputs import Inputs
from fedstate.dataplane.look import Problem
from fedstate.dataplane.members import Roster, Seat
from fedstate.dataplane.mongodconf import BUILT_IN_CONFIGS, KEYFILE_PATH, mongod_conf
from fedstate.dataplane.naming import claim_template_name, mongod_conf_name
from fedstate.dataplane.pods import MONGOD_CONTAINER, PodInputs
from fedstate.dataplane.specs import (
    auth_secret,
    hostconf_config_map,
    member_service,
    member_stateful_set,
    member_storage,
    metrics_service,
    mongod_config_map,
    pull_secret,
)
from fedstate.dataplane.writer import Writer
from fedstate.errors import FedstateError
from fedstate.kube.errors import Forbidden, Invalid
from fedstate.kube.objects import Key, KubeObject, labels_of, quantity_bytes
from fedstate.kube.resources import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
    Resource,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Foundation:
    """What members are started with. Without credentials none can be."""

    credentials: Credentials | None
    pods: PodInputs | None
    problems: tuple[Problem, ...] = ()


class Provision:
    """Write access to an instance's objects."""

    def __init__(self, inputs: Inputs, writer: Writer) -> None:
        self._inputs = inputs
        self._writer = writer

    async def credentials(self, mongo: MongoDB, *, running: OwnMember | None) -> tuple[Credentials | None, tuple[Problem, ...]]:
        """Read the Secret of the instance; make it first where no federation does.

        Once any member is `running`, its keyfile cannot be made again: a new one would lock everybody out.
        """
        key = Key(mongo.namespace, auth_secret_name(mongo.name))
        secret = await self._inputs.find(SECRETS, key)
        if not mongo.federated:
            password, problem = await self._root_password(mongo)
            if problem is not None:
                return (read_credentials(secret)[0] if secret is not None else None), (problem,)
            if running is not None and not secret_text(secret, AUTH_KEYFILE):
                return None, (_keyfile_lost(key.name, running),)
            intent = auth_secret(mongo, secret, password, os.urandom)
            await self._writer.ensure(SECRETS, intent, secret)
            secret = intent
        if secret is None:
            message = f"Secret {key.name} is not here yet; the federation distributes it"
            return None, (Problem(reason="SecretMissing", message=message, blocking=False),)
        found, wrong = read_credentials(secret)
        return found, () if found is not None else (Problem(reason="SecretInvalid", message=wrong),)

    async def _root_password(self, mongo: MongoDB) -> tuple[str | None, Problem | None]:
        reference = mongo.root_password_secret_ref
        if reference is None:
            return mongo.root_password, None
        secret = await self._inputs.find(SECRETS, Key(mongo.namespace, reference.name))
        text = secret_text(secret, reference.key)
        if text:
            return text, None
        what = (
            f"has no text under key {reference.key}; add one"
            if secret is not None
            else "does not exist; create it, or change the field"
        )
        message = f"spec.rootPasswordSecretRef: Secret {reference.name} in namespace {mongo.namespace} {what}"
        return None, Problem(reason="MissingReference", message=message)

    async def configuration(self, mongo: MongoDB, instance_uid: str) -> tuple[PodInputs | None, tuple[Problem, ...]]:
        """What the pods have in common. A missing custom configuration blocks a first start, but never stops what runs."""
        live = self._inputs.cached(CONFIG_MAPS, Key(mongo.namespace, mongod_conf_name(mongo.name)))
        custom, problem = await self._custom_configuration(mongo)
        problems = [problem] if problem is not None else []
        problems += await self._pull_secret(mongo)
        if problem is not None and problem.blocking and live is None:
            return None, tuple(problems)
        conf = mongod_conf(
            replset=replset_name(mongo.name),
            settings=mongo.config,
            custom=custom,
            memory_limit=(mongo.resources.get("limits") or {}).get("memory"),
        )
        if problem is not None and problem.blocking and live is not None:
            conf = type(conf)(text=(live.get("data") or {}).get(FILE_NAME, conf.text), environment=conf.environment, problems=())
        problems += [Problem(reason="ConfigIgnored", message=text, blocking=False) for text in conf.problems]
        pods = PodInputs(mongo=mongo, conf=conf, claim_name=claim_template_name(instance_uid))
        await self._ensure(CONFIG_MAPS, mongod_config_map(pods, instance_uid), live)
        for resource, intent in self._accessories(mongo, instance_uid):
            await self._ensure(resource, intent, self._inputs.cached(resource, Key(mongo.namespace, intent["metadata"]["name"])))
        return pods, tuple(problems)

    async def _pull_secret(self, mongo: MongoDB) -> list[Problem]:
        """Pods start without it, if nodes have the image or need no sign-in; but nobody would know why others do not."""
        name = mongo.image_pull_secret.name
        if not name or await self._inputs.find(SECRETS, Key(mongo.namespace, name)) is not None:
            return []
        message = (
            f"spec.imagePullSecret: Secret {name} does not exist in namespace {mongo.namespace}; create it or remove the field"
        )
        return [Problem(reason="MissingReference", message=message, blocking=False)]

    def _accessories(self, mongo: MongoDB, instance_uid: str) -> list[tuple[Resource, KubeObject]]:
        found: list[tuple[Resource, KubeObject]] = []
        if mongo.metrics_enabled:
            found.append((SERVICES, metrics_service(mongo, instance_uid)))
        secret = pull_secret(mongo, instance_uid)
        if secret is not None:
            found.append((SECRETS, secret))
        return found

    async def _custom_configuration(self, mongo: MongoDB) -> tuple[str | None, Problem | None]:
        name = mongo.custom_config_ref
        if name is None:
            return None, None
        config_map = await self._inputs.find(CONFIG_MAPS, Key(mongo.namespace, name))
        if config_map is None:
            if name in BUILT_IN_CONFIGS:
                return None, None
            message = f"spec.customConfigRef: ConfigMap {name} does not exist in namespace {mongo.namespace}; create it or remove the field"
            return None, Problem(reason="MissingReference", message=message)
        data = config_map.get("data") or {}
        wrong = config_problem(data)
        if wrong:
            message = f"spec.customConfigRef: ConfigMap {name} in namespace {mongo.namespace} {wrong}"
            return None, Problem(reason="ConfigInvalid", message=message)
        return custom_text(data), None

    async def members(self, pods: PodInputs, roster: Roster, holdings: Holdings, instance_uid: str) -> tuple[bool, list[Problem]]:
        """Every seat of the roster has its Service and StatefulSet; True if anything had to be written."""
        problems: list[Problem] = []
        wrong = self._inputs.storage_class_problem(pods.mongo.storage.storage_class) if roster.fresh else ""
        if wrong:
            problems.append(Problem(reason="StorageClassMissing", message=wrong, storage=True))
        wrote = False
        for seat in (*roster.kept, *(() if wrong else roster.fresh)):
            member = holdings.by_name(member_name(pods.mongo.name, seat.ordinal))
            try:
                wrote |= await self._member(pods, seat, member, instance_uid)
            except (Invalid, Forbidden) as error:
                message = f"the cluster refused {member_name(pods.mongo.name, seat.ordinal)}: {error.message}"
                problems.append(Problem(reason="Refused", message=message))
        return wrote, problems

    async def _member(self, pods: PodInputs, seat: Seat, member: OwnMember | None, instance_uid: str) -> bool:
        mongo, live_set = pods.mongo, member.stateful_set if member is not None else None
        storage = _claimed(live_set) or member_storage(mongo, arbiter=seat.arbiter)
        service = member_service(mongo, seat.ordinal, arbiter=seat.arbiter, instance_uid=instance_uid)
        intent = member_stateful_set(pods, seat.ordinal, arbiter=seat.arbiter, instance_uid=instance_uid, storage=storage)
        wrote = await self._ensure(SERVICES, service, member.service if member is not None else None)
        wrote |= await self._ensure(STATEFUL_SETS, intent, live_set)
        await self._grow(member, member_storage(mongo, arbiter=seat.arbiter))
        return wrote

    async def _grow(self, member: OwnMember | None, storage: str) -> None:
        """A StatefulSet's claims cannot be changed through it; the claim itself can grow."""
        if member is None or member.claim is None:
            return
        asked = member.claim["spec"]["resources"]["requests"]["storage"]
        if quantity_bytes(asked) < quantity_bytes(storage):
            patch = {"spec": {"resources": {"requests": {"storage": storage}}}}
            await self._writer.patch(PERSISTENT_VOLUME_CLAIMS, member.claim, patch)

    def plan(self, mongo: MongoDB, instance_uid: str) -> tuple[ReplsetPlan | None, tuple[Problem, ...]]:
        """The member plan as it lies in the cluster, if it is this instance's."""
        key = Key(mongo.namespace, mongo.member_config_ref or hostconf_name(mongo.name))
        config_map = self._inputs.cached(CONFIG_MAPS, key)
        if config_map is None or labels_of(config_map).get(LABEL_INSTANCE_UID) != instance_uid:
            return None, ()
        try:
            return ReplsetPlan.from_json((config_map.get("data") or {}).get(HOSTCONF_REPLSET, "")), ()
        except FedstateError as error:
            return None, (Problem(reason="PlanUnreadable", message=f"ConfigMap {key.name}: {error}; restore it"),)

    async def live_plan(self, mongo: MongoDB, instance_uid: str) -> ReplsetPlan | None:
        """The plan from the server itself: a plan that follows a stale one could give a number away twice."""
        config_map = await self._inputs.read(CONFIG_MAPS, Key(mongo.namespace, hostconf_name(mongo.name)))
        if config_map is None or labels_of(config_map).get(LABEL_INSTANCE_UID) != instance_uid:
            return None
        return ReplsetPlan.from_json((config_map.get("data") or {}).get(HOSTCONF_REPLSET, ""))

    async def write_plan(self, mongo: MongoDB, plan: ReplsetPlan, instance_uid: str) -> bool:
        """Keep the plan of an instance of its own where a federated one would have it."""
        key = Key(mongo.namespace, hostconf_name(mongo.name))
        return await self._ensure(
            CONFIG_MAPS, hostconf_config_map(mongo, plan, instance_uid), self._inputs.cached(CONFIG_MAPS, key)
        )

    async def _ensure(self, resource: Resource, intent: KubeObject, live: KubeObject | None) -> bool:
        return await self._writer.ensure(resource, intent, live)


def _keyfile_lost(secret: str, member: OwnMember) -> Problem:
    command = f"kubectl exec {member.name}-0 -c {MONGOD_CONTAINER} -- cat {KEYFILE_PATH}"
    message = (
        f"Secret {secret} has no key {AUTH_KEYFILE} any more, and without it nobody signs in to the running members; "
        f"put back what this prints: {command}"
    )
    return Problem(reason="SecretInvalid", message=message)


def _claimed(stateful_set: KubeObject | None) -> str | None:
    """The size in a StatefulSet's claim template, which cannot be changed any more."""
    templates = ((stateful_set or {}).get("spec") or {}).get("volumeClaimTemplates") or ()
    return next((str(template["spec"]["resources"]["requests"]["storage"]) for template in templates), None)
