"""The operator dies after every single request of every life, and the next one converges from what it reads."""

from collections.abc import Callable

import pytest

from tests.fed.test_life import THREE, data_members, everything_is_gone
from tests.fed.world import Crash, World

Change = Callable[[World], None]

LIVES: dict[str, Change] = {
    "create": lambda world: world.create(3, {"c1": 1, "c2": 1, "c3": 1}),
    "scale out": lambda world: world.place({"c1": 2, "c2": 2, "c3": 1}),
    "scale in with the primary as victim": lambda world: lose_the_primary(world),
    "take a cluster out": lambda world: world.place({"c2": 2, "c3": 1}),
    "delete": lambda world: world.delete(),
}
OUTCOMES: dict[str, dict[str, int]] = {
    "create": {"c1": 1, "c2": 1, "c3": 1},
    "scale out": {"c1": 2, "c2": 2, "c3": 1},
    "scale in with the primary as victim": {"c1": 1, "c2": 1, "c3": 1},
    "take a cluster out": {"c1": 0, "c2": 2, "c3": 1},
    "delete": {"c1": 0, "c2": 0, "c3": 0},
}


def lead(world: World, cluster: str, index: int) -> None:
    world.replset.primary = list(world.cells[cluster].processes.values())[index].host


def lose_the_primary(world: World) -> None:
    lead(world, "c1", -1)
    world.place({"c1": 1, "c2": 1, "c3": 1})


def before(life: str) -> World:
    world = World(THREE, plan_first=life != "delete")
    if life != "create":
        world.create(3, {"c1": 1, "c2": 1, "c3": 1})
        if life.startswith("scale in"):
            world.settle()
            world.place({"c1": 3, "c2": 1, "c3": 1})
        world.settle()
    world.replset.fewest_data = 10**6
    return world


@pytest.mark.parametrize("life", LIVES)
def test_an_operator_restarted_after_any_request_converges(life: str) -> None:
    whole = before(life)
    start = whole.actions_done
    LIVES[life](whole)
    whole.settle()
    requests = whole.actions_done - start
    assert requests > 0
    for cut in range(requests):
        world = before(life)
        keyfile = world.store.objects.get(("secrets", "x-auth"))
        LIVES[life](world)
        world.crash_after = world.actions_done + cut
        with pytest.raises(Crash):
            world.settle()
        # What had been sent is seen by the others, whether or not the operator comes back soon.
        world.karmada()
        world.crash_after = None
        world.run(2)
        world.settle()
        assert data_members(world) == OUTCOMES[life], f"cut after request {cut}"
        if life == "delete":
            assert everything_is_gone(world), f"cut after request {cut}"
            continue
        assert world.status["state"] == "Health", f"cut after request {cut}"
        assert world.replset.initiated == 1
        assert world.replset.fewest_data >= 3 or life == "create"
        if keyfile is not None:
            assert world.store.objects["secrets", "x-auth"]["data"] == keyfile["data"]


def test_an_operator_that_dies_while_it_leaves_a_dead_cluster_behind_still_remembers_it() -> None:
    def deleted_with_dead() -> World:
        world = before("delete")
        world.set_cluster("c2", ready=False)
        world.delete()
        return world

    whole = deleted_with_dead()
    start = whole.actions_done
    whole.run(14)
    whole.settle()
    for cut in range(whole.actions_done - start):
        world = deleted_with_dead()
        world.crash_after = world.actions_done + cut
        with pytest.raises(Crash):
            world.run(20)
        world.crash_after = None
        world.run(14)
        assert not world.exists
        assert world.cells["c2"].processes, "nothing was cleared in a cluster that cannot be reached"
        world.set_cluster("c2")
        world.run(4)
        world.settle()
        assert everything_is_gone(world), f"cut after request {cut}"
