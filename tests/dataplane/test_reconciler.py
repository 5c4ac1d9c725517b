"""The whole data plane over a simulated cluster and replica set: what a user sees from apply to delete."""

from __future__ import annotations

import base64
import copy
from typing import Any

import pytest

from fedstate.api.naming import LABEL_HOLDS_INSTANCE, MONGODBS
from fedstate.api.replset import ReplsetPlan, ReportedMember, compose_plan, hostconf_data
from fedstate.dataplane.reporting import IDLE
from fedstate.kube.objects import finalizers_of, labels_of
from fedstate.kube.resources import (
    CONFIG_MAPS,
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
)
from tests.dataplane.cell import KEY, Cell, mongodb
from tests.fakes.apiserver import verb_of


def roles(cell: Cell) -> list[str]:
    return sorted(member["role"] for member in cell.status["members"])


async def test_one_member_becomes_a_database_with_its_users_and_the_announced_status() -> None:
    cell = Cell(mongodb(rootPassword="123456"))
    status = await cell.settle()
    assert status["replset"][0]["stateStr"] == "PRIMARY"
    assert status["members"][0]["host"] == status["replicaSet"]["primary"] == cell.host(0)
    assert {name: cell.condition(name)["status"] for name in ("rsInit", "userRoot", "userClusterAdmin", "Ready")} == {
        "rsInit": "True",
        "userRoot": "True",
        "userClusterAdmin": "True",
        "Ready": "True",
    }
    assert cell.condition("userRoot")["message"] == "replset-0"
    assert status["currentInfo"]["members"] == 1
    assert set(cell.mongos.users) == {"root", "clusterAdmin", "clusterMonitor"}
    assert cell.mongos.users["root"].password == "123456"
    assert "123456" not in str(status)
    namespace = cell.server.get(NAMESPACES, KEY.namespace)
    assert namespace is not None
    assert labels_of(namespace)[LABEL_HOLDS_INSTANCE] == "true"


async def test_a_set_grows_and_shrinks_and_keeps_the_volumes_of_those_that_left() -> None:
    cell = Cell(mongodb(members=3))
    await cell.settle()
    assert roles(cell) == ["PRIMARY", "SECONDARY", "SECONDARY"]
    cell.change(members=1)
    await cell.looks(2)
    status = await cell.settle()
    assert [member["ordinal"] for member in status["members"]] == [0]
    assert cell.names(STATEFUL_SETS) == ["x-replset-0"]
    claims = cell.server.all(PERSISTENT_VOLUME_CLAIMS)
    assert [labels_of(claim).get("middleware.fedstate.io/retained") for claim in claims] == [None, "true", "true"]
    cell.change(members=2)
    await cell.looks(2)
    status = await cell.settle()
    assert [member["ordinal"] for member in status["members"]] == [0, 3]
    used = [entry["_id"] for config in cell.mongos.history for entry in config["members"]]
    assert sorted(set(used)) == [0, 1, 2, 3]


async def test_an_arbiter_joins_and_leaves() -> None:
    cell = Cell(mongodb(members=2, arbiter=True))
    await cell.settle()
    assert roles(cell) == ["ARBITER", "PRIMARY", "SECONDARY"]
    assert cell.mongos.rw_concern
    cell.change(arbiter=False)
    await cell.looks(2)
    await cell.settle()
    assert roles(cell) == ["PRIMARY", "SECONDARY"]


async def test_a_changed_template_replaces_one_pod_after_the_other_and_the_primary_steps_down_before_its_turn() -> None:
    cell = Cell(mongodb(members=3))
    await cell.settle()
    primary = cell.status["replicaSet"]["primary"]
    cell.change(image="mongo:7.0")
    down: set[int] = set()
    for _ in range(30):
        await cell.look()
        down.add(sum(not mongod.up for mongod in cell.mongos.mongods.values()))
    await cell.settle()
    assert {member["image"] for member in cell.status["members"]} == {"mongo:7.0"}
    assert max(down) <= 1
    assert cell.mongos.step_downs == 1
    assert cell.status["replicaSet"]["primary"] != primary


async def test_a_changed_password_reaches_the_database() -> None:
    cell = Cell(mongodb(rootPassword="one"))
    await cell.settle()
    cell.change(rootPassword="two")
    await cell.looks(3)
    assert cell.mongos.users["root"].password == "two"


async def test_the_version_is_the_one_that_members_run_and_stays_known_while_they_are_away() -> None:
    cell = Cell(mongodb(members=3))
    assert (await cell.settle())["version"] == "6.0.5"
    host = cell.host(1)
    assert host is not None
    cell.mongos.mongods[host].version = "6.0.14"
    await cell.looks(2)
    assert cell.status["version"] == "6.0.5, 6.0.14"
    for mongod in cell.mongos.mongods.values():
        mongod.up = False
    await cell.look()
    assert cell.status["version"] == "6.0.5, 6.0.14"


async def test_an_idle_instance_writes_nothing_but_its_heartbeat() -> None:
    cell = Cell(mongodb(members=3))
    await cell.settle()
    await cell.looks(3)
    before = len(cell.server.requests)
    await cell.looks(20)
    written = [request for request in cell.server.requests[before:] if verb_of(request) not in ("get", "list", "watch")]
    assert {request.path for request in written} == {MONGODBS.path(KEY.namespace, KEY.name, "status")}
    assert len(written) <= 2


async def test_a_set_whose_data_is_gone_is_reported_and_never_begun_anew() -> None:
    cell = Cell(mongodb())
    await cell.settle()
    host = cell.host(0)
    assert host is not None
    cell.mongos.primary = None
    cell.mongos.add(host)
    await cell.looks(5)
    assert cell.status["state"] == "Error"
    assert cell.condition("RecoveryRequired")["status"] == "True"
    assert cell.mongos.mongods[host].config is None


@pytest.mark.parametrize(
    ("spec", "reason", "says"),
    [
        ({"persistence": {"storageClassName": "fast"}}, "StorageClassMissing", "spec.persistence.storageClassName is fast"),
        ({"customConfigRef": "mine"}, "MissingReference", "spec.customConfigRef: ConfigMap mine does not exist"),
        (
            {"rootPasswordSecretRef": {"name": "pw"}},
            "MissingReference",
            "spec.rootPasswordSecretRef: Secret pw in namespace db does not exist",
        ),
        ({"federation": {}}, "InertTemplate", "no override has stamped it"),
        ({"federation": {"cluster": "c2", "instanceUID": "u"}}, "ForeignCluster", "this is cluster c1"),
        ({"members": "three"}, "InvalidSpec", "spec.members must be a whole number"),
    ],
)
async def test_what_keeps_members_from_starting_names_the_field(spec: dict[str, Any], reason: str, says: str) -> None:
    cell = Cell(mongodb(**spec))
    await cell.looks(2)
    stalled = cell.condition("Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", reason)
    assert says in stalled["message"]
    assert cell.names(STATEFUL_SETS) == []


async def test_the_heartbeat_of_an_invalid_spec_goes_on_and_nothing_else_is_written() -> None:
    """An operator that fell silent would be taken for a dead one, and its reason would not be shown."""
    cell = Cell(mongodb(members="three"))
    await cell.look()
    before, told = len(cell.server.requests), cell.status
    for _ in range(31):
        assert (await cell.look()).requeue_after == IDLE
    writes = [verb_of(request) for request in cell.server.requests[before:]]
    assert len(writes) == 2, "one heartbeat in fifteen seconds"
    assert cell.status == told | {"heartbeatTime": cell.status["heartbeatTime"]}
    assert cell.status["heartbeatTime"] > told["heartbeatTime"]


async def test_the_announced_default_configuration_need_not_exist() -> None:
    cell = Cell(mongodb(customConfigRef="mongo-operator-mongo-default-config"))
    await cell.settle()


async def test_deletion_takes_everything_but_retained_volumes_and_lets_the_object_go() -> None:
    cell = Cell(mongodb(members=3))
    await cell.settle()
    await cell.server.client().delete(MONGODBS, KEY.name, namespace=KEY.namespace)
    await cell.looks(6)
    assert cell.server.get(MONGODBS, KEY.name, KEY.namespace) is None
    for resource in (STATEFUL_SETS, PODS, SERVICES, SECRETS, CONFIG_MAPS):
        assert cell.names(resource) == []
    assert len(cell.names(PERSISTENT_VOLUME_CLAIMS)) == 3
    assert len(set(cell.connections.forgotten)) == 3
    namespace = cell.server.get(NAMESPACES, KEY.namespace)
    assert namespace is not None
    assert LABEL_HOLDS_INSTANCE not in labels_of(namespace)


def stamp(**changes: Any) -> dict[str, Any]:
    return {"cluster": "c1", "instanceUID": "uid-1", "planGeneration": 0, "decommission": False, **changes}


def federated(cell: Cell) -> None:
    """What Karmada would bring beside the MongoDB."""
    labels = {"app.kubernetes.io/managed-by": "fedstate", "app.kubernetes.io/instance": KEY.name}
    keys = ("rootPassword", "keyfile", "clusterAdminPassword", "clusterMonitorPassword")
    data = {key: base64.b64encode(f"{key}-0123456789".encode()).decode() for key in keys}
    cell.server.seed(SECRETS, {"metadata": {"name": "x-auth", "namespace": KEY.namespace, "labels": labels}, "data": data})


def publish(cell: Cell, wanted: int, previous: ReplsetPlan | None = None) -> ReplsetPlan:
    reported = [
        ReportedMember(cluster="c1", member=m["name"], ordinal=m["ordinal"], host=m["host"], ready=m["ready"], role=m["role"])
        for m in cell.status["members"]
    ]
    plan = compose_plan(
        previous=previous, replset_name="x", wanted={"c1": wanted}, arbiter_cluster=None, reported=reported,
        primary_host=cell.status["replicaSet"]["primary"], initiator="c1",
    )  # fmt: skip
    labels = {
        "app.kubernetes.io/managed-by": "fedstate",
        "app.kubernetes.io/instance": KEY.name,
        "middleware.fedstate.io/instance-uid": "uid-1",
    }
    metadata = {"name": "x-hostconf", "namespace": KEY.namespace, "labels": labels}
    cell.server.seed(CONFIG_MAPS, {"metadata": metadata, "data": hostconf_data(plan)})
    return plan


async def test_a_federated_part_waits_for_its_plan_follows_it_and_is_decommissioned() -> None:
    obj = mongodb(members=2, federation=stamp())
    obj["metadata"]["labels"]["karmada.io/managed"] = "true"
    cell = Cell(obj)
    federated(cell)
    await cell.looks(4)
    assert [member["host"] for member in cell.status["members"]] == [cell.host(0), cell.host(1)]
    assert cell.mongos.history == []
    plan = publish(cell, 2)
    cell.change(federation=stamp(planGeneration=plan.generation))
    status = await cell.settle()
    assert status["federation"] == {"cluster": "c1", "instanceUID": "uid-1", "planGeneration": 1, "hostconfGeneration": 1}
    cell.change(federation=stamp(planGeneration=1, decommission=True))
    await cell.looks(6)
    assert cell.status["decommissioned"] is True
    assert cell.condition("Decommissioned")["status"] == "True"
    assert cell.names(STATEFUL_SETS) == []
    assert cell.names(SECRETS) == ["x-auth"]


async def test_a_root_password_that_the_federation_has_changed_is_given_to_the_user() -> None:
    cell = Cell(mongodb(members=1, federation=stamp()))
    federated(cell)
    await cell.looks(4)
    cell.change(federation=stamp(planGeneration=publish(cell, 1).generation))
    await cell.settle()
    before = dict(cell.mongos.users)
    secret = copy.deepcopy(cell.server.get(SECRETS, "x-auth", KEY.namespace))
    assert secret is not None
    secret["data"]["rootPassword"] = base64.b64encode(b"two").decode()
    secret["metadata"].pop("resourceVersion", None)
    cell.server.seed(SECRETS, secret)
    await cell.looks(3)
    assert cell.mongos.users["root"].password == "two" != before["root"].password
    assert {name: user for name, user in cell.mongos.users.items() if name != "root"} == {
        name: user for name, user in before.items() if name != "root"
    }


async def test_a_decommissioned_object_is_deleted_only_when_karmada_has_let_it_go() -> None:
    obj = mongodb(federation=stamp(decommission=True))
    obj["metadata"]["labels"]["karmada.io/managed"] = "true"
    cell = Cell(obj)
    await cell.looks(4)
    assert cell.status["decommissioned"] is True
    kept = cell.server.get(MONGODBS, KEY.name, KEY.namespace)
    assert kept is not None
    cell.server.seed(MONGODBS, kept | {"metadata": {**kept["metadata"], "labels": {}}})
    await cell.looks(2)
    assert cell.server.get(MONGODBS, KEY.name, KEY.namespace) is None


@pytest.mark.parametrize(
    "spec", [{"federation": {}}, {"federation": stamp(instanceUID="another")}, {"federation": stamp(cluster="c2")}]
)
async def test_a_stamp_that_is_lost_or_not_ours_changes_nothing_of_what_runs(spec: dict[str, Any]) -> None:
    cell = Cell(mongodb(members=2, federation=stamp()))
    federated(cell)
    await cell.looks(4)
    plan = publish(cell, 2)
    cell.change(federation=stamp(planGeneration=plan.generation))
    await cell.settle()
    sets, configs = cell.names(STATEFUL_SETS), len(cell.mongos.history)
    cell.change(**spec, members=7, image="mongo:9")
    await cell.looks(6)
    assert cell.names(STATEFUL_SETS) == sets
    assert len(cell.mongos.history) == configs
    assert cell.condition("Stalled")["status"] == "True"
    assert len(cell.status["members"]) == 2
    obj = cell.server.get(MONGODBS, KEY.name, KEY.namespace)
    assert obj is not None
    assert finalizers_of(obj)


async def test_deleting_a_federated_object_that_was_not_decommissioned_keeps_its_members() -> None:
    cell = Cell(mongodb(members=1, federation=stamp()))
    federated(cell)
    await cell.looks(4)
    await cell.server.client().delete(MONGODBS, KEY.name, namespace=KEY.namespace)
    await cell.looks(4)
    assert cell.names(STATEFUL_SETS) == ["x-replset-0"]
    assert cell.condition("Stalled")["reason"] == "NotDecommissioned"
