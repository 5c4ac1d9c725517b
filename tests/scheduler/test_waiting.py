"""Who waits is asked again when there is room for him, and nobody else is: compared with deciding anew."""

import asyncio
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fedstate.control.workqueue import WorkQueue
from fedstate.kube.objects import Key, KubeObject
from fedstate.scheduler.decision import Decision
from fedstate.scheduler.engine import Engine
from fedstate.scheduler.ledger import Ledger
from fedstate.scheduler.middleware import MONGODB, Demand
from fedstate.scheduler.profile import default_profile, profile_of
from fedstate.scheduler.snapshot import Fleet
from fedstate.scheduler.waiting import Waiting, members_lacking
from tests.api.objects import instance
from tests.scheduler.clusters import ENABLED, LOST, ONE_CPU, cluster

A, B, C = Key("n", "a"), Key("n", "b"), Key("n", "c")


class Place:
    """Clusters, what is booked there, and who waits."""

    def __init__(self, *clusters: KubeObject, permits: tuple[str, ...] = ()) -> None:
        self.fleet, self.ledger = Fleet(), Ledger()
        profile = profile_of({"permits": list(permits)}) if permits else default_profile()
        self.engine = Engine(self.fleet, self.ledger, profile)
        self.waiting = Waiting(lambda demand: self.engine.room(demand, MONGODB.template, now=0.0))
        self.demands: dict[Key, Demand] = {}
        self.put(*clusters)

    def put(self, *clusters: KubeObject) -> None:
        for one in clusters:
            self.fleet.put(one)
            self.waiting.cluster_changed()

    def decide(self, key: Key) -> Decision:
        return self.engine.decide(self.demands[key], MONGODB.template, now=0.0)

    def wants(self, key: Key, spec: dict[str, Any] | None = None, result: str = "") -> Decision:
        """The instance is decided upon; whether it has to wait."""
        metadata = {"annotations": {"schedulerResult": result}} if result else {}
        self.demands[key] = MONGODB.demand_of(instance(ONE_CPU | (spec or {}), name=key.name, **metadata))
        decision = self.decide(key)
        if self.settled(decision):
            self.waiting.discard(key)
        else:
            self.waiting.add(key, self.demands[key], decision)
        return decision

    @staticmethod
    def settled(decision: Decision) -> bool:
        return decision.complete and not decision.stuck

    def helped(self) -> list[Key]:
        return [key for group in self.waiting.helped() for key in group]


def placed(**members: int) -> str:
    entries = ",".join(f'{{"cluster":"{name}","replicaset":{count}}}' for name, count in members.items())
    return f'{{"ClusterWithReplicaset":[{entries}]}}'


OTHERS = [{"groupVersion": "apps/v1", "resources": [{"kind": "Deployment", "name": "deployments"}]}]
TAINT = [{"key": "k", "effect": "NoSchedule"}]


@pytest.mark.parametrize(
    ("spec", "before", "after", "helped"),
    [
        ({}, [cluster("a", cpu="2")], [cluster("a", cpu="3")], True),
        ({}, [cluster("a", cpu="2")], [cluster("a", cpu="2.9")], False),
        ({}, [cluster("a", cpu="2")], [cluster("a", cpu="1")], False),
        ({}, [cluster("a", cpu="2")], [cluster("b", cpu="1")], True),
        ({}, [cluster("a", cpu="1")], [cluster("b", cpu="1")], False),
        ({}, [cluster("a", cpu="2")], [cluster("a", cpu="2", taints=TAINT)], False),
        ({}, [cluster("a", taints=TAINT)], [cluster("a")], True),
        ({}, [cluster("a", conditions=[LOST])], [cluster("a")], True),
        ({}, [cluster("a", vip=None)], [cluster("a")], True),
        ({}, [cluster("a", vip="v"), cluster("b", vip="v")], [cluster("b", vip="w", taints=TAINT)], True),
        ({}, [cluster("a", apis=OTHERS)], [cluster("a", apis=ENABLED)], True),
        ({}, [cluster("a", cpu="2")], [cluster("a", cpu=None)], True),
        ({}, [cluster("a", cpu="2")], [cluster("a", cpu="2", labels={"gpu": "no"})], False),
        ({"spreadConstraints": {"nodeSelect": {"gpu": "yes"}}}, [cluster("a")], [cluster("a", labels={"gpu": "yes"})], True),
        ({"spreadConstraints": {"nodeSelect": {"gpu": "yes"}}}, [cluster("a")], [cluster("a", labels={"gpu": "no"})], False),
        ({"spreadConstraints": {"nodeSelect": {"gpu": "yes"}}}, [cluster("a")], [cluster("b", labels={"ssd": "yes"})], False),
        ({"spreadConstraints": {"clusterNames": ["b"]}}, [cluster("a")], [cluster("c")], False),
        ({"spreadConstraints": {"clusterNames": ["b"]}}, [cluster("a")], [cluster("b")], True),
        ({"spreadConstraints": {"maxMembersPerCluster": 1}}, [cluster("a"), cluster("b")], [cluster("a", cpu="99")], False),
        ({"spreadConstraints": {"maxMembersPerCluster": 1}}, [cluster("a"), cluster("b")], [cluster("c")], True),
        ({"config": {"arbiter": True}}, [cluster("a", cpu="3")], [cluster("a", cpu="4")], True),
        ({"config": {"arbiter": True}}, [cluster("a", cpu="2")], [cluster("a", cpu="3")], False),
        ({"scheduler": {"schedulerMode": "Weighting"}}, [cluster("a", cpu="2")], [cluster("a", cpu="3")], True),
    ],
)
def test_a_change_helps_or_does_not(
    spec: dict[str, Any], before: list[KubeObject], after: list[KubeObject], helped: bool
) -> None:
    here = Place(*before)
    assert not here.wants(A, spec).complete
    assert here.helped() == []
    here.put(*after)
    assert here.helped() == ([A] if helped else [])
    assert here.settled(here.decide(A)) is helped


def test_an_instance_that_goes_helps_as_many_as_it_made_room_for_in_the_order_in_which_they_wait() -> None:
    here = Place(cluster("a", cpu="5"))
    gone = Key("n", "gone")
    demand = MONGODB.demand_of(instance(ONE_CPU))
    here.ledger.observe(gone, {"a": 5}, demand.shape, {}, 0.0)
    here.wants(A, {"replicaset": 3})
    here.wants(B, {"replicaset": 4})
    here.wants(C, {"replicaset": 2})
    here.ledger.forget(gone)
    assert here.helped() == [A, C]


def test_instances_that_ask_for_something_else_are_asked_about_by_themselves() -> None:
    here = Place(cluster("a", cpu="1"))
    here.wants(A, {"replicaset": 1, "resource": {"requests": {"cpu": "4"}}})
    here.wants(B, {"replicaset": 2})
    here.put(cluster("a", cpu="3"))
    assert here.helped() == [B]


def test_who_is_held_by_a_permit_is_asked_again_when_any_cluster_has_changed_and_only_then() -> None:
    here = Place(cluster("a"), permits=("SurvivesAnyLoss",))
    assert here.wants(A).held
    here.helped()
    assert here.helped() == []
    here.waiting.room_changed()
    assert here.helped() == []
    here.put(cluster("a", labels={"x": "y"}))
    assert here.helped() == [A]


def test_who_shrinks_and_lacks_a_place_for_its_arbiter_is_asked_again_when_any_cluster_has_changed() -> None:
    here = Place(cluster("a", cpu="0"))
    assert not here.wants(A, {"replicaset": 1, "config": {"arbiter": True}}, placed(a=1, d=1)).complete
    here.put(cluster("a", cpu="0", labels={"x": "y"}))
    assert here.helped() == [A]


def test_members_that_should_leave_a_cluster_are_asked_about_when_others_have_room_for_them() -> None:
    here = Place(cluster("a"), cluster("b", cpu="1"))
    decision = here.wants(A, {"spreadConstraints": {"excludeClusterNames": ["a"]}}, placed(a=3))
    assert decision.stuck == ("a",)
    here.put(cluster("b", cpu="2"))
    assert here.helped() == []
    here.put(cluster("b", cpu="3"))
    assert here.helped() == [A]
    assert not here.decide(A).stuck


def test_who_is_placed_or_gone_is_not_asked_about() -> None:
    here = Place(cluster("a", cpu="2"))
    here.wants(A)
    here.wants(B)
    here.put(cluster("a", cpu="9"))
    here.waiting.discard(A)
    here.waiting.discard(A)
    assert (list(here.waiting), len(here.waiting), here.helped()) == ([B], 1, [B])


def test_who_changes_its_wishes_waits_among_others() -> None:
    here = Place(cluster("a", cpu="2"))
    here.wants(A)
    here.wants(A, {"replicaset": 2, "resource": {"requests": {"cpu": "2"}}})
    here.put(cluster("a", cpu="3"))
    assert here.helped() == []
    here.put(cluster("a", cpu="4"))
    assert here.helped() == [A]


NAMES = "abcd"
some_clusters = st.lists(
    st.builds(
        cluster,
        st.sampled_from(NAMES),
        cpu=st.sampled_from(["0", "1", "2", "3", "5", None]),
        used=st.sampled_from(["0", "1"]),
        labels=st.sampled_from([{}, {"gpu": "yes"}]),
        taints=st.sampled_from([[], [], TAINT]),
        conditions=st.sampled_from([None, None, [LOST]]),
    ),
    min_size=1,
    max_size=4,
)
some_spec = st.builds(
    lambda members, arbiter, mode, most, select, out: {
        "replicaset": members,
        "config": {"arbiter": arbiter},
        "scheduler": {"schedulerMode": mode},
        "spreadConstraints": {"maxMembersPerCluster": most, "nodeSelect": select, "excludeClusterNames": out},
    },
    st.integers(1, 7),
    st.booleans(),
    st.sampled_from(["Uniform", "Weighting"]),
    st.sampled_from([None, None, 1, 2]),
    st.sampled_from([{}, {}, {"gpu": "yes"}]),
    st.sampled_from([[], [], ["a"]]),
)
some_result = st.one_of(
    st.just(""), st.dictionaries(st.sampled_from(NAMES), st.integers(1, 2), min_size=1, max_size=3).map(lambda at: placed(**at))
)


@given(before=some_clusters, after=some_clusters, spec=some_spec, result=some_result)
def test_exactly_those_are_asked_again_who_would_fare_better(
    before: list[KubeObject], after: list[KubeObject], spec: dict[str, Any], result: str
) -> None:
    here = Place(*before)
    first = here.wants(A, spec, result)
    current = here.demands[A].current
    assume(not here.settled(first) and (current is None or current.total <= here.demands[A].members))
    assert here.helped() == []
    here.put(*after)
    again = here.decide(A)
    better = here.settled(again) if first.complete else again.complete
    assert here.helped() == ([A] if better else [])


@given(
    room=st.integers(0, 12),
    more=st.integers(0, 20),
    members=st.lists(st.integers(1, 7), min_size=1, max_size=5),
)
def test_of_many_those_are_asked_who_would_be_placed_one_after_the_other(room: int, more: int, members: list[int]) -> None:
    here = Place(cluster("a", cpu=str(room)), cluster("b", cpu="0"))
    keys = [Key("n", f"k{number}") for number in range(len(members))]
    for key, count in zip(keys, members, strict=True):
        here.wants(key, {"replicaset": count})
    waiting = list(here.waiting)
    here.put(cluster("b", cpu=str(more)))
    helped = here.helped()
    expected = []
    for key in waiting:
        decision = here.decide(key)
        if decision.complete and decision.placement is not None:
            expected.append(key)
            here.ledger.observe(key, decision.placement.members, here.demands[key].shape, {}, 0.0)
    assert helped == expected


@pytest.mark.parametrize(
    ("result", "leaving", "lacking"),
    [("", (), 4), (placed(a=2), (), 2), (placed(a=2, b=1), ("a",), 3), (placed(a=3, b=3), (), 1)],
)
def test_the_members_that_an_instance_lacks(result: str, leaving: tuple[str, ...], lacking: int) -> None:
    metadata = {"annotations": {"schedulerResult": result}} if result else {}
    demand = MONGODB.demand_of(instance({"config": {"arbiter": True}}, **metadata))
    assert members_lacking(demand, leaving) == lacking


@pytest.mark.looptime
async def test_room_that_comes_to_one_cluster_after_the_other_is_asked_about_when_all_have_it() -> None:
    place = Place(cluster("a", cpu="0"))
    assert not place.wants(A, {"replicaset": 3}).complete
    queue = WorkQueue()
    task = asyncio.create_task(place.waiting.run(queue))
    await asyncio.sleep(5)
    for name in ("a", "b", "c"):
        place.put(cluster(name, cpu="8"))
        await asyncio.sleep(0.6)
        assert len(queue) == 0, "nobody takes the first cluster for all members"
    await asyncio.sleep(1)
    assert len(queue) == 1
    decision = place.decide(A)
    assert decision.placement is not None
    assert len(decision.placement.clusters) == 3
    task.cancel()
