"""Cluster objects: the namespace for their Works, a running Member for each, and the end of both when a cluster is unjoined."""

from __future__ import annotations

from asyncio import Task, TaskGroup
from dataclasses import dataclass

from fedstate.api.karmada import CLUSTERS, WORKS
from fedstate.control.controller import Controller
from fedstate.control.reconciler import DONE, Result
from fedstate.kube.config import ClusterConfig
from fedstate.kube.errors import AlreadyExists, NotFound
from fedstate.kube.objects import (
    Key,
    KubeObject,
    deletion_timestamp_of,
    finalizers_of,
    key_of,
    name_of,
    namespace_of,
    resource_version_of,
)
from fedstate.kube.resources import NAMESPACES, SECRETS
from fedstate.local.karmada import names
from fedstate.local.karmada.execution import Execution
from fedstate.local.karmada.health import ClusterStatus, Pace
from fedstate.local.karmada.member import Member, config_of
from fedstate.local.karmada.plane import ControlPlane
from fedstate.local.karmada.writes import delete_quietly, let_go

SECRET_RETRY = 0.1
LEAVE_RETRY = 0.1
DRAIN_TIMEOUT = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    config: ClusterConfig
    execution: Controller
    task: Task[None]


class Clusters:
    """One task per member, so that one that does not answer holds up nobody else."""

    def __init__(self, plane: ControlPlane, group: TaskGroup, pace: Pace) -> None:
        self._plane = plane
        self._group = group
        self._pace = pace
        self._running: dict[str, _Running] = {}
        plane.works.store.add_listener(self._work_changed)

    def _work_changed(self, old: KubeObject | None, new: KubeObject | None) -> None:
        work = new or old
        running = self._running.get(names.cluster_of(namespace_of(work)) or "") if work else None
        if work is not None and running is not None:
            running.execution.queue.add(key_of(work))

    async def reconcile(self, key: Key) -> Result:
        cluster = self._plane.clusters.store.get(key)
        if cluster is None:
            self._stop(key.name)
            return DONE
        secret = await self._secret(cluster)
        if secret is not None:
            self._ensure_running(cluster, config_of(cluster, secret))
        if deletion_timestamp_of(cluster):
            return await self._leave(cluster)
        await self._settle(cluster)
        return DONE if secret is not None else Result(requeue_after=SECRET_RETRY)

    async def _secret(self, cluster: KubeObject) -> KubeObject | None:
        reference = cluster["spec"].get("secretRef") or {}
        try:
            return await self._plane.client.get(SECRETS, reference.get("name", ""), reference.get("namespace", ""))
        except (NotFound, ValueError):
            return None

    async def _settle(self, cluster: KubeObject) -> None:
        """The finalizer, and the namespace for the Works."""
        if names.CLUSTER_FINALIZER not in finalizers_of(cluster):
            metadata = {
                "finalizers": [*finalizers_of(cluster), names.CLUSTER_FINALIZER],
                "resourceVersion": resource_version_of(cluster),
            }
            await self._plane.client.merge_patch(CLUSTERS, name_of(cluster), {"metadata": metadata})
        space = names.execution_namespace(name_of(cluster))
        if self._plane.namespaces.store.get(Key("", space)) is None:
            try:
                await self._plane.client.create(
                    NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}}
                )
            except AlreadyExists:
                return

    async def _leave(self, cluster: KubeObject) -> Result:
        """Every Work goes, that of each namespace included, which deletes the namespace in the member; then the cluster."""
        works = self._plane.works_of_cluster(name_of(cluster))
        for work in works:
            await delete_quietly(self._plane.client, WORKS, work)
        if works:
            self._retry_works(name_of(cluster))
            return Result(requeue_after=LEAVE_RETRY)
        space = self._plane.namespaces.store.get(Key("", names.execution_namespace(name_of(cluster))))
        if space is not None:
            await delete_quietly(self._plane.client, NAMESPACES, space)
        await let_go(self._plane.client, CLUSTERS, cluster, names.CLUSTER_FINALIZER)
        return DONE

    def _retry_works(self, name: str) -> None:
        running = self._running.get(name)
        if running is not None:
            for work in self._plane.works_of_cluster(name):
                running.execution.queue.add(key_of(work))

    def _ensure_running(self, cluster: KubeObject, config: ClusterConfig) -> None:
        name = name_of(cluster)
        running = self._running.get(name)
        if running is not None and running.config == config:
            return
        self._stop(name)
        member = Member(name, config)
        execution = Controller(f"execution-{name}", Execution(self._plane, member), drain_timeout=DRAIN_TIMEOUT)
        status = ClusterStatus(self._plane, member, self._pace, lambda: self._retry_works(name))
        health = Controller(f"cluster-status-{name}", status, workers=1, drain_timeout=DRAIN_TIMEOUT)
        member.on_object = execution.queue.add
        health.queue.add(Key("", name))
        task = self._group.create_task(_run_member(member, (execution, health)), name=f"member {name}")
        self._running[name] = _Running(config=config, execution=execution, task=task)

    def _stop(self, name: str) -> None:
        running = self._running.pop(name, None)
        if running is not None:
            running.task.cancel()


async def _run_member(member: Member, controllers: tuple[Controller, ...]) -> None:
    """Runs until cancelled."""
    async with member.client, TaskGroup() as group:
        group.create_task(member.run_caches(), name=f"caches of {member.name}")
        for controller in controllers:
            group.create_task(controller.run(), name=controller.name)
