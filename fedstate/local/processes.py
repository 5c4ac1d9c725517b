"""Operating-system processes of local mode: started so that they die with their parent, recorded so that only they are ever ended."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

PR_SET_PDEATHSIG = 1


class ProcessRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A process that we started. The kernel's start time tells it from a stranger that was given its number later."""

    name: str
    pid: int
    started: str
    argv: list[str]


def started_at(pid: int) -> str:
    """An opaque mark of when the process began; empty if there is no such (or only a defunct) process."""
    if sys.platform == "linux":
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return ""
        return "" if fields[0] in ("Z", "X") else fields[19]
    answer = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
    state, _, begun = answer.stdout.strip().partition(" ")
    return "" if not state or state.startswith("Z") else begun.strip()


def alive(record: ProcessRecord) -> bool:
    """Whether exactly this process still runs."""
    return bool(record.started) and started_at(record.pid) == record.started


def die_with_parent(signal_number: int = signal.SIGKILL) -> Callable[[], None] | None:
    """What a child runs before exec so that the kernel signals it when its parent ends; None where the system has no such call."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def set_death_signal() -> None:
        prctl(PR_SET_PDEATHSIG, signal_number)
        if os.getppid() != parent:  # the parent ended between fork and prctl
            os._exit(1)

    return set_death_signal


async def spawn(
    name: str, argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, record: Path
) -> asyncio.subprocess.Process:
    """Start `argv` in a session of its own with its output appended to `log`, and write its record; it dies with this process."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=env, start_new_session=True,
            preexec_fn=die_with_parent(),
        )  # fmt: skip
    write_record(record, ProcessRecord(name=name, pid=process.pid, started=started_at(process.pid), argv=list(argv)))
    return process


def write_record(path: Path, record: ProcessRecord) -> None:
    """Write atomically, so that a reader never sees half a record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(msgspec.json.encode(record))
    temporary.replace(path)


def read_record(path: Path) -> ProcessRecord | None:
    """The record at `path`, or None if there is none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ProcessRecord)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def kill(record: ProcessRecord, signal_number: int = signal.SIGKILL, *, group: bool = True) -> bool:
    """Send a signal to the recorded process (and its group); False, and nothing sent, if that process is no more."""
    if not alive(record):
        return False
    with contextlib.suppress(ProcessLookupError):
        if group and os.getpgid(record.pid) == record.pid:
            os.killpg(record.pid, signal_number)
        else:
            os.kill(record.pid, signal_number)
        return True
    return False


async def stop(process: asyncio.subprocess.Process, *, grace: float = 15.0) -> int:
    """Ask a child to end, insist after `grace` seconds, and return its exit status."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return await process.wait()
