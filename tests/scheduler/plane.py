"""The whole scheduler, as a process runs it, on an API server in memory that answers as slowly and in whatever order it likes."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from fedstate import scheduler
from fedstate.api.karmada import CLUSTERS
from fedstate.api.naming import ANNOTATION_SCHEDULER_RESULT, MULTI_CLOUD_MONGODBS
from fedstate.control.component import CapacitySettings, ComponentContext, ComponentSettings
from fedstate.control.controller import Controller
from fedstate.kube.codec import decode
from fedstate.kube.events import EventRecorder
from fedstate.kube.informer import InformerSet
from fedstate.kube.objects import KubeObject, annotations_of, name_of
from fedstate.kube.wire import Request
from tests.api.objects import instance
from tests.fakes.apiserver import FakeApiServer, refusal, target_of
from tests.fakes.running import Running
from tests.scheduler.clusters import ONE_CPU

NAMESPACE = "shop"


class SlowServer(FakeApiServer):
    """Takes between nothing and `slowest` seconds before a write is done, and as long again until the answer is there.

    The next `lost_answers` writes are done and not answered; of what is written while it is `silent`, no watch hears.
    """

    def __init__(self, slowest: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        self.slowest = slowest
        self.in_flight = 0
        self.most_in_flight = 0
        self.placements: list[tuple[str, str]] = []
        self.stories: list[str] = []
        self.lost_answers = 0
        self.silent = False
        self._random = random.Random(seed)

    async def send(self, request: Request) -> bytes:
        if request.method != "PATCH":
            return await super().send(request)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self._random.random() * self.slowest)
            self._check_version(request)
            answer = await self._done(request)
            self._note(request)
            await asyncio.sleep(self._random.random() * self.slowest)
        finally:
            self.in_flight -= 1
        if self.lost_answers:
            self.lost_answers -= 1
            raise TimeoutError
        return answer

    def placed(self) -> dict[str, str]:
        """The result of every instance that has one."""
        found = ((name_of(obj), annotations_of(obj).get(ANNOTATION_SCHEDULER_RESULT)) for obj in self.all(MULTI_CLOUD_MONGODBS))
        return {name: result for name, result in found if result}

    def condition(self, name: str) -> dict[str, Any]:
        obj = self.get(MULTI_CLOUD_MONGODBS, name, NAMESPACE) or {}
        found = (obj.get("status") or {}).get("conditions") or ()
        return next((each for each in found if each["type"] == "Scheduled"), {})

    async def _done(self, request: Request) -> bytes:
        if not self.silent:
            return await super().send(request)
        watchers, self.watchers = self.watchers, []
        try:
            return await super().send(request)
        finally:
            self.watchers = watchers

    def _check_version(self, request: Request) -> None:
        said = decode(request.body or b"{}")["metadata"].get("resourceVersion")
        live = self.get(MULTI_CLOUD_MONGODBS, target_of(request.path).name, NAMESPACE)
        if said and live is not None and said != live["metadata"]["resourceVersion"]:
            raise refusal(409, "Conflict", "the object has been modified")

    def _note(self, request: Request) -> None:
        target = target_of(request.path)
        if target.subresource == "status":
            self.stories.append(target.name)
        else:
            result = decode(request.body or b"{}")["metadata"]["annotations"][ANNOTATION_SCHEDULER_RESULT]
            self.placements.append((target.name, result))


def wanted(name: str, spec: dict[str, Any] | None = None, **metadata: Any) -> KubeObject:
    obj = instance(ONE_CPU | (spec or {}), name=name, uid=f"uid-{name}", generation=1, **metadata)
    del obj["metadata"]["resourceVersion"]
    return obj


class Plane:
    """The running scheduler."""

    def __init__(self, server: SlowServer, controller: Controller) -> None:
        self.server = server
        self.controller = controller

    def create(self, *instances: KubeObject) -> None:
        self.server.seed(MULTI_CLOUD_MONGODBS, *instances)

    def change(self, name: str, spec: dict[str, Any]) -> None:
        live = self.server.get(MULTI_CLOUD_MONGODBS, name, NAMESPACE)
        assert live is not None
        self.server.seed(MULTI_CLOUD_MONGODBS, {**live, "spec": live["spec"] | spec})

    def put(self, *clusters: KubeObject) -> None:
        self.server.seed(CLUSTERS, *clusters)


@asynccontextmanager
async def running_scheduler(server: SlowServer, *clusters: KubeObject) -> AsyncIterator[Plane]:
    """The scheduler of this control plane until the end of the block, its caches filled."""
    server.seed(CLUSTERS, *clusters)
    client = server.client()
    informers = InformerSet(client)
    context = ComponentContext(
        client=client,
        informers=informers,
        events=cast(EventRecorder, Silent()),
        settings=ComponentSettings(capacity=CapacitySettings(sources=("summary",))),
    )
    runnables = scheduler.build(context)
    async with Running(informers.run()):
        await informers.wait_synced()
        async with Running(*(runnable.run() for runnable in runnables)):
            yield Plane(server, next(each for each in runnables if isinstance(each, Controller)))


class Silent:
    """Records no events."""

    def event(self, *said: Any, **more: Any) -> None: ...


async def until(holds: Callable[[], object], within: float = 60.0) -> None:
    """Lets (virtual) time pass until it holds."""
    async with asyncio.timeout(within):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)
