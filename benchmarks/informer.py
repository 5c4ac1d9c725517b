"""From the stream to the reconcile, and the cache of 100,000 pods. `python -m benchmarks.informer`"""

import contextlib
import statistics
import sys
from pathlib import Path

from benchmarks.harness import Report, Row, Target, arguments, chosen, client, rates, server

OURS = "ours"
PEERS = ("kopf", "kopf quiet", "kubernetes_asyncio typed", "client-go typed JSON", "client-go dynamic JSON")
UNIT = "events per CPU-second"
PODS = 20_000
TARGETS = {
    "kopf": (Target(of="ratio", min=40), Target(of="ratio", min=80)),
    "client-go typed JSON": (Target(of="ratio", min=10), Target(of="ratio", min=20)),
}
FLEET = 100_000


def measure(report: Report, names: list[str], kubeconfig: Path | None, rounds: int, count: int) -> None:
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            # The slow ones get a smaller collection, which they too have to take to its end.
            wanted = count if name == OURS or "client-go" in name else max(1, count // 5)
            with contextlib.nullcontext(kubeconfig) if kubeconfig else server(events=wanted, hold=True) as where:
                found = client(name, "informer", where, count=wanted)
            if found is not None:
                runs[name].append(found)
    for peer in names[1:]:
        if runs[peer] and runs[OURS]:
            targets = TARGETS.get(peer)
            given = {"target": targets[0], "stretch": targets[1]} if targets else {}
            report.compare("stream to no-op reconcile", UNIT, rates(runs[OURS]), peer, rates(runs[peer]), **given)


def fill(report: Report, kubeconfig: Path, rounds: int, count: int) -> None:
    runs = [found for _ in range(rounds) if (found := client(OURS, "fill", kubeconfig, count=count)) is not None]
    if not runs:
        return

    def middle(key: str) -> float:
        return statistics.median(run[key] for run in runs)

    def row(what: str, unit: str, key: str, target: float, stretch: float) -> None:
        goal, more = Target(of="ours", max=target), Target(of="ours", max=stretch)
        report.rows.append(Row(case=what, unit=unit, ours=middle(key), target=goal, stretch=more))

    row(f"{count:,} pods, in the cache", "bytes per pod", "bytes_per_pod", 640, 450)
    row(f"{count:,} pods, the process", "MB RSS", "rss_mb", 120, 90)
    row(f"{count:,} pods, to fill the cache", "CPU-seconds", "cpu", 3.0, 1.8)
    row("longest stall while filling", "ms", "stall_filling_ms", 20, 5)
    row("one full collection after that", "ms", "collection_ms", 20, 5)
    row("longest stall, 1 % churn a second", "ms", "stall_ms", 20, 5)
    report.rows.append(Row(case="1 % churn a second", unit="CPU-seconds a second", ours=middle("churn_cpu")))


def main() -> int:
    options = arguments(__doc__).parse_args()
    names = chosen((OURS, *PEERS), options.only)
    report = Report("informer")
    count, fleet = int(PODS * options.scale), int(FLEET * options.scale)
    measure(report, names, options.kubeconfig, options.rounds, count)
    if options.kubeconfig is None:
        with server(events=fleet, hold=True, churn=fleet / 100) as kubeconfig:
            fill(report, kubeconfig, options.rounds, fleet)
    report.print()
    print(f"written to {report.save()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
