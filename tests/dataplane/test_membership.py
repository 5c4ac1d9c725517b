"""Membership against a set that refuses what a server refuses: it always arrives, and never endangers a majority on its way."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.api.replset import PlanMember, ReplsetPlan, RetiringMember
from fedstate.dataplane.membership import next_step
from fedstate.dataplane.setview import Probe, SetView
from fedstate.dataplane.steps import (
    AddMember,
    GrantVote,
    Initiate,
    RemoveMember,
    SetDefaultRWConcern,
    SetPriorities,
    Settled,
    Step,
    StepDown,
    TakeVote,
    Wait,
    changed_config,
    first_config,
)
from fedstate.mongo.errors import MongoError, NotInConfig, NotInitialized
from fedstate.mongo.replica import SetConfig, majority
from tests.fakes.mongo import FakeSet


def member(
    number: int, *, votes: int = 1, priority: float | None = None, arbiter: bool = False, cluster: str = "c1"
) -> PlanMember:
    default = 0.0 if arbiter or not votes else 1.0
    return PlanMember(
        id=number,
        host=f"h{number}:27017",
        cluster=cluster,
        member=f"x-replset-{number}",
        votes=votes,
        priority=default if priority is None else priority,
        arbiter_only=arbiter,
    )


def plan_of(*members: PlanMember, initiator: str = "c1") -> ReplsetPlan:
    next_id = max((m.id for m in members), default=-1) + 1
    return ReplsetPlan(
        replset_name="x", generation=1, initiator=initiator, members=tuple(members), retiring=(), next_member_id=next_id
    )


def probe(mongos: FakeSet, host: str) -> Probe:
    try:
        mongos.status_from(host)
    except NotInitialized:
        return Probe.EMPTY
    except NotInConfig:
        return Probe.SAME_SET
    except MongoError:
        return Probe.UNREACHABLE
    return Probe.SAME_SET


def view_of(mongos: FakeSet, plan: ReplsetPlan, *, initialized: bool = False) -> SetView:
    probes = {planned.host: probe(mongos, planned.host) for planned in plan.members}
    if mongos.primary is None:
        return SetView(probes=probes, initialized_before=initialized)
    return SetView(
        primary_host=mongos.primary,
        primary_is_own=True,
        config=SetConfig.from_document(mongos.config_of(mongos.primary)),
        committed=mongos.committed(),
        status=mongos.status_from(mongos.primary),
        default_rw_concern=mongos.rw_concern,
        probes=probes,
    )


def carry_out(mongos: FakeSet, plan: ReplsetPlan, view: SetView, step: Step) -> None:
    match step:
        case Settled() | Wait():
            return
        case Initiate(member=first):
            mongos.initiate(first.host, first_config(plan.replset_name, first))
        case StepDown(host=host):
            mongos.step_down(host)
        case SetDefaultRWConcern():
            mongos.rw_concern = True
        case _:
            assert view.config is not None
            assert view.primary_host is not None
            mongos.reconfig(view.primary_host, changed_config(view.config, step))


def voters_serving(mongos: FakeSet) -> tuple[int, int]:
    assert mongos.primary is not None
    config = SetConfig.from_document(mongos.config_of(mongos.primary))
    serving = {m.host for m in mongos.status_from(mongos.primary).members if m.serving}
    return sum(v.host in serving for v in config.voters), len(config.voters)


def can_replace_the_primary(mongos: FakeSet, plan: ReplsetPlan) -> bool:
    """Whether one who serves may be elected, wherever the plan lets anybody: beside an arbiter that may come a step later."""
    assert mongos.primary is not None
    config = SetConfig.from_document(mongos.config_of(mongos.primary))
    serving = {m.host for m in mongos.status_from(mongos.primary).members if m.serving}
    others = [voter for voter in config.voters if voter.host in serving - {mongos.primary} and not voter.arbiter_only]
    planned = {m.host: m.priority for m in plan.members}
    asked = any(planned.get(other.host, 0) > 0 for other in others)
    return not asked or any(m.arbiter_only for m in config.members) or any(other.priority > 0 for other in others)


@dataclass
class Journey:
    steps: list[Step]
    end: Step


def travel(mongos: FakeSet, plan: ReplsetPlan, limit: int = 200) -> Journey:
    """Step and tick until the set is settled or nothing moves any more."""
    steps: list[Step] = []
    still = 0
    step: Step = Settled()
    for _ in range(limit):
        mongos.tick()
        view = view_of(mongos, plan)
        step = next_step(view, plan, "c1")
        carry_out(mongos, plan, view, step)
        if isinstance(step, Settled):
            return Journey(steps, step)
        still = still + 1 if isinstance(step, Wait) else 0
        if not isinstance(step, Wait):
            steps.append(step)
            if isinstance(step, GrantVote | TakeVote | RemoveMember) and mongos.primary is not None:
                healthy, voters = voters_serving(mongos)
                assert healthy >= majority(voters), f"{step} left {healthy} of {voters}"
                if healthy - 1 >= majority(voters):
                    assert can_replace_the_primary(mongos, plan), f"{step} left nobody who could take over"
        if still > 12:
            break
    return Journey(steps, step)


def started(plan: ReplsetPlan) -> FakeSet:
    mongos = FakeSet()
    for planned in plan.members:
        mongos.add(planned.host)
    assert isinstance(travel(mongos, plan).end, Settled)
    return mongos


def live_layout(mongos: FakeSet) -> dict[int, tuple[str, int, float, bool]]:
    assert mongos.primary is not None
    config = SetConfig.from_document(mongos.config_of(mongos.primary))
    return {m.id: (m.host, m.votes, m.priority, m.arbiter_only) for m in config.members}


def planned_layout(plan: ReplsetPlan) -> dict[int, tuple[str, int, float, bool]]:
    return {m.id: (m.host, m.votes, m.priority if m.votes else 0.0, m.arbiter_only) for m in plan.members}


def test_a_fresh_set_is_initiated_with_one_member_and_the_others_join_without_vote_first() -> None:
    plan = plan_of(member(0), member(1), member(2))
    mongos = FakeSet()
    for planned in plan.members:
        mongos.add(planned.host)
    journey = travel(mongos, plan)
    assert isinstance(journey.end, Settled)
    kinds = [type(step) for step in journey.steps]
    assert kinds[0] is Initiate
    assert kinds.count(Initiate) == 1
    assert kinds.index(AddMember) < kinds.index(GrantVote)
    assert [step.priority for step in journey.steps if isinstance(step, GrantVote)] == [1.0, 1.0]
    assert SetPriorities not in kinds
    assert live_layout(mongos) == planned_layout(plan)
    assert [config["version"] for config in mongos.history] == list(range(1, len(mongos.history) + 1))


def test_a_member_that_joins_hidden_is_given_its_vote_before_it_is_shown_and_electable() -> None:
    plan = plan_of(member(0), replace(member(1), hidden=True), member(2))
    mongos = started(plan)
    assert live_layout(mongos) == planned_layout(plan)


def test_a_cluster_that_is_not_the_initiator_does_not_initiate() -> None:
    plan = plan_of(member(0), initiator="c2")
    step = next_step(SetView(probes={"h0:27017": Probe.EMPTY}), plan, "c1")
    assert isinstance(step, Wait)
    assert step.reason == "NotInitiator"


@pytest.mark.parametrize("other", [Probe.SAME_SET, Probe.FOREIGN])
def test_nothing_is_initiated_while_any_planned_member_has_a_configuration(other: Probe) -> None:
    plan = plan_of(member(0), member(1))
    step = next_step(SetView(probes={"h0:27017": Probe.EMPTY, "h1:27017": other}), plan, "c1")
    assert isinstance(step, Wait)


def test_a_set_that_was_initiated_once_is_never_initiated_again() -> None:
    plan = plan_of(member(0))
    step = next_step(SetView(probes={"h0:27017": Probe.EMPTY}, initialized_before=True), plan, "c1")
    assert isinstance(step, Wait)
    assert step.reason == "RecoveryRequired"


def test_the_default_write_concern_is_set_before_an_arbiter_joins() -> None:
    plan = plan_of(member(0), member(1), member(2, arbiter=True))
    mongos = FakeSet()
    for planned in plan.members:
        mongos.add(planned.host)
    journey = travel(mongos, plan)
    assert isinstance(journey.end, Settled)
    kinds = [type(step) for step in journey.steps]
    arbiter_added = next(i for i, step in enumerate(journey.steps) if isinstance(step, AddMember) and step.member.arbiter_only)
    assert kinds.index(SetDefaultRWConcern) < arbiter_added


def test_a_primary_that_leaves_steps_down_first_and_only_after_its_successor_has_caught_up() -> None:
    mongos = started(plan_of(member(0)))
    target = plan_of(member(1), member(2), member(3))
    for planned in target.members:
        mongos.add(planned.host, syncs_in=3)
    target = replace(target, retiring=(RetiringMember(host="h0:27017", cluster="c1", member="x-replset-0"),))
    grown = replace(target, members=(member(0), *target.members), retiring=())
    assert isinstance(travel(mongos, grown).end, Settled)
    journey = travel(mongos, target)
    assert isinstance(journey.end, Settled)
    kinds = [type(step) for step in journey.steps]
    assert kinds.index(StepDown) < kinds.index(TakeVote) < kinds.index(RemoveMember)
    assert live_layout(mongos) == planned_layout(target)


def test_a_lost_majority_is_reported_and_nothing_is_done() -> None:
    plan = plan_of(member(0), member(1), member(2))
    mongos = started(plan)
    view = view_of(mongos, plan)
    assert view.status is not None
    down = tuple(replace(m, healthy=m.host == "h0:27017") for m in view.status.members)
    step = next_step(replace(view, status=replace(view.status, members=down)), plan_of(member(0)), "c1")
    assert isinstance(step, Wait)
    assert step.reason == "MajorityLost"


def test_shrinking_waits_while_the_rest_would_be_no_majority() -> None:
    mongos = started(plan_of(member(0), member(1), member(2)))
    mongos.mongods["h2:27017"].up = False
    target = plan_of(member(0), member(2))
    journey = travel(mongos, target)
    assert isinstance(journey.end, Wait)
    assert journey.end.reason == "WouldLoseMajority"
    mongos.mongods["h2:27017"].up = True
    assert isinstance(travel(mongos, target).end, Settled)


@pytest.mark.parametrize(("living", "dead"), [(3, 2), (2, 1), (4, 1), (4, 3), (5, 2)])
def test_votes_of_dead_members_go_to_newcomers_one_by_one_and_those_who_live_stay_a_majority(living: int, dead: int) -> None:
    mongos = started(plan_of(*(member(n) for n in range(living + dead))))
    for gone in range(living, living + dead):
        mongos.mongods[f"h{gone}:27017"].up = False
    fresh = range(living + dead, living + 2 * dead)
    for number in fresh:
        mongos.add(f"h{number}:27017", syncs_in=2)
    old = len(mongos.history)
    target = plan_of(*(member(n, votes=int(not living <= n < living + dead)) for n in range(living + 2 * dead)))
    journey = travel(mongos, target)
    assert isinstance(journey.end, Settled), journey.end
    for config in mongos.history[old:]:
        voters = SetConfig.from_document(config).voters
        assert sum(voter.id < living for voter in voters) >= majority(len(voters)), (
            "the newcomers may be lost again at any moment"
        )
    assert {m.id for m in SetConfig.from_document(mongos.history[-1]).voters} == {*range(living), *fresh}


def test_dead_members_are_replaced_before_they_are_removed() -> None:
    mongos = started(plan_of(*(member(n) for n in range(5))))
    for dead in (3, 4):
        mongos.mongods[f"h{dead}:27017"].up = False
    for fresh in (5, 6):
        mongos.add(f"h{fresh}:27017")
    target = plan_of(*(member(n) for n in (0, 1, 2, 5, 6)))
    journey = travel(mongos, target)
    assert isinstance(journey.end, Settled)
    assert live_layout(mongos) == planned_layout(target)
    kinds = [type(step) for step in journey.steps]
    assert max(i for i, kind in enumerate(kinds) if kind is AddMember) < kinds.index(RemoveMember)


@pytest.mark.parametrize("alive", [True, False])
def test_an_arbiter_that_is_replaced_leaves_just_before_the_new_one_comes(alive: bool) -> None:
    before = plan_of(*(member(n) for n in range(4)), member(4, arbiter=True))
    mongos = FakeSet()
    for planned in before.members:
        mongos.add(planned.host)
    assert isinstance(travel(mongos, before).end, Settled)
    mongos.mongods["h4:27017"].up = alive
    target = plan_of(*(member(n) for n in range(4)), member(5, arbiter=True))
    unreached = travel(mongos, target)
    assert isinstance(unreached.end, Wait)
    assert unreached.steps == [], "the old one stays for as long as the new one does not answer"
    mongos.add("h5:27017")
    journey = travel(mongos, target)
    assert isinstance(journey.end, Settled)
    assert live_layout(mongos) == planned_layout(target)
    assert [type(step) for step in journey.steps[:2]] == [RemoveMember, AddMember]


def test_a_member_of_another_set_is_not_added() -> None:
    plan = plan_of(member(0))
    mongos = started(plan)
    grown = plan_of(member(0), member(1))
    view = replace(view_of(mongos, grown), probes={"h1:27017": Probe.FOREIGN})
    step = next_step(view, grown, "c1")
    assert isinstance(step, Wait)
    assert step.reason == "ForeignMember"


def test_an_uncommitted_configuration_is_waited_for() -> None:
    plan = plan_of(member(0), member(1))
    mongos = started(plan_of(member(0)))
    mongos.add("h1:27017")
    step = next_step(replace(view_of(mongos, plan), committed=False), plan, "c1")
    assert isinstance(step, Wait)
    assert step.reason == "ConfigNotCommitted"


def test_a_member_that_moved_keeps_its_number() -> None:
    plan = plan_of(member(0), member(1), member(2))
    mongos = started(plan)
    moved = next(host for host in mongos.mongods if host != mongos.primary)
    number = int(moved[1])
    mongod = mongos.mongods.pop(moved)
    mongod.host = "new:27017"
    mongos.mongods["new:27017"] = mongod
    target = replace(plan, members=tuple(replace(m, host="new:27017") if m.id == number else m for m in plan.members))
    assert isinstance(travel(mongos, target).end, Settled)
    assert live_layout(mongos)[number][0] == "new:27017"


@st.composite
def plans(draw: st.DrawFn) -> list[ReplsetPlan]:
    """A few plans in a row: numbers are never used again, at least one electable voter each."""
    result: list[ReplsetPlan] = []
    fresh = 0
    current: list[PlanMember] = []
    for _ in range(draw(st.integers(1, 3))):
        kept = [m for m in current if draw(st.booleans())]
        count = draw(st.integers(0 if kept else 1, 4))
        kept += [member(fresh + n, cluster=f"c{draw(st.integers(1, 3))}") for n in range(count)]
        fresh += count
        data = [m for m in kept if not m.arbiter_only]
        if not data:
            data = [member(fresh)]
            fresh += 1
        votes = [draw(st.booleans()) for _ in data]
        votes[0] = True
        chosen = [
            member(m.id, votes=int(v and i < 6), priority=None if i == 0 or draw(st.booleans()) else 0.0, cluster=m.cluster)
            for i, (m, v) in enumerate(zip(data, votes, strict=True))
        ]
        arbiter = draw(st.booleans())
        if arbiter:
            chosen.append(member(fresh, arbiter=True, cluster="c3"))
            fresh += 1
        result.append(replace(plan_of(*chosen), initiator="c1"))
        current = chosen
    first = result[0]
    result[0] = replace(first, members=(replace(first.members[0], cluster="c1"), *first.members[1:]))
    return result


@settings(max_examples=60, deadline=None)
@given(plans(), st.integers(0, 3))
def test_a_healthy_set_arrives_at_any_plan(sequence: list[ReplsetPlan], slowness: int) -> None:
    mongos = FakeSet()
    for plan in sequence:
        for planned in plan.members:
            if planned.host not in mongos.mongods:
                mongos.add(planned.host, syncs_in=slowness)
        journey = travel(mongos, plan)
        assert isinstance(journey.end, Settled), journey.end
        assert live_layout(mongos) == planned_layout(plan)
        kinds = [type(step) for step in journey.steps]
        if RemoveMember in kinds and AddMember in kinds:
            data = [i for i, step in enumerate(journey.steps) if isinstance(step, AddMember) and not step.member.arbiter_only]
            assert max(data, default=-1) < kinds.index(RemoveMember)
    assert sum("settings" in config and config["version"] == 1 for config in mongos.history) == 1


@settings(max_examples=60, deadline=None)
@given(plans(), st.data())
def test_a_set_with_members_that_come_and_go_never_loses_a_majority_by_our_doing(
    sequence: list[ReplsetPlan], data: st.DataObject
) -> None:
    mongos = FakeSet()
    for plan in sequence:
        for planned in plan.members:
            if planned.host not in mongos.mongods:
                mongos.add(planned.host)
        if mongos.primary is not None:
            spare, voters = voters_serving(mongos)
            candidates = sorted(host for host in mongos.mongods if host != mongos.primary)
            dead = (
                data.draw(st.lists(st.sampled_from(candidates), max_size=max(0, spare - majority(voters)), unique=True))
                if candidates
                else []
            )
            for host in dead:
                mongos.mongods[host].up = False
            travel(mongos, plan)
            for host in dead:
                mongos.mongods[host].up = True
        assert isinstance(travel(mongos, plan).end, Settled)
        assert live_layout(mongos) == planned_layout(plan)
