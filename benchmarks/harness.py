"""Runs clients in processes of their own, in turn with their peers, and says what their CPU did.

The figure is CPU time of the client alone, after its imports; wall time is a remark. See docs/benchmarks.md.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.load import Given, given, server
from benchmarks.report import RESULTS, Report, Row, Target, machine, versions

__all__ = [
    "OURS",
    "RESULTS",
    "Given",
    "Report",
    "Row",
    "Run",
    "Target",
    "arguments",
    "chosen",
    "client",
    "finish",
    "given",
    "in_turn",
    "machine",
    "progress",
    "rates",
    "server",
    "versions",
]

HERE = Path(__file__).parent
OURS = "ours"
DEADLINE = 150
"""Seconds that a client gets for one run."""

Run = dict[str, float]


def client(name: str, work: str, kubeconfig: Path, **options: Any) -> Run | None:
    """What one client in a process of its own reports: `done`, `cpu`, `wall`, `rss_mb`, ...; None if it cannot do this here."""
    arguments = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    if name.startswith("client-go"):
        binary = go_peer()
        if binary is None:
            return None
        kind = "dynamic" if "dynamic" in name else "typed"
        command = [str(binary), f"--work={work}", f"--kind={kind}", f"--kubeconfig={kubeconfig}", *arguments]
    else:
        command = [sys.executable, "-m", "benchmarks.clients", name, work, str(kubeconfig), *arguments]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, cwd=HERE.parent, check=False)
    except subprocess.TimeoutExpired:
        print(f"  {name}: no result within {DEADLINE} s", file=sys.stderr)
        return None
    if ended.returncode:
        said = ended.stderr.strip().splitlines()[-1:]
        print(f"  {name}: {said[0] if said else f'ended with {ended.returncode}'}", file=sys.stderr)
        return None
    found: Run = json.loads(ended.stdout.strip().splitlines()[-1])
    return found


def in_turn(names: Sequence[str], work: str, kubeconfig: Path, counts: Mapping[str, int], rounds: int) -> dict[str, float]:
    """The median of what each client did per CPU-second, all of them in turn; without those that could not."""
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for turn in range(1, rounds + 1):
        for name in names:
            found = client(name, work, kubeconfig, count=counts[name])
            if found is not None:
                runs[name].append(found)
                progress(f"round {turn} of {rounds}, {name}: {found['done'] / found['cpu']:,.0f} per CPU-second")
    return {name: rates(found) for name, found in runs.items() if found}


def rates(runs: Sequence[Run]) -> float:
    """The median of what was done per CPU-second."""
    return statistics.median(run["done"] / run["cpu"] for run in runs)


def progress(said: str) -> None:
    print(f"  {said}", file=sys.stderr, flush=True)


def go_peer() -> Path | None:
    """The Go peers, built where `go` is there to do it."""
    binary = HERE / "peers/go/peers"
    if shutil.which("go") is None:
        return None
    sources = [*binary.parent.glob("*.go"), binary.parent / "go.mod"]
    if not binary.exists() or binary.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        progress("building the peers in Go (once) ...")
        subprocess.run(["go", "build", "-o", binary.name, "."], cwd=binary.parent, check=True)
    return binary


def arguments(description: str | None, *, load: bool = True) -> argparse.ArgumentParser:
    """What every benchmark takes; those with `load` on an API server also which, and from which clients."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=3, help="how often each of the ways is measured, in turn with the others")
    parser.add_argument("--scale", type=float, default=1.0, help="of the work; below 1 to try whether it runs")
    if load:
        parser.add_argument("--kubeconfig", type=Path, help="put the load on this API server instead of our own")
        parser.add_argument("--only", default="", help="peers to run, by a part of their name, separated by commas")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the JSON and the plot go")
    return parser


def chosen(names: Sequence[str], only: str) -> list[str]:
    """Ours, and of the others those that are wanted."""
    wanted = [part for part in only.split(",") if part]
    return [name for name in names if not wanted or name == OURS or any(part in name for part in wanted)]


def finish(report: Report, directory: Path) -> int:
    """Prints the rows and writes them; the exit status."""
    if not report.rows:
        print(f"{report.name}: nothing was measured; what each client said stands above", file=sys.stderr)
        return 1
    report.print()
    print(f"written to {report.save(directory)}")
    return 0
