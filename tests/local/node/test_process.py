"""Processes, their output, what an ended agent leaves, and probes that end a container."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from fedstate.kube.resources import PODS
from fedstate.local import processes
from fedstate.local.node.commands import CannotRun, Launch
from fedstate.local.node.containerlog import LogQuery, LogWriter, read_log
from fedstate.local.node.logserver import query_from
from fedstate.local.node.process import end_leftovers, run, start
from tests.local.localcluster import local_cluster, shell_pod, state_of


def shell(script: str) -> Launch:
    return Launch(argv=("sh", "-c", script), env={"PATH": "/usr/bin:/bin"}, cwd=Path("/tmp"))


async def test_output_and_exit_are_kept_and_children_do_not_outlive_the_container(tmp_path: Path) -> None:
    process = await start("a", shell("sleep 60 & echo out; echo err >&2; exit 4"), log=tmp_path / "0.log", record=tmp_path / "r")
    ended = await process.wait()
    assert (ended.code, ended.signal) == (4, 0)
    assert (tmp_path / "0.log").read_text() == "out\nerr\n"
    assert not (tmp_path / "r").exists()


async def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(CannotRun, match='exec: "nothing-such": executable file not found'):
        await run(Launch(argv=("nothing-such",), env={"PATH": "/bin"}, cwd=Path("/tmp")), timeout=1)


async def test_a_command_that_takes_too_long_is_ended() -> None:
    with pytest.raises(TimeoutError):
        await run(shell("sleep 60"), timeout=0.1)


async def test_only_processes_that_were_recorded_with_their_start_time_are_ended(tmp_path: Path) -> None:
    ours, other = [await asyncio.create_subprocess_exec("sleep", "60", start_new_session=True) for _ in range(2)]
    for name, process, started in (("a", ours, processes.started_at(ours.pid)), ("b", other, "not its start")):
        record = processes.ProcessRecord(name=name, pid=process.pid, started=started, argv=["sleep"])
        processes.write_record(tmp_path / "uid" / "containers" / name / "process.pid", record)
    assert await asyncio.to_thread(end_leftovers, tmp_path) == 1
    assert await ours.wait() == -9
    assert other.returncode is None
    other.kill()
    await other.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent has ended")
async def test_a_container_dies_with_a_killed_agent(tmp_path: Path) -> None:
    agent = (
        "import asyncio, pathlib, sys\n"
        "from fedstate.local.node.commands import Launch\n"
        "from fedstate.local.node.process import start\n"
        "async def main():\n"
        f"    d = pathlib.Path({str(tmp_path)!r})\n"
        "    launch = Launch(argv=('sleep', '60'), env={'PATH': '/usr/bin:/bin'}, cwd=d)\n"
        "    await start('a', launch, log=d / '0.log', record=d / 'r')\n"
        "    print('up', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", agent, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"up\n"
    record = processes.read_record(tmp_path / "r")
    assert record is not None
    assert processes.alive(record)
    process.kill()
    await process.communicate()
    async with asyncio.timeout(5):
        while processes.alive(record):  # noqa: ASYNC110 - it is not our child
            await asyncio.sleep(0.02)


async def collected(path: Path, query: LogQuery, writer: LogWriter | None = None) -> bytes:
    async with aclosing(read_log(path, query, writer)) as pieces:
        return b"".join([piece async for piece in pieces])


async def test_a_log_is_read_from_its_end_with_times_and_limits(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "0.log")
    writer.data_received(b"one\ntwo\nthr")
    writer.data_received(b"ee\nfour")
    assert await collected(writer.path, LogQuery(tail_lines=2)) == b"three\nfour"
    assert await collected(writer.path, LogQuery(tail_lines=0)) == b""
    assert await collected(writer.path, LogQuery(limit_bytes=5)) == b"one\nt"
    stamped = (await collected(writer.path, LogQuery(timestamps=True))).splitlines()
    assert [line.partition(b" ")[2] for line in stamped] == [b"one", b"two", b"three", b"four"]
    assert len(stamped[0].partition(b" ")[0]) == len("2026-01-02T03:04:05.123456789Z")
    assert await collected(writer.path, LogQuery(since=0.0)) == b"one\ntwo\nthree\nfour"
    assert await collected(writer.path, LogQuery(since=32503680000.0)) == b""
    writer.close()


async def test_a_followed_log_ends_with_its_container(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "0.log")
    writer.data_received(b"one\ntw")
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(collected(writer.path, LogQuery(follow=True), writer))
        await asyncio.sleep(0)
        writer.data_received(b"o\n")
        writer.data_received(b"end")
        writer.close()
    assert reading.result() == b"one\ntwo\nend"


def test_log_requests_that_make_no_sense_are_refused() -> None:
    assert query_from({"tailLines": "5", "follow": "true"}) == LogQuery(tail_lines=5, follow=True)
    with pytest.raises(ValueError, match="-1 is less than 0"):
        query_from({"tailLines": "-1"})


async def test_a_failing_liveness_probe_restarts_its_container_after_the_pre_stop_hook(tmp_path: Path) -> None:
    async with local_cluster(tmp_path) as cluster:
        container = {
            "livenessProbe": {"exec": {"command": ["sh", "-c", "exit 1"]}, "periodSeconds": 1, "failureThreshold": 1},
            "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", f"touch {tmp_path}/hooked"]}}},
        }
        await cluster.client.create(PODS, shell_pod("p", "while :; do sleep 0.05; done", container=container))
        pod = await cluster.until_pod("p", lambda p: (state_of(p).get("lastState") or {}).get("terminated"))
        assert state_of(pod)["lastState"]["terminated"]["exitCode"] == 143
        assert (tmp_path / "hooked").exists()
        assert "failed liveness probe, will be restarted" in await cluster.until_event("p", "Killing")
