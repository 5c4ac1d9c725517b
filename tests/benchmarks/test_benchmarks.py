"""The benchmarks run, decide the same as the plain form, and say what their pages need. No time is asserted."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from benchmarks import api, fleets, informer, scheduler, scheduler_e2e, watch
from benchmarks.report import Report

pytestmark = pytest.mark.timeout(60)
LITTLE = ["--rounds", "1", "--scale", "0.01"]


def ran(main: Callable[[Sequence[str]], int], directory: Path, *options: str) -> Report:
    """What the benchmark wrote."""
    assert main([*LITTLE, "--output", str(directory), *options]) == 0
    (file,) = directory.glob("*.json")
    return Report.load(file)


def test_watch_has_a_row_for_every_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(watch, "CASES", watch.CASES[1:2])
    report = ran(watch.main, tmp_path, "--only", "ours")
    assert [(row.case, row.peer) for row in report.rows] == [("TLS, 8 KB", way) for way in watch.OWN_WAYS]
    assert all(row.ours and row.peer_value and row.ratio for row in report.rows)
    assert "TLS, 8 KB" in capsys.readouterr().out


def test_informer_has_all_that_is_asked_of_a_cache(tmp_path: Path) -> None:
    report = ran(informer.main, tmp_path, "--only", "none")
    assert [row.case for row in report.rows][0] == informer.CASE
    assert len([row for row in report.rows if row.target is not None]) == 6
    assert all(row.ours is not None for row in report.rows)


def test_api_patches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "CASES", api.CASES[1:])
    report = ran(api.main, tmp_path, "--only", "none")
    assert [row.case for row in report.rows] == ["TLS, 16 in flight"]


@pytest.mark.parametrize("kind", sorted(fleets.KINDS))
def test_the_scheduler_decides_as_its_plain_form_in_every_case(kind: str, tmp_path: Path) -> None:
    report = ran(scheduler.main, tmp_path, "--clusters", "12", "--cases", kind)
    assert [row.case for row in report.rows][0] == f"12 clusters, {kind}, {scheduler.DECISION}"
    assert {row.peer for row in report.rows} == {scheduler.PEER}


def test_instances_are_placed_with_one_write_each(tmp_path: Path) -> None:
    report = ran(scheduler_e2e.main, tmp_path, "--engine", "embedded")
    (writes,) = [row for row in report.rows if row.case == "embedded, writes until all are placed"]
    assert writes.target is not None
    assert writes.reached(writes.target)


def test_a_benchmark_in_which_nothing_ran_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "CASES", api.CASES[:1])
    monkeypatch.setattr(api, "in_turn", lambda *_: {})
    assert api.main([*LITTLE, "--output", str(tmp_path)]) == 1
    assert not list(tmp_path.iterdir())
