"""Starting, following, stopping and removing a local instance from outside: what the commands `local up` and `local down` do."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from fedstate.errors import FedstateError
from fedstate.local import ports, processes
from fedstate.local.layout import Layout
from fedstate.local.processes import ProcessRecord, read_record
from fedstate.local.supervisor import Phase

START_TIMEOUT = 20.0
STOP_TIMEOUT = 90.0
POLL = 0.05


def running(layout: Layout) -> ProcessRecord | None:
    """The supervisor's record if it runs."""
    record = read_record(layout.supervisor_record)
    return record if record is not None and processes.alive(record) else None


def start(layout: Layout, *, detached: bool, ephemeral: bool = False) -> subprocess.Popen[bytes]:
    """Start the supervisor; detached it outlives this process, else it ends with it, however that ends; ephemeral, so do the files."""
    sweep(layout)
    layout.phases.unlink(missing_ok=True)
    with layout.supervisor_log.open("ab") as log:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "fedstate.local.supervisor",
                str(layout.directory),
                *([str(os.getpid())] if ephemeral else []),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=ports.claims(),  # a cluster that is down for a while keeps its ports
            preexec_fn=None if detached else processes.die_with_parent(signal.SIGTERM),  # noqa: PLW1509
        )


def let_go(supervisor: subprocess.Popen[bytes]) -> None:
    """Leave a detached supervisor to itself, without Popen's warning that it still runs."""
    supervisor.returncode = 0


async def follow(layout: Layout, supervisor: subprocess.Popen[bytes]) -> AsyncIterator[Phase]:
    """Yield the phases of the start as they are reached; raises FedstateError if it failed."""
    seen = 0
    while True:
        ended = supervisor.poll() is not None
        lines = layout.phases.read_bytes().splitlines(keepends=True) if layout.phases.exists() else []
        for line in lines[seen:]:
            if not line.endswith(b"\n"):
                break
            seen += 1
            phase = msgspec.json.decode(line, type=Phase)
            if phase.error:
                raise FedstateError(f"{phase.error}\n{tail(layout)}")
            if phase.last:
                return
            yield phase
        if ended:
            raise FedstateError(f"the supervisor ended with {supervisor.returncode}\n{tail(layout)}")
        await asyncio.sleep(POLL)


def tail(layout: Layout, lines: int = 20) -> str:
    """The end of the supervisor's log, with its path."""
    if not layout.supervisor_log.exists():
        return ""
    end = layout.supervisor_log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(
        [*(f"  | {line}" for line in end), f"  log: {layout.supervisor_log} (and cluster.log, operator.log of each cluster)"]
    )


async def stop(layout: Layout) -> bool:
    """Stop the instance and keep its data; whether it ran. Raises FedstateError if something of it cannot be stopped."""
    record = running(layout)
    if record is not None:
        processes.kill(record, signal.SIGTERM, group=False)
        await wait_ended(record, STOP_TIMEOUT)
    sweep(layout)
    return record is not None


async def wait_ended(record: ProcessRecord, timeout: float) -> None:
    """Return when the process is gone; insist with SIGKILL when it is not in time."""
    try:
        async with asyncio.timeout(timeout):
            while processes.alive(record):  # noqa: ASYNC110  it is not our child, the system tells nobody else
                await asyncio.sleep(POLL)
    except TimeoutError:
        processes.kill(record)


def sweep(layout: Layout) -> list[str]:
    """End processes of the instance that a killed supervisor left behind, by their records; return their names."""
    ended = []
    for path in sorted(layout.directory.rglob("*.pid")):
        record = read_record(path)
        if record is not None and processes.kill(record):
            ended.append(record.name)
        path.unlink(missing_ok=True)
    return ended


async def remove(layout: Layout) -> bool:
    """Stop the instance and delete all that it wrote; whether there was one."""
    if not layout.directory.exists():
        return False
    await stop(layout)
    shutil.rmtree(layout.directory)
    return True


def own(layout: Layout) -> None:
    """Have the instance belong to this process: when that has been killed, `remove_abandoned` removes what is left."""
    layout.directory.mkdir(parents=True, mode=0o700)
    pid = os.getpid()
    record = ProcessRecord(name="owner", pid=pid, started=processes.started_at(pid), argv=sys.argv)
    processes.write_record(layout.owner, record)


def disown(layout: Layout) -> None:
    """Have the instance stay when this process ends."""
    layout.owner.unlink(missing_ok=True)


async def remove_abandoned(directory: Path) -> None:
    """Remove the instances in `directory` whose owner has been killed."""
    for layout in map(Layout, sorted(directory.glob("*"))):
        owner = read_record(layout.owner)
        if owner is not None and not processes.alive(owner):
            await remove(layout)


@asynccontextmanager
async def stopped_at_the_end(layout: Layout, supervisor: subprocess.Popen[bytes]) -> AsyncIterator[None]:
    """However the block is left, the supervisor and all below it have ended afterwards."""
    try:
        yield
    finally:
        await end(layout, supervisor)


async def end(layout: Layout, supervisor: subprocess.Popen[bytes]) -> None:
    """Stop a supervisor of our own, also one that has only just been started and has no record yet."""
    if supervisor.poll() is None:
        supervisor.terminate()
    try:
        await asyncio.to_thread(supervisor.wait, STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        await asyncio.to_thread(supervisor.wait)
    sweep(layout)
