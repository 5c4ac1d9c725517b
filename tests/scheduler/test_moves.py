"""Members that move, because their cluster is lost or because their owner asks: what always holds of it."""

import os
from dataclasses import replace
from random import Random

import pytest
from hypothesis import example, given, settings

from fedstate.api.federated import Preference
from fedstate.api.placement import Placement
from fedstate.scheduler.decision import Decision, decide
from fedstate.scheduler.engine import Engine
from fedstate.scheduler.ledger import Ledger
from fedstate.scheduler.middleware import MONGODB, Demand
from fedstate.scheduler.profile import Profile, default_profile
from fedstate.scheduler.sight import NO_LOSSES, Losses
from fedstate.scheduler.snapshot import Fleet
from tests.scheduler.test_engine import PROFILES, SEEDS, TODAY, demanded, plain_cluster, snapshots, told, wanted

EXAMPLES = int(os.environ.get("FEDSTATE_EXAMPLES", "100"))


def moving(random: Random, fleet: Fleet) -> Demand:
    """An instance that runs in some of the clusters, of which those that are lost may be given up; its owner may ask."""
    demand = demanded(random)
    names = [cluster.name for cluster in fleet.clusters] or ["c00"]
    chosen = random.sample(names, min(len(names), random.randint(1, 4)))
    home = random.choice(chosen) if demand.arbiter else None
    away = [name for name in chosen if (found := fleet.get(name)) is None or not found.ready]
    lost = frozenset(random.sample(away, random.randint(0, len(away))))
    preferences = (Preference(weight=random.randint(1, 9), node_select=(("disk", "hdd"),)),) if random.random() < 0.3 else ()
    return replace(
        demand,
        current=Placement.of({name: random.randint(0, 4) for name in chosen}, home),
        spread=replace(demand.spread, preferences=preferences),
        dynamic=random.random() < 0.9,
        rebalance=random.choice(["", "now"]),
        losses=Losses(lost=lost, led=random.random() < 0.9),
    )


def fleet_of(random: Random) -> Fleet:
    fleet = Fleet()
    for one in snapshots(random):
        fleet.put_snapshot(one)
    return fleet


def decision(demand: Demand, fleet: Fleet, profile: Profile) -> Decision:
    return decide(demand, MONGODB.template, Engine(fleet, Ledger(), profile).view(0.0, TODAY), profile)


def counts(placement: Placement | None) -> dict[str, int]:
    return dict(placement.members) if placement is not None else {}


def fatal(demand: Demand, placement: Placement) -> int:
    arbiter = placement.arbiter_cluster
    losses = demand.quorum.survivals(demand.quorum.votes(placement.members, arbiter), arbiter)
    return sum(not survival.full for survival in losses.values())


def carried_out(fleet: Fleet, demand: Demand, placement: Placement) -> None:
    """Members have started and ended where the placement says, and every cluster's free resources show it."""
    clusters = demand.current.clusters if demand.current is not None else ()
    before = {entry.cluster: entry.members + int(entry.arbiter) for entry in clusters}
    after = {entry.cluster: entry.members + int(entry.arbiter) for entry in placement.clusters}
    for one in fleet.clusters:
        more = after.get(one.name, 0) - before.get(one.name, 0)
        if one.free is not None:
            asked = {"pods": 1, **demand.request}
            fleet.put_snapshot(replace(one, free={key: left - more * asked.get(key, 0) for key, left in one.free.items()}))


@pytest.mark.parametrize("vector", [False, True], ids=["lists", "arrays"])
@settings(max_examples=EXAMPLES, deadline=None)
@given(random=SEEDS)
def test_the_engine_moves_members_as_the_plain_form_does(vector: bool, random: Random) -> None:
    profile, fleet = random.choice(PROFILES), fleet_of(random)
    engine = Engine(fleet, Ledger(), profile, vector=vector)
    for _ in range(3):
        demand = moving(random, fleet)
        plain = decide(demand, MONGODB.template, engine.view(0.0, TODAY), profile)
        quick = engine.decide(demand, MONGODB.template, now=0.0, today=TODAY, explain=True)
        assert told(demand, quick) == told(demand, plain)
        assert quick[9:] == plain[9:], "who is given up, who cannot be, what is asked for and not done"


@settings(max_examples=2 * EXAMPLES, deadline=None)
@given(random=SEEDS)
@example(random=Random(23485))
def test_what_has_moved_stays_and_is_not_moved_again_when_it_is_asked_for_again(random: Random) -> None:
    profile, fleet = random.choice(PROFILES), fleet_of(random)
    for one in fleet.clusters:
        free = None if one.free is None else {key: max(0, left) for key, left in one.free.items()}
        fleet.put_snapshot(replace(one, rooms=None, free=free))
    demand = moving(random, fleet)
    first = decision(demand, fleet, profile)
    if first.placement is None:
        return
    carried_out(fleet, demand, first.placement)
    done = replace(demand, current=first.placement, rebalance="")
    again = decision(done, fleet, profile)
    assert again.placement == first.placement
    if first.rebalanced and profile.bonus:
        asked = decision(replace(done, rebalance="again"), fleet, profile)
        assert asked.placement == first.placement
    if not first.complete or first.stuck:
        return
    home_again = replace(done, losses=NO_LOSSES)
    for name in demand.losses.lost:
        found = fleet.get(name)
        if found is not None:
            fleet.put_snapshot(replace(found, ready=True))
    assert decision(home_again, fleet, profile).placement == first.placement, "nobody moves back"


@settings(max_examples=2 * EXAMPLES, deadline=None)
@given(random=SEEDS)
def test_a_failover_takes_nothing_from_living_clusters_and_is_whole_or_not_at_all(random: Random) -> None:
    fleet = fleet_of(random)
    demand = replace(moving(random, fleet), rebalance="")
    assert demand.current is not None
    before, carriers = counts(demand.current), {entry.cluster for entry in demand.current.clusters}
    demand = replace(demand, members=max(demand.members, sum(before.values())))
    found = decision(demand, fleet, default_profile())
    after = counts(found.placement)
    excluded = {verdict.cluster for verdict in found.verdicts if verdict.evacuate}
    for name, count in before.items():
        if name in demand.losses.lost:
            assert after.get(name, 0) == (0 if name in found.given_up else count)
        elif name not in excluded:
            assert after.get(name, 0) >= count, name
    if found.given_up:
        assert sum(after.values()) == demand.members
        assert set(found.given_up) | set(found.unmoved) >= demand.losses.lost & carriers


@settings(max_examples=2 * EXAMPLES, deadline=None)
@given(random=SEEDS)
def test_placing_anew_loses_no_survivable_loss_and_exceeds_nothing(random: Random) -> None:
    fleet = fleet_of(random)
    demand = replace(moving(random, fleet), rebalance="now", losses=NO_LOSSES)
    found = decision(demand, fleet, default_profile())
    assert demand.current is not None
    if not found.rebalanced:
        assert found.unmet
        return
    assert found.placement is not None
    assert fatal(demand, found.placement) <= fatal(demand, demand.current)
    rooms = {verdict.cluster: verdict for verdict in found.verdicts}
    before = counts(demand.current)
    for name, count in counts(found.placement).items():
        gained = count - before.get(name, 0)
        assert gained <= 0 or rooms[name].room is None or gained <= rooms[name].room, name  # type: ignore[operator]
        assert gained <= 0 or rooms[name].ready


@settings(max_examples=EXAMPLES, deadline=None)
@given(random=SEEDS)
def test_placing_anew_is_as_even_as_placing_for_the_first_time(random: Random) -> None:
    fleet = Fleet()
    for number in range(random.randint(1, 6)):
        fleet.put_snapshot(replace(plain_cluster(f"c{number}", cpu=10**9), region=random.choice(["", "x", "y"])))
    names = [cluster.name for cluster in fleet.clusters]
    members = random.randint(1, 9)
    homes = [random.choice(names) for _ in range(members)]
    current = Placement.of({name: homes.count(name) for name in names})
    demand = wanted(members, current=current, rebalance="now")
    anew = counts(decision(demand, fleet, default_profile()).placement)
    first = counts(decision(replace(demand, current=None), fleet, default_profile()).placement)
    assert sorted(anew.values()) == sorted(first.values())


@settings(max_examples=EXAMPLES, deadline=None)
@given(random=SEEDS)
def test_capacity_that_appears_moves_nobody_who_does_not_ask(random: Random) -> None:
    fleet = fleet_of(random)
    demand = replace(moving(random, fleet), rebalance="", losses=NO_LOSSES)
    first = decision(demand, fleet, default_profile())
    if not first.complete or first.placement is None:
        return
    fleet.put_snapshot(plain_cluster("zz", cpu=10**9))
    after = decision(replace(demand, current=first.placement), fleet, default_profile())
    leaving = {verdict.cluster for verdict in after.verdicts if verdict.evacuate}
    assert all(
        counts(after.placement).get(name, 0) >= count for name, count in counts(first.placement).items() if name not in leaving
    )
