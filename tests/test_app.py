"""A whole process against a fake API server over real HTTP: start, readiness, leadership, stop, and every way not to start."""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import yaml
from aiohttp import web

from fedstate import app
from fedstate.control.component import ComponentContext, Runnable
from fedstate.control.controller import Controller
from fedstate.control.reconciler import DONE, Result
from fedstate.control.triggers import watch_self
from fedstate.errors import FedstateError
from fedstate.kube.errors import ApiError
from fedstate.kube.informer import CacheSyncTimeout
from fedstate.kube.leadership import LeadershipLost
from fedstate.kube.objects import Key
from fedstate.kube.resources import CONFIG_MAPS, LEASES
from fedstate.kube.transport import Request
from fedstate.settings import Component, Role, Settings
from tests.fakes.apiserver import FakeApiServer, refusal
from tests.fakes.running import Running


class HttpFake:
    """The fake API server, listening."""

    def __init__(self, directory: Path) -> None:
        self.fake = FakeApiServer()
        self.kubeconfig = directory / "kubeconfig"
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        server = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        content = {
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(content))

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/version":
            return web.json_response({"major": "1"})
        body = await request.read()
        asked = Request(
            method=request.method,
            path=request.path,
            params=dict(request.query),
            body=body or None,
            headers={"Content-Type": request.headers.get("Content-Type", "")},
        )
        try:
            if request.query.get("watch"):
                return await self._watch(request, asked)
            return web.Response(body=await self.fake.send(asked))
        except ApiError as error:
            status = {"kind": "Status", "code": error.status, "reason": error.reason, "message": error.message}
            return web.Response(status=error.status, body=orjson.dumps(status))

    async def _watch(self, request: web.Request, asked: Request) -> web.StreamResponse:
        async with self.fake.stream(asked) as stream:
            response = web.StreamResponse()
            await response.prepare(request)
            while chunk := await stream.readany():
                await response.write(chunk)
        return response


@pytest.fixture
async def server(tmp_path: Path) -> Any:
    http = HttpFake(tmp_path)
    await http.start()
    yield http
    await http.stop()


class Recording:
    """A reconciler that remembers what it was given, and can be made slow."""

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.finished = 0
        self.seconds = 0.0
        self.http_port = 0
        self.called = asyncio.Event()

    async def reconcile(self, key: Key) -> Result:
        self.keys.append(key)
        self.called.set()
        await asyncio.sleep(self.seconds)
        self.finished += 1
        return DONE

    def build(self, context: ComponentContext) -> Sequence[Runnable]:
        self.http_port = context.settings.http_port
        informer = context.informers.informer(CONFIG_MAPS)
        controller = Controller("recording", self)
        watch_self(informer, controller)
        return [controller]


def settings(server: HttpFake, **changed: Any) -> Settings:
    said: dict[str, Any] = {
        "role": Role.MEMBER,
        "components": (Component.DATAPLANE,),
        "kubeconfig": str(server.kubeconfig),
        "http_port": 0,
    }
    return Settings(**said | changed)


async def started(server: HttpFake, recording: Recording, body: Callable[[], Awaitable[None]], **changed: Any) -> None:
    """Runs the process until `body` is through, then stops it as Kubernetes would."""
    async with asyncio.timeout(10):
        async with asyncio.TaskGroup() as group:
            group.create_task(app.run(settings(server, **changed), [recording.build]))
            await recording.called.wait()
            await body()
            os.kill(os.getpid(), signal.SIGTERM)


async def test_it_reconciles_what_is_there_serves_its_state_and_ends_cleanly_on_sigterm(server: HttpFake) -> None:
    server.fake.seed(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "n"}})
    recording = Recording()

    async def body() -> None:
        lease = server.fake.get(LEASES, "fedstate-member", "default")
        assert lease is not None
        assert lease["spec"]["holderIdentity"].startswith(socket.gethostname())
        async with aiohttp.ClientSession(f"http://127.0.0.1:{recording.http_port}") as session:
            for path in ("/healthz", "/readyz"):
                async with session.get(path) as response:
                    assert (response.status, await response.text()) == (200, "ok\n")
            async with session.get("/metrics") as response:
                assert 'leader_election_master_status{name="fedstate-member"} 1.0' in await response.text()

    await started(server, recording, body)
    assert recording.keys == [Key("n", "a")]
    lease = server.fake.get(LEASES, "fedstate-member", "default")
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == ""


async def test_without_leader_election_there_is_no_lease(server: HttpFake) -> None:
    server.fake.seed(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "n"}})

    async def body() -> None:
        assert server.fake.all(LEASES) == []

    await started(server, Recording(), body, leader_elect=False)


async def test_what_is_in_work_is_finished_before_the_lease_is_given_back(server: HttpFake) -> None:
    server.fake.seed(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "n"}})
    recording = Recording()
    recording.seconds = 0.3

    async def body() -> None:
        assert recording.finished == 0

    await started(server, recording, body)
    assert recording.finished == 1


async def test_a_standby_has_its_caches_filled_and_reconciles_nothing(server: HttpFake) -> None:
    taken = {"holderIdentity": "other", "leaseDurationSeconds": 60}
    server.fake.seed(LEASES, {"metadata": {"name": "fedstate-member", "namespace": "default"}, "spec": taken})
    server.fake.seed(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "n"}})
    recording = Recording()
    async with asyncio.timeout(10):
        async with asyncio.TaskGroup() as group:
            group.create_task(app.run(settings(server), [recording.build]))
            await readiness(recording)
            os.kill(os.getpid(), signal.SIGTERM)
    assert recording.keys == []


async def readiness(recording: Recording) -> None:
    """Returns when the process says that it is ready."""
    while True:
        if recording.http_port:
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"http://127.0.0.1:{recording.http_port}/readyz") as response,
            ):
                if response.status == 200:
                    return
        await asyncio.sleep(0.01)


async def test_a_lost_lease_ends_the_process_without_finishing_anything(server: HttpFake) -> None:
    server.fake.seed(CONFIG_MAPS, {"metadata": {"name": "a", "namespace": "n"}})
    recording = Recording()
    recording.seconds = 60

    async def steal() -> None:
        await recording.called.wait()
        lease = server.fake.get(LEASES, "fedstate-member", "default")
        assert lease is not None
        server.fake.seed(LEASES, lease | {"spec": lease["spec"] | {"holderIdentity": "thief"}})

    async with Running(steal()) as running:
        with pytest.raises(BaseExceptionGroup) as raised:
            await app.run(settings(server), [recording.build])
        await running.tasks[0]
    assert raised.group_contains(LeadershipLost, match="thief holds it")
    assert recording.finished == 0


async def test_a_runnable_that_returns_ends_the_process(server: HttpFake) -> None:
    class Brief:
        name = "brief"

        async def run(self) -> None: ...

    with pytest.raises(BaseExceptionGroup) as raised:
        await app.run(settings(server), [lambda context: [Brief()]])
    assert raised.group_contains(app.UnexpectedEnd, match="brief ended by itself")


async def test_caches_that_cannot_be_filled_end_the_process_with_the_reason(server: HttpFake) -> None:
    server.fake.fail(
        lambda request: CONFIG_MAPS.plural in request.path, refusal(403, "Forbidden", "configmaps is forbidden"), times=None
    )
    with pytest.raises(BaseExceptionGroup) as raised:
        await app.run(settings(server, sync_timeout=0.3), [Recording().build])
    assert raised.group_contains(CacheSyncTimeout, match="configmaps is forbidden")


async def test_a_port_in_use_is_said_with_what_to_do(server: HttpFake) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(BaseExceptionGroup) as raised:
            await app.run(settings(server, http_port=taken.getsockname()[1]), [Recording().build])
    assert raised.group_contains(FedstateError, match="choose another --http-port")
