"""What a benchmark says: rows of figures, with the machine and the versions they hold for; printed, and kept as JSON.

Measures nothing. The JSON is what the page and the plots are made from.
"""

import contextlib
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PACKAGES = ("fedstate", "aiohttp", "msgspec", "orjson", "uvloop", "numpy", "kubernetes_asyncio", "kopf", "kr8s", "lightkube")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a figure has to reach: `of` "ours", or "ratio" to the peer's."""

    of: str
    min: float | None = None
    max: float | None = None

    def __str__(self) -> str:
        bound = f"≥ {number(self.min)}" if self.min is not None else f"≤ {number(self.max)}"
        return f"{bound}×" if self.of == "ratio" else bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One figure; what does not apply is None, and left out of the JSON."""

    case: str
    unit: str
    ours: float | None = None
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None
    target: Target | None = None
    stretch: Target | None = None

    def reached(self, target: Target) -> bool:
        value = self.ratio if target.of == "ratio" else self.ours
        if value is None:
            return False
        return (target.min is None or value >= target.min) and (target.max is None or value <= target.max)


@dataclass
class Report:
    """The rows of one benchmark. `versions` adds to those that are found by themselves."""

    name: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    machine: str = ""
    command: str = ""
    measured: str = ""

    def compare(
        self,
        case: str,
        unit: str,
        ours: float,
        beside: tuple[str, float],
        target: Target | None = None,
        stretch: Target | None = None,
    ) -> None:
        """A row beside a peer and its figure."""
        peer, value = beside
        ratio = ours / value if value else None
        row = Row(case=case, unit=unit, ours=ours, peer=peer, peer_value=value, ratio=ratio, target=target, stretch=stretch)
        self.rows.append(row)

    def alone(self, case: str, unit: str, ours: float, target: Target | None = None, stretch: Target | None = None) -> None:
        """A row of ours that has no peer."""
        self.rows.append(Row(case=case, unit=unit, ours=ours, target=target, stretch=stretch))

    def save(self, directory: Path = RESULTS) -> Path:
        """Writes DIRECTORY/NAME.json and, where there is something to draw with, NAME.svg; returns the first."""
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / f"{self.name}.json"
        said = {
            "name": self.name,
            "command": self.command or _command(self.name),
            "measured": self.measured or datetime.datetime.now(datetime.UTC).date().isoformat(),
            "machine": self.machine or machine(),
            "versions": versions() | self.versions,
            "rows": [_said(asdict(row)) for row in self.rows],
            "notes": self.notes,
        }
        file.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n")
        if importlib.util.find_spec("matplotlib") is not None:
            from benchmarks.plot import draw

            draw(Report.load(file), file.with_suffix(".svg"))
        return file

    @classmethod
    def load(cls, file: Path) -> "Report":
        """What `save` wrote."""
        return msgspec.json.decode(file.read_bytes(), type=cls)

    def print(self) -> None:
        """A table for a terminal."""
        print(f"\n{self.name}: {self.machine or machine()}")
        head = ("case", "unit", "ours", "peer", "its figure", "ratio", "to reach")
        table = [head, *(_cells(row) for row in self.rows)]
        widths = [max(len(line[column]) for line in table) for column in range(len(head))]
        for line in table:
            cells = [
                cell.rjust(width) if column in (2, 4, 5) else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            print("  ".join(cells).rstrip())
        for note in self.notes:
            print(f"- {note}")
        sys.stdout.flush()


def machine() -> str:
    """The processor, its number and the memory: what a figure holds for."""
    names = [line for line in _text("/proc/cpuinfo").splitlines() if line.startswith("model name")]
    processor = names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()
    sizes = [int(line.split()[1]) for line in _text("/proc/meminfo").splitlines() if line.startswith("MemTotal:")]
    memory = f", {sizes[0] / 2**20:.0f} GiB" if sizes else ""
    return f"{os.cpu_count()} × {processor}{memory}, {platform.system()} {platform.machine()}"


def versions() -> dict[str, str]:
    """Of the interpreter, the kernel, the libraries and, where Go is, of what its peers are built from."""
    found = {"python": platform.python_version(), "kernel": platform.release()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    if shutil.which("go"):
        found["go"] = subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout.split()[2]
        for line in (HERE / "peers/go/go.mod").read_text().splitlines():
            if "k8s.io/client-go " in line:
                found["client-go"] = line.split()[-1]
    return found


def number(value: float | None) -> str:
    """Three digits that count, or all before the point."""
    if value is None:
        return ""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def verdict(row: Row) -> str:
    """Whether a row reached what it has to."""
    return "" if row.target is None else "yes" if row.reached(row.target) else "NO"


def _cells(row: Row) -> tuple[str, ...]:
    said = "" if row.target is None else f"{row.target} {verdict(row)}"
    if row.stretch is not None:
        said += f" (stretch {row.stretch} {'yes' if row.reached(row.stretch) else 'no'})"
    ratio = "" if row.ratio is None else f"{number(row.ratio)}×"
    return row.case, row.unit, number(row.ours), row.peer or "", number(row.peer_value), ratio, said


def _command(name: str) -> str:
    given = re.sub(r"--output[ =]\S+", "", " ".join(sys.argv[1:])).strip()
    return f"make bench-{name}" + (f' ARGS="{given}"' if given else "")


def _said(value: dict[str, Any]) -> dict[str, Any]:
    """Without what does not apply, and with no more digits than mean something."""
    said: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict):
            said[key] = _said(item)
        elif isinstance(item, float):
            said[key] = float(f"{item:.5g}")
        elif item is not None:
            said[key] = item
    return said


def _text(file: str) -> str:
    with contextlib.suppress(OSError):
        return Path(file).read_text()
    return ""
