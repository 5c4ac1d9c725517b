"""What a small write costs: merge patches of a ConfigMap, 16 in flight. `python -m benchmarks.api`"""

import sys
from collections.abc import Sequence

from benchmarks.harness import OURS, Report, Target, arguments, chosen, finish, given, in_turn, progress, server

PEERS = ("kubernetes_asyncio custom", "kubernetes_asyncio typed", "kopf", "kr8s", "lightkube", "client-go typed JSON")
CASES = (("plaintext, 16 in flight", False), ("TLS, 16 in flight", True))
UNIT = "PATCHes per CPU-second"
REQUESTS = {OURS: 10_000, "kopf": 6_000, "kr8s": 800, "client-go typed JSON": 8_000}
TARGETS = {
    ("plaintext, 16 in flight", "kubernetes_asyncio custom"): {
        "target": Target(of="ratio", min=4),
        "stretch": Target(of="ratio", min=5.5),
    }
}


def tell(report: Report, case: str, found: dict[str, float]) -> None:
    """A row for each client, beside ours."""
    if OURS not in found:
        return
    peers = [peer for peer in PEERS if peer in found]
    for peer in peers:
        report.compare(case, UNIT, found[OURS], (peer, found[peer]), **TARGETS.get((case, peer), {}))
    if not peers:
        report.alone(case, UNIT, found[OURS])


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(__doc__).parse_args(argv)
    names = chosen((OURS, *PEERS), options.only)
    counts = {name: max(50, int(REQUESTS.get(name, 2_000) * options.scale)) for name in names}
    report = Report("api")
    if options.kubeconfig is not None:
        with given(options.kubeconfig, writes=True) as there:
            tell(report, "the given server, 16 in flight", in_turn(names, "api", options.kubeconfig, counts, options.rounds))
            report.versions["server"] = there.version
    else:
        for case, tls in CASES:
            progress(f"api: {case}")
            with server(events=0, tls=tls) as kubeconfig:
                tell(report, case, in_turn(names, "api", kubeconfig, counts, options.rounds))
    return finish(report, options.output)


if __name__ == "__main__":
    sys.exit(main())
