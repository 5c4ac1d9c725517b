"""What Karmada does by itself, as it was seen to, and that no database is deleted, shrunk or reconfigured by it."""

import copy

import pytest

from fedstate.api.karmada import OVERRIDE_POLICIES, PROPAGATION_POLICIES, RESOURCE_BINDINGS
from fedstate.api.naming import MONGODBS
from fedstate.fed.changes import Verb
from fedstate.fed.ending import holds_back
from fedstate.fed.plan import plan_for
from fedstate.kube.objects import Key, KubeObject
from fedstate.kube.resources import CONFIG_MAPS
from tests.fed.replset import ReplicaSet
from tests.fed.test_life import THREE, data_members, running
from tests.fed.world import NAME, World

FIVE = {"c1": 2, "c2": 2, "c3": 1}


def test_everything_is_there_before_the_template() -> None:
    world = World(THREE)
    world.create(5, FIVE)
    plan = plan_for(world.observe(), lambda count: b"\1" * count)
    assert [(str(action.verb), action.resource.kind) for action in plan.actions] == [
        ("set-finalizers", "MultiCloudMongoDB"),
        ("create", "Secret"),
        ("create", "ConfigMap"),
        ("apply", "OverridePolicy"),
        ("apply", "PropagationPolicy"),
        ("apply", "MongoDB"),
    ]


def test_a_cluster_gets_its_rule_before_the_policy_names_it_and_keeps_it_until_it_is_out() -> None:
    world = running({"c1": 2, "c2": 1})

    def every_bound_cluster_has_a_rule() -> None:
        binding = world.store.get(RESOURCE_BINDINGS, f"{NAME}-mongodb")
        override = world.store.get(OVERRIDE_POLICIES, NAME)
        if binding is not None and override is not None:
            ruled = {name for rule in override["spec"]["overrideRules"] for name in rule["targetCluster"]["clusterNames"]}
            assert {target["name"] for target in binding["spec"]["clusters"]} <= ruled

    world.watchers.append(every_bound_cluster_has_a_rule)
    world.place({"c2": 2, "c3": 1})
    world.settle()
    world.place({"c1": 1, "c2": 1, "c3": 1})
    world.settle()


def test_a_lost_override_policy_reconfigures_nothing_and_is_made_again() -> None:
    world = running(FIVE)
    version = world.replset.version
    world.store.delete(OVERRIDE_POLICIES, NAME)
    template = world.store.get(MONGODBS, NAME)
    assert template is not None
    for cell in world.cells.values():
        cell.mongodb = copy.deepcopy(template)
        cell.mongodb["metadata"].setdefault("labels", {})["karmada.io/managed"] = "true"
        cell.step(world.replset)
    assert data_members(world) == FIVE
    world.settle()
    assert data_members(world) == FIVE
    assert world.replset.version == version
    assert world.status["state"] == "Health"


@pytest.mark.parametrize("resource", [OVERRIDE_POLICIES, PROPAGATION_POLICIES, MONGODBS])
def test_objects_that_somebody_deletes_or_edits_are_put_right(resource: object) -> None:
    world = running(FIVE)
    before = world.store.get(resource, NAME)  # type: ignore[arg-type]
    assert before is not None
    world.store.delete(resource, NAME)  # type: ignore[arg-type]
    world.settle()
    after = world.store.get(resource, NAME)  # type: ignore[arg-type]
    assert after is not None
    assert after["spec"] == before["spec"]
    edited = copy.deepcopy(after)
    edited["spec"] = {
        **edited["spec"],
        **({"members": 1} if resource is MONGODBS else {"preserveResourcesOnDeletion": False, "overrideRules": []}),
    }
    world.store.put(resource, edited)  # type: ignore[arg-type]
    plan = plan_for(world.observe(), lambda count: b"\1" * count)
    assert [action.resource for action in plan.actions if action.verb is Verb.APPLY]
    assert data_members(world) == FIVE


def test_a_binding_emptied_by_no_cluster_fit_removes_nobody_from_the_plan() -> None:
    world = running(FIVE)
    plan = world.observe().plan
    binding = world.store.get(RESOURCE_BINDINGS, f"{NAME}-mongodb")
    assert binding is not None
    world.store.put(
        RESOURCE_BINDINGS, {**binding, "spec": {**binding["spec"], "clusters": []}, "status": {"aggregatedStatus": []}}
    )
    world.operate()
    assert world.observe().plan == plan
    world.settle()
    assert data_members(world) == FIVE


def test_a_cluster_whose_override_fails_is_seen_by_the_stamp_it_has_not_followed() -> None:
    """The binding says FullyApplied all the same; only the plan generation that the cluster reports tells."""
    world = running({"c1": 1, "c2": 1, "c3": 1})
    deaf = world.cells["c3"]
    spec = copy.deepcopy(deaf.mongodb)

    def keeps_its_old_object() -> None:
        deaf.mongodb = copy.deepcopy(spec)

    world.watchers.append(keeps_its_old_object)
    deaf.operator = True
    world.place({"c1": 2, "c2": 1})
    stepped = deaf.step

    def step(replset: ReplicaSet) -> None:
        keeps_its_old_object()
        stepped(replset)

    deaf.step = step  # type: ignore[method-assign]
    world.run(20)
    assert "c3" in world.works, "a cluster that has confirmed nothing stays in the policy"
    assert deaf.processes
    assert "c3" in world.condition("Reconciling")["message"]


def test_the_plan_survives_the_loss_of_its_config_map() -> None:
    world = running(FIVE)
    plan = world.observe().plan
    world.store.delete(CONFIG_MAPS, f"{NAME}-hostconf")
    world.settle()
    assert world.observe().plan == plan
    world.place({"c1": 3, "c2": 3, "c3": 1})
    world.settle()
    assert world.status["state"] == "Health"


def test_a_plan_lost_with_all_its_copies_is_read_back_from_the_set_and_no_id_is_used_again() -> None:
    world = running({"c1": 2, "c2": 2, "c3": 1})
    world.place({"c1": 1, "c2": 1, "c3": 1})
    world.settle()
    before = world.observe().plan
    assert before is not None
    for resource, name in ((CONFIG_MAPS, f"{NAME}-hostconf"), (OVERRIDE_POLICIES, NAME)):
        world.store.delete(resource, name)
    world.settle()
    after = world.observe().plan
    assert after is not None
    assert (after.members, after.initiator) == (before.members, before.initiator)
    assert after.next_member_id == before.next_member_id
    assert after.generation > before.generation


def test_a_lost_plan_of_a_set_that_nobody_reaches_is_said_and_not_made_up() -> None:
    world = running({"c1": 1, "c2": 1, "c3": 1})
    world.sees_replset = False
    for resource, name in ((CONFIG_MAPS, f"{NAME}-hostconf"), (OVERRIDE_POLICIES, NAME)):
        world.store.delete(resource, name)
    version = world.replset.version
    world.settle()
    assert world.observe().plan is None
    assert world.condition("Stalled")["status"] == "True"
    assert "member plan" in world.condition("Stalled")["message"]
    assert (world.replset.version, data_members(world)) == (version, {"c1": 1, "c2": 1, "c3": 1})
    world.sees_replset = True
    world.settle()
    assert world.status["state"] == "Health"


def test_a_dead_cluster_keeps_saying_healthy_and_is_not_believed() -> None:
    world = running(FIVE)
    world.set_cluster("c1", ready=False)
    world.run(3)
    binding = world.store.get(RESOURCE_BINDINGS, f"{NAME}-mongodb")
    assert binding is not None
    stale = next(item for item in binding["status"]["aggregatedStatus"] if item["clusterName"] == "c1")
    assert all(member["ready"] for member in stale["status"]["members"])
    assert world.status["result"][0]["replicasetStatus"] == 0
    assert world.status["state"] == "SubHealth"
    world.set_cluster("c1")
    world.settle()
    assert world.status["state"] == "Health"


def test_a_removed_cluster_that_died_holds_up_nobody_and_leaves_when_it_is_back() -> None:
    world = running(FIVE)
    world.set_cluster("c3", ready=False)
    world.run(2)
    world.place({"c1": 2, "c2": 3})
    world.settle()
    assert world.status["state"] == "Health"
    assert "c3" in world.works
    world.place({"c1": 3, "c2": 3})
    world.settle()
    assert world.status["members"] == "6/6"
    world.set_cluster("c3")
    world.settle()
    assert set(world.works) == {"c1", "c2"}
    assert world.cells["c3"].mongodb is None


def test_no_rule_is_made_for_an_old_look_at_an_end_that_is_over() -> None:
    world = running(FIVE)
    world.set_cluster("c3", ready=False)
    world.delete()
    world.run(14)
    world.set_cluster("c3")
    world.tick()
    assert not world.exists
    for resource, name in ((MONGODBS, NAME), (OVERRIDE_POLICIES, NAME)):
        world.store.delete(resource, name)
    observed = world.observe()
    assert observed.pending
    assert observed.reports
    plan = plan_for(observed, lambda count: b"\1" * count)
    assert [action.resource.kind for action in plan.actions if action.verb in (Verb.APPLY, Verb.CREATE)] == []


def test_preserve_is_only_lifted_after_every_cluster_has_confirmed() -> None:
    world = running(FIVE)
    world.delete()

    def nothing_that_runs_could_be_deleted() -> None:
        policy = world.store.get(PROPAGATION_POLICIES, NAME)
        if policy is not None and not policy["spec"]["preserveResourcesOnDeletion"]:
            assert not any(cell.processes for cell in world.cells.values())

    world.watchers.append(nothing_that_runs_could_be_deleted)
    world.settle()
    assert not world.exists


@pytest.mark.parametrize(
    ("binding", "namespace", "preserved", "going", "holds"),
    [
        ("x-mongodb", "db", True, False, True),
        ("x-auth-secret", "db", True, False, True),
        ("x-config-0a1b-configmap", "db", True, False, True),
        ("x-mongodb", "db", False, False, False),
        ("x-hostconf-configmap", "db", True, True, False),
        ("x-mongodb", "other", True, False, False),
        ("y-mongodb", "db", True, False, False),
    ],
)
def test_the_end_waits_for_works_that_would_leave_something_behind_and_can_still_be_told(
    binding: str, namespace: str, preserved: bool, going: bool, holds: bool
) -> None:
    annotations = {"resourcebinding.karmada.io/name": binding, "resourcebinding.karmada.io/namespace": namespace}
    work: KubeObject = {
        "metadata": {"name": "w", "annotations": annotations},
        "spec": {"preserveResourcesOnDeletion": preserved},
    }
    if going:
        work["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert holds_back(work, Key("db", "x")) == holds
