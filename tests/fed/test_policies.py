"""What Karmada is told, and that it is read back as it was meant."""

import base64
from dataclasses import replace
from typing import Any

import pytest

from fedstate.api.federated import MultiCloudMongoDB
from fedstate.api.mongodb import MongoDB
from fedstate.api.replset import ReplsetPlan
from fedstate.fed import members
from fedstate.fed.auth import KEYFILE_BYTES, auth_secret, is_complete, keyfile_of
from fedstate.fed.changes import Verb, applied, covers
from fedstate.fed.cleanup import Pending, cleanup_map, pending_of
from fedstate.fed.freshness import SILENT_AFTER, Heartbeats
from fedstate.fed.policies import Task, override_policy, plan_in_force, propagation_policy, tasks_of
from fedstate.kube.objects import Key, KubeObject
from fedstate.kube.resources import CONFIG_MAPS, SECRETS
from tests.fed.test_status import INSTANCE, NOW
from tests.fed.world import _rendered


def task(cluster: str = "c1", **changes: Any) -> Task:
    plain = Task(
        cluster=cluster,
        members=3,
        arbiter=False,
        rs_init=True,
        vip="10.0.0.1",
        instance_uid="u",
        generation=4,
        decommission=False,
    )
    return replace(plain, **changes)


def instance(**spec: object) -> MultiCloudMongoDB:
    return MultiCloudMongoDB.from_object({**INSTANCE, "spec": {**INSTANCE["spec"], **spec}})


@pytest.mark.parametrize(
    "changes",
    [{}, {"decommission": True, "members": 0}, {"arbiter": True}, {"vip": "fd00::1"}, {"held_back": (("image", "mongo:5"),)}],
)
def test_a_rule_is_read_back_as_it_was_written(changes: dict[str, Any]) -> None:
    tasks = {"c1": task(**changes), "c2": task("c2")}
    policy = override_policy("db", "x", tasks.values(), instance_uid="u", plan=None)
    assert tasks_of(policy) == tasks
    assert len(policy["spec"]["overrideRules"]) == 2


def test_every_path_of_a_rule_exists_in_the_template_and_makes_a_stamped_member_object() -> None:
    policy = override_policy("db", "x", [task(), task("c2", vip="fd00::1")], instance_uid="u", plan=None)
    template = members.template(instance())
    template["metadata"].setdefault("annotations", {})["propagationpolicy.karmada.io/name"] = "x"
    first = MongoDB.from_object(_rendered(template, policy, "c1"))
    assert (first.members, first.rs_init, first.vip) == (3, True, "10.0.0.1")
    assert first.federation is not None
    assert (first.federation.cluster, first.federation.instance_uid, first.federation.plan_generation) == ("c1", "u", 4)
    assert MongoDB.from_object(_rendered(template, policy, "c2")).vip == "fd00::1", "a label cannot hold an IPv6 address"


def test_a_cluster_without_a_rule_gets_an_inert_template() -> None:
    policy = override_policy("db", "x", [task()], instance_uid="u", plan=None)
    stranger = MongoDB.from_object(_rendered(members.template(instance()), policy, "c9"))
    assert stranger.inert
    assert not stranger.rs_init


def test_the_template_has_no_password_and_what_the_announced_member_object_has() -> None:
    template = members.template(instance(export={"enable": True}))
    assert "39nZzksAmXE" not in repr(template)
    spec = template["spec"]
    assert spec["rootPasswordSecretRef"] == {"name": "multicloudmongodb-sample-auth", "key": "rootPassword"}
    assert spec["memberConfigRef"] == "multicloudmongodb-sample-hostconf"
    assert spec["persistence"] == {"storage": "1Gi", "reclaimPolicy": "Retain", "storageClassName": "managed-nfs-storage"}
    assert (spec["type"], spec["dbUserSpec"], spec["federation"], spec["rsInit"]) == ("ReplicaSet", {}, {}, False)
    assert spec["metricsExporterSpec"] == {"enable": True}


def test_the_policy_names_clusters_and_tolerates_every_taint() -> None:
    spec = propagation_policy("db", "x", clusters=["b", "a"], dependencies=[("Secret", "x-auth")], preserve=True)["spec"]
    assert spec["placement"]["clusterAffinity"] == {"clusterNames": ["a", "b"]}
    assert spec["placement"]["clusterTolerations"] == [{"operator": "Exists"}]
    assert spec["placement"]["replicaScheduling"] == {"replicaSchedulingType": "Duplicated"}
    assert (spec["conflictResolution"], spec["dependentOverrides"], spec["preserveResourcesOnDeletion"]) == (
        "Overwrite",
        ["x"],
        True,
    )
    assert [entry["kind"] for entry in spec["resourceSelectors"]] == ["MongoDB", "Secret"]


def test_secrets_are_made_once_and_what_exists_stays() -> None:
    first = auth_secret("db", "x", existing=None, root_password="given", entropy=lambda count: b"a" * count)
    assert is_complete(first)
    keyfile = keyfile_of(first)
    assert keyfile is not None
    assert KEYFILE_BYTES < len(keyfile) <= 1024
    again = auth_secret("db", "x", existing=first, root_password=None, entropy=lambda count: b"b" * count)
    assert again["data"] == first["data"]
    rotated = auth_secret("db", "x", existing=first, root_password="another", entropy=lambda count: b"b" * count)
    assert rotated["data"] == first["data"] | {"rootPassword": base64.b64encode(b"another").decode()}
    partial = {"data": {"rootPassword": first["data"]["rootPassword"]}}
    filled = auth_secret("db", "x", existing=partial, root_password=None, entropy=lambda count: b"b" * count)
    assert filled["data"]["rootPassword"] == first["data"]["rootPassword"]
    assert filled["data"]["keyfile"] != first["data"]["keyfile"]


def test_a_random_password_needs_no_escaping_and_has_32_characters() -> None:
    secret = auth_secret(
        "db",
        "x",
        existing=None,
        root_password=None,
        entropy=lambda count: bytes(range(200, 200 + count)) if count < 50 else b"k" * count,
    )
    password = base64.b64decode(secret["data"]["rootPassword"]).decode()
    assert len(password) == 32
    assert not set(password) & set("/+=@:%?#")


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("mongo:6.0", "https://index.docker.io/v1/"),
        ("library/mongo", "https://index.docker.io/v1/"),
        ("registry.example.com/mongo:6.0", "registry.example.com"),
        ("localhost:5000/mongo", "localhost:5000"),
    ],
)
def test_an_inline_pull_secret_names_the_registry_of_the_image(image: str, registry: str) -> None:
    assert members.registry_of(image) == registry


def test_nothing_is_applied_twice_and_a_removed_field_is_a_change() -> None:
    desired: KubeObject = {"metadata": {"name": "a", "namespace": "db"}, "data": {"k": "1", "l": "2"}}
    (action,) = applied(CONFIG_MAPS, None, desired)
    actual = {**action.obj, "metadata": {**action.obj["metadata"], "uid": "u", "resourceVersion": "7"}}
    assert applied(CONFIG_MAPS, actual, desired) == []
    assert applied(CONFIG_MAPS, actual, {**desired, "data": {"k": "1"}})
    assert applied(CONFIG_MAPS, {**actual, "data": {"k": "by hand", "l": "2"}}, desired)
    (guarded,) = applied(CONFIG_MAPS, actual, {**desired, "data": {}}, unchanged_since_read=True)
    assert guarded.obj["metadata"]["resourceVersion"] == "7"
    (created,) = applied(CONFIG_MAPS, None, desired, unchanged_since_read=True)
    assert created.verb is Verb.CREATE
    (secret,) = applied(SECRETS, None, desired)
    assert "annotations" not in secret.obj["metadata"], "a hash of a password can be guessed"


@pytest.mark.parametrize(
    ("actual", "wanted", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": [1, 2]}, {"a": [1]}, False),
        ({"a": [{"x": 1, "default": 0}]}, {"a": [{"x": 1}]}, True),
        ({"a": True}, {"a": 1}, False),
        (None, {"a": 1}, False),
        ({}, {"a": {}}, False),
    ],
)
def test_covering_means_having_all_that_was_asked_for(actual: object, wanted: object, expected: bool) -> None:
    assert covers(actual, wanted) is expected


def test_the_newest_readable_plan_of_this_very_instance_is_in_force() -> None:
    old, new = (ReplsetPlan(replset_name="x", generation=g, initiator="c1", next_member_id=g) for g in (3, 4))
    hostconf = members.hostconf("db", "x", "u", old)
    override = override_policy("db", "x", [], instance_uid="u", plan=new)
    assert plan_in_force(hostconf, override, "u") == new
    assert plan_in_force(None, override, "u") == new, "ids survive the loss of the ConfigMap"
    assert plan_in_force(hostconf, None, "u") == old
    assert plan_in_force({**hostconf, "data": {"replset.json": "{"}}, override, "u") == new
    assert plan_in_force(hostconf, override, "another") is None


def test_what_is_left_to_clean_up_is_remembered_as_it_was() -> None:
    pending = {"c2": Pending(instance_uid="u", vip="10.0.0.2", since="2026-01-01T00:00:00Z")}
    assert pending_of(cleanup_map("db", "x", pending)) == pending
    assert pending_of(None) == {}
    assert pending_of({"data": {"clusters.json": "["}}) == {}


def test_a_heartbeat_that_stands_still_is_silence_by_our_own_clock() -> None:
    beats, key = Heartbeats(), Key("db", "x")
    fresh = {"c1": "2023-05-25T07:07:57Z"}
    assert beats.silent(key, fresh, clock=0, now=NOW) == (frozenset(), SILENT_AFTER)
    assert beats.silent(key, fresh, clock=SILENT_AFTER - 1, now=NOW) == (frozenset(), 1)
    assert beats.silent(key, fresh, clock=SILENT_AFTER, now=NOW) == (frozenset({"c1"}), None)
    assert beats.silent(key, {"c1": "2023-05-25T07:08:57Z"}, clock=SILENT_AFTER + 1, now=NOW)[0] == frozenset()
    assert beats.silent(Key("db", "y"), {"c1": "2023-05-24T07:00:00Z"}, clock=0, now=NOW)[0] == frozenset({"c1"})
