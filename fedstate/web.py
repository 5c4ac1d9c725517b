"""What the process says over HTTP to those who run it: /metrics, /healthz, /readyz. Knows no components."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import NoReturn, Self

from aiohttp import web
from prometheus_async.aio.web import server_stats
from prometheus_client import Gauge

from fedstate.errors import FedstateError

LOOP_LAG = Gauge("fedstate_event_loop_lag_seconds", "How much later than asked the event loop last woke a timer.")
LAG_LIMIT = 5.0
LAG_INTERVAL = 0.5

# Says what is wrong, or None.
Check = Callable[[], str | None]


class WebError(FedstateError):
    """The address cannot be listened on."""


class LoopLag:
    """Measures how late the event loop is; `run` for as long as the process lives."""

    def __init__(self) -> None:
        self._lag = 0.0
        self._due: float | None = None

    async def run(self) -> NoReturn:
        now = asyncio.get_running_loop().time
        while True:
            self._due = now() + LAG_INTERVAL
            await asyncio.sleep(LAG_INTERVAL)
            self._lag = max(0.0, now() - self._due)
            LOOP_LAG.set(self._lag)

    def check(self) -> str | None:
        overdue = 0.0 if self._due is None else asyncio.get_running_loop().time() - self._due
        lag = max(self._lag, overdue)
        return f"the event loop is {lag:.1f} s late" if lag > LAG_LIMIT else None


class WebServer:
    """Listens while inside `async with`. Checks are asked at each request; `add_*` may be called at any time."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._live: list[Check] = []
        self._ready: list[Check] = []
        self.app = web.Application()
        self.app.router.add_get("/metrics", server_stats)
        self.app.router.add_get("/healthz", self._healthz)
        self.app.router.add_get("/livez", self._healthz)
        self.app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(self.app, access_log=None, handle_signals=False, shutdown_timeout=2.0)

    @property
    def port(self) -> int:
        """The port listened on, also where 0 was asked for."""
        return int(self._runner.addresses[0][1])

    def add_liveness_check(self, check: Check) -> None:
        self._live.append(check)

    def add_readiness_check(self, check: Check) -> None:
        self._ready.append(check)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise WebError(
                f"cannot listen on {self._host}:{self._port}: {error.strerror or error}; choose another --http-port (0 for any)"
            ) from error
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._runner.cleanup()

    async def _healthz(self, request: web.Request) -> web.Response:
        return _verdict(self._live)

    async def _readyz(self, request: web.Request) -> web.Response:
        return _verdict(self._live + self._ready)


def _verdict(checks: list[Check]) -> web.Response:
    wrong = [said for check in checks if (said := check()) is not None]
    return web.Response(status=503, text="\n".join(wrong) + "\n") if wrong else web.Response(text="ok\n")
