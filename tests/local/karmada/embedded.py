"""The embedded API server in the test's own process."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from fedstate.local.apiserver import ApiServer, TlsFiles, User
from fedstate.local.spec import ClusterSpec


async def start_embedded(spec: ClusterSpec, running: AsyncExitStack) -> None:
    server = ApiServer(
        database=spec.directory / "store.db",
        host=spec.host,
        port=spec.port,
        tls=TlsFiles(cert=Path(spec.tls_cert), key=Path(spec.tls_key)),
        tokens={spec.admin_token: User(name="admin", groups=("system:masters",))},
    )
    await server.start()
    running.push_async_callback(server.stop)
