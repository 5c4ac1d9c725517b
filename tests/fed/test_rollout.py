"""Changes that restart members: one cluster at a time, whatever the data planes do, and never stuck behind a bad one."""

import json
from typing import Any

import pytest

from fedstate.api.naming import MONGODBS, MULTI_CLOUD_MONGODBS
from fedstate.fed.observed import References
from tests.fed.test_life import THREE, running
from tests.fed.world import NAME, World

FIVE = {"c1": 2, "c2": 2, "c3": 1}


def change(world: World, **spec: Any) -> None:
    raw = world.instance()
    raw["spec"].update(spec)
    world.store.put(MULTI_CLOUD_MONGODBS, raw)


def images(world: World) -> dict[str, set[str]]:
    return {name: {json.loads(process.revision)[0] for process in cell.processes.values()} for name, cell in world.cells.items()}


def rules(world: World) -> list[dict[str, Any]]:
    override = world.observe().objects.override
    assert override is not None
    patches = [rule["overriders"]["plaintext"] for rule in override["spec"]["overrideRules"]]
    return [{patch["path"]: patch["value"] for patch in rule} for rule in patches]


def watch_one_cluster_at_a_time(world: World) -> list[str]:
    order: list[str] = []

    def watch() -> None:
        rolling = [name for name, cell in world.cells.items() if cell.processes and not cell.at_rest]
        assert len(rolling) <= 1, f"{rolling} change at the same time"
        order.extend(name for name in rolling if name not in order)

    world.watchers.append(watch)
    return order


def test_a_new_image_reaches_one_cluster_after_another_and_the_primarys_last() -> None:
    world = running(FIVE)
    world.replset.primary = next(iter(world.cells["c1"].processes.values())).host
    order = watch_one_cluster_at_a_time(world)
    change(world, imageSetting={"image": "mongo:7.0"})
    world.settle()
    assert order == ["c2", "c3", "c1"]
    assert images(world) == {name: {"mongo:7.0"} for name in THREE}
    assert world.status["state"] == "Health"
    assert world.condition("Reconciling")["status"] == "False"
    assert not any("/spec/image" in paths for paths in rules(world))


@pytest.mark.parametrize("slow", THREE)
def test_a_cluster_that_is_slow_to_follow_is_waited_for(slow: str) -> None:
    world = running(FIVE)
    world.cells[slow].slow = True
    watch_one_cluster_at_a_time(world)

    def one_turn_at_a_time() -> None:
        template = world.store.get(MONGODBS, NAME)
        if template is not None and template["spec"]["image"] == "mongo:7.0":
            turns = [name for name, rule in zip(sorted(THREE), rules(world), strict=True) if "/spec/image" not in rule]
            assert len([name for name in turns if images(world)[name] != {"mongo:7.0"}]) <= 1, turns

    world.watchers.append(one_turn_at_a_time)
    change(world, imageSetting={"image": "mongo:7.0"})
    world.run(60)
    assert images(world) == {name: {"mongo:7.0"} for name in THREE}
    assert world.status["state"] == "Health"


def test_the_template_says_the_new_image_only_once_every_cluster_is_held_fast() -> None:
    world = running(FIVE)
    change(world, imageSetting={"image": "mongo:7.0"})
    world.tick()
    template = world.store.get(MONGODBS, NAME)
    assert template is not None
    assert template["spec"]["image"] == "mongo:6.0"
    assert all(paths["/spec/image"] == "mongo:6.0" for paths in rules(world))
    assert "cluster to cluster" in world.condition("Reconciling")["message"]


def test_a_change_while_another_is_under_way_goes_on_with_the_newest() -> None:
    world = running(FIVE)
    watch_one_cluster_at_a_time(world)
    change(world, imageSetting={"image": "mongo:7.0"})
    world.run(6)
    change(world, imageSetting={"image": "mongo:8.0"}, resource={"limits": {"cpu": "3"}})
    world.settle()
    assert images(world) == {name: {"mongo:8.0"} for name in THREE}
    assert world.status["state"] == "Health"


def test_a_bad_change_stops_at_its_first_cluster_and_can_be_taken_back() -> None:
    world = running(FIVE)
    for cell in world.cells.values():
        cell.rolls = False
    change(world, imageSetting={"image": "mongo:none"})
    world.run(20)
    told = [cell.mongodb["spec"]["image"] for cell in world.cells.values() if cell.mongodb is not None]
    assert sorted(told) == ["mongo:6.0", "mongo:6.0", "mongo:none"]
    change(world, imageSetting={"image": "mongo:6.0"})
    for cell in world.cells.values():
        cell.rolls = True
    world.settle()
    assert world.status["state"] == "Health"
    assert images(world) == {name: {"mongo:6.0"} for name in THREE}


def test_a_dead_cluster_gets_its_turn_when_it_returns() -> None:
    world = running(FIVE)
    watch_one_cluster_at_a_time(world)
    world.set_cluster("c3", ready=False)
    world.run(2)
    change(world, imageSetting={"image": "mongo:7.0"})
    world.settle()
    assert images(world) == {"c1": {"mongo:7.0"}, "c2": {"mongo:7.0"}, "c3": {"mongo:6.0"}}
    world.set_cluster("c3")
    world.settle()
    assert images(world)["c3"] == {"mongo:7.0"}


def test_a_changed_configuration_goes_from_cluster_to_cluster_under_a_new_name() -> None:
    world = World(THREE)
    world.references = References(config={"mongod.conf": "a: 1"})
    world.create(5, FIVE, config={"configRef": "mine"})
    world.settle()
    (before,) = world.observe().objects.configs
    watch_one_cluster_at_a_time(world)
    world.references = References(config={"mongod.conf": "a: 2"})
    world.settle()
    (after,) = world.observe().objects.configs
    assert after != before
    assert {json.loads(p.revision)[2] for cell in world.cells.values() for p in cell.processes.values()} == {after}
    world.references = References(problems=("spec.config.configRef: gone",))
    world.settle()
    assert world.condition("Stalled")["status"] == "True"
    assert list(world.observe().objects.configs) == [after], "what runs goes on with its copy"
    assert world.status["state"] == "Health"


def test_scaling_while_a_change_is_under_way_does_both() -> None:
    world = running({"c1": 1, "c2": 1, "c3": 1})
    change(world, imageSetting={"image": "mongo:7.0"})
    world.run(3)
    world.place(FIVE)
    world.settle()
    assert images(world) == {name: {"mongo:7.0"} for name in THREE}
    assert world.status["members"] == "5/5"
    assert world.status["state"] == "Health"
