"""What a small write costs: merge patches of a ConfigMap, 16 in flight. `python -m benchmarks.api`"""

import sys
from pathlib import Path

from benchmarks.harness import Report, Target, arguments, chosen, client, rates, server

OURS = "ours"
PEERS = ("kubernetes_asyncio custom", "kubernetes_asyncio typed", "kopf", "kr8s", "lightkube", "client-go typed")
UNIT = "PATCHes per CPU-second"
REQUESTS = {OURS: 10_000, "kopf": 6_000, "kr8s": 800, "client-go typed": 8_000}


def measure(names: list[str], kubeconfig: Path, rounds: int, scale: float) -> dict[str, float]:
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            found = client(name, "api", kubeconfig, count=max(50, int(REQUESTS.get(name, 2_000) * scale)), parallel=16)
            if found is not None:
                runs[name].append(found)
    return {name: rates(found) for name, found in runs.items() if found}


def main() -> int:
    options = arguments(__doc__).parse_args()
    names = chosen((OURS, *PEERS), options.only)
    report = Report("api")
    if options.kubeconfig is not None:
        # The object has to be there: kubectl create configmap bench. Custom objects are left to our own server, which has all.
        found = measure([name for name in names if "custom" not in name], options.kubeconfig, options.rounds, options.scale)
    else:
        with server(events=0) as kubeconfig:
            found = measure(names, kubeconfig, options.rounds, options.scale)
    for peer in names[1:]:
        if peer in found:
            goal = peer == "kubernetes_asyncio custom"
            given = {"target": Target(of="ratio", min=4), "stretch": Target(of="ratio", min=5.5)} if goal else {}
            report.compare("PATCH, 16 in flight", UNIT, found[OURS], peer, found[peer], **given)
    report.print()
    print(f"written to {report.save()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
