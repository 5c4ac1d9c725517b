"""Clients connected to servers that say bytes, on both loops, with and without TLS."""

import asyncio
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from fedstate.kube.client import KubeClient
from fedstate.kube.config import ClusterConfig
from fedstate.kube.proxied import ProxiedTransport
from fedstate.kube.transport import DirectTransport
from tests.kube.talking import Play, Scenario, Script, Server
from tests.kube.test_tls import Pair, issued


@pytest.fixture(scope="session")
def certificates() -> tuple[Pair, Pair]:
    authority = issued("authority")
    return authority, issued("server", authority)


@pytest.fixture
def play(request: pytest.FixtureRequest, tmp_path: Path, certificates: tuple[Pair, Pair]) -> Play:
    """Plays a scenario with a client of a server that says bytes; gives the heads of the requests."""
    on_uvloop, tls, raw = request.param
    authority, pair = certificates
    context: ssl.SSLContext | None = None
    if tls:
        (tmp_path / "crt").write_bytes(pair.pem)
        (tmp_path / "key").write_bytes(pair.key_pem)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tmp_path / "crt", tmp_path / "key")

    async def scene(scenario: Scenario, scripts: tuple[Script, ...], token: Any) -> list[str]:
        server = Server(list(scripts))
        listening = await asyncio.start_server(server.accept, "127.0.0.1", 0, ssl=context)
        port = listening.sockets[0].getsockname()[1]
        config = ClusterConfig(server=f"{'https' if tls else 'http'}://127.0.0.1:{port}", token=token)
        config = replace(config, ca_data=authority.pem if tls else None)
        try:
            transport = DirectTransport(config, "me") if raw else ProxiedTransport(config, "me")
            async with KubeClient(config, transport=transport) as client:
                await scenario(client)
        finally:
            listening.close()
            tasks = tuple(server.tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks)
            # The transports of the server end a turn or two after their tasks.
            await asyncio.sleep(0.01)
        return [talk.request for talk in server.talks]

    def run(scenario: Scenario, *scripts: Script, token: Any = "secret") -> list[str]:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop if on_uvloop else asyncio.new_event_loop) as runner:
            return runner.run(scene(scenario, scripts, token))

    return run
