"""What a watch event costs: pods of 8 KB (and 1.5 KB) decoded, and nothing else done. `python -m benchmarks.watch`"""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import OURS, Report, Target, arguments, chosen, finish, given, in_turn, progress, server

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
CASES = (("plaintext, 8 KB", "full", False), ("TLS, 8 KB", "full", True), ("plaintext, 1.5 KB", "small", False))
TARGETS = {
    "plaintext, 8 KB": {"target": Target(of="ratio", min=40), "stretch": Target(of="ratio", min=80)},
    "TLS, 8 KB": {"target": Target(of="ratio", min=20), "stretch": Target(of="ratio", min=50)},
}
GIVEN_PODS = 5_000


def tell(report: Report, case: str, found: dict[str, float]) -> None:
    """A row for each client, beside ours."""
    if OURS not in found:
        return
    peers = [name for name in (*OWN_WAYS, *PEERS) if name in found]
    for peer in peers:
        targets = TARGETS.get(case, {}) if peer == "kubernetes_asyncio typed" else {}
        report.compare(case, UNIT, found[OURS], (peer, found[peer]), **targets)
    if not peers:
        report.alone(case, UNIT, found[OURS])


def on_given(report: Report, names: list[str], kubeconfig: Path, rounds: int, scale: float) -> None:
    """The pods of a server end: nobody gets more events than there are."""
    with given(kubeconfig, pods=int(GIVEN_PODS * scale)) as there:
        counts = {name: min(there.pods, EVENTS.get(name, there.pods)) for name in names}
        tell(report, "pods of the given server", in_turn(names, "watch", kubeconfig, counts, rounds))
        report.versions["server"] = there.version
        report.notes.append(str(there))


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(__doc__).parse_args(argv)
    names = chosen((OURS, *OWN_WAYS, *PEERS), options.only)
    report = Report("watch")
    if options.kubeconfig is not None:
        on_given(report, names, options.kubeconfig, options.rounds, options.scale)
    else:
        counts = {name: max(50, int(EVENTS.get(name, 10_000) * options.scale)) for name in names}
        for case, size, tls in CASES:
            progress(f"watch: {case}")
            with server(events=100_000, size=size, tls=tls) as kubeconfig:
                tell(report, case, in_turn(names, "watch", kubeconfig, counts, options.rounds))
    report.notes.append("Ours reads the fields that a scheduler needs; typed peers read everything, into objects.")
    report.notes.append("`ours aiohttp` reads the stream with aiohttp, as is done behind a proxy; `ours dicts` makes dicts.")
    return finish(report, options.output)


if __name__ == "__main__":
    sys.exit(main())
