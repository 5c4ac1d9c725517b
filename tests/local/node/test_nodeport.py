"""Node ports: whom they go to, and that bytes, half-closes and resets get through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fedstate.local.node.addresses import AddressPool, free_port
from fedstate.local.node.nodeport import Backend, PortForward, backends_of, node_ports
from tests.local.localcluster import PREFIX

VIP = f"{PREFIX}1"


def pod(name: str, *, ready: bool = True, leaving: bool = False) -> Any:
    metadata: dict[str, Any] = {"name": name, "uid": name, "labels": {"app": "x"}}
    if leaving:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    ports = [{"name": "db", "containerPort": 27017}]
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {
        "metadata": metadata,
        "spec": {"containers": [{"ports": ports}]},
        "status": {"podIP": "127.0.0.9", "conditions": conditions},
    }


@pytest.mark.parametrize(
    ("pods", "publish", "chosen"),
    [
        ([pod("a"), pod("b", ready=False)], False, ["a"]),
        ([pod("a"), pod("b", ready=False)], True, ["a", "b"]),
        ([pod("a", leaving=True), pod("b", ready=False)], True, ["b"]),
        ([pod("a", leaving=True)], True, ["a"]),
        ([pod("a", leaving=True)], False, []),
    ],
)
def test_backends_are_ready_pods_or_all_if_the_service_says_so(pods: list[Any], publish: bool, chosen: list[str]) -> None:
    service = {"spec": {"selector": {"app": "x"}, "publishNotReadyAddresses": publish}}
    found = backends_of(service, {"port": 1, "targetPort": "db"}, pods, lambda _, number: number + 1)
    assert [backend.pod for backend in found] == chosen
    assert all(backend.port == 27018 for backend in found)


def test_only_tcp_ports_of_services_with_node_ports_count() -> None:
    ports = [{"port": 1, "nodePort": 30001}, {"port": 2, "nodePort": 30002, "protocol": "UDP"}, {"port": 3}]
    assert list(node_ports({"spec": {"type": "NodePort", "ports": ports}})) == [30001]
    assert node_ports({"spec": {"type": "ClusterIP", "ports": ports}}) == {}


@asynccontextmanager
async def forwarding(*backends: Backend) -> AsyncIterator[PortForward]:
    async with asyncio.TaskGroup() as tasks:
        forward = PortForward(VIP, free_port(VIP), tasks)
        await forward.use(backends)
        try:
            yield forward
        finally:
            forward.close()


@asynccontextmanager
async def backend(host: str) -> AsyncIterator[Backend]:
    """A server that answers, after its client has finished, with all it got, twice."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            data = await reader.read()
            writer.write(data + data)
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, host, 0)
    try:
        yield Backend(pod="a", host=host, port=server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def test_bytes_and_half_closes_pass_both_ways_with_more_than_the_buffers_hold() -> None:
    async with backend(f"{PREFIX}9") as a, forwarding(a) as forward:
        reader, writer = await asyncio.open_connection(VIP, forward.number)
        data = b"x" * 3_000_000
        writer.write(data)
        writer.write_eof()
        assert await reader.read() == data + data
        writer.close()


async def test_connections_are_cut_when_their_pod_goes_and_refused_when_none_is_left() -> None:
    async with backend(f"{PREFIX}9") as a, forwarding(a) as forward:
        reader, writer = await asyncio.open_connection(VIP, forward.number)
        writer.write(b"x")
        await writer.drain()
        await forward.use(())
        with pytest.raises(ConnectionError):
            await reader.readexactly(1)
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(VIP, forward.number)


async def test_a_pod_that_does_not_listen_resets_the_connection() -> None:
    gone = Backend(pod="a", host=f"{PREFIX}9", port=free_port(f"{PREFIX}9"))
    async with forwarding(gone) as forward:
        reader, writer = await asyncio.open_connection(VIP, forward.number)
        with pytest.raises(ConnectionError):
            assert await reader.readexactly(1)
        writer.close()


def test_addresses_are_given_once_and_a_pod_gets_its_old_one_back() -> None:
    pool = AddressPool(PREFIX)
    first = pool.take()
    assert pool.take(wanted=first.ip).ip != first.ip
    pool.release(first)
    assert pool.take(wanted=first.ip).ip == first.ip


def test_where_there_is_one_address_only_container_ports_get_ports_of_their_own() -> None:
    address = AddressPool("").take(container_ports=[27017])
    assert address.ip == "127.0.0.1"
    assert address.port(27017) != 27017
