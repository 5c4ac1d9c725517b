"""How one member plan follows another: lives of a set played through, and what must hold at every step."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.api.replset import (
    PlanMember,
    ReplsetPlan,
    ReportedMember,
    compose_plan,
    hostconf_data,
    member_host,
)
from fedstate.errors import FedstateError


def member(
    cluster: str, ordinal: int, *, role: str = "SECONDARY", ready: bool = True, host: str = "", arbiter: bool = False
) -> ReportedMember:
    return ReportedMember(
        cluster=cluster,
        member=f"x-replset-{ordinal}",
        ordinal=ordinal,
        host=host or f"{cluster}:3100{ordinal}",
        ready=ready,
        role=role,
        arbiter=arbiter,
    )


def plan_of(
    previous: ReplsetPlan | None,
    wanted: Mapping[str, int],
    reported: Sequence[ReportedMember],
    *,
    arbiter: str | None = None,
    primary: str | None = None,
    fading: frozenset[str] = frozenset(),
) -> ReplsetPlan:
    return compose_plan(
        previous=previous,
        replset_name="x",
        wanted=wanted,
        arbiter_cluster=arbiter,
        reported=reported,
        primary_host=primary,
        initiator="a",
        fading=fading,
    )


def names(plan: ReplsetPlan) -> list[str]:
    return [f"{m.cluster}{m.member[-1]}" for m in plan.members]


def test_members_join_as_their_addresses_become_known() -> None:
    first = plan_of(None, {"a": 2, "b": 1}, [])
    assert (first.members, first.generation) == ((), 1)
    waiting = ReportedMember(cluster="b", member="x-replset-0", ordinal=0, host="", ready=False, role="")
    second = plan_of(first, {"a": 2, "b": 1}, [member("a", 0, role=""), waiting])
    assert [(m.id, m.host) for m in second.members] == [(0, "a:31000")]
    third = plan_of(second, {"a": 2, "b": 1}, [member("a", 0), member("a", 1), member("b", 0)])
    assert [(m.id, m.host, m.votes) for m in third.members] == [(0, "a:31000", 1), (1, "a:31001", 1), (2, "b:31000", 1)]
    assert third.generation == 3


def test_the_same_facts_give_the_same_plan() -> None:
    reported = [member("a", 0), member("b", 0), member("c", 0)]
    plan = plan_of(None, {"a": 1, "b": 1, "c": 1}, reported)
    assert plan_of(plan, {"a": 1, "b": 1, "c": 1}, list(reversed(reported))) == plan


def test_a_move_adds_first_and_removes_only_when_the_new_member_has_the_data() -> None:
    old = [member("a", 0, role="PRIMARY"), member("b", 0), member("c", 0)]
    plan = plan_of(None, {"a": 1, "b": 1, "c": 1}, old)
    wanted = {"a": 1, "b": 1, "d": 1}
    assert plan_of(plan, wanted, old) == plan
    plan = plan_of(plan, wanted, [*old, member("d", 0, role="")])
    assert names(plan) == ["a0", "b0", "c0", "d0"]
    assert plan_of(plan, wanted, [*old, member("d", 0, role="STARTUP2")]) == plan
    plan = plan_of(plan, wanted, [*old, member("d", 0)])
    assert names(plan) == ["a0", "b0", "d0"]
    assert [gone.identity for gone in plan.retiring] == [("c", "x-replset-0")]
    plan = plan_of(plan, wanted, [old[0], old[1], member("d", 0)])
    assert plan.retiring == ()


def test_shrinking_takes_the_down_first_then_the_newest_and_the_primary_last() -> None:
    reported = [member("a", 0), member("a", 1, ready=False, role=""), member("a", 2), member("a", 3, role="PRIMARY")]
    plan = plan_of(None, {"a": 4}, reported)
    shrunk = plan_of(plan, {"a": 3}, reported, primary="a:31003")
    assert names(shrunk) == ["a0", "a2", "a3"]
    assert names(plan_of(shrunk, {"a": 2}, reported, primary="a:31003")) == ["a0", "a3"]
    assert names(plan_of(shrunk, {"a": 1}, reported, primary="a:31003")) == ["a3"]
    assert names(plan_of(shrunk, {}, reported, primary="a:31003")) == []


def test_a_new_address_keeps_the_id() -> None:
    plan = plan_of(None, {"a": 1}, [member("a", 0)])
    moved = plan_of(plan, {"a": 1}, [member("a", 0, host="a:32222")])
    assert [(m.id, m.host) for m in moved.members] == [(0, "a:32222")]
    assert moved.generation == plan.generation + 1


def test_a_silent_cluster_keeps_its_members() -> None:
    reported = [member("a", 0), member("b", 0), member("c", 0)]
    plan = plan_of(None, {"a": 1, "b": 1, "c": 1}, reported)
    assert plan_of(plan, {"a": 1, "b": 1, "c": 1}, reported[:2]) == plan


def test_a_member_lost_for_good_is_replaced_by_the_one_its_cluster_made_instead() -> None:
    plan = plan_of(None, {"a": 2}, [member("a", 0), member("a", 1)])
    plan = plan_of(plan, {"a": 2}, [member("a", 0), member("a", 2, role="")])
    assert names(plan) == ["a0", "a1", "a2"]
    plan = plan_of(plan, {"a": 2}, [member("a", 0), member("a", 2)])
    assert names(plan) == ["a0", "a2"]


def test_a_member_nobody_wants_any_more_retires_without_having_joined() -> None:
    plan = plan_of(None, {"a": 1}, [member("a", 0), member("a", 1, role="")])
    assert names(plan) == ["a0"]
    assert [gone.member for gone in plan.retiring] == ["x-replset-1"]


def test_the_arbiter_votes_without_priority_and_moves_by_leaving_first() -> None:
    reported = [member("a", 0), member("a", 1), member("b", 0), member("b", 1)]
    arbiter = member("c", 0, role="ARBITER", arbiter=True)
    plan = plan_of(None, {"a": 2, "b": 2}, [*reported, arbiter], arbiter="c")
    assert [(m.votes, m.priority) for m in plan.members if m.arbiter_only] == [(1, 0.0)]
    assert sum(m.votes for m in plan.members) == 5
    moved = plan_of(plan, {"a": 2, "b": 2}, [*reported, arbiter, member("d", 0, arbiter=True)], arbiter="d")
    assert [m.cluster for m in moved.members if m.arbiter_only] == ["d"]
    assert [gone.cluster for gone in moved.retiring] == ["c"]
    assert not any(m.arbiter_only for m in plan_of(plan, {"a": 2, "b": 2}, [*reported, arbiter]).members)


def test_no_vote_means_no_priority() -> None:
    plan = plan_of(None, {"a": 3, "b": 1, "c": 1}, [member("a", n) for n in range(3)] + [member("b", 0), member("c", 0)])
    assert {(m.votes, m.priority) for m in plan.members} == {(1, 1.0), (0, 0.0)}
    assert sum(m.votes for m in plan.members) == 3


def test_hostconf_has_the_plan_and_a_line_for_every_address() -> None:
    plan = plan_of(None, {"a": 2}, [member("a", 0), member("a", 1), member("b", 0, arbiter=True)], arbiter="b")
    data = hostconf_data(plan)
    assert data["datas"] == "host:'a:31000'\nhost:'a:31001'"
    assert data["arbiters"] == "host:'b:31000'"
    assert ReplsetPlan.from_json(data["replset.json"]) == plan


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"members":[{}]}', '{"members":[],"replSetName":"x"}', "null"])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(FedstateError, match=r"replset\.json holds no member plan"):
        ReplsetPlan.from_json(text)


def test_an_ipv6_vip_goes_into_brackets() -> None:
    assert member_host("fd00::1", 31000) == "[fd00::1]:31000"
    assert member_host("10.0.0.1", 31000) == "10.0.0.1:31000"


class World:
    """Data planes that do what the contract says, step by step, under plans."""

    def __init__(self) -> None:
        self.members: dict[tuple[str, int], str] = {}
        self.next_ordinal: dict[str, int] = {}
        self.plan: ReplsetPlan | None = None
        self.ids_seen: dict[int, tuple[str, str]] = {}

    def step(self, wanted: Mapping[str, int], down: frozenset[tuple[str, int]], *, finish: bool) -> ReplsetPlan:
        retiring = {gone.identity for gone in self.plan.retiring} if self.plan else set()
        for cluster in "abcd":
            kept = [key for key in self.members if key[0] == cluster and (cluster, f"x-replset-{key[1]}") not in retiring]
            for _ in range(wanted.get(cluster, 0) - len(kept)):
                ordinal = self.next_ordinal.get(cluster, 0)
                self.next_ordinal[cluster] = ordinal + 1
                self.members[cluster, ordinal] = ""
        if finish:
            self.members = {key: "SECONDARY" for key in self.members if (key[0], f"x-replset-{key[1]}") not in retiring}
        reported = [
            member(cluster, ordinal, role="" if (cluster, ordinal) in down else role, ready=(cluster, ordinal) not in down)
            for (cluster, ordinal), role in self.members.items()
        ]
        up = [m.host for m in reported if m.ready and m.role]
        before = self.plan
        self.plan = plan_of(before, wanted, reported, primary=up[0] if up else None)
        self._check(before, wanted, up[0] if up else None, reported)
        return self.plan

    def _check(
        self, before: ReplsetPlan | None, wanted: Mapping[str, int], primary: str | None, reported: Sequence[ReportedMember]
    ) -> None:
        plan = self.plan
        assert plan is not None
        for planned in plan.members:
            assert self.ids_seen.setdefault(planned.id, planned.identity) == planned.identity
        assert len({m.id for m in plan.members}) == len(plan.members)
        assert all(m.id < plan.next_member_id for m in plan.members)
        assert sum(m.votes for m in plan.members) <= 7
        assert not {m.identity for m in plan.members} & {gone.identity for gone in plan.retiring}
        assert plan_of(plan, wanted, reported, primary=primary).members is not None
        if before is None:
            return
        assert plan.generation == before.generation + (plan != before)
        left = [m for m in before.members if m.identity not in {stays.identity for stays in plan.members}]
        if left:
            assert all(sum(m.cluster == cluster for m in plan.members) >= count for cluster, count in wanted.items())
        for gone in left:
            if gone.host == primary:
                assert not any(m.cluster == gone.cluster and not m.arbiter_only for m in plan.members)


WANTED = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3), max_size=4)
DOWN = st.frozensets(st.tuples(st.sampled_from("abcd"), st.integers(0, 4)), max_size=3)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(WANTED, DOWN, st.booleans()), min_size=1, max_size=8))
def test_whatever_is_wanted_ids_are_never_reused_and_the_primary_goes_last(
    steps: list[tuple[dict[str, int], frozenset[tuple[str, int]], bool]],
) -> None:
    world = World()
    for wanted, down, finish in steps:
        world.step(wanted, down, finish=finish)
    wanted = steps[-1][0]
    for _ in range(4):
        plan = world.step(wanted, frozenset(), finish=True)
    counts = {cluster: sum(m.cluster == cluster for m in plan.members) for cluster in "abcd"}
    assert counts == {cluster: wanted.get(cluster, 0) for cluster in "abcd"}
    assert plan.retiring == ()
    assert world.step(wanted, frozenset(), finish=True) == plan


def test_a_plan_member_reads_back_as_it_was_written() -> None:
    planned = PlanMember(
        id=3, host="h:1", cluster="a", member="x-replset-1", votes=0, priority=0.0, hidden=True, tags={"cluster": "a"}
    )
    assert PlanMember.from_object(planned.to_object()) == planned


def test_a_fading_cluster_keeps_votes_only_for_members_without_a_successor() -> None:
    ready = [member("a", 0), member("a", 1), member("b", 0), member("b", 1), member("c", 0)]
    before = plan_of(None, {"a": 2, "b": 2, "c": 1}, ready)
    wanted = {"a": 2, "b": 2, "c": 1, "d": 2}
    fading = frozenset("a")
    votes = []
    plan = before
    for newcomers in range(3):
        told = ready + [member("d", number) for number in range(newcomers)]
        plan = plan_of(plan, wanted, told, fading=fading)
        votes.append([m.votes for m in plan.members])
    assert votes == [[1, 1, 1, 1, 1], [1, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1, 1]]
    assert plan_of(plan, wanted, told, fading=fading) == plan
