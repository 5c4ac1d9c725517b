"""The life of an instance in the simulated world: created, scaled, moved, deleted, with clusters that die and operators that do."""

from base64 import b64encode
from typing import Any

import pytest

from fedstate.api.naming import MULTI_CLOUD_MONGODBS
from fedstate.fed.observed import References
from tests.fed.world import World

THREE = {"c1": "10.0.0.1", "c2": "10.0.0.10", "c3": "10.0.0.100"}


def running(placement: dict[str, int], *, arbiter: str | None = None, plan_first: bool = True) -> World:
    world = World(THREE, plan_first=plan_first)
    world.create(sum(placement.values()), placement, arbiter)
    world.settle()
    assert world.status["state"] == "Health", world.status
    world.replset.fewest_data = 10**6
    return world


def data_members(world: World) -> dict[str, int]:
    return {name: sum(not process.arbiter for process in cell.processes.values()) for name, cell in world.cells.items()}


@pytest.mark.parametrize("plan_first", [True, False])
def test_an_instance_comes_up_as_placed_and_is_initiated_once(plan_first: bool) -> None:
    world = running({"c1": 2, "c2": 2, "c3": 1}, plan_first=plan_first)
    assert data_members(world) == {"c1": 2, "c2": 2, "c3": 1}
    assert world.replset.initiated == 1
    assert world.status["members"] == "5/5"
    assert world.status["survives"] == "3/3"
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Reconciling")["status"] == "False"


def test_an_idle_instance_is_never_written() -> None:
    world = running({"c1": 2, "c2": 2, "c3": 1})
    serial = {key: obj["metadata"]["resourceVersion"] for key, obj in world.store.objects.items() if key[0] != "resourcebindings"}
    world.run(10)
    assert serial == {
        key: obj["metadata"]["resourceVersion"] for key, obj in world.store.objects.items() if key[0] != "resourcebindings"
    }


def test_a_changed_root_password_reaches_the_secret_and_nothing_else_of_it_changes() -> None:
    world = running({"c1": 1, "c2": 1, "c3": 1})
    made = world.store.objects["secrets", "x-auth"]["data"]
    for password, source in (("two", "inline"), ("three", "Secret")):
        raw = world.instance()
        raw["spec"]["auth"] = {"rootPasswd": password} if source == "inline" else {"rootPasswordSecretRef": {"name": "pw"}}
        world.references = References(root_password=password if source == "Secret" else None)
        world.store.put(MULTI_CLOUD_MONGODBS, raw)
        world.settle()
        assert world.store.objects["secrets", "x-auth"]["data"] == made | {"rootPassword": b64encode(password.encode()).decode()}
        assert password not in str(world.status)
    serial = world.store.objects["secrets", "x-auth"]["metadata"]["resourceVersion"]
    raw["spec"].pop("auth")
    world.references = References()
    world.store.put(MULTI_CLOUD_MONGODBS, raw)
    world.settle()
    assert world.store.objects["secrets", "x-auth"]["metadata"]["resourceVersion"] == serial, "no source, no change"


@pytest.mark.parametrize("plan_first", [True, False])
def test_scaling_out_adds_members_with_ids_never_used_before(plan_first: bool) -> None:
    world = running({"c1": 1, "c2": 1, "c3": 1}, plan_first=plan_first)
    world.place({"c1": 3, "c2": 2, "c3": 2})
    world.settle()
    assert data_members(world) == {"c1": 3, "c2": 2, "c3": 2}
    assert world.status["members"] == "7/7"
    assert world.replset.fewest_data >= 3


@pytest.mark.parametrize("plan_first", [True, False])
@pytest.mark.parametrize("primary_cluster", ["c1", "c2", "c3"])
def test_scaling_in_ends_with_a_primary_wherever_the_primary_was(plan_first: bool, primary_cluster: str) -> None:
    world = running({"c1": 2, "c2": 2, "c3": 1}, plan_first=plan_first)
    world.replset.primary = next(iter(world.cells[primary_cluster].processes.values())).host
    world.place({"c1": 1, "c2": 1, "c3": 1})
    world.settle()
    assert data_members(world) == {"c1": 1, "c2": 1, "c3": 1}
    assert world.replset.primary
    assert world.status["state"] == "Health"
    assert world.replset.fewest_data >= 3
    assert all(len(cell.ever) <= 2 for cell in world.cells.values()), "no member was started only to be stopped"


def test_a_primary_that_is_elected_again_is_primary_since_then() -> None:
    world = running({"c1": 1, "c2": 1, "c3": 1})
    before = world.status["primary"]
    world.run(3)
    assert world.status["primary"] == before
    world.replset.term += 1
    world.settle()
    after = world.status["primary"]
    assert after["host"] == before["host"]
    assert after["since"] > before["since"]


def test_a_primary_that_shall_leave_is_shown_as_the_primary_until_it_has_stepped_down() -> None:
    world = running({"c1": 2, "c2": 2, "c3": 1})
    leaving = next(iter(world.cells["c3"].processes.values())).host
    world.replset.primary = leaving
    seen: set[tuple[str, bool]] = set()

    def watch() -> None:
        world.operate()
        assert world.status["state"] in ("Health", "SubHealth"), world.status
        assert world.status["primary"]["host"] == world.replset.primary
        roles = {host: role for result in world.status["result"] for host, role in result["connectAddrWithRole"].items()}
        assert roles[world.replset.primary] == "PRIMARY"
        seen.add((world.replset.primary, world.status["state"] == "Health"))

    world.watchers.append(watch)
    world.place({"c1": 2, "c2": 1})
    world.settle()
    assert (leaving, False) in seen
    assert world.status["state"] == "Health"
    assert world.status["primary"]["cluster"] != "c3"


@pytest.mark.parametrize("plan_first", [True, False])
def test_a_cluster_taken_out_leaves_only_after_its_members_have_been_replaced(plan_first: bool) -> None:
    world = running({"c1": 2, "c2": 1}, plan_first=plan_first)
    world.replset.primary = next(iter(world.cells["c1"].processes.values())).host
    world.place({"c2": 2, "c3": 1})
    world.settle()
    assert data_members(world) == {"c1": 0, "c2": 2, "c3": 1}
    assert world.replset.fewest_data >= 3
    assert world.cells["c1"].mongodb is None
    assert set(world.works) == {"c2", "c3"}
    assert [entry["cluster"] for entry in world.status["result"]] == ["c2", "c3"]
    assert world.status["state"] == "Health"


def test_a_cluster_that_is_wanted_again_while_it_leaves_comes_back() -> None:
    world = running({"c1": 1, "c2": 1, "c3": 1})
    world.place({"c1": 2, "c2": 1})
    world.run(4)
    world.place({"c1": 1, "c2": 1, "c3": 1})
    world.settle()
    assert data_members(world) == {"c1": 1, "c2": 1, "c3": 1}
    assert world.status["state"] == "Health"


def test_an_arbiter_votes_and_is_no_address_for_clients() -> None:
    world = running({"c1": 1, "c2": 1}, arbiter=None)
    world.place({"c1": 1, "c2": 1, "c3": 0}, arbiter="c3")
    world.settle()
    assert world.status["result"][2]["connectAddrWithRole"] == {"10.0.0.100:30200": "ARBITER"}
    assert "10.0.0.100" not in world.status["externalAddr"]
    assert world.status["state"] == "Health"
    assert "majority writes" in world.condition("QuorumSafe")["message"]
    world.place({"c1": 1, "c2": 2})
    world.settle()
    assert world.cells["c3"].processes == {}
    assert world.status["state"] == "Health"


def test_members_of_clusters_with_similar_addresses_are_not_mixed_up() -> None:
    world = running({"c1": 1, "c2": 2, "c3": 2})
    for entry in world.status["result"]:
        vip = THREE[entry["cluster"]]
        assert {address.rpartition(":")[0] for address in entry["connectAddrWithRole"]} == {vip}
        assert entry["replicasetStatus"] == entry["replicasetSpec"]


def test_a_lost_cluster_is_replaced_elsewhere_and_cleared_when_it_returns() -> None:
    world = running({"c1": 2, "c2": 2, "c3": 1})
    world.set_cluster("c1", ready=False)
    world.tick()
    world.tick()
    assert world.status["state"] == "SubHealth"
    assert world.condition("MajorityLost")["status"] == "False"
    entry = world.status["result"][0]
    assert (entry["state"], entry["replicasetStatus"], entry["reachable"]) == ("Unknown", 0, False)
    assert set(entry["connectAddrWithRole"].values()) == {"DOWN"}
    world.place({"c2": 3, "c3": 2})
    world.settle()
    assert world.status["state"] == "Health"
    assert world.status["decommissioning"] == ["c1"]
    assert "c1" in world.condition("Reconciling")["message"]
    world.set_cluster("c1")
    world.settle()
    assert data_members(world) == {"c1": 0, "c2": 3, "c3": 2}
    assert "decommissioning" not in world.status
    assert set(world.works) == {"c2", "c3"}


def test_a_lost_majority_is_said_and_nothing_is_done_about_it() -> None:
    world = running({"c1": 2, "c2": 2, "c3": 1})
    world.set_cluster("c1", ready=False)
    world.set_cluster("c2", ready=False)
    world.settle()
    assert world.status["state"] == "UnHealth"
    assert world.condition("MajorityLost")["status"] == "True"
    assert world.condition("RecoveryRequired")["status"] == "True"
    generation = world.status["replicaSet"]["planGeneration"]
    version = world.replset.version
    world.place({"c3": 5})
    world.run(10)
    assert world.replset.version == version
    assert world.status["replicaSet"]["planGeneration"] >= generation
    assert {member.host for member in world.replset.config} >= {
        p.host for p in world.cells["c3"].processes.values() if p.ordinal == 0
    }
    world.set_cluster("c1")
    world.set_cluster("c2")
    world.settle()
    assert data_members(world) == {"c1": 0, "c2": 0, "c3": 5}
    assert world.status["state"] == "Health"


def test_nothing_fresh_to_judge_by_is_unknown() -> None:
    world = running({"c1": 1, "c2": 1, "c3": 1})
    for name in THREE:
        world.set_cluster(name, ready=False)
    world.settle()
    assert world.status["state"] == "UnKnown"
    assert world.condition("MajorityLost")["status"] == "Unknown"


def test_without_a_view_of_its_own_the_operator_goes_by_the_data_planes() -> None:
    world = World(THREE)
    world.sees_replset = False
    world.create(3, {"c1": 1, "c2": 1, "c3": 1})
    world.settle()
    assert world.status["state"] == "Health"
    assert world.status["primary"]["cluster"] in THREE


@pytest.mark.parametrize("sees_replset", [True, False])
def test_who_votes_counts_only_once_a_majority_has_been_told(sees_replset: bool) -> None:
    """Until then the loss of the primary takes the last given vote back, and the set may have no majority left."""
    world = World(THREE)
    world.sees_replset = sees_replset
    world.replset.committed = False
    world.create(3, {"c1": 1, "c2": 1, "c3": 1})
    world.settle()
    assert world.status["state"] == "SubHealth"
    assert "yet to reach a majority of the voters" in world.condition("Ready")["message"]
    world.replset.committed = True
    world.settle()
    assert world.status["state"] == "Health"


def test_a_member_that_cannot_be_elected_yet_is_not_health() -> None:
    """Were the primary lost now, nobody could take over, majority or not."""
    world = running({"c1": 1, "c2": 1, "c3": 1})
    other = next(live for live in world.replset.config if live.host != world.replset.primary)
    other.priority = 0.0
    world.run(5)
    assert world.status["state"] == "SubHealth"
    assert "cannot be elected yet" in world.condition("Ready")["message"]
    other.priority = 1.0
    world.settle()
    assert world.status["state"] == "Health"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({}, True),
        ({"scheduler": {"allowDynamicScheduler": False}}, False),
        ({"scheduler": {"schedulerName": "another"}}, False),
    ],
)
def test_members_in_too_few_clusters_while_others_are_ready_can_be_placed_anew_and_that_is_said(
    spec: dict[str, Any], says: bool
) -> None:
    world = World(THREE)
    world.create(3, {"c1": 2, "c2": 1}, **spec)
    world.settle()
    command = "kubectl annotate mcm x -n db --overwrite middleware.fedstate.io/rebalance=TEXT"
    assert (command in world.condition("QuorumSafe")["message"]) is says
    world.set_cluster("c3", ready=False)
    world.settle()
    assert command not in world.condition("QuorumSafe")["message"]


def everything_is_gone(world: World) -> bool:
    left = [key for key in world.store.objects if key[0] != "clusters"]
    return not left and not world.works


def test_a_deleted_instance_leaves_nothing_anywhere() -> None:
    world = running({"c1": 2, "c2": 2, "c3": 1})
    world.delete()
    world.settle()
    assert everything_is_gone(world)
    assert all(cell.mongodb is None and not cell.processes for cell in world.cells.values())


def test_an_instance_deleted_before_it_was_placed_goes_at_once() -> None:
    world = World(THREE)
    world.create(3, None)
    world.settle()
    assert world.condition("ServerScheduledResult")["status"] == "False"
    world.delete()
    world.settle()
    assert everything_is_gone(world)


@pytest.mark.parametrize("passes", [1, 3])
def test_a_dead_cluster_does_not_hold_up_a_deletion_and_is_cleared_when_it_returns(passes: int) -> None:
    world = running({"c1": 2, "c2": 2, "c3": 1})
    world.passes = passes
    world.set_cluster("c2", ready=False)
    world.delete()
    world.tick()
    world.tick()
    assert world.exists
    assert "c2" in world.condition("Reconciling")["message"]
    world.run(12)
    world.settle()
    assert not world.exists
    assert ("secrets", "x-auth") not in world.store.objects
    assert world.cells["c2"].processes
    assert world.cells["c1"].mongodb is None
    world.set_cluster("c2")
    world.settle()
    assert everything_is_gone(world)
    assert not world.cells["c2"].processes


def test_a_new_instance_of_the_same_name_does_not_touch_what_a_dead_cluster_still_holds() -> None:
    world = running({"c1": 1, "c2": 1, "c3": 1})
    old = world.instance()["metadata"]["uid"]
    secret = world.store.objects["secrets", "x-auth"]["data"]
    world.set_cluster("c2", ready=False)
    world.delete()
    world.run(12)
    world.settle()
    world.replset.__init__()  # type: ignore[misc]
    world.create(3, {"c1": 1, "c2": 1, "c3": 1})
    world.run(15)
    assert world.instance()["metadata"]["uid"] != old
    assert world.store.objects["secrets", "x-auth"]["data"] != secret
    assert world.cells["c2"].holds == old
    assert "former instance" in world.condition("Reconciling")["message"]
    world.set_cluster("c2")
    world.settle()
    assert world.cells["c2"].holds == world.instance()["metadata"]["uid"]
    assert world.status["state"] == "Health"
    assert "decommissioning" not in world.status


def test_a_silent_operator_in_a_ready_cluster_does_not_hold_up_a_deletion_for_ever() -> None:
    world = running({"c1": 1, "c2": 1, "c3": 1})
    world.cells["c3"].operator = False
    world.delete()
    world.run(12)
    world.settle()
    assert not world.exists
    world.cells["c3"].operator = True
    world.settle()
    assert everything_is_gone(world)
