"""docs/benchmarks.md is what the generator makes of the run that is kept beside it."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.report import Report, Row, Target

REPORT = Report(
    name="watch",
    rows=[
        Row(case="plain", unit="things", ours=50_000, peer="other", peer_value=1000, ratio=50, target=Target(of="ratio", min=40)),
        Row(case="small", unit="bytes", ours=700, target=Target(of="ours", max=640), stretch=Target(of="ours", max=450)),
    ],
    notes=["Said of it."],
    versions={"python": "3.11"},
    machine="a machine",
    command="make bench-watch",
    measured="2026-01-01",
)


def kept(directory: Path, command: str = REPORT.command) -> Path:
    """A full set of results, as a run leaves them."""
    for name in page.NAMES:
        replace(REPORT, name=name, command=command).save(directory)
        (directory / f"{name}.svg").write_text("<svg/>")
    return directory


def test_the_page_is_what_the_generator_makes_of_the_kept_run() -> None:
    reports = page.published()
    assert set(reports) == set(page.NAMES), "make bench keeps all of a run"
    assert page.PAGE.read_text() == page.page(page.WORDS.read_text(), reports), "python -m benchmarks.page writes it anew"
    assert not [name for name in page.NAMES if not (page.PUBLISHED / f"{name}.svg").exists()]


def test_every_benchmark_has_its_place_in_the_words() -> None:
    assert page.PLACE.findall(page.WORDS.read_text()) == ["machine", *page.NAMES]


def test_a_section_says_what_is_reached_and_what_is_not() -> None:
    text = page.page("{{machine}}\n\n{{watch}}", {"watch": REPORT})
    assert "2026-01-01, a machine. python 3.11" in text
    assert "| plain | things | 50,000 | other | 1,000 | 50× | ≥ 40× | yes |  |" in text
    assert "| small | bytes | 700 |  |  |  | ≤ 640 | **NO** | ≤ 450 no |" in text
    assert "- Said of it." in text
    assert "(benchmarks/watch.svg)" in text


def test_what_differs_between_reports_is_said_of_each() -> None:
    other = replace(REPORT, name="api", versions={**REPORT.versions, "kube-apiserver": "1.37"})
    text = page.page("{{machine}}", {"watch": REPORT, "api": other})
    assert text.count("python 3.11") == 1
    assert "api: kube-apiserver 1.37." in text


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert Report.load(REPORT.save(tmp_path)).rows == REPORT.rows


def test_a_full_run_is_published(tmp_path: Path) -> None:
    page.publish(kept(tmp_path / "results"), tmp_path / "kept")
    assert set(page.published(tmp_path / "kept")) == set(page.NAMES)


@pytest.mark.parametrize("option", page.TRIALS)
def test_a_trial_is_not_published(option: str, tmp_path: Path) -> None:
    results = kept(tmp_path / "results", command=f'make bench-watch ARGS="{option} 1"')
    with pytest.raises(SystemExit, match=option):
        page.publish(results, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_half_a_run_is_not_published(tmp_path: Path) -> None:
    results = kept(tmp_path / "results")
    (results / "api.json").unlink()
    with pytest.raises(SystemExit, match=r"api\.json is not there"):
        page.publish(results, tmp_path / "kept")
