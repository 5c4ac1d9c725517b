"""An embedded API server in the test's own process, on a free port of 127.0.0.1, and two ways to speak to it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from fedstate.kube.client import KubeClient
from fedstate.kube.config import cluster_config_from
from fedstate.local.apiserver import ApiServer, TlsFiles, User
from fedstate.local.pki import Pki, ensure_pki

TOKEN = "admin-token"
USER_TOKEN = "user-token"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the code, the decoded body (or its text), the headers."""

    code: int
    body: Any
    headers: Any

    @property
    def message(self) -> str:
        return str(self.body["message"])


@dataclass(slots=True)
class Running:
    """One server, and raw requests to it with the administrator's token."""

    server: ApiServer
    pki: Pki
    session: aiohttp.ClientSession

    async def ask(self, method: str, path: str, body: Any = None, *, token: str | None = TOKEN, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        raw_body = body if isinstance(body, bytes) else None if body is None else orjson.dumps(body)
        data = None if raw_body is None else io.BytesIO(raw_body)
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self.session.request(method, self.server.url + path, data=data, headers=sent) as answer:
            raw = await answer.read()
            value = orjson.loads(raw) if answer.content_type == "application/json" else raw.decode()
            return Answer(answer.status, value, answer.headers)

    async def events(self, path: str, count: int, *, ends: bool = False, **headers: str) -> list[dict[str, Any]]:
        """The first events of a watch, which then is given up, or must be over by itself."""
        sent = {"Authorization": f"Bearer {TOKEN}", **headers}
        async with asyncio.timeout(5), self.session.get(self.server.url + path, headers=sent) as answer:
            assert answer.status == 200, await answer.text()
            found = [orjson.loads(await answer.content.readline()) for _ in range(count)]
            if ends:
                assert await answer.content.readline() == b""
            return found

    def client(self) -> KubeClient:
        return KubeClient(cluster_config_from(self.server.url, Path(self.pki.ca_cert).read_bytes(), TOKEN), field_manager="test")


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return ensure_pki(tmp_path_factory.mktemp("pki"), ["127.0.0.1"])


@asynccontextmanager
async def running(database: Path, pki: Pki) -> AsyncIterator[Running]:
    """A server on this database, stopped at the end."""
    server = ApiServer(
        database=database,
        host="127.0.0.1",
        port=0,
        tls=TlsFiles(cert=Path(pki.tls_cert), key=Path(pki.tls_key)),
        tokens={TOKEN: User(name="admin", groups=("system:masters",)), USER_TOKEN: User(name="bob", groups=("dev",))},
        node_ports=range(30000, 30010),
    )
    await server.start()
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=False)) as session:
            yield Running(server, pki, session)
    finally:
        await server.stop()


@pytest.fixture
async def api(tmp_path: Path, pki: Pki) -> AsyncIterator[Running]:
    async with running(tmp_path / "store.db", pki) as found:
        yield found
