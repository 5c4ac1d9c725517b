"""A control plane on an embedded API server in this process: scheduler and federation run for real, member clusters are written by hand."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from fedstate import fed, scheduler
from fedstate.api.karmada import CLUSTERS
from fedstate.api.naming import MULTI_CLOUD_MONGODBS
from fedstate.control.component import CapacitySettings, ComponentContext, ComponentSettings
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import Conflict, NotFound
from fedstate.kube.events import EventRecorder
from fedstate.kube.informer import InformerSet
from fedstate.kube.objects import Key, KubeObject, name_of, resource_version_of
from fedstate.kube.resources import CUSTOM_RESOURCE_DEFINITIONS, EVENTS, NAMESPACES, Resource
from fedstate.local.karmada import install_crds
from tests.badinput.conditions import Condition, said
from tests.badinput.reported import NAME
from tests.fed.replset import ReplicaSet
from tests.fed.system import Connections
from tests.local.karmada.servers import new_servers

MANIFESTS = Path(__file__).parents[2] / "manifests" / "crds"
DEADLINE = 8.0


class ControlPlane:
    """One at a time: the clusters are everybody's, so a case cleans up behind itself."""

    def __init__(self, client: KubeClient, informers: InformerSet) -> None:
        self.client = client
        self._informers = informers

    @asynccontextmanager
    async def clusters(self, objects: Sequence[KubeObject]) -> AsyncIterator[None]:
        """The member clusters, known to every component."""
        versions: dict[str, str] = {}
        for obj in objects:
            intent = {key: value for key, value in copy.deepcopy(obj).items() if key != "status"}
            await self.client.apply(CLUSTERS, intent)
            whole = {"message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            conditions = [whole | condition for condition in obj["status"]["conditions"]]
            status = {"metadata": {"name": name_of(obj)}, "status": obj["status"] | {"conditions": conditions}}
            versions[name_of(obj)] = resource_version_of(await self.client.apply(CLUSTERS, status, subresource="status"))
        store = self._informers.informer(CLUSTERS).store
        await until(
            lambda: all(
                (seen := store.get(Key("", name))) and resource_version_of(seen) == version for name, version in versions.items()
            )
        )
        yield
        for name in versions:
            await self.client.delete(CLUSTERS, name)
        await until(lambda: not any(store.get(Key("", name)) for name in versions))

    @asynccontextmanager
    async def instance(
        self, namespace: str, obj: KubeObject, beside: Sequence[tuple[Resource, KubeObject]] = ()
    ) -> AsyncIterator[None]:
        """An instance in a namespace of its own, with what its owner has made beside it."""
        await self.client.apply(NAMESPACES, {"metadata": {"name": namespace}})
        for resource, other in beside:
            await self.client.create(resource, copy.deepcopy(other), namespace=namespace)
        await self.client.create(MULTI_CLOUD_MONGODBS, copy.deepcopy(obj), namespace=namespace)
        yield
        await self.client.delete(MULTI_CLOUD_MONGODBS, NAME, namespace=namespace)
        store = self._informers.informer(MULTI_CLOUD_MONGODBS).store
        while store.get(Key(namespace, NAME)) is not None:
            with suppress(NotFound, Conflict):
                await self.client.merge_patch(MULTI_CLOUD_MONGODBS, NAME, {"metadata": {"finalizers": None}}, namespace=namespace)
            await asyncio.sleep(0.01)

    async def told(self, namespace: str, wanted: Sequence[Condition]) -> dict[str, Any]:
        """The instance once its status says all that is wanted; fails with what it says instead."""
        obj: dict[str, Any] = {}
        try:
            async with asyncio.timeout(DEADLINE):
                while True:
                    obj = await self.client.get(MULTI_CLOUD_MONGODBS, NAME, namespace)
                    if set(wanted) <= set(said(obj)):
                        return obj
                    await asyncio.sleep(0.01)
        except TimeoutError:
            types = {kind for kind, *_ in wanted}
            assert [one for one in said(obj) if one[0] in types] == list(wanted)
            raise

    async def event(self, namespace: str, note: str) -> None:
        """Returns once an event has said it."""
        async with asyncio.timeout(DEADLINE):
            while True:
                if note in {event.get("note") for event in await self.client.list_all(EVENTS, namespace)}:
                    return
                await asyncio.sleep(0.02)


async def until(holds: Any) -> None:
    async with asyncio.timeout(DEADLINE):
        while True:
            if holds():
                return
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running_control_plane(directory: Path) -> AsyncIterator[ControlPlane]:
    """API server, both components and their events, until the end of the block."""
    server, _ = new_servers(directory, [])
    async with AsyncExitStack() as stack:
        await server.start()
        stack.push_async_callback(server.stop)
        client = await stack.enter_async_context(server.client())
        for path in sorted(MANIFESTS.glob("*.yaml")):
            await client.apply(CUSTOM_RESOURCE_DEFINITIONS, yaml.safe_load(path.read_text()))
        await install_crds(client)
        informers = InformerSet(client)
        events = EventRecorder(client, "fedstate")
        context = ComponentContext(
            client=client,
            informers=informers,
            events=events,
            settings=ComponentSettings(capacity=CapacitySettings(sources=("summary",))),
        )
        runnables = [*scheduler.build(context), *fed.build(context, Connections(ReplicaSet()))]
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [group.create_task(informers.run(), name="informers"), group.create_task(events.run(), name="events")]
        await informers.wait_synced()
        tasks += [group.create_task(runnable.run(), name=runnable.name) for runnable in runnables]
        try:
            yield ControlPlane(client, informers)
        finally:
            for task in tasks:
                task.cancel()
