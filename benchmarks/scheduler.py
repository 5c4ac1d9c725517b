"""Placements per CPU-second: what the scheduler decides, against its own plain form that must decide the same.

Every placement takes its resources at once. `decision` is the engine alone; `explained` is what the reconciler does for each
instance before it writes: bookkeeping in the ledger, decision, verdicts, condition, status and metrics.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import statistics
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fedstate.api.federated import SpreadConstraints
from fedstate.kube.objects import Key
from fedstate.scheduler.decision import Decision, decide
from fedstate.scheduler.engine import Engine
from fedstate.scheduler.ledger import Ledger
from fedstate.scheduler.metrics import decided
from fedstate.scheduler.middleware import MONGODB, Demand
from fedstate.scheduler.profile import default_profile, profile_of
from fedstate.scheduler.report import scheduled_condition, scheduling_status
from fedstate.scheduler.snapshot import ClusterSnapshot, Fleet

RESULTS = Path(__file__).parent / "results" / "scheduler.json"
TARGETS = {10: (50_000, 8_000), 100: (20_000, 6_000), 1_000: (12_000, 4_000)}
STRETCH = {10: 100_000, 100: 40_000, 1_000: 25_000}
QUOTED = (
    (
        "Karmada core Schedule(), 10 / 100 / 1,000 clusters, capacity not deducted",
        "9,006 / 912 / 81",
        "our measurement of v1.18 code",
    ),
    ("Karmada, 5,000 bindings end to end", "~22 per second", "its CHANGELOG-1.15; includes etcd and the API server"),
    ("kube-scheduler, SchedulingBasic, 5,000 nodes and 50,000 pods", "810 per second", "threshold of its scheduler_perf"),
)
TEMPLATE = MONGODB.template


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`spread`: clusters lie in regions, providers and zones."""

    clusters: int
    spread: bool

    @property
    def name(self) -> str:
        return f"{self.clusters:,} clusters, {'spread' if self.spread else 'plain'}"


def fleet_of(case: Case, random: Random, placements: int) -> Fleet:
    """Clusters of three sizes, an eighth of them tainted, a few not ready; a label that requests select by.

    As large as makes the fleet about 70 % full in the end, half of the memory, so that some demands meet full clusters.
    """
    fleet = Fleet()
    unit = max(1, placements * 4 * 1_310 // case.clusters * 10 // 12)
    for number in range(case.clusters):
        size = random.choice((1, 2, 4))
        amounts = {"cpu": unit * size, "memory": (unit * size * 4 << 30) // 1000, "pods": 110 * (1 + unit * size // 50_000)}
        used = random.randint(0, 30)
        name = f"cluster-{number:04}"
        fleet.put_snapshot(
            ClusterSnapshot(
                name=name,
                ready=random.random() > 0.02,
                ready_reason="",
                deleting=False,
                labels={"disk": random.choice(("ssd", "ssd", "hdd"))},
                taints=({"key": "edge", "effect": "NoSchedule"},) if random.random() < 0.125 else (),
                vip=f"{name}.example.com",
                vip_problem=None,
                kinds=frozenset(),
                kinds_complete=False,
                provider=f"p{number % 3}" if case.spread else "",
                region=f"r{number % 20}" if case.spread else "",
                zones=(str(number % 4),) if case.spread else (),
                allocatable=amounts,
                free={resource: amount - amount * used // 100 for resource, amount in amounts.items()},
                created=None,
            )
        )
    return fleet


def demands(random: Random, count: int) -> list[Demand]:
    """1 to 7 members, 24 request shapes, two thirds even and one third with a wish for labels."""
    shapes = [{"cpu": cpu, "memory": memory << 30} for cpu in (100, 250, 500, 1000, 2000, 4000) for memory in (1, 2, 4, 8)]
    plain = SpreadConstraints(
        node_select={}, cluster_names=(), exclude_cluster_names=(), tolerations=(), max_members_per_cluster=None
    )
    picky = replace(plain, node_select={"disk": "ssd"})
    return [
        Demand(
            members=random.randint(1, 7),
            arbiter=False,
            mode="Uniform",
            request=random.choice(shapes),
            spread=random.choice((plain, plain, picky)),
            current=None,
            scheduler_name="",
            generation=1,
            deleting=False,
        )
        for _ in range(count)
    ]


def by_plain_form(fleet: Fleet, wanted: list[Demand]) -> Iterator[Decision]:
    ledger, profile, today = Ledger(), default_profile(), datetime.now(UTC)
    book = Engine(fleet, ledger, profile)
    for number, demand in enumerate(wanted):
        decision = decide(demand, TEMPLATE, book.view(0.0, today), profile)
        if decision.placement is not None:
            ledger.observe(Key("ns", str(number)), decision.placement.members, demand.shape, {}, 0.0)
        yield decision


def by_engine(fleet: Fleet, wanted: list[Demand]) -> Iterator[Decision]:
    engine = Engine(fleet, Ledger(), default_profile())
    for demand in wanted:
        decision = engine.decide(demand, TEMPLATE, now=0.0)
        if decision.placement is not None:
            for entry in decision.placement.clusters:
                engine.charge(entry.cluster, demand.shape, entry.members)
        yield decision


def explained(fleet: Fleet, wanted: list[Demand]) -> Iterator[Decision]:
    ledger = Ledger()
    engine = Engine(fleet, ledger, default_profile())
    for number, demand in enumerate(wanted):
        key = Key("ns", str(number))
        ledger.observe(key, {}, demand.shape, {}, 0.0)
        began = time.perf_counter()
        decision = engine.decide(demand, TEMPLATE, now=0.0, explain=True)
        status = scheduling_status(demand, decision)
        condition = scheduled_condition(demand, decision, status["message"])
        decided("multicloudmongodbs", condition.reason, time.perf_counter() - began)
        if decision.placement is not None:
            decision.placement.to_annotation()
            ledger.observe(key, decision.placement.members, demand.shape, {}, 0.0)
        yield decision


def timed(way: Any, case: Case, wanted: list[Demand]) -> tuple[float, str, int]:
    """Decisions per CPU-second, the digest of all decisions, and how many found no place."""
    fleet = fleet_of(case, Random(case.clusters), len(wanted))
    placements = []
    decisions = way(fleet, wanted)
    placements.append(next(decisions).placement)
    began = time.process_time()
    placements += [decision.placement for decision in decisions]
    spent = time.process_time() - began
    digest = hashlib.sha256()
    for placement in placements:
        digest.update((placement.to_annotation() if placement else "-").encode())
    return (len(wanted) - 1) / spent, digest.hexdigest()[:12], sum(placement is None for placement in placements)


def bytes_per_cluster(case: Case) -> float:
    """What the engine keeps of each cluster, beside the snapshots, with every place for a shape taken."""
    fleet = fleet_of(case, Random(1), 1000)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    engine = Engine(fleet, Ledger(), profile_of({}))
    demand = demands(Random(1), 1)[0]
    for number in range(64):
        spread = replace(demand.spread, node_select={"disk": f"none-{number}"})
        engine.decide(replace(demand, spread=spread), TEMPLATE, now=0.0)
    size = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return size / case.clusters


def measured(case: Case, *, rounds: int, placements: int, plain: int) -> Iterator[dict[str, Any]]:
    """Rows of one case; the plain form decides the first `plain` of the same demands, interleaved with the engine."""
    wanted = demands(Random(3), placements)
    found: dict[str, list[float]] = {"decision": [], "explained": [], "plain": []}
    unplaced = 0
    for _ in range(rounds):
        for name, way, some in (
            ("decision", by_engine, wanted),
            ("explained", explained, wanted),
            ("plain", by_plain_form, wanted[:plain]),
        ):
            rate, digest, missing = timed(way, case, some)
            found[name].append(rate)
            if name == "plain":
                assert timed(by_engine, case, some)[1] == digest, f"{case.name}: the engine decided something else"
            else:
                unplaced = missing
    decision, explanation, slow = (statistics.median(found[name]) for name in ("decision", "explained", "plain"))
    targets = TARGETS.get(case.clusters, (0, 0))
    for kind, value, least in (("decision only", decision, targets[0]), ("explained, with metrics", explanation, targets[1])):
        row: dict[str, Any] = {
            "case": f"{case.name}, {kind}",
            "unit": "placements per CPU-second",
            "ours": round(value),
            "peer": "the plain form, same decisions",
            "peer_value": round(slow),
            "ratio": round(value / slow, 1),
        }
        if least:
            row["target"] = {"of": "ours", "min": least}
        yield row
    print(f"  {case.name}: same decisions in the first {plain:,}; {unplaced:,} of {placements:,} found no place")
    if not case.spread:
        yield {
            "case": f"{case.clusters:,} clusters, memory",
            "unit": "bytes per cluster",
            "ours": round(bytes_per_cluster(case)),
            **({"target": {"of": "ours", "max": 2048}} if case.clusters >= 100 else {}),
        }


def show(rows: list[dict[str, Any]]) -> None:
    print(f"{'case':52} {'ours':>9} {'plain form':>11} {'ratio':>7}  target")
    for row in rows:
        target = row.get("target", {})
        met = "" if not target else ("met" if _met(row) else "MISSED")
        bound = f"{'>=' if 'min' in target else '<='} {target.get('min', target.get('max')):,} {met}" if target else ""
        print(f"{row['case']:52} {row['ours']:>9,} {row.get('peer_value', ''):>11} {row.get('ratio', ''):>7}  {bound}")
    print("\nPublished figures of others, not measured here:")
    for what, value, source in QUOTED:
        print(f"  {what}: {value} ({source})")


def _met(row: dict[str, Any]) -> bool:
    target = row["target"]
    return bool(row["ours"] >= target["min"] if "min" in target else row["ours"] <= target["max"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--placements", type=int, default=4000)
    parser.add_argument("--clusters", type=int, nargs="*", default=[10, 100, 1_000, 5_000])
    said = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for clusters in said.clusters:
        for spread in (False, True):
            plain = min(said.placements, max(20, 20_000 // clusters))
            rows += measured(Case(clusters=clusters, spread=spread), rounds=said.rounds, placements=said.placements, plain=plain)
    show(rows)
    RESULTS.parent.mkdir(exist_ok=True)
    machine = {"cpu": platform.processor() or platform.machine(), "system": platform.platform()}
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    RESULTS.write_text(json.dumps({"name": "scheduler", "machine": machine, "versions": versions, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
