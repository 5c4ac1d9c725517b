"""Health as Kubernetes asks for it, under virtual time where time matters."""

import asyncio

import aiohttp
import pytest

from fedstate.web import LoopLag, WebServer
from tests.fakes.running import Running


async def test_checks_decide_between_ok_and_what_is_wrong() -> None:
    async with WebServer("127.0.0.1", 0) as server, aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:

        async def asked(path: str) -> tuple[int, str]:
            async with session.get(path) as response:
                return response.status, await response.text()

        assert await asked("/healthz") == (200, "ok\n")
        server.add_readiness_check(lambda: "not read yet: pods")
        assert await asked("/healthz") == (200, "ok\n")
        assert await asked("/readyz") == (503, "not read yet: pods\n")
        server.add_liveness_check(lambda: "the lease ran out")
        assert await asked("/livez") == (503, "the lease ran out\n")
        assert await asked("/readyz") == (503, "the lease ran out\nnot read yet: pods\n")
        assert "fedstate_event_loop_lag_seconds" in (await asked("/metrics"))[1]


@pytest.mark.looptime
async def test_a_loop_that_is_late_is_unhealthy_until_it_has_caught_up() -> None:
    lag = LoopLag()
    assert lag.check() is None
    async with Running(lag.run()):
        await asyncio.sleep(3)
        assert lag.check() is None
        assert lag._due is not None
        lag._due -= 6
        assert lag.check() == "the event loop is 6.0 s late"
        await asyncio.sleep(2)
        assert lag.check() is None
