"""The one process that keeps a local instance running: it starts the clusters and operators, starts again what ends, stops all in order.

What it has reached is told line by line in `phases.jsonl`; a cluster with a `down` marker is kept stopped. SIGHUP makes it look again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec

from fedstate.errors import FedstateError
from fedstate.local import create, install, processes
from fedstate.local.layout import CONTROL_PLANE, InstanceSpec, Layout, OperatorSpec, context_of, read_instance
from fedstate.local.ports import LOCK_PORT

logger = logging.getLogger(__name__)
READY_TIMEOUT = 90.0
FIRST_RESTART_DELAY = 0.5
LONGEST_RESTART_DELAY = 5.0
STEADY_SECONDS = 30.0


class Phase(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of `phases.jsonl`: something reached, or the error that ended the start."""

    text: str
    detail: str = ""
    seconds: float = 0.0
    error: str = ""
    log: str = ""
    last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A process to keep running while its cluster is meant to be up."""

    name: str
    argv: Sequence[str]
    log: Path
    record: Path
    down_marker: Path


class Supervisor:
    """Keeps one local instance running until it is stopped."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._instance = read_instance(layout)
        self._specs = create.cluster_specs(layout, self._instance)
        self._wake = asyncio.Condition()
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """0 after a wanted stop, 1 if the start failed (then everything is stopped again)."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(self._look_again()))  # noqa: RUF006
        self._layout.phases.write_bytes(b"")
        lock = await self._lock()
        try:
            return await self._run()
        finally:
            lock.close()
            await lock.wait_closed()

    async def _run(self) -> int:
        failed: list[str] = []
        try:
            async with asyncio.TaskGroup() as clusters:
                keepers = [clusters.create_task(self._keep(self._cluster(name)), name=name) for name in self._specs]
                try:
                    async with asyncio.TaskGroup() as operators:
                        operators.create_task(self._until_stopped(), name="stop")
                        await self._bring_up(operators)
                except* _Stopped:
                    pass
                except* (FedstateError, TimeoutError, OSError) as group:
                    failed += [str(error) or type(error).__name__ for error in group.exceptions]
                for keeper in keepers:
                    keeper.cancel()
        finally:
            for message in failed:
                self._tell(Phase(text="failed", error=message, last=True))
        return 1 if failed else 0

    async def _bring_up(self, operators: asyncio.TaskGroup) -> None:
        members = ", ".join(f"{name} :{spec.port}" for name, spec in self._specs.items() if name != CONTROL_PLANE)
        control = self._specs[CONTROL_PLANE]
        await self._phase(
            "Control plane", f"{control.server} (Karmada API, {control.engine})", lambda: self._ready([CONTROL_PLANE])
        )
        await self._phase("Member clusters", members, lambda: self._ready(self._instance.clusters))
        await self._phase("Definitions, policies, joined clusters", "", lambda: install.install(self._specs, self._down()))

        async def start_operators() -> None:
            for operator in self._instance.operators:
                operators.create_task(self._keep(self._operator(operator)), name=f"operator {operator.cluster}")
            for operator in self._instance.operators:
                if operator.cluster not in self._down():
                    await self._answers(operator)

        await self._phase("Scheduler, federation, data planes", "", start_operators)
        self._tell(Phase(text="up", last=True))

    async def _phase(self, text: str, detail: str, work: Callable[[], Awaitable[None]]) -> None:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                await work()
        except TimeoutError as error:
            raise FedstateError(f"{text}: not ready after {READY_TIMEOUT:.0f} s; {self._suspects()}") from error
        self._tell(Phase(text=text, detail=detail, seconds=time.monotonic() - begun))

    def _suspects(self) -> str:
        """Which processes do not run, with the last line that each logged."""
        silent = []
        for name in (name for name in self._specs if name not in self._down()):
            for record, log in (
                (self._layout.cluster_record(name), self._layout.cluster_log(name)),
                (self._layout.operator_record(name), self._layout.operator_log(name)),
            ):
                found = processes.read_record(record)
                if log.exists() and (found is None or not processes.alive(found)):
                    last = log.read_text(errors="replace").rstrip().rpartition("\n")[2]
                    silent.append(f"{log} ends with: {last[:300]}")
        return "; ".join(silent) or "all its processes run, see their logs"

    def _tell(self, phase: Phase) -> None:
        with self._layout.phases.open("ab") as file:
            file.write(msgspec.json.encode(phase) + b"\n")

    async def _ready(self, names: Sequence[str]) -> None:
        for name in names:
            while name not in self._down() and not await install.ready(self._specs[name]):  # noqa: ASYNC110  it can only be asked for
                await asyncio.sleep(0.1)

    async def _answers(self, operator: OperatorSpec) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(
                        f"http://127.0.0.1:{operator.http_port}/readyz", timeout=aiohttp.ClientTimeout(total=2)
                    ) as response:
                        if response.status == 200:
                            return
                await asyncio.sleep(0.1)  # likewise

    async def _keep(self, program: Program) -> None:
        """Run the program, again whenever it ends, except while its cluster is meant to be down."""
        delay = FIRST_RESTART_DELAY
        while True:
            await self._until(lambda: not program.down_marker.exists())
            begun = time.monotonic()
            process = await processes.spawn(program.name, program.argv, log=program.log, record=program.record)
            try:
                status = await process.wait()
            finally:
                await processes.stop(process)
                program.record.unlink(missing_ok=True)
            logger.warning("%s ended with %s", program.name, status)
            steady = time.monotonic() - begun > STEADY_SECONDS
            delay = FIRST_RESTART_DELAY if steady else min(2 * delay, LONGEST_RESTART_DELAY)
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._until(program.down_marker.exists)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with self._wake:
            await self._wake.wait_for(condition)

    async def _look_again(self) -> None:
        async with self._wake:
            self._wake.notify_all()

    async def _until_stopped(self) -> None:
        await self._stopping.wait()
        raise _Stopped

    async def _lock(self) -> asyncio.Server:
        address = f"127.{self._instance.network}.0.1" if self._instance.network else "127.0.0.1"
        try:
            return await asyncio.start_server(lambda _, writer: writer.close(), address, LOCK_PORT)
        except OSError as error:
            message = f"the addresses of local instance {self._instance.name!r} are in use ({address}:{LOCK_PORT}): another one runs with them"
            self._tell(Phase(text="failed", error=message, last=True))
            raise FedstateError(message) from error

    def _down(self) -> frozenset[str]:
        return frozenset(name for name in self._specs if self._layout.down_marker(name).exists())

    def _cluster(self, name: str) -> Program:
        return Program(
            name=f"cluster {name}", argv=[sys.executable, "-m", "fedstate.local.cluster", str(self._layout.cluster(name) / "cluster.json")],
            log=self._layout.cluster_log(name), record=self._layout.cluster_record(name), down_marker=self._layout.down_marker(name),
        )  # fmt: skip

    def _operator(self, operator: OperatorSpec) -> Program:
        return Program(
            name=f"operator {operator.cluster}", argv=operator_argv(self._layout, self._instance, operator, self._specs[operator.cluster].vip),
            log=self._layout.operator_log(operator.cluster), record=self._layout.operator_record(operator.cluster),
            down_marker=self._layout.down_marker(operator.cluster),
        )  # fmt: skip


class _Stopped(Exception):
    """Ends the operators' task group: somebody asked for it."""


def operator_argv(layout: Layout, instance: InstanceSpec, operator: OperatorSpec, vip: str) -> list[str]:
    """The very command line with which an operator would run in a pod, for this cluster."""
    argv = [
        sys.executable, "-m", "fedstate", "run", "--role", operator.role, "--kubeconfig", str(layout.kubeconfig),
        "--context", context_of(operator.cluster, instance=instance.name), "--http-host", "127.0.0.1", "--http-port", str(operator.http_port),
        "--no-leader-elect", "--log-format", "json",
    ]  # fmt: skip
    if operator.role == "member":
        argv += ["--cluster-name", operator.cluster, "--vip", vip]
    elif layout.scheduler_profile.exists():
        argv += ["--scheduler-profile", str(layout.scheduler_profile)]
    return argv


def main(arguments: Sequence[str]) -> int:
    """`python -m fedstate.local.supervisor DIRECTORY [OWNER]`: if process OWNER has ended without removing the directory, this one does."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    layout = Layout(Path(arguments[0]))
    pid = os.getpid()
    processes.write_record(
        layout.supervisor_record,
        processes.ProcessRecord(name="supervisor", pid=pid, started=processes.started_at(pid), argv=sys.argv),
    )
    try:
        return asyncio.run(_supervise(layout))
    except FedstateError as error:
        logger.error("%s", error)  # noqa: TRY400
        return 1
    finally:
        layout.supervisor_record.unlink(missing_ok=True)
        if arguments[1:] and os.getppid() != int(arguments[1]):
            shutil.rmtree(layout.directory, ignore_errors=True)


async def _supervise(layout: Layout) -> int:
    return await Supervisor(layout).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
