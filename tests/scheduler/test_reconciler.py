"""What the scheduler writes and when, and what it leaves alone."""

import copy
from datetime import UTC, datetime
from typing import Any, cast

import pytest

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
from fedstate.scheduler.reconciler import LOOK_AGAIN, STALE_CACHE, SchedulerReconciler
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
