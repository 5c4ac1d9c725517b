"""Processes of local mode die with their parent, and only those that we recorded are ever ended."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fedstate.local import processes
from fedstate.local.processes import ProcessRecord, alive, kill, read_record, spawn, started_at, stop, write_record


async def start(tmp_path: Path, *argv: str) -> tuple[asyncio.subprocess.Process, ProcessRecord]:
    process = await spawn("test", argv, log=tmp_path / "log", record=tmp_path / "test.pid")
    record = read_record(tmp_path / "test.pid")
    assert record is not None
    return process, record


async def test_recorded_process_is_killed_with_its_group(tmp_path: Path) -> None:
    process, record = await start(tmp_path, "/bin/sh", "-c", "sleep 60 & echo $!; wait")
    while not (output := (tmp_path / "log").read_text().split()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert alive(record)
    assert kill(record)
    assert await process.wait() == -signal.SIGKILL
    async with asyncio.timeout(5):
        while started_at(int(output[0])):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_process_number_given_to_a_stranger_is_left_alone(tmp_path: Path) -> None:
    process, record = await start(tmp_path, "/bin/sleep", "60")
    stranger = ProcessRecord(name="test", pid=record.pid, started="1", argv=[])
    assert not alive(stranger)
    assert not kill(stranger)
    assert process.returncode is None
    assert await stop(process) == -signal.SIGTERM


def test_ended_process_is_not_alive_even_while_nobody_waited_for_it(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    record = ProcessRecord(name="test", pid=child.pid, started=started_at(child.pid), argv=[])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not alive(record)
    child.wait()


async def test_stubborn_process_is_killed_after_the_grace_time(tmp_path: Path) -> None:
    process, _ = await start(tmp_path, "/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
    while "ready" not in (tmp_path / "log").read_text():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert await stop(process, grace=0.2) == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
async def test_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = (
        "import asyncio, pathlib, sys; from fedstate.local.processes import spawn\n"
        "async def main():\n"
        f"    p = pathlib.Path({str(tmp_path)!r})\n"
        "    await spawn('child', ['/bin/sleep', '60'], log=p / 'log', record=p / 'child.pid')\n"
        "    print('up', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"up\n"
    record = read_record(tmp_path / "child.pid")
    assert record is not None
    assert alive(record)
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(5):
        while processes.alive(record):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_record_that_is_torn_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "x.pid"
    assert read_record(path) is None
    path.write_bytes(b'{"name": "x"')
    assert read_record(path) is None
    write_record(path, ProcessRecord(name="x", pid=1, started="2", argv=["a"]))
    assert read_record(path) == ProcessRecord(name="x", pid=1, started="2", argv=["a"])
