"""Placements per CPU-second: what the scheduler decides, against its own plain form that must decide the same.

Every placement takes its resources before the next is decided. `decision only` is the engine alone; `explained` adds verdicts,
status, condition, bookings and metrics; `placed, then told` is both passes of the reconciler over an instance, without requests.
"""

import hashlib
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from benchmarks.fleets import KINDS, Case, demands_of, fleet_of
from benchmarks.harness import Report, Target, arguments, finish, progress
from fedstate.api.conditions import Reason
from fedstate.api.placement import Placement
from fedstate.kube.objects import Key
from fedstate.scheduler.decision import Decision, decide
from fedstate.scheduler.engine import Engine
from fedstate.scheduler.ledger import Ledger
from fedstate.scheduler.metrics import decided
from fedstate.scheduler.middleware import MONGODB, Demand
from fedstate.scheduler.profile import default_profile
from fedstate.scheduler.report import scheduled_condition, scheduling_status
from fedstate.scheduler.snapshot import Fleet

UNIT, PEER = "placements per CPU-second", "the plain form"
SIZES = (10, 100, 1_000, 5_000)
PLACEMENTS = 4_000
DECISION, EXPLANATION, BOTH = "decision only", "explained", "placed, then told"
TARGETS = {
    (way, clusters): Target(of="ours", min=least)
    for way, figures in ((DECISION, (50_000, 20_000, 12_000)), (EXPLANATION, (8_000, 6_000, 4_000)))
    for clusters, least in zip(SIZES, figures, strict=False)
}
STRETCH = {
    (DECISION, clusters): Target(of="ours", min=least) for clusters, least in zip(SIZES, (100_000, 40_000, 25_000), strict=False)
}
TARGETED = ("plain", "spread", "booked")
EXPLAINED = ("plain", "spread", "nodes")
BOOKING = ("booked", "nodes")
"""Where members are booked by their shapes, as the scheduler does it, and not only taken off the sums."""
NOTES = (
    "The plain form looks at one cluster after the other and decides the same: in every case the first of its decisions, as many "
    "as it takes in about a second, are compared by their hash.",
    "1 to 7 members, 24 shapes of requests, a third of them with a wish for labels; an eighth of the clusters is tainted, 2 % are "
    "not ready, and in the end a fleet of up to 1,000 clusters is about 70 % full. Some of the last demands find no place.",
)
QUOTED = (
    "Published by others, on other machines, of other work, and so no ratio: kube-scheduler's scheduler_perf demands 810 pods per "
    "second of SchedulingBasic with 5,000 nodes and 50,000 pods, 460 of TopologySpreading with 5,000 nodes; Karmada's "
    "CHANGELOG-1.15 says about 22 bindings per second of 5,000 (with etcd and the API server); karmada#6943 says around 20.",
    "Measured by us in another run, in one process without an API server: Karmada 1.18's core Schedule() 9,006, 912 and 81 "
    "placements per CPU-second at 10, 100 and 1,000 clusters, with other plugins and without taking capacity between placements.",
)
TEMPLATE = MONGODB.template
Way = Callable[[Fleet, Ledger, list[Demand], bool], Iterator[Placement | None]]


def holdings(placement: Placement) -> dict[str, int]:
    return {entry.cluster: entry.members + int(entry.arbiter) for entry in placement.clusters}


def by_plain_form(fleet: Fleet, ledger: Ledger, wanted: list[Demand], booking: bool) -> Iterator[Placement | None]:
    profile, today = default_profile(), datetime.now(UTC)
    book = Engine(fleet, ledger, profile)
    for number, demand in enumerate(wanted):
        placement = decide(demand, TEMPLATE, book.view(0.0, today), profile).placement
        if placement is not None:
            ledger.observe(Key("ns", str(number)), holdings(placement), demand.shape, {}, 0.0)
        yield placement


def by_engine(fleet: Fleet, ledger: Ledger, wanted: list[Demand], booking: bool) -> Iterator[Placement | None]:
    engine = Engine(fleet, ledger, default_profile())
    for number, demand in enumerate(wanted):
        placement = engine.decide(demand, TEMPLATE, now=0.0).placement
        if placement is not None:
            if booking:
                ledger.observe(Key("ns", str(number)), holdings(placement), demand.shape, {}, 0.0)
            else:
                for cluster, members in holdings(placement).items():
                    engine.charge(cluster, demand.shape, members)
        yield placement


def explained(fleet: Fleet, ledger: Ledger, wanted: list[Demand], booking: bool) -> Iterator[Placement | None]:
    engine = Engine(fleet, ledger, default_profile())
    for number, demand in enumerate(wanted):
        key, began = Key("ns", str(number)), time.perf_counter()
        decision = engine.decide(demand, TEMPLATE, now=0.0, explain=True)
        tell(demand, decision, began)
        if decision.placement is not None:
            decision.placement.to_annotation()
            ledger.observe(key, holdings(decision.placement), demand.shape, {}, 0.0)
        yield decision.placement


def placed_then_told(fleet: Fleet, ledger: Ledger, wanted: list[Demand], booking: bool) -> Iterator[Placement | None]:
    engine = Engine(fleet, ledger, default_profile())
    for number, demand in enumerate(wanted):
        key, began, asked = Key("ns", str(number)), time.perf_counter(), demand
        ledger.observe(key, {}, demand.shape, {}, 0.0)
        placement = engine.decide(demand, TEMPLATE, now=0.0).placement
        if placement is not None:
            ledger.observe(key, holdings(placement), demand.shape, {}, 0.0)
            placement.to_annotation()
            decided("multicloudmongodbs", Reason.PLACED, time.perf_counter() - began)
            # The annotation has come back with the watch: the second pass.
            asked, began = replace(demand, current=placement), time.perf_counter()
            ledger.observe(key, holdings(placement), demand.shape, {}, 0.0)
        tell(asked, engine.decide(asked, TEMPLATE, now=0.0, explain=True), began)
        yield placement


def tell(demand: Demand, decision: Decision, began: float) -> None:
    """What is written into the status, made and thrown away."""
    status = scheduling_status(demand, decision)
    condition = scheduled_condition(demand, decision, status["message"])
    decided("multicloudmongodbs", condition.reason, time.perf_counter() - began)


def prepared(case: Case, placements: int) -> tuple[Fleet, Ledger]:
    """The fleet, and the ledger with what is decided already and not yet to be seen."""
    fleet, ledger = fleet_of(case, placements), Ledger()
    if case.kind == "booked":
        engine = Engine(fleet, ledger, default_profile())
        for number, demand in enumerate(demands_of(case, placements // 4, seed=4)):
            placement = engine.decide(demand, TEMPLATE, now=0.0).placement
            if placement is not None:
                ledger.observe(Key("before", str(number)), holdings(placement), demand.shape, {}, 0.0)
        # The next engine begins as this one did.
        fleet = fleet_of(case, placements)
    return fleet, ledger


def timed(way: Way, case: Case, wanted: list[Demand], placements: int) -> tuple[float, str, int]:
    """Decisions per CPU-second, the digest of all decisions, and how many found no place."""
    fleet, ledger = prepared(case, placements)
    decisions = way(fleet, ledger, wanted, case.kind in BOOKING)
    # The first fills the columns.
    found = [next(decisions)]
    began = time.process_time()
    found += decisions
    spent = time.process_time() - began
    digest = hashlib.sha256()
    for placement in found:
        digest.update((placement.to_annotation() if placement else "-").encode())
    return (len(wanted) - 1) / spent, digest.hexdigest()[:12], sum(placement is None for placement in found)


def bytes_per_cluster(clusters: int) -> float:
    """What the engine keeps of each cluster, beside the snapshots, with every place for a shape taken."""
    case = Case(clusters=clusters, kind="plain")
    fleet, demand = fleet_of(case, 1000), demands_of(case, 1)[0]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    engine = Engine(fleet, Ledger(), default_profile())
    for number in range(64):
        spread = replace(demand.spread, node_select={"disk": f"none-{number}"})
        engine.decide(replace(demand, spread=spread), TEMPLATE, now=0.0)
    size = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return size / clusters


def measure(report: Report, case: Case, *, rounds: int, placements: int) -> None:
    """The rows of one case; the plain form decides the first of the same demands, interleaved with the engine."""
    wanted = demands_of(case, placements)
    some = wanted[: max(5, min(placements, 10_000 // case.clusters))]
    digest = timed(by_engine, case, some, placements)[1]
    ways: dict[str, Way] = {DECISION: by_engine}
    if case.kind in EXPLAINED:
        ways |= {EXPLANATION: explained, BOTH: placed_then_told}
    rates: dict[str, list[float]] = {name: [] for name in (*ways, PEER)}
    unplaced = 0
    for _ in range(rounds):
        for name, way in ways.items():
            rate, _, unplaced = timed(way, case, wanted, placements)
            rates[name].append(rate)
        rate, same, _ = timed(by_plain_form, case, some, placements)
        rates[PEER].append(rate)
        if same != digest:
            sys.exit(f"{case.name}: the engine decided something else than the plain form")
    plain = statistics.median(rates.pop(PEER))
    for name, found in rates.items():
        asked = (name, case.clusters) if case.kind in TARGETED else None
        target, stretch = (TARGETS.get(asked), STRETCH.get(asked)) if asked else (None, None)
        report.compare(f"{case.name}, {name}", UNIT, statistics.median(found), (PEER, plain), target, stretch)
    said = ", ".join(f"{name} {statistics.median(found):,.0f}" for name, found in rates.items())
    progress(f"{case.name}: {said}; same decisions in the first {len(some):,}; {unplaced:,} of {placements:,} found no place")


def main(argv: Sequence[str] | None = None) -> int:
    parser = arguments(__doc__, load=False)
    parser.add_argument("--clusters", type=int, nargs="*", default=SIZES)
    parser.add_argument("--cases", nargs="*", choices=tuple(KINDS), default=tuple(KINDS))
    options = parser.parse_args(argv)
    report = Report("scheduler")
    for clusters in options.clusters:
        for kind in options.cases:
            case = Case(clusters=clusters, kind=kind)
            # Node by node a decision costs much more, and a few of them say it.
            most = PLACEMENTS // 2 if kind == "nodes" else PLACEMENTS
            measure(report, case, rounds=options.rounds, placements=max(20, int(most * options.scale)))
    for clusters in options.clusters:
        if clusters >= 100:
            report.alone(
                f"{clusters:,} clusters, memory", "bytes per cluster", bytes_per_cluster(clusters), Target(of="ours", max=2048)
            )
    report.notes += [f"`{kind}`: {said}." for kind, said in KINDS.items()] + [*NOTES, *QUOTED]
    return finish(report, options.output)


if __name__ == "__main__":
    sys.exit(main())
