"""One member cluster at run time: its client, its caches of managed objects, whether it answers. Decides nothing."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Callable, Mapping

from fedstate.errors import FedstateError
from fedstate.kube.client import KubeClient
from fedstate.kube.config import ClusterConfig, cluster_config_from
from fedstate.kube.informer import Informer, InformerSet
from fedstate.kube.objects import Key, KubeObject, annotations_of, name_of
from fedstate.kube.resources import NODES, PODS, Resource
from fedstate.local.karmada import names
from fedstate.local.karmada.discovery import KindMap
from fedstate.local.karmada.plane import cache

SYNC_TIMEOUT = 5.0


class NotSynced(FedstateError):
    """A cache of the member is not filled yet."""

    routine = True


class Member:
    """`ready` is what the cluster's Ready condition says; `on_object` is given the key of the Work of every changed object."""

    def __init__(self, name: str, config: ClusterConfig) -> None:
        self.name = name
        self.ready = False
        self.client = KubeClient(config, field_manager="karmada")
        self.kinds = KindMap(self.client)
        self.informers = InformerSet(self.client)
        self.nodes = cache(self.informers, NODES)
        self.pods = cache(self.informers, PODS)
        self.on_object: Callable[[Key], None] = lambda key: None
        self._managed: dict[Resource, Informer] = {}
        self._was_away = False
        self._returned = asyncio.Event()

    def set_ready(self, ready: bool) -> None:
        """What the Ready condition says from now on."""
        self.ready = ready
        if ready and self._was_away:
            self._returned.set()
        self._was_away = not ready

    async def run_caches(self) -> None:
        """Runs until cancelled. A member that comes back is read anew at once: after a long silence caches ask but seldom."""
        while True:
            self._returned.clear()
            async with asyncio.TaskGroup() as group:
                task = group.create_task(self.informers.run(), name=f"caches of {self.name}")
                await self._returned.wait()
                task.cancel()

    async def managed(self, resource: Resource) -> Informer:
        """The cache of the objects of a kind that Karmada manages there; NotSynced while it cannot be filled."""
        informer = self._managed.get(resource)
        if informer is None:
            informer = cache(self.informers, resource, label_selector=f"{names.MANAGED}=true")
            informer.store.add_listener(self._changed)
            self._managed[resource] = informer
        try:
            async with asyncio.timeout(SYNC_TIMEOUT):
                await informer.synced.wait()
        except TimeoutError as error:
            raise NotSynced(f"{resource} of cluster {self.name} cannot be read: {informer.last_error}") from error
        return informer

    def _changed(self, old: KubeObject | None, new: KubeObject | None) -> None:
        marks: Mapping[str, str] = annotations_of(new or old or {})
        if marks.get(names.WORK_NAMESPACE) == names.execution_namespace(self.name):
            self.on_object(Key(marks[names.WORK_NAMESPACE], marks.get(names.WORK_NAME, "")))


def config_of(cluster: KubeObject, secret: KubeObject) -> ClusterConfig:
    """How to reach a member: the Cluster's endpoint, and the token and authority of its Secret."""
    data = secret.get("data") or {}
    missing = [field for field in ("token", "caBundle") if not data.get(field)]
    if missing:
        raise FedstateError(f"the Secret of cluster {name_of(cluster)} has no {' and no '.join(missing)}")
    ca_pem, token = b64decode(data["caBundle"]), b64decode(data["token"]).decode()
    return cluster_config_from(cluster["spec"]["apiEndpoint"], ca_pem, token)
