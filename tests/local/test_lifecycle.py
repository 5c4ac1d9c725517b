"""What a local instance leaves when whoever it belonged to was killed, and what happens to the rest."""

import signal
import subprocess
from pathlib import Path

from fedstate.local import lifecycle, processes
from fedstate.local.layout import Layout


async def test_only_what_belonged_to_a_process_that_was_killed_is_removed(tmp_path: Path) -> None:
    abandoned, owned, stays, none = (Layout(tmp_path / name) for name in ("a", "b", "c", "d"))
    for layout in (abandoned, owned, stays):
        lifecycle.own(layout)
    none.directory.mkdir()
    lifecycle.disown(stays)
    record = processes.read_record(abandoned.owner)
    assert record is not None
    dead = processes.ProcessRecord(name="owner", pid=record.pid, started="before that", argv=[])
    processes.write_record(abandoned.owner, dead)
    await lifecycle.remove_abandoned(tmp_path)
    assert [layout.directory.exists() for layout in (abandoned, owned, stays, none)] == [False, True, True, True]


async def test_removing_what_does_not_exist_is_no_failure(tmp_path: Path) -> None:
    await lifecycle.remove_abandoned(tmp_path / "none")
    assert await lifecycle.remove(Layout(tmp_path / "none")) is False


def asleep() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "600"])


async def test_a_supervisor_that_has_no_record_yet_is_ended_too(tmp_path: Path) -> None:
    with asleep() as supervisor:
        await lifecycle.end(Layout(tmp_path), supervisor)
    assert supervisor.returncode == -signal.SIGTERM
