"""The engine against the plain form of every decision, in lists and in arrays, while a fleet lives and changes."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.api.federated import SpreadConstraints, Toleration
from fedstate.api.placement import Placement
from fedstate.kube.objects import Key
from fedstate.scheduler.capacity.models import model_rooms
from fedstate.scheduler.capacity.nodes import NodeRooms
from fedstate.scheduler.capacity.rooms import MemberShape, Rooms
from fedstate.scheduler.decision import Decision, decide
from fedstate.scheduler.engine import Engine
from fedstate.scheduler.ledger import Ledger
from fedstate.scheduler.middleware import MONGODB, Demand
from fedstate.scheduler.profile import Profile, default_profile, profile_of
from fedstate.scheduler.report import scheduled_condition, scheduling_status
from fedstate.scheduler.snapshot import ClusterSnapshot, Fleet
from tests.scheduler.capacity.records import node, packs, pod, some_shape, some_tally, tally_of
from tests.scheduler.clusters import modelled

TODAY = datetime(2026, 1, 1, tzinfo=UTC)
TOLERATION = Toleration(key="maint", operator="Exists", value="", effect="")
PREFER = "PreferNoSchedule"
REQUESTS: list[dict[str, int]] = [
    {},
    {"cpu": 1000},
    {"cpu": 500, "memory": 1 << 30},
    {"memory": 3 << 30},
    {"cpu": 100, "gpu": 1},
    {"cpu": 0},
]
EXAMPLES = int(os.environ.get("FEDSTATE_EXAMPLES", "100"))
SEEDS = st.integers(0, 1 << 40).map(Random)
NAMES = [f"c{number:02}" for number in range(12)]


def snapshot(random: Random, name: str) -> ClusterSnapshot:
    allocatable = {"cpu": random.choice([0, 2000, 8000, 64000]), "memory": random.choice([4, 16, 64]) << 30}
    if random.random() < 0.5:
        allocatable["pods"] = 110
    free = {key: amount - random.randint(0, 10) * amount // 8 for key, amount in allocatable.items()}
    known = random.random() < 0.9
    own = f"{name}.example.com"
    taints: list[tuple[dict[str, str], ...]] = [
        (),
        (),
        ({"key": "maint", "effect": "NoSchedule"},),
        ({"key": "x", "effect": PREFER},),
    ]
    return replace(
        plain_cluster(name),
        ready=random.random() < 0.9,
        labels={"disk": random.choice(["ssd", "hdd"]), "middleware.fedstate.io/weight": random.choice("139")},
        taints=random.choice(taints),
        vip=random.choice([own, own, own, own, "shared.example.com", None]),
        kinds_complete=random.random() < 0.1,
        provider=random.choice(["", "p", "q"]),
        region=random.choice(["", "x", "y", "z"]),
        zones=random.choice([(), ("1",), ("1", "2")]),
        allocatable=allocatable if known else None,
        free=free if known else None,
        rooms=some_rooms(random) if random.random() < 0.5 else None,
        storage_classes=random.choice([None, None, frozenset({"local"})]),
    )


@dataclass(frozen=True)
class Told:
    """Rooms for so many members of any shape, or of shapes of which nothing is known."""

    limit: int | None
    booked: int = 0

    def beside(self, booked: Mapping[MemberShape, int]) -> Rooms:
        return replace(self, booked=self.booked + sum(booked.values()))

    def fits(self, shape: MemberShape) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.booked)

    def why_not(self, shape: MemberShape) -> str:
        return f"there were {self.limit} places, {self.booked} of them are taken"


def some_rooms(random: Random) -> Rooms | None:
    models, _ = model_rooms(modelled({grade: random.randint(0, 2) for grade in range(4)}))
    return random.choice([some_tally(random).reading().rooms, models, Told(random.randint(0, 5)), Told(None)])


def snapshots(random: Random) -> list[ClusterSnapshot]:
    return [snapshot(random, name) for name in random.sample(NAMES, random.randint(0, 10))]


def demanded(random: Random) -> Demand:
    names = random.sample(NAMES, random.randint(0, 4))
    arbiter = random.choice(names) if names and random.random() < 0.4 else None
    current = Placement.of({name: random.randint(0, 4) for name in names}, arbiter)
    spread = SpreadConstraints(
        node_select=random.choice([{}, {}, {"disk": "ssd"}]),
        cluster_names=random.choice([(), (), tuple(NAMES[:5])]),
        exclude_cluster_names=random.choice([(), (), (NAMES[1], NAMES[7])]),
        tolerations=random.choice([(), (TOLERATION,)]),
        max_members_per_cluster=random.choice([None, None, 1, 2]),
    )
    return wanted(
        random.randint(1, 9),
        arbiter=random.random() < 0.4,
        mode=random.choice(["Uniform", "Uniform", "Weighting"]),
        request=random.choice(REQUESTS),
        spread=spread,
        current=current if random.random() < 0.5 else None,
        shape=some_shape(random),
    )


PROFILES = [
    default_profile(),
    profile_of({"scores": {"ResourcesMostAllocated": 2, "ResourcesReported": 1}, "topology": {"zone": 1}}),
    profile_of(
        {"divide": {"Uniform": "ClusterWeights"}, "filters": [f.name for f in default_profile().filters if f.name[0] != "T"]}
    ),
    profile_of({"permits": ["SurvivesAnyLoss"], "scores": {}, "topology": {}}),
]


def told(demand: Demand, decision: Decision) -> object:
    placement = decision.placement.to_annotation() if decision.placement else None
    condition = scheduled_condition(demand, decision)
    return placement, decision.missing, decision.stuck, decision.held, condition, scheduling_status(demand, decision)


def check(demand: Demand, engine: Engine, now: float, profile: Profile) -> Decision:
    plain = decide(demand, MONGODB.template, engine.view(now, TODAY), profile)
    quick = engine.decide(demand, MONGODB.template, now=now, today=TODAY, explain=True)
    assert told(demand, quick) == told(demand, plain)
    return quick


@pytest.mark.parametrize("vector", [False, True], ids=["lists", "arrays"])
@settings(max_examples=EXAMPLES, deadline=None)
@given(random=SEEDS)
def test_the_engine_decides_and_explains_what_the_plain_form_does(vector: bool, random: Random) -> None:
    """Instances are placed one after the other, what they take is reserved, and clusters change in between."""
    profile = random.choice(PROFILES)
    fleet, ledger = Fleet(), Ledger()
    ledger.visible = fleet.visible
    engine = Engine(fleet, ledger, profile, vector=vector)
    for one in snapshots(random):
        fleet.put_snapshot(one)
    for number in range(6):
        demand, now = demanded(random), 20.0 * number
        decision = check(demand, engine, now, profile)
        if decision.placement is not None:
            planned = {entry.cluster: entry.members + int(entry.arbiter) for entry in decision.placement.clusters}
            running = {name: random.randint(0, 2) for name in planned}
            ledger.observe(Key("ns", str(number % 3)), planned, demand.shape, running, now)
        event, known = random.randint(0, 6), [cluster.name for cluster in fleet.clusters]
        if event <= 1:
            fleet.put_snapshot(snapshot(random, random.choice(known or NAMES)))
        elif event == 2 and known:
            fleet.remove(random.choice(known))
        elif event == 3 and known and (cluster := fleet.clusters[0]).free is not None:
            fleet.put_snapshot(replace(cluster, free={**(cluster.free or {}), "cpu": 700}))
        elif event > 4 and known:
            name = random.choice(known)
            members = random.choice([None, {Key("ns", str(number % 3)): random.randint(0, 3)}])
            fleet.read(name, replace(some_tally(random).reading(), members=members) if event == 5 else None)
            ledger.refresh(name, ledger.carriers(name), now)


@pytest.mark.parametrize("mode", ["Uniform", "Weighting"])
def test_a_thousand_placements_on_a_large_fleet_are_those_of_the_plain_form_and_never_take_too_much(mode: str) -> None:
    random = Random(7)
    fleet, ledger = Fleet(), Ledger()
    engine = Engine(fleet, ledger, default_profile())
    base = plain_cluster("x", cpu=16000)
    for number in range(60):
        fleet.put_snapshot(
            replace(base, name=f"c{number:03}", vip=f"10.0.0.{number}", region=f"r{number % 7}", zones=(str(number % 3),))
        )
    left = {cluster.name: dict(cluster.free or {}) for cluster in fleet.clusters}
    for number in range(120):
        request = {"cpu": random.choice([250, 500, 1500]), "memory": random.choice([1, 2]) << 30}
        demand = wanted(random.randint(1, 9), request=request, mode=mode, arbiter=number % 5 == 0)
        decision = check(demand, engine, 0.0, default_profile())
        if decision.placement is None:
            continue
        planned = {entry.cluster: entry.members + int(entry.arbiter) for entry in decision.placement.clusters}
        ledger.observe(Key("ns", str(number)), planned, demand.shape, {}, 0.0)
        for name, count in planned.items():
            for resource, amount in request.items():
                left[name][resource] -= count * amount
                assert left[name][resource] >= 0


def plain_cluster(name: str, *, cpu: int = 16000) -> ClusterSnapshot:
    amounts = {"cpu": cpu, "memory": 64 << 30, "pods": 110}
    return ClusterSnapshot(
        name=name,
        ready=True,
        ready_reason="",
        deleting=False,
        labels={},
        taints=(),
        vip=f"{name}.example.com",
        vip_problem=None,
        kinds=frozenset(),
        kinds_complete=False,
        provider="",
        region="",
        zones=(),
        allocatable=amounts,
        free=amounts,
        created=None,
    )


def wanted(members: int, **changes: object) -> Demand:
    spread = SpreadConstraints(
        node_select={}, cluster_names=(), exclude_cluster_names=(), tolerations=(), max_members_per_cluster=None
    )
    demand = Demand(
        members=members,
        arbiter=False,
        mode="Uniform",
        request={"cpu": 1000},
        spread=spread,
        current=None,
        scheduler_name="ours",
        generation=1,
        deleting=False,
    )
    return replace(demand, **changes)  # type: ignore[arg-type]


def placed(fleet: Fleet, demand: Demand) -> Placement | None:
    return Engine(fleet, Ledger(), default_profile(), vector=True).decide(demand, MONGODB.template, now=0.0).placement


@settings(max_examples=60, deadline=None)
@given(random=SEEDS)
def test_the_order_in_which_clusters_are_seen_changes_nothing(random: Random) -> None:
    fleet, demand = snapshots(random), demanded(random)
    first, second, shuffled = Fleet(), Fleet(), list(fleet)
    random.shuffle(shuffled)
    for one in fleet:
        first.put_snapshot(one)
    for one in shuffled:
        second.put_snapshot(one)
    assert placed(first, demand) == placed(second, demand)


@settings(max_examples=60, deadline=None)
@given(random=SEEDS)
def test_a_decision_stands_when_nothing_changes_and_when_capacity_is_added(random: Random) -> None:
    fleet, demand = snapshots(random), demanded(random)
    clusters = Fleet()
    for one in fleet:
        clusters.put_snapshot(one)
    fresh = replace(demand, current=None)
    first = placed(clusters, fresh)
    if first is None:
        return
    assert placed(clusters, fresh) == first
    settled = replace(demand, current=first)
    used = Fleet()
    for one in fleet:
        taken = first.members.get(one.name, 0) + int(first.arbiter_cluster == one.name)
        if one.free is not None:
            wanted_here = {**demand.request, "pods": 1}
            left = {name: amount - taken * wanted_here.get(name, 0) for name, amount in one.free.items()}
            rooms = one.rooms.beside({demand.shape: taken}) if one.rooms is not None else None
            one = replace(one, free=left, rooms=rooms)
        used.put_snapshot(one)
    assert placed(used, settled) == first
    used.put_snapshot(plain_cluster("new", cpu=1_000_000))
    assert placed(used, settled) == first


def test_what_filters_said_is_forgotten_when_a_cluster_changes() -> None:
    fleet = Fleet()
    for name in "abc":
        fleet.put_snapshot(plain_cluster(name))
    engine = Engine(fleet, Ledger(), default_profile(), vector=True)

    def members() -> dict[str, int] | None:
        placement = engine.decide(wanted(2), MONGODB.template, now=0.0).placement
        return placement.members if placement else None

    assert members() == {"a": 1, "b": 1}
    fleet.put_snapshot(replace(plain_cluster("a"), taints=({"key": "maint", "effect": "NoExecute"},)))
    assert members() == {"b": 1, "c": 1}
    fleet.put_snapshot(replace(plain_cluster("b"), vip="c.example.com"))
    assert members() is None
    fleet.put_snapshot(plain_cluster("b"))
    assert members() == {"b": 1, "c": 1}


@settings(max_examples=40, deadline=None)
@given(random=SEEDS)
def test_no_placement_takes_more_than_the_nodes_can_hold(random: Random) -> None:
    """By trying every way to lay the members of all instances onto the nodes of each cluster."""
    fleet, ledger = Fleet(), Ledger()
    engine = Engine(fleet, ledger, default_profile(), vector=random.random() < 0.5)
    readings = {name: some_tally(random).reading() for name in NAMES[:4]}
    for name, reading in readings.items():
        fleet.put_snapshot(plain_cluster(name))
        fleet.read(name, replace(reading, storage_classes=None))
    shapes = [replace(some_shape(random), alone=False, instance=None) for _ in range(3)]
    held: dict[str, list[MemberShape]] = {name: [] for name in readings}
    for number in range(8):
        shape = random.choice(shapes)
        demand = wanted(random.randint(1, 3), request=dict(shape.request), shape=shape)
        placement = check(demand, engine, 0.0, default_profile()).placement
        if placement is not None:
            ledger.observe(Key("ns", str(number)), placement.members, demand.shape, {}, 0.0)
            for name, count in placement.members.items():
                held[name] += [shape] * count
    for name, members in held.items():
        rooms = readings[name].rooms
        assert isinstance(rooms, NodeRooms)
        nodes = [(shape, rooms.nodes.open_to(shape).nonzero()[0].tolist()) for shape in members]
        assert packs(rooms.free.T.tolist(), nodes)


@settings(max_examples=60, deadline=None)
@given(random=SEEDS)
def test_no_cluster_gets_half_of_the_votes_while_another_one_has_room(random: Random) -> None:
    fleet = Fleet()
    for one in snapshots(random):
        fleet.put_snapshot(one)
    demand = replace(demanded(random), current=None)
    decision = check(demand, Engine(fleet, Ledger(), default_profile()), 0.0, default_profile())
    verdicts = [verdict for verdict in decision.verdicts if verdict.feasible]
    if decision.placement is None or len(verdicts) < 3:
        return
    limit, members = demand.quorum.limit(demand.members + int(demand.arbiter)), decision.placement.members
    if max(members.values()) > limit:
        assert all(members.get(v.cluster, 0) >= min(limit, demand.members if v.room is None else v.room) for v in verdicts)


def test_what_is_booked_on_nodes_is_forgotten_when_the_reading_shows_it() -> None:
    fleet, ledger, tally = Fleet(), Ledger(), tally_of(node("n", cpu=2000))
    ledger.visible = fleet.visible
    fleet.put_snapshot(plain_cluster("a"))
    fleet.read("a", replace(tally.reading(), storage_classes=None))
    engine, key = Engine(fleet, ledger, default_profile()), Key("shop", "orders")
    demand = wanted(1)

    def fits() -> bool:
        return engine.decide(demand, MONGODB.template, now=0.0).complete

    assert fits()
    ledger.observe(key, {"a": 2}, demand.shape, {}, 0.0)
    assert not fits()
    tally.put_pod(pod("orders-0", "n", cpu=1000, instance="orders"))
    fleet.read("a", replace(tally.reading(), storage_classes=None))
    ledger.refresh("a", [key], 0.0)
    assert ledger.booked("a") == {demand.shape: 1}
    assert not fits()
    ledger.forget(key)
    assert fits()
