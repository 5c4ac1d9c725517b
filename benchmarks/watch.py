"""What a watch event costs: pods of 8 KB (and 1.5 KB) decoded, and nothing else done. `python -m benchmarks.watch`"""

import sys
from pathlib import Path

from benchmarks.harness import Report, Target, arguments, chosen, client, rates, server

OURS = "ours"
PEERS = (
    "kubernetes_asyncio typed",
    "kubernetes_asyncio object",
    "kopf",
    "kr8s",
    "lightkube",
    "client-go typed JSON",
    "client-go dynamic JSON",
)
OWN_WAYS = ("ours aiohttp", "ours dicts")
UNIT = "events per CPU-second"
# How many events a client gets, so that each works for about a second.
EVENTS = {
    OURS: 40_000,
    "kr8s": 400,
    "kubernetes_asyncio typed": 1_000,
    "client-go typed JSON": 4_000,
    "client-go dynamic JSON": 4_000,
}
TARGETS = {
    "plaintext, 8 KB": (Target(of="ratio", min=40), Target(of="ratio", min=80)),
    "TLS, 8 KB": (Target(of="ratio", min=20), Target(of="ratio", min=50)),
}


def measure(names: list[str], kubeconfig: Path, rounds: int, scale: float) -> dict[str, float]:
    """The median rate of each client, all of them in turn."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            found = client(name, "watch", kubeconfig, count=max(50, int(EVENTS.get(name, 10_000) * scale)))
            if found is not None:
                runs[name].append(found)
    return {name: rates(found) for name, found in runs.items() if found}


def main() -> int:
    options = arguments(__doc__).parse_args()
    names = chosen((OURS, *OWN_WAYS, *PEERS), options.only)
    report = Report("watch")
    for case, size, tls in (
        ("plaintext, 8 KB", "full", False),
        ("TLS, 8 KB", "full", True),
        ("plaintext, 1.5 KB", "small", False),
    ):
        if options.kubeconfig is not None:
            found = measure(names, options.kubeconfig, options.rounds, options.scale)
            case = "pods of the given server"  # noqa: PLW2901
        else:
            with server(events=100_000, size=size, tls=tls) as kubeconfig:
                found = measure(names, kubeconfig, options.rounds, options.scale)
        for peer in names[1:]:
            if peer in found:
                targets = TARGETS.get(case) if peer == "kubernetes_asyncio typed" else None
                given = {"target": targets[0], "stretch": targets[1]} if targets else {}
                report.compare(case, UNIT, found[OURS], peer, found[peer], **given)
        if options.kubeconfig is not None:
            break
    report.notes.append("ours reads the fields that a scheduler needs; typed peers read everything, into objects")
    report.print()
    print(f"written to {report.save()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
