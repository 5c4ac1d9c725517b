"""One embedded API server: puts the parts together, listens, and stops in order."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from fedstate.kube.objects import Key
from fedstate.local.apiserver import writes
from fedstate.local.apiserver.auth import MASTERS, Authenticator, User
from fedstate.local.apiserver.builtin.catalogue import builtin_types
from fedstate.local.apiserver.builtin.definitions import COLLECTION as DEFINITIONS
from fedstate.local.apiserver.builtin.namespaces import INITIAL
from fedstate.local.apiserver.core import Core
from fedstate.local.apiserver.expiry import run_expiry
from fedstate.local.apiserver.finalization import Finalizer
from fedstate.local.apiserver.registry import Registry
from fedstate.local.apiserver.routes.dispatch import MAX_BODY, Dispatcher
from fedstate.local.apiserver.services import Allocators
from fedstate.local.apiserver.storage import Database
from fedstate.local.apiserver.store import Store
from fedstate.local.apiserver.strategy import Write

logger = logging.getLogger(__name__)
NODE_PORTS = range(30000, 32768)
SERVICE_NETWORK = "10.96.0.0/16"
_SYSTEM = User(name="system:apiserver", groups=(MASTERS,))


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The server's certificate (with its chain) and key."""

    cert: Path
    key: Path


class ApiServer:
    """An API server on one port. `start` returns once it answers; after `stop` nothing written is lost."""

    def __init__(
        self, *, database: Path, host: str, port: int, tls: TlsFiles, tokens: Mapping[str, User],
        node_ports: range = NODE_PORTS, service_network: str = SERVICE_NETWORK,
    ) -> None:  # fmt: skip
        self._host = host
        self._port = port
        self._tls = tls
        self._database = Database(database)
        self._store = Store(self._database)
        self._core = Core(
            store=self._store,
            registry=Registry(),
            authenticator=Authenticator(tokens),
            allocators=Allocators(node_ports, service_network),
        )
        self._finalizer = Finalizer(self._core)
        self._runner: web.AppRunner | None = None
        self._background: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"https://{self._host}:{self.port}"

    @property
    def port(self) -> int:
        """The port that is listened on, also where 0 was asked for."""
        if self._runner is not None and self._runner.addresses:
            return int(self._runner.addresses[0][1])
        return self._port

    async def start(self) -> None:
        """Load the store and listen; raises OSError if the port is taken."""
        self._load()
        self._background = asyncio.create_task(self._work(), name="apiserver-background")
        context = await asyncio.to_thread(self._tls_context)
        app = web.Application(client_max_size=MAX_BODY)
        dispatcher = Dispatcher(self._core)
        app.router.add_route("*", "/{path:.*}", dispatcher.handle)
        # A watch whose client has gone must end, and not wait for an event to find out.
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.2, handler_cancellation=True)
        try:
            await self._runner.setup()
            await web.TCPSite(self._runner, self._host, self._port, ssl_context=context, backlog=1024).start()
        except BaseException:
            await self.stop()
            raise
        logger.info("API server listens", extra={"url": self.url, "revision": self._store.revision})

    def _tls_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._tls.cert, self._tls.key)
        return context

    def _load(self) -> None:
        core = self._core
        self._store.load()
        for rtype in builtin_types():
            core.registry.add(rtype)
        definitions = [t for t in core.registry if t.collection == DEFINITIONS]
        for rtype in definitions + [t for t in core.registry.storage_types() if t.collection != DEFINITIONS]:
            for _, entry in self._store.collection(rtype.collection).entries():
                rtype.strategy.stored(entry.obj, None, core)
        self._finalizer.watch()
        namespaces = core.registry.find("", "v1", "namespaces")
        assert namespaces is not None
        for name in INITIAL:
            if core.entry(namespaces, Key("", name)) is None:
                write = Write(core=core, user=_SYSTEM, now=core.clock())
                writes.create(namespaces, "", {"metadata": {"name": name}}, write)

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._database.run(self._store.publish), name="apiserver-storage")
            group.create_task(self._finalizer.run(), name="apiserver-finalizer")
            group.create_task(run_expiry(self._core), name="apiserver-expiry")

    async def stop(self) -> None:
        """Close every connection, then the file."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._background is not None:
            self._background.cancel()
            await asyncio.wait([self._background])
            if not self._background.cancelled() and (failure := self._background.exception()) is not None:
                logger.error("the store failed", exc_info=failure)
            self._background = None
        await asyncio.to_thread(self._database.close)
