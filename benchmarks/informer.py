"""From the stream to the reconcile, and the cache of 100,000 pods. `python -m benchmarks.informer`"""

import contextlib
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.harness import OURS, Report, Run, Target, arguments, chosen, client, finish, given, progress, rates, server

PEERS = ("kopf", "kopf quiet", "kubernetes_asyncio typed", "client-go typed JSON", "client-go dynamic JSON")
CASE, UNIT = "stream to no-op reconcile", "events per CPU-second"
PODS = 20_000
GIVEN_PODS = 5_000
TARGETS = {
    "kopf": {"target": Target(of="ratio", min=40), "stretch": Target(of="ratio", min=80)},
    "client-go typed JSON": {"target": Target(of="ratio", min=10), "stretch": Target(of="ratio", min=20)},
}
FLEET = 100_000
FOLLOWED = 5.0
"""Seconds for which the changes of the full fleet are followed."""


@contextlib.contextmanager
def own_server(name: str, count: int) -> Iterator[tuple[Path, int]]:
    # The slow ones get a smaller collection, which they too have to take to its end.
    wanted = count if name == OURS or "client-go" in name else max(1, count // 5)
    with server(events=wanted, hold=True) as kubeconfig:
        yield kubeconfig, wanted


def measure(report: Report, names: list[str], given_server: tuple[Path, int] | None, rounds: int, count: int) -> None:
    """Each client in turn, with a collection that it takes to its end."""
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for turn in range(1, rounds + 1):
        for name in names:
            with contextlib.nullcontext(given_server) if given_server else own_server(name, count) as (where, wanted):
                found = client(name, "informer", where, count=wanted)
            if found is not None:
                runs[name].append(found)
                progress(f"round {turn} of {rounds}, {name}: {found['done'] / found['cpu']:,.0f} per CPU-second")
    if not runs[OURS]:
        return
    ours = rates(runs[OURS])
    for peer in names:
        if peer != OURS and runs[peer]:
            targets = {} if given_server else TARGETS.get(peer, {})
            report.compare(CASE, UNIT, ours, (peer, rates(runs[peer])), **targets)
    if not report.rows:
        report.alone(CASE, UNIT, ours)


def fill(report: Report, kubeconfig: Path, rounds: int, count: int) -> None:
    """What the cache of so many pods takes, while it fills and after."""
    runs = []
    for turn in range(1, rounds + 1):
        found = client(OURS, "fill", kubeconfig, count=count, seconds=FOLLOWED * min(1.0, count / FLEET))
        if found is not None:
            runs.append(found)
            progress(f"round {turn} of {rounds}, {count:,} pods: {found['cpu']:.2f} CPU-seconds, {found['rss_mb']:.0f} MB")
    if not runs:
        return

    def middle(key: str) -> float:
        return statistics.median(run[key] for run in runs)

    def row(what: str, unit: str, key: str, target: float, stretch: float) -> None:
        report.alone(what, unit, middle(key), target=Target(of="ours", max=target), stretch=Target(of="ours", max=stretch))

    row(f"{count:,} pods, in the cache", "bytes per pod", "bytes_per_pod", 640, 450)
    row(f"{count:,} pods, the process", "MB RSS", "rss_mb", 120, 90)
    row(f"{count:,} pods, to fill the cache", "CPU-seconds", "cpu", 3.0, 1.8)
    row("longest stall while filling", "ms", "stall_filling_ms", 20, 5)
    row("one full collection after that", "ms", "collection_ms", 20, 5)
    row("longest stall, 1 % churn a second", "ms", "stall_ms", 20, 5)
    report.alone("1 % churn a second", "CPU-seconds a second", middle("churn_cpu"))


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(__doc__).parse_args(argv)
    names = chosen((OURS, *PEERS), options.only)
    report = Report("informer")
    if options.kubeconfig is not None:
        with given(options.kubeconfig, pods=int(GIVEN_PODS * options.scale)) as there:
            measure(report, names, (options.kubeconfig, there.pods), options.rounds, there.pods)
            report.versions["server"] = there.version
            report.notes.append(f"{there}; the cache of {FLEET:,} pods is left to our own server")
    else:
        measure(report, names, None, options.rounds, max(50, int(PODS * options.scale)))
        fleet = max(500, int(FLEET * options.scale))
        with server(events=fleet, hold=True, churn=fleet / 100) as kubeconfig:
            fill(report, kubeconfig, options.rounds, fleet)
    report.notes.append("`kopf quiet` does not log each event, which kopf does unless told otherwise.")
    report.notes.append("A stall is the time by which a timer came late and in which the process itself worked.")
    return finish(report, options.output)


if __name__ == "__main__":
    sys.exit(main())
