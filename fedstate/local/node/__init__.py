"""Nodes of a local cluster: pods as processes of this machine, scheduled, given volumes, and reached through node ports.

The same on both engines; everything goes through the API server.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from fedstate.control.controller import Controller
from fedstate.control.workqueue import WorkQueue
from fedstate.kube.client import KubeClient
from fedstate.kube.events import EventRecorder
from fedstate.kube.informer import InformerSet
from fedstate.kube.objects import KubeObject
from fedstate.local.node import process
from fedstate.local.node.addresses import AddressPool
from fedstate.local.node.commands import TOOLS, CannotRun, Launch, mongod_tool
from fedstate.local.node.logserver import LogServer
from fedstate.local.node.nodeport import NodePortProxy
from fedstate.local.node.podcontroller import Machine, PodController
from fedstate.local.node.podscheduler import PodScheduler
from fedstate.local.node.probes import Prober
from fedstate.local.node.provisioner import Provisioner, Reclaimer
from fedstate.local.node.registration import Registration
from fedstate.local.node.stores import stock_of
from fedstate.local.node.surroundings import Surroundings
from fedstate.local.spec import NodeSpec

SYNC_TIMEOUT = 60.0
STOP_GRACE = 8.0
_VERSION = re.compile(r"db version v(\S+)")
_log = logging.getLogger(__name__)


class NodeAgent:
    """All nodes of one local cluster. While `run` runs they are Ready; when it ends, no process of theirs is left."""

    def __init__(
        self, client: KubeClient, *, nodes: Sequence[NodeSpec], vip: str, pod_prefix: str, data_dir: Path, mongod: Path | None,
        any_storage_class: bool = False,
    ) -> None:  # fmt: skip
        self._client = client
        self._nodes = nodes
        self._vip = vip or "127.0.0.1"
        self._pod_prefix = pod_prefix
        self._directory = data_dir / "node"
        self._mongod = mongod
        self._any_storage_class = any_storage_class
        self._events = EventRecorder(client, "fedstate-local-node")
        self._pods: PodController | None = None
        self._provisioner: Provisioner

    async def run(self) -> None:
        """Run until cancelled, then end every process."""
        ended = await asyncio.to_thread(process.end_leftovers, self._directory / "pods")
        if ended:
            _log.warning("ended processes that an earlier node agent had left", extra={"count": ended})
        await asyncio.to_thread(self._write_tools)
        try:
            await self._run()
        finally:
            if self._pods is not None:
                await self._pods.end_all(STOP_GRACE)

    async def _run(self) -> None:
        informers = InformerSet(self._client)
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            server = LogServer(lambda key: self._pods.find(key) if self._pods else None)
            port = await stack.enter_async_context(server.serving(self._vip, self._directory))
            # Containers and connections outlive the controllers, which may be in the middle of starting one when all this ends.
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            tasks.create_task(self._events.run(), name="node events")
            controllers = await self._controllers(informers, tasks, session, stack)
            tasks.create_task(informers.run(), name="node informers")
            await informers.wait_synced(SYNC_TIMEOUT)
            await self._begin()
            working = await stack.enter_async_context(asyncio.TaskGroup())
            working.create_task(Registration(self._client, self._nodes, self._vip, port).run(), name="node registration")
            for controller in controllers:
                working.create_task(controller.run(), name=controller.name)

    async def _begin(self) -> None:
        if self._pods is not None:
            await asyncio.to_thread(self._pods.sweep)
        await self._provisioner.ensure_class()

    async def _controllers(
        self, informers: InformerSet, tasks: asyncio.TaskGroup, session: aiohttp.ClientSession, stack: AsyncExitStack
    ) -> list[Controller]:
        queue = WorkQueue("pods")
        around = Surroundings(
            tasks=tasks, prober=Prober(session), say=self._say, changed=queue.add, tools=self._directory / "bin", mongod=self._mongod,
            mongod_version=await self._mongod_version(),
        )  # fmt: skip
        machine = Machine(
            nodes=frozenset(node.name for node in self._nodes), vip=self._vip, directory=self._directory / "pods",
            addresses=AddressPool(self._pod_prefix),
        )  # fmt: skip
        self._pods = PodController(self._client, informers, machine, around, stock_of(informers))
        proxy = NodePortProxy(informers, self._vip, tasks, self._pods.port_of)
        stack.callback(proxy.close)
        self._provisioner = Provisioner(
            self._client, informers, self._events, self._directory.parent / "volumes", any_class=self._any_storage_class
        )
        return [
            self._pods.controller(informers, queue),
            proxy.controller(informers),
            PodScheduler(self._client, informers, self._events).controller(informers),
            self._provisioner.controller(informers),
            Reclaimer(self._client, informers, self._directory.parent / "volumes").controller(informers),
        ]

    def _say(self, pod: KubeObject, kind: str, reason: str, note: str) -> None:
        self._events.event({"apiVersion": "v1", "kind": "Pod", **pod}, kind, reason, note)

    def _write_tools(self) -> None:
        directory = self._directory / "bin"
        directory.mkdir(parents=True, exist_ok=True)
        tools = {**TOOLS, "mongod": mongod_tool(self._mongod)} if self._mongod is not None else TOOLS
        for name, text in tools.items():
            (directory / name).write_text(text)
            (directory / name).chmod(0o755)

    async def _mongod_version(self) -> str:
        if self._mongod is None:
            return ""
        launch = Launch(argv=(str(self._mongod), "--version"), env={}, cwd=self._directory)
        try:
            _, output = await process.run(launch, timeout=20)
        except (CannotRun, OSError) as error:
            _log.warning("mongod does not run", extra={"mongod": str(self._mongod), "error": str(error)})
            return "of unknown version"
        found = _VERSION.search(output)
        return found.group(1) if found else "of unknown version"
