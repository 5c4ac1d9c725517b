"""A whole local cluster in the test's own process: embedded API server, its controllers, and one node agent."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedstate.kube.client import KubeClient
from fedstate.kube.config import cluster_config_from
from fedstate.kube.errors import NotFound
from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import CORE_EVENTS, NODES, PODS, Resource
from fedstate.local.apiserver import ApiServer, TlsFiles, User
from fedstate.local.controllers import EmbeddedControllers
from fedstate.local.node import NodeAgent
from fedstate.local.pki import ensure_pki
from fedstate.local.spec import NodeSpec

NAMESPACE = "default"
PREFIX = f"127.{100 + os.getpid() % 100}.{os.getpid() // 100 % 250}."
"""Loopback addresses that tests of another process do not use."""
TOKEN = "admin-token"


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """One cluster, and the questions that tests ask."""

    client: KubeClient
    directory: Path
    vip: str

    async def get(self, resource: Resource, name: str) -> KubeObject | None:
        try:
            return await self.client.get(resource, name, NAMESPACE if resource.namespaced else "")
        except NotFound:
            return None

    async def until(self, what: Callable[[], Awaitable[Any]], seconds: float = 12.0) -> Any:
        """What `what` gives as soon as it is true."""
        async with asyncio.timeout(seconds):
            while not (found := await what()):  # noqa: ASYNC110 - only asking tells
                await asyncio.sleep(0.03)
            return found

    async def until_pod(self, name: str, check: Callable[[KubeObject], Any]) -> KubeObject:
        async def pod() -> KubeObject | None:
            found = await self.get(PODS, name)
            return found if found is not None and check(found) else None

        found: KubeObject = await self.until(pod)
        return found

    async def until_gone(self, resource: Resource, name: str) -> None:
        async def gone() -> bool:
            return await self.get(resource, name) is None

        await self.until(gone)

    async def until_event(self, name: str, reason: str) -> str:
        async def said() -> str | None:
            events = (await self.client.list(CORE_EVENTS, NAMESPACE))["items"]
            return next((e["message"] for e in events if e["involvedObject"]["name"] == name and e["reason"] == reason), None)

        return str(await self.until(said))

    async def log(self, pod: str, **parameters: str) -> str:
        return await self.client.text(PODS.path(NAMESPACE, pod, "log"), parameters)


@asynccontextmanager
async def local_cluster(
    directory: Path, *, agent: bool = True, cpu: str = "4", any_storage_class: bool = False, mongod: Path | None = None
) -> AsyncIterator[LocalCluster]:
    """A cluster with two nodes, `n1` and `n2`, or with none; everything of it has ended when the block is left."""
    pki = ensure_pki(directory / "pki", ["127.0.0.1"])
    server = ApiServer(
        database=directory / "db.sqlite", host="127.0.0.1", port=0, tls=TlsFiles(cert=pki.tls_cert, key=pki.tls_key),
        tokens={TOKEN: User(name="admin", groups=("system:masters",))},
    )  # fmt: skip
    await server.start()
    try:
        config = cluster_config_from(server.url, Path(pki.ca_cert).read_bytes(), TOKEN)
        async with KubeClient(config) as client:
            cluster = LocalCluster(client, directory, f"{PREFIX}1")
            nodes = [NodeSpec(name="n1", cpu=cpu), NodeSpec(name="n2", cpu=cpu)]
            node = NodeAgent(
                client,
                nodes=nodes,
                vip=cluster.vip,
                pod_prefix=PREFIX,
                data_dir=directory,
                mongod=mongod,
                any_storage_class=any_storage_class,
            )
            parts: list[EmbeddedControllers | NodeAgent] = [EmbeddedControllers(client), *([node] if agent else [])]
            tasks = [asyncio.create_task(part.run(), name=type(part).__name__) for part in parts]
            try:
                if agent:
                    await cluster.until(lambda: cluster.get(NODES, "n2"))
                yield cluster
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
    finally:
        await server.stop()


def shell_pod(name: str, script: str, **fields: Any) -> KubeObject:
    """A pod whose one container runs a shell script."""
    container = {"name": "main", "image": "busybox", "command": ["sh", "-c", script], **fields.pop("container", {})}
    metadata = {"name": name, "namespace": NAMESPACE, "labels": fields.pop("labels", {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container], **fields}}


def is_ready(pod: KubeObject) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in (pod.get("status") or {}).get("conditions") or ())


def state_of(pod: KubeObject) -> KubeObject:
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
    return statuses[0]  # type: ignore[no-any-return]
