"""The federation on API servers with the Karmada stand-in; the data planes are the cells of the simulation, working through their clusters."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from fedstate.api.naming import MONGODBS, MULTI_CLOUD_MONGODBS
from fedstate.control.component import ComponentContext, ComponentSettings
from fedstate.errors import FedstateError
from fedstate.fed.wiring import build
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import NotFound
from fedstate.kube.events import EventRecorder
from fedstate.kube.informer import InformerSet
from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES
from fedstate.local.karmada import KarmadaStandIn, install_crds, join
from fedstate.mongo.admin import Credential, LiveConfig, MongoAdmin, MongoConnections
from fedstate.mongo.errors import NotInitialized, Unreachable
from fedstate.mongo.replica import SetStatus
from tests.fed.cell import Cell
from tests.fed.replset import ReplicaSet
from tests.local.karmada.federation import eventually
from tests.local.karmada.servers import Server, new_servers

NAMESPACE, NAME = "db", "x"
MANIFESTS = Path(__file__).parents[2] / "manifests" / "crds"
PACE = 0.05


class Admin:
    """What one member of the simulated set answers."""

    def __init__(self, host: str, replset: ReplicaSet) -> None:
        self.host = host
        self._replset = replset

    async def replset_get_status(self) -> SetStatus:
        if self.host not in self._replset.up:
            raise Unreachable(self.host, "no answer")
        view = self._replset.view()
        if view is None or not self._replset.has(self.host):
            raise NotInitialized(self.host, "no configuration")
        return view.status

    async def replset_get_config(self, *, commitment: bool = False) -> LiveConfig:
        view = self._replset.view()
        if view is None or view.config is None:
            raise NotInitialized(self.host, "no configuration")
        return LiveConfig(config=view.config, committed=view.committed if commitment else None)


class Connections:
    def __init__(self, replset: ReplicaSet) -> None:
        self._replset = replset
        self.keyfiles: set[str] = set()

    def admin(self, host: str, credential: Credential | None) -> MongoAdmin:
        if credential is not None:
            self.keyfiles.add(credential.password)
        return Admin(host, self._replset)  # type: ignore[return-value]

    def forget(self, host: str) -> None:
        """Nothing is open."""

    async def close(self) -> None:
        """Nothing is open."""


class System:
    def __init__(self, control: KubeClient, members: dict[str, KubeClient], servers: dict[str, Server]) -> None:
        self.control = control
        self.members = members
        self.servers = servers
        self.replset = ReplicaSet()
        self.connections: MongoConnections = Connections(self.replset)
        self.cells = {name: Cell(name=name, vip=f"127.9.{index}.1", base_port=30000) for index, name in enumerate(members)}
        self.down: set[str] = set()
        self.beating = False

    async def run_cells(self) -> None:
        """Every data plane and the replica set, round after round."""
        while True:
            for name, cell in self.cells.items():
                if name not in self.down:
                    with suppress(FedstateError):
                        await self._step(cell, self.members[name])
            self.replset.tick()
            await asyncio.sleep(PACE)

    async def _step(self, cell: Cell, client: KubeClient) -> None:
        cell.mongodb = await _get(client, MONGODBS, NAME)
        hostconf = await _get(client, CONFIG_MAPS, f"{NAME}-hostconf")
        cell.hostconf = hostconf["data"] if hostconf is not None else None
        if cell.mongodb is None:
            return
        before = cell.mongodb.get("status") or {}
        cell.step(self.replset)
        cell.roll(self.replset)
        if cell.mongodb is None:
            await client.delete(MONGODBS, NAME, namespace=NAMESPACE)
            return
        status = cell.status(self.replset)
        if self.beating or {**before, "heartbeatTime": ""} != {**status, "heartbeatTime": ""}:
            intent = {"metadata": {"name": NAME, "namespace": NAMESPACE}, "status": status}
            await client.apply(MONGODBS, intent, subresource="status")

    async def run_federation(self) -> None:
        """The operator, until cancelled."""
        informers = InformerSet(self.control)
        events = EventRecorder(self.control, "fedstate")
        context = ComponentContext(client=self.control, informers=informers, events=events, settings=ComponentSettings())
        (runnable,) = build(context, self.connections)
        async with asyncio.TaskGroup() as group:
            group.create_task(informers.run(), name="informers")
            group.create_task(events.run(), name="events")
            await informers.wait_synced()
            group.create_task(runnable.run(), name="federation")

    async def create(self, replicaset: int, placement: str, **spec: Any) -> None:
        obj: KubeObject = {
            "metadata": {"name": NAME, "namespace": NAMESPACE, "annotations": {"schedulerResult": placement}},
            "spec": {"replicaset": replicaset, **spec},
        }
        await self.control.apply(MULTI_CLOUD_MONGODBS, obj)

    async def place(self, replicaset: int, placement: str) -> None:
        patch = {"metadata": {"annotations": {"schedulerResult": placement}}, "spec": {"replicaset": replicaset}}
        await self.control.merge_patch(MULTI_CLOUD_MONGODBS, NAME, patch, namespace=NAMESPACE)

    async def instance(self) -> KubeObject:
        return await self.control.get(MULTI_CLOUD_MONGODBS, NAME, NAMESPACE)

    async def status(self) -> dict[str, Any]:
        return (await self.instance()).get("status") or {}

    async def wait_until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async def question() -> dict[str, Any] | None:
            status = await self.status()
            return status if status and holds(status) else None

        try:
            return await eventually(question, deadline=25)
        except AssertionError as error:
            raise AssertionError(f"{error}; status: {await self.status()}") from error


async def _get(client: KubeClient, resource: Any, name: str) -> KubeObject | None:
    try:
        return await client.get(resource, name, NAMESPACE)
    except NotFound:
        return None


@asynccontextmanager
async def running_system(directory: Path, members: tuple[str, ...] = ("m1", "m2", "m3")) -> AsyncIterator[System]:
    """A control plane with Karmada and our kinds, its members joined, their data planes and the federation running."""
    control, others = new_servers(directory, list(members))
    servers = {"control-plane": control, **others}
    definitions = [yaml.safe_load(path.read_text()) for path in sorted(MANIFESTS.glob("*.yaml"))]
    async with AsyncExitStack() as stack:
        for server in servers.values():
            stack.push_async_callback(server.stop)
        async with asyncio.TaskGroup() as group:
            for server in servers.values():
                group.create_task(server.start())
        clients = {name: await stack.enter_async_context(server.client()) for name, server in servers.items()}
        for client in clients.values():
            for definition in definitions:
                await client.apply(CUSTOM_RESOURCE_DEFINITIONS, definition)
        await install_crds(clients["control-plane"])
        system = System(clients["control-plane"], {name: clients[name] for name in others}, servers)
        await stack.enter_async_context(_running(KarmadaStandIn(system.control, probe_interval=0.3, failure_threshold=0.9).run()))
        for name, cell in system.cells.items():
            await eventually(lambda name=name, cell=cell: _joined(system, name, cell))  # type: ignore[misc]
        await system.control.apply(NAMESPACES, {"metadata": {"name": NAMESPACE}})
        await stack.enter_async_context(_running(system.run_federation()))
        await stack.enter_async_context(_running(system.run_cells()))
        yield system


async def _joined(system: System, name: str, cell: Cell) -> bool:
    server = system.servers[name]
    await join(
        system.control,
        name=name,
        api_endpoint=server.spec.server,
        token=server.spec.admin_token,
        ca_pem=server.ca_pem,
        labels={"vip": cell.vip},
    )
    return True


@asynccontextmanager
async def _running(coroutine: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(coroutine)
    try:
        yield
    finally:
        if task.done():
            await task
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
