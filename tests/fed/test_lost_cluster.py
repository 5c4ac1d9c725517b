"""A lost cluster whose members have been placed elsewhere: added first, removed after, whenever the cluster returns and whoever dies."""

from collections.abc import Mapping

import pytest

from tests.fed.test_life import data_members
from tests.fed.world import Crash, World

FOUR = {"c1": "10.0.0.1", "c2": "10.0.0.10", "c3": "10.0.0.100", "c4": "10.0.0.4"}
BEFORE, AFTER = {"c1": 2, "c2": 2, "c3": 1}, {"c2": 2, "c3": 1, "c4": 2}


def running(placement: Mapping[str, int] = BEFORE, *, arbiter: str | None = None, lead: str = "c1") -> World:
    """An instance in health, the primary in `lead`, and an alarm for every moment in which the set falls short."""
    world = World(FOUR)
    world.create(sum(placement.values()), placement, arbiter)
    world.settle()
    assert world.status["state"] == "Health"
    world.replset.primary = next(p.host for p in world.cells[lead].processes.values() if not p.arbiter)
    world.replset.fewest_data = 10**6

    def watch() -> None:
        voters = [member for member in world.replset.config if member.votes]
        living = sum(member.host in world.replset.up for member in voters)
        assert living * 2 > len(voters), "no majority"
        assert len(voters) <= 7
        assert sum(member.arbiter for member in world.replset.config) <= 1, "two arbiters"

    world.watchers.append(watch)
    return world


def lose(world: World, cluster: str) -> None:
    world.set_cluster(cluster, ready=False)
    world.run(2)
    assert world.condition("MajorityLost")["status"] == "False", world.status


@pytest.mark.parametrize("lead", ["c1", "c2"])
def test_members_of_a_lost_cluster_are_added_elsewhere_before_the_dead_ones_are_removed(lead: str) -> None:
    world = running(lead=lead)
    dead = {process.host for process in world.cells["c1"].processes.values()}
    lose(world, "c1")
    configurations: list[set[str]] = []
    world.watchers.append(lambda: configurations.append({member.host for member in world.replset.config}))
    world.place(AFTER)
    world.settle()
    assert world.status["state"] == "Health"
    assert world.status["members"] == "5/5"
    assert world.status["survives"] == "3/3"
    assert world.replset.fewest_data >= 5, "no copy went before another had come"
    whole = next(hosts for hosts in configurations if len(hosts) == 7)
    assert dead <= whole
    assert not dead & configurations[-1]
    assert world.cells["c1"].processes, "what cannot be reached is not touched"


@pytest.mark.parametrize("ticks", range(14))
def test_a_cluster_may_return_at_any_moment_of_the_move_and_it_goes_on(ticks: int) -> None:
    world = running()
    lose(world, "c1")
    world.place(AFTER)
    world.run(ticks)
    world.set_cluster("c1")
    world.settle()
    assert data_members(world) == {"c1": 0, **AFTER}
    assert world.status["state"] == "Health"
    assert "decommissioning" not in world.status
    assert world.cells["c1"].mongodb is None


@pytest.mark.parametrize("ticks", [0, 2, 5, 40])
def test_a_lost_cluster_that_is_wanted_again_carries_new_members_only(ticks: int) -> None:
    world = running()
    stale = set(world.cells["c1"].processes)
    lose(world, "c1")
    world.place(AFTER)
    world.settle()
    world.place({"c1": 1, "c2": 2, "c3": 1, "c4": 1})
    world.run(ticks)
    world.set_cluster("c1")
    world.settle()
    assert data_members(world) == {"c1": 1, "c2": 2, "c3": 1, "c4": 1}
    assert not stale & set(world.cells["c1"].processes), "what missed so much starts anew, under another name"
    assert world.status["state"] == "Health"


def test_a_lost_arbiter_is_replaced() -> None:
    world = running({"c1": 2, "c2": 2, "c3": 0}, arbiter="c3")
    lose(world, "c3")
    world.place({"c1": 2, "c2": 2, "c4": 0}, "c4")
    world.settle()
    assert world.status["state"] == "Health"
    assert [member.arbiter for member in world.replset.config].count(True) == 1
    assert [process.arbiter for process in world.cells["c4"].processes.values()] == [True]
    world.set_cluster("c3")
    world.settle()
    assert not world.cells["c3"].processes


def test_seven_voters_of_which_three_are_lost_are_seven_again() -> None:
    world = running({"c1": 3, "c2": 2, "c3": 2})
    lose(world, "c1")
    world.place({"c2": 2, "c3": 2, "c4": 3})
    world.settle()
    assert data_members(world) == {"c1": 3, "c2": 2, "c3": 2, "c4": 3}
    assert world.status["state"] == "Health"
    assert world.status["replicaSet"]["voters"] == 7


def test_a_second_loss_during_the_move_stops_it_before_the_majority_is_touched() -> None:
    """The world's alarm is off: this time it is the second cluster that takes the majority, not the move."""
    world = running()
    lose(world, "c1")
    world.watchers.clear()
    world.place(AFTER)
    world.tick()
    world.set_cluster("c2", ready=False)
    version = world.replset.version
    world.run(20)
    assert world.condition("MajorityLost")["status"] == "True"
    assert world.replset.version == version, "nothing was changed without a majority"
    world.set_cluster("c2")
    world.settle()
    assert world.status["state"] == "Health"
    assert {name: count for name, count in data_members(world).items() if name != "c1"} == AFTER


def test_an_operator_restarted_after_any_request_of_the_move_converges() -> None:
    def moving() -> World:
        world = running()
        lose(world, "c1")
        world.place(AFTER)
        return world

    whole = moving()
    start = whole.actions_done
    whole.settle()
    for cut in range(whole.actions_done - start):
        world = moving()
        world.crash_after = world.actions_done + cut
        with pytest.raises(Crash):
            world.settle()
        world.crash_after = None
        world.run(2)
        world.settle()
        assert world.status["state"] == "Health", f"cut after request {cut}"
        world.set_cluster("c1")
        world.settle()
        assert data_members(world) == {"c1": 0, **AFTER}, f"cut after request {cut}"


@pytest.mark.parametrize("sees", [True, False])
def test_the_status_tells_a_member_that_is_down_from_one_that_nobody_here_sees(sees: bool) -> None:
    """The scheduler goes by it: a cluster that only Karmada cannot reach is not lost."""
    world = running(lead="c2")
    world.sees_replset = sees
    lose(world, "c1")
    roles = {m["host"]: m["role"] for m in world.status["replicaSet"]["members"] if m["cluster"] == "c1"}
    assert set(roles.values()) == {"DOWN"}
    for host in roles:
        world.replset.start(host)  # the members serve, and only Karmada does not reach their cluster
    world.run(2)
    roles = {m["host"]: m["role"] for m in world.status["replicaSet"]["members"] if m["cluster"] == "c1"}
    assert set(roles.values()) == ({"SECONDARY"} if sees else {"UNKNOWN"})


@pytest.mark.parametrize("ticks", range(1, 10))
def test_a_cluster_that_is_lost_while_it_takes_over_is_replaced_too(ticks: int) -> None:
    world = running()
    lose(world, "c1")
    world.place(AFTER)
    world.run(ticks)
    lose(world, "c4")
    world.place({"c2": 3, "c3": 2})
    world.settle()
    assert world.status["state"] == "Health"
    assert {world.cells[name].vip for name in ("c2", "c3")} == {m.host.rpartition(":")[0] for m in world.replset.config}
    world.set_cluster("c4")
    world.set_cluster("c1")
    world.settle()
    assert data_members(world) == {"c1": 0, "c2": 3, "c3": 2, "c4": 0}
    assert world.status["state"] == "Health"
