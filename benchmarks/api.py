"""What a small write costs: merge patches of a ConfigMap, 16 in flight. `python -m benchmarks.api`"""

import sys
from collections.abc import Sequence

from benchmarks.harness import OURS, Report, Target, arguments, chosen, finish, given, in_turn, server

PEERS = ("kubernetes_asyncio custom", "kubernetes_asyncio typed", "kopf", "kr8s", "lightkube", "client-go typed JSON")
CASE, UNIT = "PATCH, 16 in flight", "PATCHes per CPU-second"
REQUESTS = {OURS: 10_000, "kopf": 6_000, "kr8s": 800, "client-go typed JSON": 8_000}
TARGETS = {"kubernetes_asyncio custom": {"target": Target(of="ratio", min=4), "stretch": Target(of="ratio", min=5.5)}}


def main(argv: Sequence[str] | None = None) -> int:
    options = arguments(__doc__).parse_args(argv)
    names = chosen((OURS, *PEERS), options.only)
    counts = {name: max(50, int(REQUESTS.get(name, 2_000) * options.scale)) for name in names}
    report = Report("api")
    if options.kubeconfig is not None:
        with given(options.kubeconfig, writes=True) as there:
            found = in_turn(names, "api", options.kubeconfig, counts, options.rounds)
            report.versions["server"] = there.version
            report.notes.append(f"API server {there.version}")
    else:
        with server(events=0) as kubeconfig:
            found = in_turn(names, "api", kubeconfig, counts, options.rounds)
    peers = [peer for peer in names if peer != OURS and peer in found]
    if OURS in found:
        for peer in peers:
            report.compare(CASE, UNIT, found[OURS], (peer, found[peer]), **TARGETS.get(peer, {}))
        if not peers:
            report.alone(CASE, UNIT, found[OURS])
    return finish(report, options.output)


if __name__ == "__main__":
    sys.exit(main())
