"""One run of a container as a process of this machine: its own session, its output in a log, gone when the agent goes.

Knows no Kubernetes; a record on disk lets a later agent end what a killed one has left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fedstate.local import processes
from fedstate.local.node.commands import CannotRun, Launch
from fedstate.local.node.containerlog import LogWriter

_OUTPUT_LIMIT = 10 * 1024
_LAST_OUTPUT = 0.5
"""Seconds that output may still take after its process has ended, should a child of it hold the pipe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a run ended."""

    code: int
    """As a shell says it: 128 + signal for a process that a signal ended."""
    signal: int
    finished_at: datetime


def exit_of(returncode: int) -> Exit:
    number = -returncode if returncode < 0 else 0
    return Exit(code=128 + number if number else returncode, signal=number, finished_at=datetime.now(UTC))


class ContainerProcess:
    """A started process; `wait` says how it ended, after the last of its children was killed too."""

    def __init__(self, process: asyncio.subprocess.Process, log: LogWriter, record: Path, output: asyncio.ReadTransport) -> None:
        self._process = process
        self._record = record
        self._output = output
        self.log = log
        self.started_at = datetime.now(UTC)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    def signal(self, number: int) -> None:
        """Send a signal to the process; SIGKILL goes to all of its session."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                if number == signal.SIGKILL:
                    os.killpg(self.pid, number)
                else:
                    self._process.send_signal(number)

    async def ended(self) -> None:
        """Wait for the end of the process itself."""
        await self._process.wait()

    async def wait(self) -> Exit:
        """Wait for the end, and clean up after it."""
        ended = exit_of(await self._process.wait())
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._record.unlink(missing_ok=True)
        try:
            async with asyncio.timeout(_LAST_OUTPUT):
                await self.log.end()
        except TimeoutError:
            pass
        self._output.close()
        self.log.close()
        return ended


def executable(launch: Launch) -> str:
    """The program's path; CannotRun in the words of a container runtime if there is none."""
    name = launch.argv[0]
    found = shutil.which(name, path=launch.env.get("PATH")) if "/" not in name else name
    if found is None:
        raise CannotRun(f'exec: "{name}": executable file not found in $PATH')
    if not os.access(found, os.X_OK):
        raise CannotRun(f'exec: "{name}": no such file or not executable on this machine')
    return found


async def start(name: str, launch: Launch, *, log: Path, record: Path) -> ContainerProcess:
    """Start the process; CannotRun if its program is not there, OSError if the system refuses."""
    program = executable(launch)
    reading, writing = os.pipe()
    writer = LogWriter(log)
    output, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: writer, os.fdopen(reading, "rb", buffering=0))
    try:
        process = await asyncio.create_subprocess_exec(
            program, *launch.argv[1:], stdin=subprocess.DEVNULL, stdout=writing, stderr=writing, env=launch.env, cwd=launch.cwd,
            start_new_session=True, preexec_fn=processes.die_with_parent(),
        )  # fmt: skip
    except BaseException:
        output.close()
        raise
    finally:
        os.close(writing)
    started = processes.started_at(process.pid)
    processes.write_record(record, processes.ProcessRecord(name=name, pid=process.pid, started=started, argv=list(launch.argv)))
    return ContainerProcess(process, writer, record, output)


async def run(launch: Launch, *, timeout: float) -> tuple[int, str]:
    """Run a command to its end and return its exit code and the start of its output; TimeoutError, and its end, if it takes too long."""
    process = await asyncio.create_subprocess_exec(
        executable(launch), *launch.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=launch.env, cwd=launch.cwd, start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(timeout):
            output, _ = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.returncode is None:
            await process.wait()
    return exit_of(process.returncode or 0).code, output[:_OUTPUT_LIMIT].decode(errors="replace")


def leftovers(directory: Path) -> Iterator[tuple[Path, processes.ProcessRecord]]:
    """Records under `directory` of processes that still run."""
    for path in directory.glob("*/containers/*/process.pid"):
        record = processes.read_record(path)
        if record is not None and processes.alive(record):
            yield path, record


def end_leftovers(directory: Path) -> int:
    """Kill what a killed agent has left; only processes whose start time is the recorded one. Returns how many."""
    count = 0
    for path, record in list(leftovers(directory)):
        count += processes.kill(record)
        path.unlink(missing_ok=True)
    return count
