"""Sequences of events that would lose data if the federation believed what it sees first, or wrote what it thought long ago."""

import copy
import json
from dataclasses import replace

import pytest

from fedstate.api.karmada import OVERRIDE_POLICIES, PROPAGATION_POLICIES, RESOURCE_BINDINGS
from fedstate.api.naming import MONGODBS, MULTI_CLOUD_MONGODBS
from fedstate.api.replset import ReplsetPlan, RetiringMember
from fedstate.fed.observed import ReplsetView
from fedstate.fed.plan import plan_for
from fedstate.fed.roster import let_go, roster_for
from fedstate.kube.resources import CONFIG_MAPS, SECRETS, Resource
from tests.fed.store import Refused
from tests.fed.test_life import THREE, running
from tests.fed.test_rollout import FIVE, change, images
from tests.fed.world import NAME, World


def plan_of(world: World) -> ReplsetPlan:
    plan = world.observe().plan
    assert plan is not None
    return plan


def test_the_plan_keeps_that_the_set_was_begun_when_all_else_has_forgotten_it() -> None:
    world = running(FIVE)
    assert plan_of(world).replica_set_id == "set-1"
    raw = world.instance()
    raw.pop("status")
    world.store.put(MULTI_CLOUD_MONGODBS, raw)
    binding = world.store.get(RESOURCE_BINDINGS, f"{NAME}-mongodb")
    assert binding is not None
    world.store.put(RESOURCE_BINDINGS, {**binding, "status": {"aggregatedStatus": []}})
    world.sees_replset = False
    observed = world.observe()
    assert observed.initialised
    world.operate()
    assert plan_of(world).replica_set_id == "set-1"
    world.sees_replset = True
    world.settle()
    assert world.replset.initiated == 1


@pytest.mark.parametrize("also_lost", [(), ((MONGODBS, NAME),), ((MONGODBS, NAME), (OVERRIDE_POLICIES, NAME))])
def test_a_keyfile_is_never_made_again_for_a_set_that_runs(also_lost: tuple[tuple[Resource, str], ...]) -> None:
    world = running(FIVE)
    for resource, name in also_lost:
        world.store.delete(resource, name)
    secret = world.store.get(SECRETS, f"{NAME}-auth")
    assert secret is not None
    world.store.delete(SECRETS, f"{NAME}-auth")
    world.sees_replset = False  # without the keyfile nobody answers
    world.run(3)
    assert world.store.get(SECRETS, f"{NAME}-auth") is None
    stalled = world.condition("Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "Failed")
    assert "from the copy in any member cluster" in stalled["message"]
    assert world.condition("ServerScheduledResult")["status"] == "True"
    world.store.put(SECRETS, secret)
    world.sees_replset = True
    world.settle()
    assert world.status["state"] == "Health"


def test_a_control_plane_restored_from_a_backup_does_not_lead_the_set_back() -> None:
    world = running({"c1": 1, "c2": 1, "c3": 1})
    names = [(resource, name) for resource, name in ((CONFIG_MAPS, f"{NAME}-hostconf"), (OVERRIDE_POLICIES, NAME))]
    backup = [copy.deepcopy(world.store.get(resource, name)) for resource, name in names]
    world.place({"c1": 2, "c2": 2, "c3": 1})
    world.settle()
    members = {(m.id, m.host) for m in plan_of(world).members}
    for (resource, _), obj in zip(names, backup, strict=True):
        assert obj is not None
        world.store.put(resource, obj)
    world.operate()
    recovered = plan_of(world)
    assert {(m.id, m.host) for m in recovered.members} == members
    world.settle()
    assert {(m.id, m.host) for m in plan_of(world).members} == members
    assert world.status["state"] == "Health"


def test_an_order_that_was_thought_of_long_ago_is_refused() -> None:
    """A process stopped between reading and writing must not bring a withdrawn decommission back."""
    world = running({"c1": 2, "c2": 2, "c3": 1})
    late = []
    world.place({"c1": 2, "c2": 2})
    for _ in range(30):
        plan = plan_for(world.observe(), world.random.randbytes)
        late = [a for a in plan.actions if a.resource is OVERRIDE_POLICIES and '"decommission": true' in json.dumps(a.obj)]
        if late:
            break
        world.tick()
    world.place(FIVE)
    world.settle()
    with pytest.raises(Refused):
        world.store.do(late[0])


@pytest.mark.parametrize("case", ["committed", "not committed", "a live member that the plan cannot place", "no view"])
def test_a_cluster_is_told_to_clear_away_only_by_the_configuration_in_force(case: str) -> None:
    world = running(FIVE)
    observed = world.observe()
    assert observed.plan is not None
    assert observed.view is not None
    assert observed.view.config is not None
    assert observed.instance is not None
    assert observed.instance.placement is not None
    placement = replace(
        observed.instance.placement,
        clusters=tuple(entry for entry in observed.instance.placement.clusters if entry.cluster != "c3"),
    )
    leaving = next(member for member in observed.plan.members if member.cluster == "c3")
    retiring = (RetiringMember(host=leaving.host, cluster="c3", member=leaving.member),)
    plan = replace(observed.plan, members=tuple(m for m in observed.plan.members if m is not leaving), retiring=retiring)
    live = tuple(member for member in observed.view.config.members if member.host != leaving.host)
    if case.startswith("a live member"):
        live = (*live, replace(live[0], id=90, host="10.0.0.100:39999"))
    view: ReplsetView | None = replace(
        observed.view, config=replace(observed.view.config, members=live), committed=case != "not committed"
    )
    view = None if case == "no view" else view
    roster = roster_for(replace(observed, plan=plan, view=view), placement)
    assert roster.tasks["c3"].decommission is (case == "committed")


def rules_without_old_values(world: World) -> set[str]:
    override = world.store.get(OVERRIDE_POLICIES, NAME)
    assert override is not None
    rules = [{p["path"]: p["value"] for p in r["overriders"]["plaintext"]} for r in override["spec"]["overrideRules"]]
    return {rule["/spec/federation"]["cluster"] for rule in rules if "/spec/image" not in rule}


def test_a_cluster_with_a_member_down_does_not_get_its_turn_while_another_is_at_it() -> None:
    world = running({"c1": 2, "c2": 2, "c3": 1})
    world.cells["c2"].rolls = False
    change(world, imageSetting={"image": "mongo:7.0"})
    for _ in range(20):
        world.tick()
        if any(not cell.at_rest for cell in world.cells.values()):
            break
    (first,) = (name for name, cell in world.cells.items() if not cell.at_rest)
    other = next(name for name in ("c1", "c2") if name != first)
    down = next(iter(world.cells[other].processes.values()))
    world.replset.stop(down.host)
    world.cells[first].rolls = False
    world.run(6)
    assert not (rules_without_old_values(world) & {other})
    assert images(world)[other] == {"mongo:6.0"}


def test_members_that_nobody_sees_are_no_reason_to_restart_all_clusters_at_once() -> None:
    world = running(FIVE)
    world.sees_replset = False
    for cell in world.cells.values():
        cell.blind = True
    change(world, imageSetting={"image": "mongo:7.0"})

    def at_most_one() -> None:
        template = world.store.get(MONGODBS, NAME)
        assert template is not None
        if template["spec"]["image"] == "mongo:7.0":
            assert len(rules_without_old_values(world)) <= 1

    world.watchers.append(at_most_one)
    world.run(10)
    assert sum(images(world)[name] == {"mongo:7.0"} for name in THREE) == 0


def test_a_set_that_crashes_everywhere_is_mended_by_a_change_all_the_same() -> None:
    world = running(FIVE)
    for cell in world.cells.values():
        for process in cell.processes.values():
            process.up = False
            world.replset.stop(process.host)
        cell.rolls = False
    change(world, imageSetting={"image": "mongo:7.0"})
    world.run(8)
    assert rules_without_old_values(world) == set(THREE)


def test_an_initiator_that_is_lost_before_it_was_seen_to_begin_is_waited_for_and_named() -> None:
    world = World(THREE)
    world.create(3, {"c1": 1, "c2": 1, "c3": 1})
    world.cells["c1"]._reconfigure = lambda plan, replset: None  # type: ignore[method-assign]
    world.run(10)
    initiator = plan_of(world).initiator
    assert initiator == "c1"
    assert world.replset.initiated == 0
    world.set_cluster(initiator, ready=False)
    world.place({name: 1 for name in THREE if name != initiator})
    world.run(20)
    assert world.replset.initiated == 0
    assert plan_of(world).initiator == initiator
    assert f"the return of {initiator}, which is to begin the replica set" in world.condition("Reconciling")["message"]


def test_a_cluster_that_goes_out_of_sight_during_its_turn_is_waited_for() -> None:
    """Its operator works on; two operators that see a healthy set at the same moment would restart two members."""
    world = running(FIVE)
    change(world, imageSetting={"image": "mongo:7.0"})
    for _ in range(20):
        world.tick()
        if world.store.get(MONGODBS, NAME)["spec"]["image"] == "mongo:7.0" and len(rules_without_old_values(world)) == 1:  # type: ignore[index]
            break
    (turn,) = rules_without_old_values(world)
    world.cells[turn].operator = False
    world.run(12)
    assert rules_without_old_values(world) == {turn}
    assert f"the return of {turn}, which may be changing its members" in world.condition("Reconciling")["message"]
    world.cells[turn].operator = True
    world.settle()
    assert images(world) == {name: {"mongo:7.0"} for name in THREE}


def test_a_cluster_whose_word_karmada_has_lost_is_not_taken_to_hold_nothing() -> None:
    world = running(FIVE)
    observed = world.observe()
    report = replace(observed.reports["c2"], applied=False, applied_message="the webhook did not answer", status={})
    unheard = replace(observed, reports={**observed.reports, "c2": report})
    assert not let_go(unheard, "c2", observed.uid)
    assert let_go(replace(unheard, plan=None), "c2", observed.uid), "a cluster that never got anything holds nobody up"


def test_everything_but_the_secret_lost_on_the_control_plane_is_made_again_around_the_set_that_runs() -> None:
    world = running(FIVE)
    members, ids = {(m.id, m.host) for m in plan_of(world).members}, len(world.replset.owners)
    for resource, name in (
        (MONGODBS, NAME),
        (OVERRIDE_POLICIES, NAME),
        (PROPAGATION_POLICIES, NAME),
        (CONFIG_MAPS, f"{NAME}-hostconf"),
    ):
        world.store.delete(resource, name)
    world.settle()
    assert {(m.id, m.host) for m in plan_of(world).members} == members
    assert len(world.replset.owners) == ids
    assert world.replset.initiated == 1
    assert world.status["state"] == "Health"
