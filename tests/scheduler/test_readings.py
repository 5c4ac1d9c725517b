"""Readings over Cluster objects: what a fleet makes of them, and what the scheduler decides because of them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fedstate.kube.objects import Key
from fedstate.scheduler.capacity.rooms import Reading, Source
from fedstate.scheduler.decision import Decision, View, decide
from fedstate.scheduler.middleware import MONGODB
from fedstate.scheduler.profile import profile_of
from fedstate.scheduler.report import scheduling_status
from fedstate.scheduler.snapshot import ClusterSnapshot, Fleet
from tests.api.objects import instance
from tests.scheduler.capacity.records import GI, ZONE, node, pod, storage_class, tally_of
from tests.scheduler.clusters import LOST, ONE_CPU, cluster

TODAY = datetime(2026, 1, 1, tzinfo=UTC)


def a(fleet: Fleet) -> ClusterSnapshot:
    found = fleet.get("a")
    assert found is not None
    return found


def failed(note: str) -> Reading:
    return Reading(source=Source(kind="nodes", note=note))


def test_a_reading_waits_for_its_cluster_survives_its_changes_and_can_be_taken_away() -> None:
    fleet, reading = Fleet(), tally_of(node("n", cpu=2000)).reading()
    assert not fleet.read("a", reading)
    assert fleet.put(cluster("a", cpu="16"))
    assert (a(fleet).source.kind, (a(fleet).free or {})["cpu"]) == ("nodes", 2000)
    fleet.put(cluster("a", cpu="32"))
    assert (a(fleet).free or {})["cpu"] == 2000
    assert not fleet.read("a", reading)
    assert fleet.read("a", None)
    assert not fleet.read("a", None)
    assert (a(fleet).source.kind, (a(fleet).free or {})["cpu"], a(fleet).rooms) == ("resourceSummary", 32000, None)
    fleet.remove("a")
    assert not fleet.read("a", reading)
    assert fleet.get("a") is None


def test_amounts_are_replaced_resource_by_resource_and_zones_only_where_the_cluster_names_none() -> None:
    fleet, obj = Fleet(), cluster("a")
    obj["status"]["resourceSummary"]["allocatable"]["gpu"] = "4"
    fleet.put(obj)
    fleet.read("a", tally_of(node("n", cpu=2000, memory=8, labels={ZONE: "z"})).reading())
    assert a(fleet).free == {"cpu": 2000, "memory": 8 * GI, "pods": 110, "ephemeral-storage": 100 * GI, "gpu": 4}
    assert a(fleet).zones == ("z",)
    obj["spec"]["zones"] = ["own"]
    fleet.put(obj)
    assert a(fleet).zones == ("own",)


def test_a_reading_without_numbers_says_why_and_leaves_those_of_the_cluster() -> None:
    fleet = Fleet()
    fleet.put(cluster("a", conditions=[LOST]))
    fleet.read("a", failed("its nodes cannot be read"))
    stale = "stale: not collected while the cluster is not Ready"
    assert (a(fleet).source.kind, a(fleet).source.note) == ("resourceSummary", f"its nodes cannot be read; {stale}")
    fleet.put(cluster("a", cpu=None))
    assert (a(fleet).source.kind, a(fleet).free) == ("none", None)


def test_only_the_time_of_a_reading_is_no_change_of_it() -> None:
    fleet, tally = Fleet(), tally_of(node("n"))
    fleet.put(cluster("a"))
    assert fleet.read("a", tally.reading(since=TODAY))
    fleet.take_changes()
    assert not fleet.read("a", tally.reading(since=TODAY.replace(year=2027)))
    assert a(fleet).source.since == TODAY.replace(year=2027)
    assert fleet.read("a", tally.reading(note="something else"))
    tally.put_pod(pod("p", "n", cpu=1000))
    assert fleet.read("a", tally.reading(note="something else"))
    assert fleet.take_changes().verdicts == frozenset()


def test_the_fleet_tells_which_members_the_numbers_count() -> None:
    fleet, key = Fleet(), Key("shop", "orders")
    fleet.put(cluster("a"))
    assert fleet.visible("a", key) is None
    fleet.read("a", tally_of(node("n"), pod("p", "n", instance="orders")).reading())
    assert (fleet.visible("a", key), fleet.visible("a", Key("shop", "others")), fleet.visible("b", key)) == (1, 0, None)
    fleet.remove("a")
    assert fleet.visible("a", key) is None


def decision(fleet: Fleet, spec: dict[str, Any], *, filters: list[str] | None = None) -> Decision:
    view = View(clusters=fleet.clusters, vip_owners=fleet.vip_owners, reserved={})
    profile = profile_of({"filters": filters} if filters else {})
    return decide(MONGODB.demand_of(instance(ONE_CPU | spec)), MONGODB.template, view, profile)


def test_sums_that_would_do_do_not_where_no_node_has_so_much() -> None:
    fleet = Fleet()
    for name in "abc":
        fleet.put(cluster(name))
    fleet.read("a", tally_of(*(node(f"n{number}", cpu=900) for number in range(20)), storage_class("s", default=True)).reading())
    found = decision(fleet, {"replicaset": 3})
    assert found.placement is not None
    assert found.placement.members == {"b": 2, "c": 1}
    verdict = found.verdicts[0]
    assert (verdict.rule, verdict.room) == ("ResourcesFit", 0)
    assert verdict.reason == "fits 0 members: no node has cpu 1 free: the most is 0.9 on n0 (spec.resource)"
    entry = scheduling_status(MONGODB.demand_of(instance(ONE_CPU)), found)["clusters"][2]
    assert (entry["cluster"], entry["source"], entry.get("sourceNote")) == ("a", "nodes", None)


@pytest.mark.parametrize(
    ("named", "classes", "reason"),
    [
        ("fast", ("fast",), None),
        (
            "fast",
            ("plain",),
            "has no StorageClass fast (create it there, or name in spec.storage.storageClass one that it has: plain)",
        ),
        ("fast", (), "has no StorageClass fast (create it there; spec.storage.storageClass)"),
        ("", ("*plain",), None),
        (
            "",
            tuple("gfedcba"),
            "has no default StorageClass (make one the default there, or name in spec.storage.storageClass one that it has: "
            "a, b, c, d, e and more)",
        ),
        ("", (), "has no StorageClass (create one there; spec.storage.storageClass)"),
    ],
)
def test_a_cluster_without_the_storage_class_is_left_out(named: str, classes: tuple[str, ...], reason: str | None) -> None:
    fleet, spec = Fleet(), {"storage": {"storageClass": named}} if named else {}
    fleet.put(cluster("a"))
    records = [storage_class(name.strip("*"), default=name.startswith("*")) for name in classes]
    fleet.read("a", tally_of(node("n", cpu=9000), *records).reading())
    (verdict,) = decision(fleet, spec).verdicts
    assert (verdict.rule, verdict.reason) == (("StorageClass", reason) if reason else (None, None))
    kept = ["ClusterNames", "ClusterAffinity", "ClusterLeaving", "ClusterReady", "ClusterAddress"]
    assert decision(fleet, spec, filters=kept).verdicts[0].feasible


def test_a_cluster_whose_storage_classes_are_not_known_is_not_left_out() -> None:
    fleet = Fleet()
    fleet.put(cluster("a"))
    assert decision(fleet, {"storage": {"storageClass": "fast"}}).verdicts[0].feasible
    fleet.read("a", tally_of(node("n")).reading(knows_classes=False))
    assert decision(fleet, {"storage": {"storageClass": "fast"}}).verdicts[0].feasible
