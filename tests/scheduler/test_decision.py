"""Which clusters are rejected and what their owner gets to read; what is placed and what stays."""

from typing import Any

import pytest

from fedstate.kube.objects import KubeObject
from fedstate.scheduler.amounts import amount_text, members_that_fit, shortage
from fedstate.scheduler.filters import Context, rejection
from fedstate.scheduler.middleware import MONGODB
from fedstate.scheduler.report import message_of, same_story, scheduled_condition, scheduling_status
from fedstate.scheduler.snapshot import Fleet
from tests.api.objects import instance
from tests.scheduler.clusters import COMPLETE, LOST, ONE_CPU, cluster, decided, members_of

POD_ONLY = [{"groupVersion": "v1", "resources": [{"kind": "Pod", "name": "pods"}]}]

REJECTIONS: list[tuple[KubeObject, dict[str, Any], str]] = [
    (cluster("c", vip=None), {}, "no VIP (set label vip or annotation middleware.fedstate.io/vip of the Cluster)"),
    (
        cluster("c", vip="10.0.0"),
        {},
        "VIP '10.0.0' is no IPv4 or IPv6 address and no DNS name (correct label vip or annotation middleware.fedstate.io/vip of the Cluster)",
    ),
    (cluster("c", vip="twin.example.com"), {}, "VIP twin.example.com is also that of twin (every cluster needs its own)"),
    (cluster("c", conditions=[LOST]), {}, "not Ready (ClusterNotReachable)"),
    (cluster("c", conditions=[COMPLETE]), {}, "not Ready (NeverReported)"),
    (cluster("c", metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), {}, "is being removed from Karmada"),
    (
        cluster("c", taints=[{"key": "maint", "value": "yes", "effect": "NoSchedule"}]),
        {},
        "taint maint=yes:NoSchedule is not tolerated (spec.spreadConstraints.tolerations)",
    ),
    (
        cluster("c", taints=[{"key": "maint", "effect": "NoExecute"}]),
        {"spreadConstraints": {"tolerations": [{"key": "maint", "operator": "Exists", "effect": "NoSchedule"}]}},
        "taint maint:NoExecute is not tolerated (spec.spreadConstraints.tolerations)",
    ),
    (
        cluster("c", apis=POD_ONLY),
        {},
        "does not serve mongodbs.middleware.fedstate.io v1alpha1 (install the CRDs and the data plane there)",
    ),
    (
        cluster("c"),
        {"spreadConstraints": {"nodeSelect": {"deploy": "mongo"}}},
        "label deploy is missing, spec.spreadConstraints.nodeSelect wants 'mongo'",
    ),
    (
        cluster("c", labels={"deploy": "web"}),
        {"spreadConstraints": {"nodeSelect": {"deploy": "mongo"}}},
        "label deploy is 'web', spec.spreadConstraints.nodeSelect wants 'mongo'",
    ),
    (cluster("c"), {"spreadConstraints": {"clusterNames": ["d"]}}, "not in spec.spreadConstraints.clusterNames"),
    (cluster("c"), {"spreadConstraints": {"excludeClusterNames": ["c"]}}, "in spec.spreadConstraints.excludeClusterNames"),
    (cluster("c", cpu="1", used="500m"), {}, "fits 0 members: needs cpu 1, free 0.5 (spec.resource)"),
    (
        cluster("c", cpu="0"),
        {"resource": {"requests": {"cpu": "250m", "memory": "100Gi"}}},
        "fits 0 members: needs cpu 0.25, free 0; needs memory 100Gi, free 63Gi (spec.resource)",
    ),
    (
        cluster("c"),
        {"resource": {"limits": {"nvidia.com/gpu": "1"}}},
        "fits 0 members: needs nvidia.com/gpu 1, free 0 (spec.resource)",
    ),
]


@pytest.mark.parametrize(("obj", "spec", "reason"), REJECTIONS, ids=[reason for _, _, reason in REJECTIONS])
def test_a_cluster_is_rejected_by_the_rule_it_breaks(obj: KubeObject, spec: dict[str, Any], reason: str) -> None:
    decision = decided(spec, obj, cluster("twin", conditions=[LOST]))
    found = {verdict.cluster: verdict for verdict in decision.verdicts}["c"]
    assert (found.feasible, found.reason) == (False, reason)


@pytest.mark.parametrize(
    ("obj", "spec"),
    [
        (cluster("c", taints=[{"key": "maint", "effect": "PreferNoSchedule"}]), {}),
        (
            cluster("c", taints=[{"key": "maint", "effect": "NoExecute"}]),
            {"spreadConstraints": {"tolerations": [{"operator": "Exists"}]}},
        ),
        (cluster("c", apis=[]), {}),
        (cluster("c", cpu=None), {}),
        (cluster("c", vip=None, metadata={"annotations": {"middleware.fedstate.io/vip": "fd00::1"}}), {}),
        (cluster("c", cpu="0"), {"resource": {}}),
        (cluster("c", labels={"deploy": "mongo"}), {"spreadConstraints": {"nodeSelect": {"deploy": "mongo"}}}),
    ],
)
def test_a_cluster_that_breaks_no_rule_is_feasible(obj: KubeObject, spec: dict[str, Any]) -> None:
    fleet = Fleet()
    fleet.put(obj)
    context = Context(
        spread=MONGODB.demand_of(instance(ONE_CPU | spec)).spread, template=MONGODB.template, vip_owners=fleet.vip_owners
    )
    assert rejection(fleet.clusters[0], context) is None


def told(spec: dict[str, Any], *clusters: KubeObject, result: str = "") -> str:
    decision = decided(spec, *clusters, result=result)
    demand = MONGODB.demand_of(instance(ONE_CPU | spec))
    return message_of(demand, decision)


def test_an_instance_without_any_feasible_cluster_reads_why_cluster_by_cluster() -> None:
    assert told({}, cluster("eu-1", vip=None), cluster("us-1", conditions=[LOST]), cluster("ap-1", cpu="1", used="0.5")) == (
        "0/3 clusters can run a member: ap-1: fits 0 members: needs cpu 1, free 0.5 (spec.resource); "
        "eu-1: no VIP (set label vip or annotation middleware.fedstate.io/vip of the Cluster); us-1: not Ready (ClusterNotReachable)."
    )


def test_an_instance_that_does_not_fit_reads_what_each_cluster_holds() -> None:
    assert told({"replicaset": 5}, cluster("a", cpu="2"), cluster("b", cpu="1"), cluster("c", vip=None)) == (
        "5 members do not fit, 2 too many; 2/3 clusters can run a member: a: fits 2 members; b: fits 1 member; "
        "c: no VIP (set label vip or annotation middleware.fedstate.io/vip of the Cluster). "
        "Lower spec.replicaset or spec.resource, or make room."
    )


def test_without_clusters_there_is_nothing_but_waiting() -> None:
    decision = decided({})
    condition = scheduled_condition(MONGODB.demand_of(instance()), decision)
    assert (condition.status, condition.reason) == ("False", "WaitingForClusters")
    assert condition.message == "0/0 clusters can run a member: no cluster has joined Karmada."


def test_three_clusters_survive_any_loss_and_two_do_not_and_both_are_said() -> None:
    assert told({}, *(cluster(name) for name in "abc")) == "3 members on 3 clusters: a 1, b 1, c 1."
    assert told({"replicaset": 5}, cluster("a"), cluster("b", cpu="1")) == (
        "5 members on 2 clusters: a 4, b 1. The set does not survive the loss of a: "
        "one of fewer than three clusters always holds half of the votes or more."
    )


def test_an_arbiter_that_leaves_writes_at_risk_is_said() -> None:
    message = told({"replicaset": 4, "config": {"arbiter": True}}, cluster("a"), cluster("b"), cluster("c", cpu="1", used="0"))
    assert "4 members on 3 clusters" in message
    assert "majority writes do not commit" in told(
        {"replicaset": 2, "config": {"arbiter": True}}, cluster("a", cpu="1"), cluster("b", cpu="1"), cluster("c", cpu="1")
    )


RESULT = '{"ClusterWithReplicaset":[{"cluster":"a","replicaset":2},{"cluster":"b","replicaset":1}]}'


def test_a_lost_cluster_keeps_its_members_and_the_status_says_so() -> None:
    clusters = [cluster("a", conditions=[LOST]), cluster("b"), cluster("c")]
    assert members_of(decided({}, *clusters, result=RESULT)) == {"a": 2, "b": 1}
    assert told({}, *clusters, result=RESULT).endswith(
        "a is lost (not Ready (ClusterNotReachable)); its 2 members stay placed there: it has just been lost."
    )


def test_a_cluster_that_left_karmada_keeps_its_members() -> None:
    assert members_of(decided({}, cluster("b"), cluster("c"), result=RESULT)) == {"a": 2, "b": 1}


def test_nothing_moves_because_capacity_appeared() -> None:
    decision = decided({}, cluster("a"), cluster("b"), cluster("c", cpu="1000"), result=RESULT)
    assert decision.placement is not None
    assert decision.placement.to_annotation() == RESULT


def test_an_instance_that_grows_beyond_what_fits_keeps_what_it_has() -> None:
    decision = decided({"replicaset": 9}, cluster("a", cpu="1"), cluster("b", cpu="1"), result=RESULT)
    assert (decision.complete, decision.missing, members_of(decision)) == (False, 4, {"a": 2, "b": 1})


def test_members_leave_a_cluster_that_the_spec_excludes_if_others_can_take_them() -> None:
    spec = {"spreadConstraints": {"excludeClusterNames": ["a"]}}
    assert members_of(decided(spec, cluster("a"), cluster("b"), cluster("c"), result=RESULT)) == {"b": 2, "c": 1}
    stuck = decided(spec, cluster("a"), cluster("b", cpu="0"), result=RESULT)
    assert (stuck.complete, members_of(stuck), stuck.stuck) == (True, {"a": 2, "b": 1}, ("a",))


def test_what_others_have_reserved_is_not_free() -> None:
    decision = decided({"replicaset": 3}, cluster("a", cpu="3"), reserved={"a": {"cpu": 1000}})
    assert (decision.complete, decision.missing) == (False, 1)


def test_the_spec_can_limit_members_per_cluster() -> None:
    spec = {"replicaset": 5, "spreadConstraints": {"maxMembersPerCluster": 2}}
    assert members_of(decided(spec, cluster("a"), cluster("b"))) is None
    assert members_of(decided(spec, *(cluster(name) for name in "abc"))) == {"a": 2, "b": 2, "c": 1}


def test_the_status_of_a_decision_names_votes_and_capacity() -> None:
    decision = decided({"replicaset": 5}, cluster("a"), cluster("b", cpu="1"), cluster("c", vip=None))
    status = scheduling_status(MONGODB.demand_of(instance(ONE_CPU | {"replicaset": 5})), decision)
    assert (status["feasibleClusters"], status["totalClusters"], status["cannotSurviveLossOf"]) == (2, 3, ["a"])
    assert status["requestPerMember"] == {"cpu": "1", "memory": "512Mi"}
    assert [(entry["cluster"], entry["members"], entry.get("votes"), entry["feasible"]) for entry in status["clusters"]] == [
        ("a", 4, 4, True),
        ("b", 1, 1, True),
        ("c", 0, None, False),
    ]


def test_a_settled_instance_is_not_reported_again_because_usage_changed() -> None:
    demand = MONGODB.demand_of(instance(ONE_CPU))
    before = scheduling_status(demand, decided({}, cluster("a"), cluster("b"), result=RESULT))
    busier = scheduling_status(demand, decided({}, cluster("a", used="7"), cluster("b"), cluster("c"), result=RESULT))
    lost = scheduling_status(demand, decided({}, cluster("a", conditions=[LOST]), cluster("b"), result=RESULT))
    assert before != busier
    assert same_story(before, busier)
    assert not same_story(before, lost)


def test_a_large_fleet_does_not_make_a_large_message() -> None:
    message = told({}, *(cluster(f"c{number:03}", vip=None) for number in range(200)))
    assert message.startswith("0/200 clusters can run a member: c000: no VIP")
    assert message.endswith("; and 180 more.")


@pytest.mark.parametrize(
    ("free", "request_", "fits"),
    [
        ({"cpu": 2500}, {"cpu": 1000}, 2),
        ({"cpu": 2500, "memory": 100}, {"cpu": 1000, "memory": 100}, 1),
        ({"cpu": -5}, {"cpu": 1000}, 0),
        ({"cpu": 9000, "pods": 3}, {"cpu": 1000}, 3),
        ({"cpu": 9000}, {}, None),
        ({"cpu": 9000}, {"cpu": 0}, None),
        ({}, {"cpu": 1}, 0),
    ],
)
def test_how_many_members_fit(free: dict[str, int], request_: dict[str, int], fits: int | None) -> None:
    assert members_that_fit(free, request_) == fits


def test_amounts_as_humans_write_them() -> None:
    assert [amount_text("cpu", amount) for amount in (1000, 500, 0, 1250)] == ["1", "0.5", "0", "1.25"]
    assert [amount_text("memory", amount) for amount in (2**29, 3 * 2**29, 100, 0)] == ["512Mi", "1.5Gi", "100", "0"]
    assert shortage({"pods": 0}, {}) == "needs pods 1, free 0"
