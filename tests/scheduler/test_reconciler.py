"""What the scheduler writes and when, and what it leaves alone."""

import copy
import json
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from fedstate.api.naming import ANNOTATION_REBALANCE, ANNOTATION_REBALANCED
from fedstate.control.reconciler import DONE
from fedstate.errors import TerminalError
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import TransportError
from fedstate.kube.events import EventRecorder
from fedstate.kube.objects import Key, KubeObject, key_of
from fedstate.kube.resources import Resource
from fedstate.kube.store import Store
from fedstate.scheduler.engine import Engine
from fedstate.scheduler.ledger import Ledger
from fedstate.scheduler.middleware import MONGODB
from fedstate.scheduler.profile import default_profile
from fedstate.scheduler.reconciler import AFTER_DUE, LOOK_AGAIN, STALE_CACHE, SchedulerReconciler
from fedstate.scheduler.snapshot import Fleet
from tests.api.objects import instance
from tests.scheduler.clusters import LOST, ONE_CPU, cluster

ORDERS = Key("shop", "orders")


class Control:
    """A control plane of one collection: applies go to the objects at once, and to the cache unless it lags."""

    def __init__(self) -> None:
        self.cache = Store("instances")
        self.objects: dict[Key, KubeObject] = {}
        self.writes: list[tuple[str, KubeObject]] = []
        self.told: list[tuple[str, str]] = []
        self.lagging = False
        self.broken = False
        self.version = 10
        self.fleet = Fleet()
        self.ledger = Ledger()
        self.clock = 1000.0
        self.scheduler = SchedulerReconciler(
            cast(KubeClient, self),
            cast(EventRecorder, self),
            MONGODB,
            self.cache,
            Engine(self.fleet, self.ledger, default_profile()),
            self.ledger,
        )
        self.scheduler.now = lambda: datetime(2026, 1, 1, tzinfo=UTC)
        self.scheduler.monotonic = lambda: self.clock

    def put(self, obj: KubeObject) -> None:
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        self.objects[key_of(obj)] = obj
        if not self.lagging:
            self.cache.set(copy.deepcopy(obj))

    async def apply(
        self, resource: Resource, obj: KubeObject, *, subresource: str = "", field_manager: str | None = None
    ) -> KubeObject:
        if self.broken:
            raise TransportError("no route")
        assert field_manager == "fedstate-scheduler"
        live = copy.deepcopy(self.objects[key_of(obj)])
        assert obj["metadata"]["uid"] == live["metadata"]["uid"]
        if subresource == "status":
            kept = [c for c in live.get("status", {}).get("conditions", []) if c["type"] != "Scheduled"]
            live["status"] = live.get("status", {}) | obj["status"] | {"conditions": [*kept, *obj["status"]["conditions"]]}
        else:
            assert "spec" not in obj
            live["metadata"]["annotations"] = live["metadata"].get("annotations", {}) | obj["metadata"]["annotations"]
        self.writes.append((subresource, obj))
        self.put(live)
        return live

    async def place_and_tell(self, key: Key = ORDERS) -> None:
        await self.scheduler.reconcile(key)
        await self.scheduler.reconcile(key)

    def event(self, obj: KubeObject, type: str, reason: str, note: str, *, action: str = "") -> None:
        self.told.append((type, reason))

    def result(self, key: Key = ORDERS) -> str | None:
        return cast("str | None", self.objects[key]["metadata"].get("annotations", {}).get("schedulerResult"))

    def scheduled(self, key: Key = ORDERS) -> dict[str, Any]:
        conditions = self.objects[key].get("status", {}).get("conditions", [])
        return next((condition for condition in conditions if condition["type"] == "Scheduled"), {})


@pytest.fixture
def control() -> Control:
    return Control()


async def test_a_new_instance_gets_one_annotation_write_and_in_the_next_pass_one_status_write(control: Control) -> None:
    for name in "abc":
        control.fleet.put(cluster(name))
    control.put(instance(ONE_CPU))
    assert await control.scheduler.reconcile(ORDERS) == DONE
    assert [subresource for subresource, _ in control.writes] == [""]
    assert (len(control.scheduler.stories), control.told) == (1, [])
    assert await control.scheduler.reconcile(ORDERS) == DONE
    assert [subresource for subresource, _ in control.writes] == ["", "status"]
    assert control.result() == (
        '{"ClusterWithReplicaset":[{"cluster":"a","replicaset":1},{"cluster":"b","replicaset":1},{"cluster":"c","replicaset":1}]}'
    )
    assert (control.scheduled()["status"], control.scheduled()["observedGeneration"]) == ("True", 3)
    assert control.told == [("Normal", "Scheduled")]


async def test_a_settled_instance_is_not_written_again(control: Control) -> None:
    control.fleet.put(cluster("a"))
    control.put(instance(ONE_CPU))
    await control.place_and_tell()
    control.writes.clear()
    control.fleet.put(cluster("a", used="9"))
    control.fleet.put(cluster("b"))
    assert await control.scheduler.reconcile(ORDERS) == DONE
    assert control.writes == []


async def test_an_instance_without_a_place_waits_and_is_placed_when_one_appears(control: Control) -> None:
    control.fleet.put(cluster("a", conditions=[LOST]))
    control.put(instance(ONE_CPU))
    result = await control.scheduler.reconcile(ORDERS)
    assert result.requeue_after == LOOK_AGAIN
    assert (control.result(), list(control.scheduler.waiting)) == (None, [ORDERS])
    assert control.scheduled()["message"] == "0/1 clusters can run a member: a: not Ready (ClusterNotReachable)."
    await control.scheduler.reconcile(ORDERS)
    assert control.told == [("Warning", "FailedScheduling")]
    control.fleet.put(cluster("a"))
    assert await control.scheduler.reconcile(ORDERS) == DONE
    assert control.result() == '{"ClusterWithReplicaset":[{"cluster":"a","replicaset":3}]}'
    assert list(control.scheduler.waiting) == []


async def test_instances_of_another_scheduler_are_left_alone(control: Control) -> None:
    control.fleet.put(cluster("a"))
    control.put(instance({"scheduler": {"schedulerName": "mine"}}))
    assert await control.scheduler.reconcile(ORDERS) == DONE
    assert control.writes == []


async def test_what_another_scheduler_placed_is_not_given_away_again(control: Control) -> None:
    control.fleet.put(cluster("a", cpu="4"))
    taken = {"schedulerResult": '{"ClusterWithReplicaset":[{"cluster":"a","replicaset":3}]}'}
    control.put(instance(ONE_CPU | {"scheduler": {"schedulerName": "mine"}}, name="other", uid="u9", annotations=taken))
    control.put(instance(ONE_CPU))
    await control.scheduler.reconcile(ORDERS)
    assert control.result() is None
    assert "a: fits 1 member" in control.scheduled()["message"]


async def test_two_instances_do_not_get_the_same_capacity(control: Control) -> None:
    control.fleet.put(cluster("a", cpu="4"))
    control.put(instance(ONE_CPU))
    control.put(instance(ONE_CPU, name="other", uid="u9"))
    await control.scheduler.reconcile(ORDERS)
    await control.scheduler.reconcile(Key("shop", "other"))
    assert control.result() is not None
    assert control.result(Key("shop", "other")) is None


async def test_capacity_is_free_again_when_its_instance_is_gone(control: Control) -> None:
    control.fleet.put(cluster("a", cpu="4"))
    control.put(instance(ONE_CPU))
    control.put(instance(ONE_CPU, name="other", uid="u9"))
    await control.scheduler.reconcile(ORDERS)
    control.cache.discard(control.objects.pop(ORDERS))
    await control.scheduler.reconcile(ORDERS)
    await control.scheduler.reconcile(Key("shop", "other"))
    assert control.result(Key("shop", "other")) is not None


async def test_a_cache_behind_our_own_write_is_waited_for(control: Control) -> None:
    control.fleet.put(cluster("a"))
    control.put(instance(ONE_CPU))
    control.lagging = True
    await control.scheduler.reconcile(ORDERS)
    control.writes.clear()
    result = await control.scheduler.reconcile(ORDERS)
    assert (result.requeue_after, control.writes) == (STALE_CACHE, [])
    control.lagging = False
    control.cache.set(copy.deepcopy(control.objects[ORDERS]))
    assert await control.scheduler.reconcile(ORDERS) == DONE


async def test_a_write_that_failed_is_tried_again_to_the_same_end(control: Control) -> None:
    control.fleet.put(cluster("a"))
    control.put(instance(ONE_CPU))
    control.broken = True
    with pytest.raises(TransportError):
        await control.scheduler.reconcile(ORDERS)
    control.broken = False
    await control.scheduler.reconcile(ORDERS)
    assert control.result() == '{"ClusterWithReplicaset":[{"cluster":"a","replicaset":3}]}'


async def test_a_spec_that_makes_no_sense_is_said_in_the_condition(control: Control) -> None:
    control.put(instance({"replicaset": 0}))
    with pytest.raises(TerminalError):
        await control.scheduler.reconcile(ORDERS)
    assert (control.scheduled()["reason"], control.scheduled()["message"]) == (
        "InvalidSpec",
        "spec.replicaset must be from 1 to 50, not 0",
    )


async def test_a_result_broken_by_hand_is_not_replaced(control: Control) -> None:
    control.fleet.put(cluster("a"))
    control.put(instance(ONE_CPU, annotations={"schedulerResult": "{"}))
    with pytest.raises(TerminalError):
        await control.scheduler.reconcile(ORDERS)
    assert control.result() == "{"
    assert control.scheduled()["reason"] == "PlacementInvalid"


async def test_an_instance_that_is_being_deleted_is_left_alone(control: Control) -> None:
    control.fleet.put(cluster("a"))
    control.put(instance(ONE_CPU, deletionTimestamp="2026-01-01T00:00:00Z"))
    assert await control.scheduler.reconcile(ORDERS) == DONE
    assert control.writes == []


async def test_a_first_placement_waits_for_clusters_that_have_just_joined(control: Control) -> None:
    control.fleet.put(cluster("a"))
    born = {"creationTimestamp": "2025-12-31T23:59:30Z"}
    control.fleet.put(cluster("b", metadata=born, conditions=[{"type": "CompleteAPIEnablements", "status": "True"}]))
    control.put(instance(ONE_CPU))
    await control.scheduler.reconcile(ORDERS)
    assert control.result() is None
    assert control.scheduled()["message"].startswith("Waiting for the first report of b;")
    control.scheduler.now = lambda: datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    await control.scheduler.reconcile(ORDERS)
    assert control.result() == '{"ClusterWithReplicaset":[{"cluster":"a","replicaset":3}]}'


async def test_the_loss_of_a_cluster_is_reported_once_and_moves_nothing(control: Control) -> None:
    for name in "abc":
        control.fleet.put(cluster(name))
    control.put(instance(ONE_CPU))
    await control.place_and_tell()
    before = control.result()
    control.writes.clear()
    control.fleet.put(cluster("b", conditions=[LOST]))
    await control.scheduler.reconcile(ORDERS)
    await control.scheduler.reconcile(ORDERS)
    assert [subresource for subresource, _ in control.writes] == ["status"]
    assert (control.result(), control.scheduled()["status"]) == (before, "True")
    assert "b is lost" in control.objects[ORDERS]["status"]["scheduling"]["message"]


def running(control: Control, *down: str, primary: bool = True) -> None:
    """What federation says of an instance of which the members in these clusters are down."""
    obj = copy.deepcopy(control.objects[ORDERS])
    clusters = json.loads(control.result() or "{}")["ClusterWithReplicaset"]
    members = [
        {"cluster": e["cluster"], "role": "DOWN" if e["cluster"] in down else "SECONDARY", "configured": True} for e in clusters
    ]
    conditions = [c for c in obj.get("status", {}).get("conditions", []) if c["type"] != "MajorityLost"]
    lost = {"type": "MajorityLost", "status": str(not primary), "reason": "x", "message": ""}
    obj["status"] = obj.get("status", {}) | {"replicaSet": {"members": members}, "conditions": [*conditions, lost]}
    obj["status"].pop("primary", None)
    if primary:
        obj["status"]["primary"] = {"host": "x"}
    control.put(obj)


async def placed_on(control: Control, names: str, **spec: Any) -> None:
    for name in names:
        control.fleet.put(cluster(name))
    control.put(instance(ONE_CPU | spec))
    await control.place_and_tell()
    running(control)
    control.writes.clear()
    control.told.clear()


async def test_members_of_a_lost_cluster_are_placed_elsewhere_when_the_toleration_is_over_and_do_not_come_back(
    control: Control,
) -> None:
    await placed_on(control, "abcd", failover={"tolerationSeconds": 60})
    control.fleet.put(cluster("b", conditions=[LOST]))
    running(control, "b")
    assert (await control.scheduler.reconcile(ORDERS)).requeue_after == 60.0 + AFTER_DUE
    before = control.result()
    message = control.objects[ORDERS]["status"]["scheduling"]["message"]
    assert message.endswith(
        "b is lost (not Ready (ClusterNotReachable)); its 1 member stays placed there: "
        "nothing is moved before this has lasted 60 s (spec.failover.tolerationSeconds)."
    )
    control.clock += 59
    assert (await control.scheduler.reconcile(ORDERS)).requeue_after == 1.0 + AFTER_DUE
    assert control.result() == before
    control.clock += 1.1
    control.writes.clear()
    await control.scheduler.reconcile(ORDERS)
    assert [subresource for subresource, _ in control.writes] == [""], "the placement first, its story in a later pass"
    moved = control.result()
    assert [entry["cluster"] for entry in json.loads(moved or "")["ClusterWithReplicaset"]] == ["a", "c", "d"]
    assert control.told == [("Normal", "MembersMoved")]
    control.fleet.put(cluster("b"))
    running(control)
    await control.scheduler.reconcile(ORDERS)
    await control.scheduler.reconcile(ORDERS)
    assert control.result() == moved


@pytest.mark.parametrize("how", ["it is back", "its members serve", "no majority", "not allowed"])
async def test_nothing_moves_where_a_loss_is_none_or_nothing_can_be_moved(control: Control, how: str) -> None:
    spec = {"scheduler": {"allowDynamicScheduler": False}} if how == "not allowed" else {}
    await placed_on(control, "abcd", **spec)
    control.fleet.put(cluster("b", conditions=[LOST]))
    running(control, *([] if how == "its members serve" else ["b"]), primary=how != "no majority")
    await control.scheduler.reconcile(ORDERS)
    before = control.result()
    control.clock += 299
    if how == "it is back":
        control.fleet.put(cluster("b"))
    await control.scheduler.reconcile(ORDERS)
    control.clock += 1000
    await control.scheduler.reconcile(ORDERS)
    assert control.result() == before
    message = control.objects[ORDERS]["status"]["scheduling"]["message"]
    words = {
        "it is back": "3 members on 3 clusters",
        "its members serve": "the replica set still sees members there",
        "no majority": "nothing is moved while there is no primary with a majority",
        "not allowed": "spec.scheduler.allowDynamicScheduler is false",
    }
    assert words[how] in message
    assert ("b is lost" in message) == (how != "it is back")


async def test_a_lost_cluster_whose_members_nobody_can_take_is_said_and_tried_again_when_a_cluster_changes(
    control: Control,
) -> None:
    await placed_on(control, "ab", replicaset=2, spreadConstraints={"maxMembersPerCluster": 1})
    control.fleet.put(cluster("b", conditions=[LOST]))
    running(control, "b")
    await control.scheduler.reconcile(ORDERS)
    control.clock += 301
    assert (await control.scheduler.reconcile(ORDERS)).requeue_after == LOOK_AGAIN
    assert "nobody else can take them" in control.objects[ORDERS]["status"]["scheduling"]["message"]
    assert ORDERS in set(control.scheduler.waiting)
    assert control.scheduled()["status"] == "True"
    control.fleet.put(cluster("c"))
    await control.scheduler.reconcile(ORDERS)
    assert '"c"' in (control.result() or "")


def ask(control: Control, text: str, **spec: Any) -> None:
    obj = copy.deepcopy(control.objects[ORDERS])
    obj["metadata"]["annotations"][ANNOTATION_REBALANCE] = text
    obj["spec"] |= spec
    control.put(obj)


async def test_members_are_placed_anew_once_for_every_request_and_in_one_write(control: Control) -> None:
    await placed_on(control, "ab")
    control.fleet.put(cluster("c"))
    await control.scheduler.reconcile(ORDERS)
    assert '"c"' not in (control.result() or "")
    ask(control, "monday")
    control.writes.clear()
    control.told.clear()
    await control.scheduler.reconcile(ORDERS)
    ((subresource, intent),) = control.writes
    assert subresource == ""
    annotations = intent["metadata"]["annotations"]
    assert annotations[ANNOTATION_REBALANCED] == "monday"
    assert [entry["replicaset"] for entry in json.loads(annotations["schedulerResult"])["ClusterWithReplicaset"]] == [1, 1, 1]
    assert control.told == [("Normal", "Rebalanced")]
    ask(control, "tuesday")
    await control.scheduler.reconcile(ORDERS)
    assert control.writes[-1][1]["metadata"]["annotations"] == annotations | {ANNOTATION_REBALANCED: "tuesday"}, (
        "nothing had to move"
    )
    running(control)
    await control.place_and_tell()
    control.writes.clear()
    await control.scheduler.reconcile(ORDERS)
    assert control.writes == []


async def test_a_later_placement_keeps_what_was_acted_upon(control: Control) -> None:
    """A server-side apply takes away what it does not name again."""
    await placed_on(control, "abc")
    ask(control, "monday")
    await control.scheduler.reconcile(ORDERS)
    ask(control, "monday", replicaset=5)
    await control.scheduler.reconcile(ORDERS)
    assert control.writes[-1][1]["metadata"]["annotations"][ANNOTATION_REBALANCED] == "monday"


@pytest.mark.parametrize(
    ("spec", "primary", "why"),
    [
        ({"scheduler": {"allowDynamicScheduler": False}}, True, "spec.scheduler.allowDynamicScheduler is false"),
        ({"spreadConstraints": {"maxMembersPerCluster": 1}}, True, "1 of the members would find no place"),
        ({}, False, "nothing is moved while there is no primary with a majority"),
    ],
)
async def test_a_request_that_cannot_be_fulfilled_changes_nothing_and_says_why_once(
    control: Control, spec: dict[str, Any], primary: bool, why: str
) -> None:
    await placed_on(control, "ab")
    running(control, primary=primary)
    before = control.result()
    ask(control, "monday", **spec)
    await control.scheduler.reconcile(ORDERS)
    await control.scheduler.reconcile(ORDERS)
    assert control.result() == before
    assert ANNOTATION_REBALANCED not in control.objects[ORDERS]["metadata"]["annotations"]
    asked = f"The members are not placed anew, as middleware.fedstate.io/rebalance asks: {why}."
    assert asked in control.objects[ORDERS]["status"]["scheduling"]["message"]
    assert control.told == [("Warning", "NotRebalanced")]


async def test_an_instance_that_is_born_with_a_request_is_placed_once(control: Control) -> None:
    for name in "abc":
        control.fleet.put(cluster(name))
    obj = instance(ONE_CPU, annotations={ANNOTATION_REBALANCE: "monday"})
    control.put(obj)
    await control.place_and_tell()
    assert [subresource for subresource, _ in control.writes] == ["", "status"]
    assert control.objects[ORDERS]["metadata"]["annotations"][ANNOTATION_REBALANCED] == "monday"
