"""What the two kinds mean when they say little, and the small values around them."""

from datetime import UTC, datetime

import pytest

from fedstate.api.conditions import Condition, conditions_of, find_condition, with_condition
from fedstate.api.federated import MultiCloudMongoDB, Toleration
from fedstate.api.fields import ImagePullSecret, SecretKeyRef, Storage
from fedstate.api.mongodb import FederationStamp, MongoDB
from fedstate.api.naming import member_name, standard_labels
from fedstate.api.placement import ClusterMembers, Placement
from fedstate.kube.objects import KubeObject
from tests.api.objects import instance, mongodb


def test_an_instance_that_says_only_its_size_has_every_default() -> None:
    parsed = MultiCloudMongoDB.from_object(instance())
    assert (parsed.replicaset, parsed.arbiter, parsed.image, parsed.image_pull_policy) == (3, False, "mongo:6.0", "IfNotPresent")
    assert parsed.storage == Storage(storage_class=None, size="1Gi", reclaim_policy="Retain")
    assert (parsed.scheduler_name, parsed.scheduler_mode) == ("multicloud-middleware-scheduler", "Uniform")
    assert (parsed.toleration_seconds, parsed.placement, parsed.deleting) == (300, None, False)


def test_both_forms_of_a_pull_secret_are_read() -> None:
    named = MultiCloudMongoDB.from_object(instance({"imageSetting": {"imagePullSecret": "mine"}}))
    assert named.image_pull_secret == ImagePullSecret(name="mine")
    inline = MongoDB.from_object(mongodb({"imagePullSecret": {"username": "me", "password": "pw"}}))
    assert inline.image_pull_secret == ImagePullSecret(user="me", password="pw")
    assert MongoDB.from_object(mongodb({"imagePullSecret": {}})).image_pull_secret == ImagePullSecret()


def test_a_password_reference_has_a_default_key() -> None:
    parsed = MultiCloudMongoDB.from_object(instance({"auth": {"rootPasswordSecretRef": {"name": "s"}}}))
    assert parsed.root_password_secret_ref == SecretKeyRef(name="s", key="rootPassword")


@pytest.mark.parametrize(
    ("spec", "federated", "inert", "stamp"),
    [
        ({}, False, False, None),
        ({"federation": None}, False, False, None),
        ({"federation": {}}, True, True, None),
        (
            {"federation": {"cluster": "c", "instanceUID": "u", "planGeneration": 4, "decommission": True}},
            True,
            False,
            FederationStamp(cluster="c", instance_uid="u", plan_generation=4, decommission=True),
        ),
    ],
)
def test_a_template_is_inert_until_it_is_stamped(
    spec: KubeObject, federated: bool, inert: bool, stamp: FederationStamp | None
) -> None:
    parsed = MongoDB.from_object(mongodb(spec))
    assert (parsed.federated, parsed.inert, parsed.federation) == (federated, inert, stamp)


def test_nulls_of_a_pod_spec_are_left_out() -> None:
    assert MongoDB.from_object(mongodb({"podSpec": {"affinity": None, "nodeSelector": {"a": "b"}}})).pod_spec == {
        "nodeSelector": {"a": "b"}
    }


def test_the_vip_annotation_goes_before_the_label() -> None:
    parsed = MongoDB.from_object(
        mongodb(labels={"app.multicloudmongodb.io/vip": "10.0.0.1"}, annotations={"middleware.fedstate.io/vip": "fd00::1"})
    )
    assert parsed.vip == "fd00::1"


def test_a_placement_is_written_as_the_announcement_writes_it() -> None:
    text = '{"ClusterWithReplicaset":[{"cluster":"10-29-14-21","replicaset":4},{"cluster":"10-29-14-25","replicaset":1}]}'
    placement = Placement.from_annotation(text)
    assert (placement.members, placement.total) == ({"10-29-14-21": 4, "10-29-14-25": 1}, 5)
    assert placement.to_annotation() == text


def test_an_arbiter_is_on_its_cluster_in_the_annotation() -> None:
    placement = Placement.of({"a": 2, "b": 0}, "c")
    assert placement.clusters == (
        ClusterMembers(cluster="a", members=2),
        ClusterMembers(cluster="c", members=0, arbiter=True),
    )
    assert Placement.from_annotation(placement.to_annotation()) == placement


@pytest.mark.parametrize(
    ("toleration", "taint", "tolerated"),
    [
        (("", "Exists", "", ""), {"key": "k", "effect": "NoExecute"}, True),
        (("k", "Exists", "", "NoSchedule"), {"key": "k", "value": "v", "effect": "NoSchedule"}, True),
        (("k", "Exists", "", "NoSchedule"), {"key": "k", "effect": "NoExecute"}, False),
        (("k", "Equal", "v", ""), {"key": "k", "value": "v", "effect": "NoSchedule"}, True),
        (("k", "Equal", "v", ""), {"key": "k", "value": "w", "effect": "NoSchedule"}, False),
        (("k", "Equal", "", ""), {"key": "k", "effect": "NoSchedule"}, True),
        (("j", "Exists", "", ""), {"key": "k", "effect": "NoSchedule"}, False),
    ],
)
def test_tolerations(toleration: tuple[str, str, str, str], taint: dict[str, str], tolerated: bool) -> None:
    key, operator, value, effect = toleration
    assert Toleration(key=key, operator=operator, value=value, effect=effect).tolerates(taint) is tolerated


def test_a_transition_time_moves_only_with_the_status() -> None:
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    first = with_condition((), Condition(type="Ready", status="False", reason="A"), early)
    second = with_condition(first, Condition(type="Ready", status="False", reason="B", observed_generation=2), late)
    assert [(c.reason, c.last_transition_time) for c in second] == [("B", "2026-01-01T00:00:00Z")]
    third = with_condition(second, Condition(type="Ready", status="True", reason="C"), late)
    assert [(c.reason, c.last_transition_time) for c in third] == [("C", "2026-01-02T00:00:00Z")]
    assert with_condition(third, Condition(type="Stalled", status="False"), late)[0] == third[0]


def test_conditions_read_back_as_they_were_written() -> None:
    condition = Condition(
        type="Ready", status="True", reason="R", message="m", last_transition_time="2026-01-01T00:00:00Z", observed_generation=4
    )
    assert conditions_of({"status": {"conditions": [condition.to_object()]}}) == (condition,)
    assert find_condition((condition,), "Ready") is condition
    assert condition.is_true


def test_names_of_what_belongs_to_a_member() -> None:
    assert member_name("x", 2) == "x-replset-2"
    assert len(member_name("x" * 40, 999)) + 11 <= 63


def test_the_recommended_labels_are_six_with_a_version() -> None:
    assert len(standard_labels("x", "mongod", version="6.0.5")) == 6
