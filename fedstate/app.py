"""The composition root: what a process of each role is made of, nested in the order it starts and, backwards, ends.

Knows every component by name and none from inside; they are imported only where they run.
"""

import asyncio
import gc
import importlib
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from fedstate.control.component import ComponentContext, ComponentSettings, Runnable
from fedstate.control.controller import Controller
from fedstate.errors import FedstateError
from fedstate.kube.client import KubeClient, product
from fedstate.kube.config import ClusterConfig, in_cluster_available, in_cluster_config, load_kubeconfig
from fedstate.kube.errors import Forbidden, Unauthorized
from fedstate.kube.events import EventRecorder
from fedstate.kube.informer import InformerSet
from fedstate.kube.leadership import Leadership, LeadershipLost, unique_identity
from fedstate.settings import Component, Settings, SettingsError
from fedstate.web import LoopLag, WebServer

_log = logging.getLogger(__name__)

PACKAGES = {
    Component.SCHEDULER: "fedstate.scheduler",
    Component.FEDERATION: "fedstate.fed",
    Component.DATAPLANE: "fedstate.dataplane",
}

Build = Callable[[ComponentContext], Sequence[Runnable]]


class UnexpectedEnd(FedstateError):
    """Something that runs for as long as the process lives has returned: a bug, and the process ends to be started anew."""


async def run(settings: Settings, builds: Sequence[Build] | None = None) -> None:
    """Runs the components until SIGTERM or SIGINT. Raises when the process cannot go on; somebody else starts it again.

    `builds` stand in for the components that the settings name.
    """
    if builds is None:
        builds = [_build_function(component) for component in settings.components]
    config = await cluster_config(settings)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with asyncio.TaskGroup() as group:
        work = group.create_task(_Process(settings, config, builds).run(), name="process")
        stop = group.create_task(stopped.wait(), name="signals")
        await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
        if stopped.is_set():
            _log.info("stopping")
        work.cancel()
        stop.cancel()


async def cluster_config(settings: Settings) -> ClusterConfig:
    """The API server meant: the kubeconfig or context named, else the pod's own cluster, else the kubeconfig found."""
    if not settings.kubeconfig and not settings.context and in_cluster_available():
        return in_cluster_config()
    return await load_kubeconfig(settings.kubeconfig or None, settings.context or None)


class _Process:
    def __init__(self, settings: Settings, config: ClusterConfig, builds: Sequence[Build]) -> None:
        self._settings = settings
        self._builds = builds
        self._identity = unique_identity()
        self._client = KubeClient(config, user_agent=product(settings.role))
        self._informers = InformerSet(self._client)
        self._events = EventRecorder(self._client, settings.lease_name, instance=self._identity)
        self._lag = LoopLag()
        self._web = WebServer(settings.http_host, settings.http_port)
        self._lease_namespace = settings.lease_namespace or config.namespace

    async def run(self) -> None:
        async with self._client, self._web:
            await self._check_server()
            runnables = self._build()
            self._web.add_liveness_check(self._lag.check)
            self._web.add_readiness_check(self._caches_filled)
            _log.info(
                "started", extra={"http": f"http://{self._settings.http_host}:{self._web.port}", "server": self._client.server}
            )
            async with asyncio.TaskGroup() as group:
                background = [
                    group.create_task(_for_ever(run(), name), name=name)
                    for name, run in (
                        ("loop lag", self._lag.run),
                        ("events", self._events.run),
                        ("informers", self._informers.run),
                    )
                ]
                try:
                    await self._fill_caches()
                    await self._lead(runnables)
                finally:
                    for task in background:
                        task.cancel()

    async def _check_server(self) -> None:
        try:
            await self._client.text("/version")
        except Forbidden:
            _log.debug("the server answers, though not about its version")
        except Unauthorized as error:
            raise SettingsError(f"{self._client.server} does not accept the credentials given") from error

    def _build(self) -> list[Runnable]:
        settings = self._settings
        context = ComponentContext(
            client=self._client,
            informers=self._informers,
            events=self._events,
            settings=ComponentSettings(
                cluster_name=settings.cluster_name,
                vip=settings.vip,
                namespace=settings.namespace,
                identity=self._identity,
                http_host=settings.http_host,
                http_port=self._web.port,
                scheduler_profile=settings.scheduler_profile,
                capacity=settings.capacity,
            ),
        )
        return [runnable for build in self._builds for runnable in build(context)]

    async def _fill_caches(self) -> None:
        # A collection in the middle of the first fill scans all of it over and over; afterwards the caches are left out.
        # What was imported is left out before, so that the one collection after the fill stops the loop for less long.
        gc.collect()
        gc.freeze()
        gc.disable()
        try:
            await self._informers.wait_synced(self._settings.sync_timeout)
        finally:
            gc.enable()
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        _log.info("caches are filled")

    def _caches_filled(self) -> str | None:
        missing = [str(informer.resource) for informer in self._informers if not informer.synced.is_set()]
        return f"not read yet: {', '.join(missing)}" if missing else None

    async def _lead(self, runnables: Sequence[Runnable]) -> None:
        async with AsyncExitStack() as stack:
            leadership: Leadership | None = None
            if self._settings.leader_elect:
                leadership = Leadership(self._client, self._lease_namespace, self._settings.lease_name, self._identity)
                self._web.add_liveness_check(lambda: None if leadership is None or leadership.healthy() else "the lease ran out")
                await stack.enter_async_context(leadership)
            async with asyncio.TaskGroup() as group:
                if leadership is not None:
                    group.create_task(_keep(leadership, runnables), name="lease")
                for runnable in runnables:
                    group.create_task(_for_ever(runnable.run(), runnable.name), name=runnable.name)


async def _keep(leadership: Leadership, runnables: Sequence[Runnable]) -> None:
    try:
        await leadership.keep()
    except LeadershipLost:
        for runnable in runnables:
            if isinstance(runnable, Controller):
                runnable.abandon()
        raise


async def _for_ever(run: Awaitable[Any], name: str) -> None:
    await run
    raise UnexpectedEnd(f"{name} ended by itself")


def _build_function(component: Component) -> Build:
    build: Build = importlib.import_module(PACKAGES[component]).build
    return build
