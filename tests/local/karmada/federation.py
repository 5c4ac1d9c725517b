"""A control plane with the stand-in and two members, and the objects that the tests send through it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from fedstate.api.karmada import CLUSTERS, OVERRIDE_POLICIES, PROPAGATION_POLICIES, RESOURCE_BINDINGS, WORKS
from fedstate.errors import FedstateError
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import NotFound
from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, SECRETS, Resource
from fedstate.local.karmada import KarmadaStandIn, install_crds, join, unjoin
from tests.local.karmada.servers import REAL, Server, new_servers

T = TypeVar("T")

DEADLINE = 30.0 if REAL else 8.0
DATABASES = Resource("middleware.fedstate.io", "v1alpha1", "mongodbs", "MongoDB")
DATABASES_CRD: KubeObject = {
    "metadata": {"name": "mongodbs.middleware.fedstate.io"},
    "spec": {
        "group": "middleware.fedstate.io",
        "scope": "Namespaced",
        "names": {"kind": "MongoDB", "listKind": "MongoDBList", "plural": "mongodbs", "singular": "mongodb"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            field: {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                            for field in ("spec", "status")
                        },
                    }
                },
            }
        ],
    },
}


class Federation:
    """`members` and `control` are clients; `servers` can be stopped and started again."""

    def __init__(self, control: KubeClient, members: dict[str, KubeClient], servers: dict[str, Server]) -> None:
        self.control = control
        self.members = members
        self.servers = servers

    async def join(self, name: str) -> None:
        server = self.servers[name]
        await join(
            self.control,
            name=name,
            api_endpoint=server.spec.server,
            token=server.spec.admin_token,
            ca_pem=server.ca_pem,
            region="r",
            zone="z",
            labels={"vip": "127.0.0.1"},
        )

    async def unjoin(self, name: str) -> None:
        await unjoin(self.control, name)

    async def distribute(
        self, *, preserve: bool = True, resolution: str = "Abort", clusters: tuple[str, ...] = ("m1", "m2")
    ) -> None:
        """Everything of one database, in the order that Karmada wants."""
        await self.control.apply(NAMESPACES, {"metadata": {"name": "db"}})
        await self.control.apply(SECRETS, {"metadata": _named("orders-auth"), "data": {"keyfile": "YWJj"}})
        await self.control.apply(CONFIG_MAPS, {"metadata": _named("orders-hostconf"), "data": {"plan": "1"}})
        await self.override({"m1": 3, "m2": 2})
        await self.propagate(preserve=preserve, resolution=resolution, clusters=clusters)
        await self.template()

    async def template(self, members: int = 5) -> None:
        await self.control.apply(DATABASES, {"metadata": _named("orders"), "spec": {"members": members, "rsInit": False}})

    async def override(self, members: dict[str, int], *, path: str = "/spec/members") -> None:
        rules = [
            {
                "targetCluster": {"clusterNames": [name]},
                "overriders": {
                    "plaintext": [{"path": path, "operator": "replace", "value": count}],
                    "labelsOverrider": [{"operator": "add", "value": {"vip-of": name}}],
                },
            }
            for name, count in members.items()
        ]
        spec = {"resourceSelectors": [selector(DATABASES, "orders")], "overrideRules": rules}
        await self.control.apply(OVERRIDE_POLICIES, {"metadata": _named("orders"), "spec": spec})

    async def propagate(
        self, *, preserve: bool = True, resolution: str = "Abort", clusters: tuple[str, ...] = ("m1", "m2"), **more: Any
    ) -> None:
        spec = {
            "resourceSelectors": [
                selector(DATABASES, "orders"),
                selector(SECRETS, "orders-auth"),
                selector(CONFIG_MAPS, "orders-hostconf"),
            ],
            "dependentOverrides": ["orders"],
            "conflictResolution": resolution,
            "preserveResourcesOnDeletion": preserve,
            "placement": {
                "clusterAffinity": {"clusterNames": list(clusters)},
                "clusterTolerations": [{"key": "cluster.karmada.io/not-ready", "operator": "Exists"}],
                "replicaScheduling": {"replicaSchedulingType": "Duplicated"},
            },
        }
        await self.control.apply(PROPAGATION_POLICIES, {"metadata": _named("orders"), "spec": spec | more})

    async def database(self, member: str, name: str = "orders") -> KubeObject:
        return await self.members[member].get(DATABASES, name, "db")

    async def binding(self, name: str = "orders-mongodb") -> KubeObject:
        return await self.control.get(RESOURCE_BINDINGS, name, "db")

    async def work(self, member: str, kind: str = "MongoDB") -> KubeObject:
        for work in await self.control.list_all(WORKS, f"karmada-es-{member}"):
            if work["spec"]["workload"]["manifests"][0]["kind"] == kind:
                return work
        raise NotFound(404, "NotFound", f"no Work of a {kind} for {member}")

    async def wait_distributed(self, *members: str) -> None:
        for member in members or ("m1", "m2"):
            await eventually(lambda member=member: self.database(member))  # type: ignore[misc]

        async def applied() -> bool:
            status = (await self.binding()).get("status") or {}
            return any(c["type"] == "FullyApplied" and c["status"] == "True" for c in status.get("conditions") or ())

        await eventually(applied)

    async def wait_ready(self, member: str, *, ready: bool = True) -> KubeObject:
        async def seen() -> KubeObject | None:
            cluster = await self.control.get(CLUSTERS, member)
            conditions = (cluster.get("status") or {}).get("conditions") or ()
            wanted = "True" if ready else "False"
            return cluster if any(c["type"] == "Ready" and c["status"] == wanted for c in conditions) else None

        return await eventually(seen)


def selector(resource: Resource, name: str) -> dict[str, str]:
    return {"apiVersion": resource.api_version, "kind": resource.kind, "name": name, "namespace": "db"}


def _named(name: str) -> dict[str, str]:
    return {"name": name, "namespace": "db"}


async def eventually(question: Callable[[], Awaitable[T | None]], deadline: float = DEADLINE) -> T:
    """The answer, once it is neither false nor an error."""
    last: object = None
    try:
        async with asyncio.timeout(deadline):
            while True:
                try:
                    if answer := await question():
                        return answer
                    last = answer
                except FedstateError as error:
                    last = error
                await asyncio.sleep(0.02)
    except TimeoutError as error:
        raise AssertionError(f"not so within {deadline} s; last: {last!r}") from error


async def gone(question: Callable[[], Awaitable[object]]) -> None:
    """Returns when what is asked for does not exist any more."""

    async def absent() -> bool:
        try:
            await question()
        except NotFound:
            return True
        return False

    await eventually(absent)


@asynccontextmanager
async def running_federation(directory: Path, **stand_in: Any) -> AsyncIterator[Federation]:
    """Two members, joined and ready."""
    control, members = new_servers(directory, ["m1", "m2"])
    servers = {"control-plane": control, **members}
    async with AsyncExitStack() as stack:
        for server in servers.values():
            stack.push_async_callback(server.stop)
        async with asyncio.TaskGroup() as group:
            for server in servers.values():
                group.create_task(server.start())
        clients = {name: await stack.enter_async_context(server.client()) for name, server in servers.items()}
        for client in clients.values():
            await client.apply(CUSTOM_RESOURCE_DEFINITIONS, DATABASES_CRD)
        federation = Federation(clients["control-plane"], {name: clients[name] for name in members}, servers)
        await install_crds(federation.control)
        options = {"probe_interval": 0.1, "failure_threshold": 0.3, **stand_in}
        task = asyncio.create_task(KarmadaStandIn(clients["control-plane"], **options).run(), name="stand-in")
        stack.push_async_callback(_cancelled, task)
        for name in members:
            await eventually(lambda name=name: _joined(federation, name))  # type: ignore[misc]
        for name in members:
            await federation.wait_ready(name)
        yield federation


async def _joined(federation: Federation, name: str) -> bool:
    await federation.join(name)
    return True


async def _cancelled(task: asyncio.Task[None]) -> None:
    if task.done():
        await task
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
