"""docs/benchmarks.md: what page.md says in words, with the figures of the run that is kept under docs/benchmarks.

`python -m benchmarks.page` writes it anew and measures nothing; with `--publish`, from what lies in benchmarks/results.
"""

import argparse
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.report import HERE, RESULTS, Report, Row, number, verdict

WORDS = HERE / "page.md"
PAGE = HERE.parent / "docs" / "benchmarks.md"
PUBLISHED = HERE.parent / "docs" / "benchmarks"
NAMES = ("watch", "informer", "scheduler", "scheduler-e2e", "api")
PLACE = re.compile(r"^\{\{([\w-]+)\}\}$", re.MULTILINE)
TRIALS = ("--scale", "--only", "--kubeconfig", "--clusters", "--cases", "--engine", "--instances", "--profile")
"""Whoever says one of these tries something, and does not measure what the page is about."""
HEAD = ("Work", "Unit", "Ours", "Beside", "Its figure", "Ratio", "To reach", "Reached", "Stretch")


def page(words: str, reports: Mapping[str, Report]) -> str:
    """The words, with the table of each benchmark, and the machine and versions, in their places."""

    def put(match: re.Match[str]) -> str:
        name = match.group(1)
        if name == "machine":
            return _machine(reports)
        return _section(reports[name]) if name in reports else "Not measured yet."

    note = "<!-- Made by `python -m benchmarks.page` from benchmarks/page.md and docs/benchmarks/*.json. -->\n\n"
    return note + PLACE.sub(put, words)


def published(directory: Path = PUBLISHED) -> dict[str, Report]:
    """The reports that are kept, by name."""
    return {name: Report.load(file) for name in NAMES if (file := directory / f"{name}.json").exists()}


def publish(results: Path = RESULTS, kept: Path = PUBLISHED) -> None:
    """Keeps what was measured last, plots too; refuses what was only tried."""
    for name in NAMES:
        file = results / f"{name}.json"
        if not file.exists():
            sys.exit(f"{file} is not there: make bench measures all that the page tells of")
        tried = [flag for flag in TRIALS if flag in Report.load(file).command]
        if tried:
            sys.exit(f"{file} was made with {', '.join(tried)}: the page is for full runs")
        if not file.with_suffix(".svg").exists():
            sys.exit(f"{file.with_suffix('.svg')} is not there: the `bench` extra has what draws it")
    kept.mkdir(exist_ok=True)
    for name in NAMES:
        for suffix in (".json", ".svg"):
            shutil.copyfile(results / f"{name}{suffix}", kept / f"{name}{suffix}")


def _section(report: Report) -> str:
    parts = [f"`{report.command}`", _table(report.rows)]
    parts += ["\n".join(f"- {note}" for note in report.notes)] if report.notes else []
    return "\n\n".join([*parts, f"![{report.name}: the same as bars](benchmarks/{report.name}.svg)"])


def _table(rows: Sequence[Row]) -> str:
    lines = [_line(row) for row in rows]
    used = [column for column in range(len(HEAD)) if any(line[column] for line in lines)]
    aligned = ["---:" if column in (2, 4, 5) else "---" for column in used]
    table = [[HEAD[column] for column in used], aligned, *([line[column] for column in used] for line in lines)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in table)


def _line(row: Row) -> tuple[str, ...]:
    ratio = "" if row.ratio is None else f"{number(row.ratio)}×"
    reached = verdict(row)
    stretch = "" if row.stretch is None else f"{row.stretch} {'yes' if row.reached(row.stretch) else 'no'}"
    return (
        row.case,
        row.unit,
        number(row.ours),
        row.peer or "",
        number(row.peer_value),
        ratio,
        str(row.target or ""),
        f"**{reached}**" if reached == "NO" else reached,
        stretch,
    )


def _machine(reports: Mapping[str, Report]) -> str:
    """When and where, and the versions: once, and then what a benchmark has beyond that."""
    if not reports:
        return "Not measured yet."
    told = [set(report.versions.items()) for report in reports.values()]
    common = set.intersection(*told)
    places = {f"{report.measured}, {report.machine}" for report in reports.values()}
    lines = [f"{'; '.join(sorted(places))}. {_versions(next(iter(reports.values())), common)}."]
    for report in reports.values():
        beyond = set(report.versions.items()) - common
        if beyond:
            lines.append(f"{report.name}: {_versions(report, beyond)}.")
    return "\n".join(lines)


def _versions(report: Report, some: set[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {version}" for name, version in report.versions.items() if (name, version) in some)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--publish", action="store_true", help="from what was measured last, in benchmarks/results")
    if parser.parse_args(argv).publish:
        publish()
    reports = published()
    if not reports:
        print(f"no run is kept in {PUBLISHED}: {PAGE} stays as it is")
        return 0
    PAGE.write_text(page(WORDS.read_text(), reports))
    print(f"written: {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
