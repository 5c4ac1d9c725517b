"""Members on a real API server, by TLS: many at once, credentials that change, a server that dies and returns; nothing stays open."""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from fedstate.api.karmada import CLUSTERS
from fedstate.kube.client import KubeClient
from fedstate.kube.informer import Informer
from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import NODES, PODS, SECRETS
from fedstate.scheduler.capacity.members import Members
from fedstate.scheduler.capacity.rooms import Reading
from tests.fakes.apiserver import FakeApiServer
from tests.fakes.running import Running
from tests.local.karmada.servers import Server, new_servers
from tests.scheduler.capacity.memberclusters import HOLDS_SECRETS, ONE_CPU, node, pod
from tests.scheduler.clusters import cluster

MANY = 50


class Fleetful:
    """A control plane in memory, whose members are one server under many names."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.control = FakeApiServer()
        self.readings: dict[str, Reading] = {}
        self.clusters = Informer(self.control.client(), CLUSTERS)
        self.members = Members(self.control.client(), self.clusters.store, self._lay)

    def join(self, name: str, token: str) -> None:
        obj = cluster(name)
        obj["spec"] |= {"apiEndpoint": self.server.spec.server, "secretRef": {"namespace": HOLDS_SECRETS, "name": name}}
        self.control.seed(CLUSTERS, obj)
        self.put_secret(name, token)

    def put_secret(self, name: str, token: str) -> None:
        data = {"token": b64encode(token.encode()).decode(), "caBundle": b64encode(self.server.ca_pem).decode()}
        self.control.seed(SECRETS, {"metadata": {"name": name, "namespace": HOLDS_SECRETS}, "data": data})

    def free(self, name: str) -> int | None:
        reading = self.readings.get(name)
        return reading.rooms.fits(ONE_CPU) if reading is not None and reading.rooms is not None else None

    async def until(self, holds: Callable[[], bool], seconds: float = 15.0) -> None:
        async with asyncio.timeout(seconds):
            while not holds():  # noqa: ASYNC110 - only asking tells
                await asyncio.sleep(0.02)

    def _lay(self, name: str, reading: Reading | None) -> None:
        if reading is None:
            self.readings.pop(name, None)
        else:
            self.readings[name] = reading


def sockets() -> int:
    """Of this process; none where the system does not tell."""
    if not Path("/proc/self/fd").exists():
        return 0
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{descriptor}").startswith("socket:")
        except OSError:
            continue
    return found


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """With one node of four cores."""
    _, members = new_servers(tmp_path, ["m"])
    async with AsyncExitStack() as stack:
        await members["m"].start()
        stack.push_async_callback(members["m"].stop)
        async with members["m"].client() as client:
            await client.create(NODES, node("n1"))
            await client.merge_patch(NODES, "n1", {"status": node("n1")["status"]}, subresource="status")
        yield members["m"]


@asynccontextmanager
async def watching(fleet: Fleetful) -> AsyncIterator[None]:
    async with Running(fleet.clusters.run(), fleet.members.run()):
        yield


async def bind(client: KubeClient, name: str, cpu: str) -> KubeObject:
    wanted = pod(name, "n1", cpu)
    wanted["metadata"]["namespace"] = "default"
    wanted["spec"]["containers"][0]["image"] = "busybox"
    return await client.create(PODS, wanted)


async def test_many_members_start_at_once_and_nothing_is_left_when_they_are_cancelled(server: Server) -> None:
    before = sockets()
    fleet = Fleetful(server)
    for number in range(MANY):
        fleet.join(f"m{number}", server.spec.admin_token)
    async with watching(fleet):
        await fleet.until(lambda: sum(fleet.free(f"m{number}") == 4 for number in range(MANY)) == MANY)
        async with server.client() as client:
            await bind(client, "p", "1")
        await fleet.until(lambda: all(fleet.free(f"m{number}") == 3 for number in range(MANY)))
    # The server needs a moment to see that its clients are gone.
    await fleet.until(lambda: sockets() <= before)


async def test_a_wrong_token_is_said_and_the_right_one_is_taken_up(server: Server) -> None:
    fleet = Fleetful(server)
    fleet.join("m", "wrong")
    async with watching(fleet):
        await fleet.until(lambda: "m" in fleet.readings and "does not accept" in fleet.readings["m"].source.note)
        assert "the member does not accept the credentials in Secret karmada-cluster/m" in fleet.readings["m"].source.note
        fleet.put_secret("m", server.spec.admin_token)
        # A Cluster that is written is a reason to look; the Secret itself is not watched.
        fleet.join("m", server.spec.admin_token)
        fleet.control.seed(CLUSTERS, _touched(fleet.control.get(CLUSTERS, "m") or {}))
        await fleet.until(lambda: fleet.free("m") == 4)


async def test_a_member_that_dies_and_returns_is_followed_again(server: Server) -> None:
    fleet = Fleetful(server)
    fleet.join("m", server.spec.admin_token)
    async with watching(fleet):
        await fleet.until(lambda: fleet.free("m") == 4)
        await server.stop()
        await server.start()
        async with server.client() as client:
            await bind(client, "p", "2")
        await fleet.until(lambda: fleet.free("m") == 2)
        assert fleet.readings["m"].source.note == ""


def _touched(obj: KubeObject) -> KubeObject:
    return {**obj, "spec": {**obj["spec"], "id": "again"}}
