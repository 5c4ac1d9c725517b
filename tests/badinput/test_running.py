"""What an instance says while it runs; and that addresses which look alike, or are no IPv4 addresses, confuse nobody."""

from __future__ import annotations

import pytest

from fedstate.api.karmada import CLUSTERS, OVERRIDE_POLICIES
from fedstate.api.naming import ANNOTATION_VIP
from fedstate.kube.resources import CONFIG_MAPS
from tests.badinput.conditions import said
from tests.badinput.members import config
from tests.badinput.running import HOSTILE, RUNNING, Running
from tests.dataplane.cell import Cell, mongodb
from tests.fed.world import NAME, World


def started(row: Running) -> World:
    world = World(row.clusters)
    world.create(sum(row.placement.values()), row.placement, row.arbiter)
    world.settle()
    return world


@pytest.mark.parametrize("row", RUNNING, ids=lambda row: row.situation.replace(" ", "-"))
async def test_a_running_instance_says_what_is_wrong(row: Running) -> None:
    world = started(row)
    await row.then(world)
    world.run(6)
    types = {kind for kind, *_ in row.says}
    assert sorted(one for one in said({"status": world.status}) if one[0] in types) == sorted(row.says)


def test_addresses_that_begin_alike_are_told_apart() -> None:
    world = World(HOSTILE)
    world.create(5, {"c1": 2, "c2": 2, "c3": 1})
    world.settle()
    hosts = {entry["cluster"]: set(entry["connectAddrWithRole"]) for entry in world.status["result"]}
    assert hosts == {
        "c1": {"10.0.0.1:30000", "10.0.0.1:30001"},
        "c2": {"10.0.0.10:30100", "10.0.0.10:30101"},
        "c3": {"10.0.0.100:30200"},
    }
    assert {member["host"]: member["cluster"] for member in world.status["replicaSet"]["members"]} == {
        host: cluster for cluster, found in hosts.items() for host in found
    }
    world.set_cluster("c1", ready=False)
    world.run(6)
    roles = {entry["cluster"]: set(entry["connectAddrWithRole"].values()) for entry in world.status["result"]}
    assert roles["c1"] == {"DOWN"}
    assert "DOWN" not in roles["c2"] | roles["c3"]


def test_ipv6_and_dns_addresses_reach_clients_and_member_clusters() -> None:
    world = World({"c1": "[fd00::1]", "c2": "[fd00::10]", "c3": "db.example.com"})
    for name, vip in (("c1", "fd00::1"), ("c2", "fd00::10")):
        cluster = world.store.get(CLUSTERS, name)
        assert cluster is not None
        world.store.put(CLUSTERS, {**cluster, "metadata": {"name": name, "annotations": {ANNOTATION_VIP: vip}}})
    world.create(3, {"c1": 1, "c2": 1, "c3": 1})
    world.settle()
    assert world.status["state"] == "Health"
    assert world.status["externalAddr"] == "[fd00::1]:30000,[fd00::10]:30100,db.example.com:30200"
    assert world.status["connectionString"] == f"mongodb://{world.status['externalAddr']}/?replicaSet={NAME}"
    assert [entry["vip"] for entry in world.status["result"]] == ["fd00::1", "fd00::10", "db.example.com"]
    policy = world.store.get(OVERRIDE_POLICIES, NAME)
    assert policy is not None
    patches = {
        rule["targetCluster"]["clusterNames"][0]: {p["path"] for p in rule["overriders"]["plaintext"] if "vip" in p["path"]}
        for rule in policy["spec"]["overrideRules"]
    }
    assert patches == {
        "c1": {"/metadata/annotations/middleware.fedstate.io~1vip"},
        "c2": {"/metadata/annotations/middleware.fedstate.io~1vip"},
        "c3": {"/metadata/labels/app.multicloudmongodb.io~1vip"},
    }


@pytest.mark.parametrize(("vip", "host"), [("fd00::1", "[fd00::1]:30001"), ("db.example.com", "db.example.com:30001")])
async def test_a_data_plane_writes_an_ipv6_address_in_brackets(vip: str, host: str) -> None:
    obj = mongodb()
    obj["metadata"]["annotations"] = {ANNOTATION_VIP: vip}
    cell = Cell(obj)
    await cell.looks(5)
    assert [member["host"] for member in cell.status["members"]] == [host]
    hostconf = cell.server.get(CONFIG_MAPS, "x-hostconf", "db")
    assert hostconf is not None
    assert hostconf["data"]["datas"] == f"host:'{host}'"


async def test_a_remark_of_a_member_cluster_is_told_in_the_owners_terms_while_all_is_well() -> None:
    part = Cell(mongodb(customConfigRef="mine"))
    config("replication: {replSetName: rs0}\n")(part)
    await part.settle()
    world = World(HOSTILE)
    world.create(3, {"c1": 1, "c2": 1, "c3": 1})
    world.settle()
    plain = world.cells["c1"].status
    world.cells["c1"].status = lambda replset: {**plain(replset), "conditions": part.status["conditions"]}  # type: ignore[method-assign]
    world.run(3)
    assert world.status["state"] == "Health"
    assert [entry.get("message") for entry in world.status["result"]] == [
        "replication.replSetName is set by FedState and cannot be changed; remove it from mongod.conf (spec.config.configRef)",
        None,
        None,
    ]
