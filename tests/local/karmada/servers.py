"""API servers for the stand-in's tests: the embedded one, or a real one where FEDSTATE_TEST_ENGINE=kubernetes asks for it."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

from fedstate.kube.client import KubeClient
from fedstate.kube.config import cluster_config_from
from fedstate.local.kubernetes import KubernetesEngine
from fedstate.local.pki import ensure_pki
from fedstate.local.spec import ClusterSpec, Role

REAL = os.environ.get("FEDSTATE_TEST_ENGINE") == "kubernetes"


class Server:
    """One cluster without nodes, that can be stopped and started again with its data."""

    def __init__(self, directory: Path, name: str, port: int, role: Role) -> None:
        pki = ensure_pki(directory / "pki", ["127.0.0.1"])
        self.spec = ClusterSpec(
            name=name,
            role=role,
            engine="kubernetes" if REAL else "embedded",
            data_dir=str(directory / name),
            port=port,
            admin_token=secrets.token_hex(8),
            ca_cert=str(pki.ca_cert),
            tls_cert=str(pki.tls_cert),
            tls_key=str(pki.tls_key),
        )
        self.spec.directory.mkdir(parents=True, exist_ok=True)
        self._running = AsyncExitStack()

    @property
    def ca_pem(self) -> bytes:
        return Path(self.spec.ca_cert).read_bytes()

    def client(self) -> KubeClient:
        return KubeClient(cluster_config_from(self.spec.server, self.ca_pem, self.spec.admin_token), field_manager="test")

    async def start(self) -> None:
        if REAL:
            engine = KubernetesEngine(self.spec)
            await engine.start()
            self._running.push_async_callback(engine.stop)
            return
        from tests.local.karmada.embedded import start_embedded

        await start_embedded(self.spec, self._running)

    async def stop(self) -> None:
        await self._running.aclose()
        self._running = AsyncExitStack()


def new_servers(directory: Path, members: list[str]) -> tuple[Server, dict[str, Server]]:
    """A control plane and its members, not started."""
    ports = _free_ports(1 + len(members))
    control = Server(directory, "control-plane", ports[0], "control-plane")
    return control, {name: Server(directory, name, port, "member") for name, port in zip(members, ports[1:], strict=True)}


def _free_ports(count: int) -> list[int]:
    """Ports that the system just gave out: test processes beside this one get others."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
