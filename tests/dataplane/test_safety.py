"""Sequences of events that would lose data if the data plane believed what it sees first."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from fedstate.api.naming import FINALIZER_MONGODB, LABEL_INSTANCE_UID, LABEL_RETAINED, MONGODBS
from fedstate.api.replset import PlanMember, ReplsetPlan, RetiringMember, hostconf_data
from fedstate.dataplane.holdings import OwnMember
from fedstate.dataplane.members import may_stop
from fedstate.dataplane.pods import operator_revision
from fedstate.dataplane.rollout import WINDOW, HandOver, Hold, Restart, is_turn, next_rollout_step
from fedstate.dataplane.setview import MemberReading, Probe, SetReading, SetView
from fedstate.kube.errors import Forbidden
from fedstate.kube.objects import KubeObject, labels_of
from fedstate.kube.resources import CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, PODS, SECRETS, SERVICES, STATEFUL_SETS
from fedstate.mongo.errors import Unreachable
from fedstate.mongo.replica import PRIMARY, SECONDARY, MemberState, SetConfig, SetStatus
from tests.dataplane.cell import KEY, START, Cell, mongodb
from tests.fakes.apiserver import verb_of

OTHER = "10.0.0.2:31000"
LABELS = {"app.kubernetes.io/managed-by": "fedstate", "app.kubernetes.io/instance": KEY.name}
STAMP = {"cluster": "c1", "instanceUID": "uid-1", "planGeneration": 1, "decommission": False}


def planned(number: int, cluster: str, host: str) -> PlanMember:
    return PlanMember(id=number, host=host, cluster=cluster, member=f"x-replset-{number if cluster == 'c1' else 0}")


def publish(cell: Cell, plan: ReplsetPlan) -> None:
    """What Karmada brings of the plan."""
    metadata = {"name": "x-hostconf", "namespace": KEY.namespace, "labels": {**LABELS, LABEL_INSTANCE_UID: "uid-1"}}
    cell.server.seed(CONFIG_MAPS, {"metadata": metadata, "data": hostconf_data(plan)})


def auth(cell: Cell, **labels: str) -> None:
    keys = ("rootPassword", "keyfile", "clusterAdminPassword", "clusterMonitorPassword")
    secret: KubeObject = {"metadata": {"name": "x-auth", "namespace": KEY.namespace, "labels": {**LABELS, **labels}}}
    cell.server.seed(SECRETS, secret | {"data": {key: "c2VjcmV0LTAxMjM0NTY3ODk=" for key in keys}})


async def over_two_clusters() -> tuple[Cell, ReplsetPlan]:
    """Cluster c1 with the member that the set was initiated with; the other one is in c2."""
    cell = Cell(mongodb(members=1, federation=STAMP))
    auth(cell)
    await cell.looks(3)
    own = cell.host(0)
    assert own is not None
    cell.mongos.add(OTHER)
    plan = ReplsetPlan(
        replset_name="x",
        generation=1,
        initiator="c1",
        members=(planned(0, "c1", own), planned(1, "c2", OTHER)),
        next_member_id=2,
    )
    publish(cell, plan)
    await cell.settle()
    return cell, plan


def made_anew(cell: Cell, **spec: Any) -> None:
    """Karmada makes the object again after somebody deleted it: the same spec, no status."""
    obj = copy.deepcopy(cell.server.get(MONGODBS, KEY.name, KEY.namespace))
    assert obj is not None
    obj.pop("status", None)
    cell.server.remove(MONGODBS, KEY.name, KEY.namespace)
    cell.server.seed(MONGODBS, mongodb(**(obj["spec"] | spec)))


@pytest.mark.parametrize("reachable", [True, False])
@pytest.mark.parametrize("forgets", [True, False])
async def test_a_wiped_initiator_never_begins_a_second_set_even_if_its_object_was_made_anew(
    reachable: bool, forgets: bool
) -> None:
    cell, plan = await over_two_clusters()
    publish(cell, replace(plan, replica_set_id=cell.mongos.history[0]["settings"]["replicaSetId"]))
    own = cell.host(0)
    assert own is not None
    begun = cell.mongos.ids
    if forgets:
        made_anew(cell)
    cell.mongos.primary = None
    cell.mongos.add(own)
    cell.mongos.mongods[OTHER].up = reachable
    await cell.looks(6)
    assert cell.mongos.ids == begun


async def test_a_set_of_its_own_keeps_in_its_plan_that_it_was_begun() -> None:
    cell = Cell(mongodb())
    await cell.settle()
    text = next(obj for obj in cell.server.all(CONFIG_MAPS) if obj["metadata"]["name"] == "x-hostconf")["data"]["replset.json"]
    assert ReplsetPlan.from_json(text).replica_set_id == "set-1"


async def test_a_plan_for_another_set_changes_nothing_and_is_said() -> None:
    cell, plan = await over_two_clusters()
    version = len(cell.mongos.history)
    publish(cell, replace(plan, generation=2, members=plan.members[:1], replica_set_id="another"))
    await cell.looks(6)
    assert len(cell.mongos.history) == version
    assert cell.condition("Stalled")["reason"] == "PlanConflict"


def state(host: str, number: int, code: int = SECONDARY, *, healthy: bool = True, me: bool = False) -> MemberState:
    names = {PRIMARY: "PRIMARY", SECONDARY: "SECONDARY"}
    return MemberState(id=number, host=host, state=code, state_name=names.get(code, "DOWN"), healthy=healthy, is_self=me)


def status(*states: MemberState) -> SetStatus:
    mine = next((entry.state for entry in states if entry.is_self), SECONDARY)
    return SetStatus(set_name="x", my_state=mine, term=1, members=states)


def config(*hosts: str, set_id: str = "set-1") -> SetConfig:
    members = [{"_id": number, "host": host, "votes": 1, "priority": 1} for number, host in enumerate(hosts)]
    document = {"_id": "x", "version": 3, "term": 1, "settings": {"replicaSetId": set_id}, "members": members}
    return SetConfig.from_document(document)


def own(ordinal: int, *, revision: str = "old", runs: bool = True) -> OwnMember:
    annotations = {"middleware.fedstate.io/revision": revision}
    containers = [{"name": "mongod", "state": {"running": {}} if runs else {"waiting": {"reason": "CrashLoopBackOff"}}}]
    template = {"metadata": {"annotations": {"middleware.fedstate.io/revision": "new"}}}
    return OwnMember(
        ordinal=ordinal,
        name=f"x-replset-{ordinal}",
        host=f"h{ordinal}:1",
        pod={"metadata": {"annotations": annotations}, "status": {"containerStatuses": containers}},
        stateful_set={"metadata": {"generation": 1}, "spec": {"template": template}, "status": {"observedGeneration": 1}},
    )


RETIRING = ReplsetPlan(
    replset_name="x",
    generation=2,
    initiator="c1",
    retiring=(RetiringMember(host="h1:1", cluster="c1", member="x-replset-1"),),
    replica_set_id="set-1",
)


@pytest.mark.parametrize(
    ("committed", "live", "set_id", "itself", "may"),
    [
        (True, ("h0:1",), "set-1", "", True),
        (False, ("h0:1",), "set-1", "", False),
        (True, ("h0:1", "h1:1"), "set-1", "", False),
        (True, ("h0:1", "former:1"), "set-1", "former:1", False),
        (True, ("h0:1",), "another", "", False),
    ],
    ids=["out", "not committed", "still in", "in under its former address", "out of a set that is not ours"],
)
def test_a_member_stops_only_when_the_configuration_in_force_has_it_no_more(
    committed: bool, live: tuple[str, ...], set_id: str, itself: str, may: bool
) -> None:
    view = SetView(primary_host="h0:1", config=config(*live, set_id=set_id), committed=committed)
    said = status(state("h0:1", 0, PRIMARY), state(itself, 1, me=True)) if itself else None
    reading = SetReading(members={"h1:1": MemberReading(probe=Probe.SAME_SET, status=said)}, view=view)
    assert may_stop(own(1), RETIRING, reading) is may


async def test_a_member_that_only_a_primary_cut_off_from_the_rest_has_removed_is_not_stopped() -> None:
    cell, plan = await over_two_clusters()
    leads, follows = plan.members
    mongos = cell.mongos
    mongos.step_down(leads.host)
    mongos.tick()
    assert mongos.primary == follows.host
    gone = RetiringMember(host=leads.host, cluster="c1", member=leads.member)
    cell.change(members=0)
    publish(cell, replace(plan, generation=2, members=(follows,), retiring=(gone,)))
    installed = mongos.config_of(follows.host)
    alone = installed | {"version": installed["version"] + 1, "members": [m for m in installed["members"] if m["_id"] == 1]}
    mongos.mongods[follows.host].config = alone
    committed, mongos.committed = mongos.committed, lambda: False  # type: ignore[method-assign]
    await cell.look()
    await cell.look()
    assert cell.names(STATEFUL_SETS) == ["x-replset-0"]
    mongos.committed = committed  # type: ignore[method-assign]
    await cell.looks(3)
    assert cell.names(STATEFUL_SETS) == []


def set_of_three(*, restarted: bool = False) -> SetReading:
    """h0 leads; with `restarted` h2 has just been made anew and does not answer yet, which h0 has not noticed."""
    states = [state("h0:1", 0, PRIMARY), state("h1:1", 1), state("h2:1", 2)]
    states = [replace(entry, optime=1.0) for entry in states]

    def said_by(number: int) -> MemberReading:
        if restarted and number == 2:
            return MemberReading(probe=Probe.UNREACHABLE)
        mine = [replace(entry, is_self=entry.id == number) for entry in states]
        return MemberReading(probe=Probe.SAME_SET, status=status(*mine))

    view = SetView(
        primary_host="h0:1", primary_is_own=True, config=config("h0:1", "h1:1", "h2:1"), status=status(*states), committed=True
    )
    return SetReading(members={f"h{n}:1": said_by(n) for n in range(3)}, view=view, primary_address="h0:1")


def test_a_restarted_member_has_to_say_itself_that_it_serves_before_the_next_is_restarted() -> None:
    members = [own(0), own(1), own(2, revision="new")]
    assert isinstance(next_rollout_step(members, "new", set_of_three(restarted=True)), Hold)
    assert next_rollout_step(members, "new", set_of_three()) == Restart(member=members[1])


def test_members_that_the_operator_cannot_see_are_not_restarted_as_if_they_were_down() -> None:
    blind = SetReading(members={f"h{n}:1": MemberReading(probe=Probe.REFUSED) for n in range(3)})
    assert isinstance(next_rollout_step([own(0), own(1), own(2)], "new", blind), Hold)
    crashing = own(1, runs=False)
    assert next_rollout_step([own(0), crashing, own(2)], "new", blind) == Restart(member=crashing)
    alone = own(0)
    assert next_rollout_step([alone], "new", blind) == Restart(member=alone)


def test_a_primary_whose_address_has_changed_still_hands_over_first() -> None:
    reading = set_of_three()
    moved = [replace(own(0), host="new:1"), own(1, revision="new"), own(2, revision="new")]
    answers = {"new:1": reading.members["h0:1"], "h1:1": reading.members["h1:1"], "h2:1": reading.members["h2:1"]}
    assert next_rollout_step(moved, "new", replace(reading, members=answers)) == HandOver(member=moved[0])


async def test_heartbeats_go_on_when_the_clock_is_put_back() -> None:
    cell = Cell(mongodb())
    await cell.settle()
    before = cell.status["heartbeatTime"]
    cell.now -= timedelta(hours=1)
    await cell.look()
    assert cell.status["heartbeatTime"] < before


@pytest.mark.parametrize("instance", ["uid-1", "another"])
async def test_what_karmada_has_let_go_of_goes_with_the_object_and_nothing_else_does(instance: str) -> None:
    obj = mongodb(federation=STAMP | {"decommission": True})
    obj["metadata"]["labels"]["karmada.io/managed"] = "true"
    cell = Cell(obj)
    auth(cell, **{"karmada.io/managed": "true"})
    publish(cell, ReplsetPlan(replset_name="x", generation=1, initiator="c1"))
    strangers = {"metadata": {"name": "x-config-notes", "namespace": KEY.namespace, "labels": {}}, "data": {"a": "b"}}
    copied = {"metadata": {"name": "x-config-0a1b", "namespace": KEY.namespace, "labels": dict(LABELS)}, "data": {"a": "b"}}
    own = {**LABELS, LABEL_INSTANCE_UID: instance}
    cell.server.seed(CONFIG_MAPS, strangers, copied)
    cell.server.seed(SECRETS, {"metadata": {"name": "x-pull", "namespace": KEY.namespace, "labels": own}})
    await cell.looks(4)
    assert "x-auth" in cell.names(SECRETS)
    kept = cell.server.get(MONGODBS, KEY.name, KEY.namespace)
    assert kept is not None
    cell.server.seed(MONGODBS, kept | {"metadata": {**kept["metadata"], "labels": {}}})
    await cell.looks(3)
    assert "x-auth" in cell.names(SECRETS), "still Karmada's"
    assert cell.server.get(MONGODBS, KEY.name, KEY.namespace) is not None
    auth(cell)
    await cell.looks(3)
    assert cell.server.get(MONGODBS, KEY.name, KEY.namespace) is None
    assert cell.names(SECRETS) == ([] if instance == "uid-1" else ["x-pull"])
    assert cell.names(CONFIG_MAPS) == ["x-config-notes"]


async def test_a_password_that_karmada_has_let_go_of_goes_also_when_karmada_deletes_the_object() -> None:
    obj = mongodb(federation=STAMP | {"decommission": True})
    obj["metadata"]["labels"]["karmada.io/managed"] = "true"
    obj["metadata"]["finalizers"] = [FINALIZER_MONGODB]
    cell = Cell(obj)
    auth(cell)
    await cell.looks(4)
    assert "x-auth" in cell.names(SECRETS)
    await cell.server.client().delete(MONGODBS, KEY.name, namespace=KEY.namespace)
    await cell.looks(2)
    assert cell.server.get(MONGODBS, KEY.name, KEY.namespace) is None
    assert "x-auth" not in cell.names(SECRETS)


async def test_volumes_grow_with_the_spec_and_never_shrink_and_new_members_get_the_new_size() -> None:
    cell = Cell(mongodb(members=2, persistence={"storage": "1Gi"}))
    await cell.settle()
    cell.change(persistence={"storage": "2Gi"})
    await cell.looks(2)
    sizes = [claim["spec"]["resources"]["requests"]["storage"] for claim in cell.server.all(PERSISTENT_VOLUME_CLAIMS)]
    assert sizes == ["2Gi", "2Gi"]
    pods = [pod["metadata"]["resourceVersion"] for pod in cell.server.all(PODS)]
    cell.change(persistence={"storage": "500Mi"}, members=3)
    await cell.settle()
    sizes = [claim["spec"]["resources"]["requests"]["storage"] for claim in cell.server.all(PERSISTENT_VOLUME_CLAIMS)]
    assert sorted(sizes) == ["2Gi", "2Gi", "500Mi"]
    assert [pod["metadata"]["resourceVersion"] for pod in cell.server.all(PODS)][:2] == pods, "no pod is made anew for it"


async def test_a_volume_that_may_not_grow_is_said_and_stops_nothing() -> None:
    cell = Cell(mongodb(persistence={"storage": "1Gi"}))
    await cell.settle()
    refusal = Forbidden(403, "Forbidden", "only dynamically provisioned pvc can be resized")
    cell.server.fail(
        lambda request: "persistentvolumeclaims" in request.path and verb_of(request) == "patch", refusal, times=None
    )
    cell.change(persistence={"storage": "2Gi"})
    await cell.looks(3)
    assert cell.condition("Stalled")["status"] == "True"
    assert "only dynamically provisioned pvc can be resized" in cell.condition("Stalled")["message"]
    assert cell.status["members"][0]["role"] == "PRIMARY"


@pytest.mark.parametrize(("policy", "left"), [("Retain", 2), ("Delete", 0)])
async def test_the_reclaim_policy_decides_on_the_volumes_of_members_that_left_for_good_and_of_no_others(
    policy: str, left: int
) -> None:
    cell = Cell(mongodb(members=2, persistence={"storage": "1Gi", "reclaimPolicy": policy}))
    await cell.settle()
    cell.change(members=1)
    for _ in range(12):
        await cell.look()
        claims = {labels_of(claim)["middleware.fedstate.io/member"]: claim for claim in cell.server.all(PERSISTENT_VOLUME_CLAIMS)}
        assert LABEL_RETAINED not in labels_of(claims["0"])
        if "1" not in claims or LABEL_RETAINED in labels_of(claims["1"]):
            assert all(member["_id"] != 1 for member in cell.mongos.history[-1]["members"]), "still in the configuration"
    assert ("1" in claims) is (policy == "Retain")
    await cell.server.client().delete(MONGODBS, KEY.name, namespace=KEY.namespace)
    await cell.looks(8)
    assert cell.server.get(MONGODBS, KEY.name, KEY.namespace) is None
    assert len(cell.server.all(PERSISTENT_VOLUME_CLAIMS)) == left


async def test_volumes_retained_earlier_stay_when_the_policy_is_changed_to_delete() -> None:
    cell = Cell(mongodb(members=2))
    await cell.settle()
    cell.change(members=1)
    await cell.looks(12)
    cell.change(persistence={"reclaimPolicy": "Delete"})
    await cell.looks(2)
    await cell.server.client().delete(MONGODBS, KEY.name, namespace=KEY.namespace)
    await cell.looks(8)
    (kept,) = cell.server.all(PERSISTENT_VOLUME_CLAIMS)
    assert labels_of(kept)[LABEL_RETAINED] == "true"


async def test_a_namespace_that_is_deleted_around_an_instance_can_end() -> None:
    """Without the admission policy everything in it goes; the object must not be what holds it up."""
    cell, _ = await over_two_clusters()
    await cell.server.client().delete(MONGODBS, KEY.name, namespace=KEY.namespace)
    await cell.looks(2)
    assert cell.condition("Stalled")["reason"] == "NotDecommissioned"
    for resource in (STATEFUL_SETS, PODS, SERVICES, PERSISTENT_VOLUME_CLAIMS, SECRETS, CONFIG_MAPS):
        for name in cell.names(resource):
            cell.server.remove(resource, name, KEY.namespace)
    await cell.looks(2)
    assert cell.server.get(MONGODBS, KEY.name, KEY.namespace) is None


async def test_no_password_nor_a_hash_of_one_is_in_any_object_but_a_secrets_data() -> None:
    pull = {"username": "me", "password": "pull-pw"}
    cell = Cell(mongodb(rootPassword="root-pw", imagePullSecret=pull))
    await cell.settle()
    for secret in cell.server.all(SECRETS):
        assert "annotations" not in secret["metadata"]
    texts = [str(obj) for resource in (CONFIG_MAPS, STATEFUL_SETS, SERVICES, PODS) for obj in cell.server.all(resource)]
    texts.append(str(cell.status))
    assert not any(password in text for text in texts for password in ("root-pw", "pull-pw"))


@pytest.mark.parametrize("spec", [{"rootPassword": 123456}, {"imagePullSecret": {"username": "me", "password": 123456}}])
async def test_a_password_that_is_no_text_is_refused_without_being_quoted(spec: dict[str, Any]) -> None:
    cell = Cell(mongodb(**spec))
    await cell.looks(2)
    assert cell.condition("Stalled")["reason"] == "InvalidSpec"
    assert "123456" not in str(cell.status)


async def test_a_pods_end_leaves_mongod_the_time_to_hand_over() -> None:
    cell = Cell(mongodb())
    await cell.settle()
    (pod,) = cell.server.all(PODS)
    assert pod["spec"]["terminationGracePeriodSeconds"] >= 60
    assert not any("preStop" in (container.get("lifecycle") or {}) for container in pod["spec"]["containers"])
    (mongod,) = (container for container in pod["spec"]["containers"] if container["name"] == "mongod")
    assert mongod["args"][0] == "mongod", "the process gets the signal itself, not a shell"


async def test_a_voter_that_has_lost_its_data_votes_again_only_when_it_has_caught_up() -> None:
    """A real mongod in its initial sync grants its vote to whoever asks, and so to one that lacks what it had acknowledged."""
    cell = Cell(mongodb(members=3))
    await cell.settle()
    wiped = next(host for host in cell.mongos.mongods if host != cell.mongos.primary)
    cell.mongos.add(wiped, syncs_in=8)
    await cell.looks(4)

    def votes() -> dict[str, int]:
        assert cell.mongos.primary is not None
        return {member["host"]: member.get("votes", 1) for member in cell.mongos.config_of(cell.mongos.primary)["members"]}

    assert votes() == {host: int(host != wiped) for host in cell.mongos.mongods}
    await cell.settle()
    assert set(votes().values()) == {1}


async def test_a_wiped_voter_keeps_its_vote_where_the_rest_would_be_no_majority() -> None:
    cell = Cell(mongodb(members=3))
    await cell.settle()
    first, second = (host for host in cell.mongos.mongods if host != cell.mongos.primary)
    before = len(cell.mongos.history)
    cell.mongos.mongods[second].up = False
    cell.mongos.add(first, syncs_in=50)
    await cell.looks(6)
    assert len(cell.mongos.history) == before


async def test_an_object_handed_on_to_the_next_instance_of_its_name_begins_with_nothing() -> None:
    cell, plan = await over_two_clusters()
    publish(cell, replace(plan, replica_set_id="set-1"))
    await cell.looks(2)
    obj = cell.server.get(MONGODBS, KEY.name, KEY.namespace)
    assert obj is not None
    cell.server.seed(MONGODBS, obj | {"metadata": obj["metadata"] | {"labels": {"karmada.io/managed": "true"}}})
    cell.change(federation=STAMP | {"decommission": True})
    await cell.looks(6)
    assert cell.status["decommissioned"] is True
    volumes = cell.names(PERSISTENT_VOLUME_CLAIMS)
    cell.mongos.mongods.clear()
    cell.mongos.primary = None
    cell.change(federation=STAMP | {"instanceUID": "uid-2", "planGeneration": 1})
    await cell.looks(3)
    assert [member["ordinal"] for member in cell.status["members"]] == [0]
    host = cell.host(0)
    assert host is not None
    fresh = ReplsetPlan(replset_name="x", generation=1, initiator="c1", members=(planned(0, "c1", host),), next_member_id=1)
    metadata = {"name": "x-hostconf", "namespace": KEY.namespace, "labels": {**LABELS, LABEL_INSTANCE_UID: "uid-2"}}
    cell.server.seed(CONFIG_MAPS, {"metadata": metadata, "data": hostconf_data(fresh)})
    status = await cell.settle()
    assert status["federation"]["instanceUID"] == "uid-2"
    assert status["replicaSet"]["id"] == "set-2"
    assert status["decommissioned"] is False
    assert set(volumes) < set(cell.names(PERSISTENT_VOLUME_CLAIMS)), "the former instance's volume stays, and is not mounted"


async def test_a_cluster_that_returns_makes_no_member_by_a_spec_that_is_older_than_the_plan() -> None:
    """Karmada brings the new plan and the new spec one after the other, and minutes may lie between them."""
    cell, plan = await over_two_clusters()
    assert cell.names(STATEFUL_SETS) == ["x-replset-0"]
    own = plan.members[0]
    moved_away = replace(
        plan,
        generation=2,
        members=(plan.members[1],),
        retiring=(RetiringMember(host=own.host, cluster="c1", member=own.member),),
    )
    publish(cell, moved_away)
    await cell.looks(6)
    assert "x-replset-1" not in cell.names(STATEFUL_SETS)
    assert len(cell.names(PERSISTENT_VOLUME_CLAIMS)) == 1
    assert cell.status["state"] == "Reconciling"
    cell.change(federation=STAMP | {"planGeneration": 2})
    await cell.looks(3)
    assert "x-replset-1" in cell.names(STATEFUL_SETS), "now it is the spec that asks for another one"


async def test_an_object_deleted_by_hand_is_made_again_by_karmada_and_its_members_never_notice() -> None:
    cell, plan = await over_two_clusters()
    publish(cell, replace(plan, replica_set_id="set-1"))
    obj = cell.server.get(MONGODBS, KEY.name, KEY.namespace)
    assert obj is not None
    cell.server.seed(MONGODBS, obj | {"metadata": obj["metadata"] | {"labels": {"karmada.io/managed": "true"}}})
    versions, sets = len(cell.mongos.history), cell.server.all(STATEFUL_SETS)
    await cell.server.client().delete(MONGODBS, KEY.name, namespace=KEY.namespace)
    await cell.looks(2)
    assert cell.server.get(MONGODBS, KEY.name, KEY.namespace) is None
    assert cell.server.all(STATEFUL_SETS) == sets
    cell.server.seed(MONGODBS, mongodb(members=1, federation=STAMP))
    await cell.settle()
    assert cell.server.all(STATEFUL_SETS) == sets
    assert len(cell.mongos.history) == versions
    assert cell.status["members"][0]["role"] == "PRIMARY"


@pytest.mark.parametrize("skew", [-39.0, 0.0, 39.0])
def test_of_two_clusters_at_most_one_may_begin_a_restart_of_its_own_accord(skew: float) -> None:
    clusters = ("c1", "c2", "c3")
    moments = [START + timedelta(seconds=second) for second in range(0, 400)]
    turns = [[is_turn("c1", clusters, now), is_turn("c2", clusters, now + timedelta(seconds=skew))] for now in moments]
    assert all(sum(turn) <= 1 for turn in turns)
    assert all(any(turn[cluster] for turn in turns) for cluster in (0, 1))
    assert all(is_turn("c1", ["c1"], now) for now in moments)


async def test_what_a_new_version_of_the_operator_changes_waits_for_this_clusters_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may come to all clusters at the same moment, and want all pods anew."""
    cell, _ = await over_two_clusters()
    cell.now = START + timedelta(minutes=10, seconds=30)
    operator_revision.cache_clear()
    monkeypatch.setattr("fedstate.dataplane.pods.TERMINATION_GRACE", 90)
    starts = []
    for _ in range(120):
        before = cell.mongos.step_downs
        await cell.look()
        if cell.mongos.step_downs != before:
            starts.append(cell.now - timedelta(seconds=1))
    operator_revision.cache_clear()
    assert [(start - START).total_seconds() % 120 < WINDOW for start in starts] == [True]
    assert (starts[0] - START).total_seconds() > 660
    assert cell.status["state"] == "Running"


async def test_a_change_that_the_federation_gives_to_this_cluster_does_not_wait_for_the_clock() -> None:
    cell, _ = await over_two_clusters()
    cell.now = START + timedelta(minutes=10, seconds=30)
    cell.change(resources={"limits": {"cpu": "2"}})
    await cell.looks(3)
    assert cell.mongos.step_downs == 1


@pytest.mark.parametrize("moment", ["after it took effect", "after another one was as quick"])
async def test_a_leader_lost_in_the_middle_of_every_reconfiguration_leaves_nothing_half_done(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one reads anew: what it wants is there already, or its compare-and-swap is refused."""
    cell = Cell(mongodb(members=3))
    install = cell.mongos.reconfig

    def reconfig(host: str, config: Mapping[str, Any]) -> None:
        install(host, config)
        if moment.startswith("after it"):
            raise Unreachable(host, "no answer")
        install(host, config)

    monkeypatch.setattr(cell.mongos, "reconfig", reconfig)
    status = await cell.settle()
    cell.change(members=1)
    await cell.looks(2)
    await cell.settle()
    versions = [config["version"] for config in cell.mongos.history]
    assert versions == sorted(set(versions))
    assert len({config["settings"]["replicaSetId"] for config in cell.mongos.history}) == 1
    for before, after in pairwise(cell.mongos.history):
        voters = [{m["_id"] for m in config["members"] if m.get("votes", 1)} for config in (before, after)]
        assert len(voters[0] ^ voters[1]) <= 1
    assert status["replicaSet"]["setSize"] == 3
    assert len(cell.status["members"]) == 1


async def test_an_idle_part_of_a_federated_instance_writes_nothing_but_heartbeats_for_a_minute() -> None:
    cell, _ = await over_two_clusters()
    await cell.looks(3)
    before, configs = len(cell.server.requests), len(cell.mongos.history)
    await cell.looks(60)
    written = [request for request in cell.server.requests[before:] if verb_of(request) not in ("get", "list", "watch")]
    assert {request.path for request in written} == {MONGODBS.path(KEY.namespace, KEY.name, "status")}
    assert len(written) <= 4
    assert len(cell.mongos.history) == configs


async def test_a_pod_that_somebody_has_orphaned_does_not_hold_up_its_members_end() -> None:
    cell = Cell(mongodb())
    await cell.settle()
    await cell.server.client().delete(MONGODBS, KEY.name, namespace=KEY.namespace)
    cell.collects = False
    cell.server.remove(STATEFUL_SETS, "x-replset-0", KEY.namespace)
    await cell.looks(8)
    assert cell.names(PODS) == []
    assert cell.server.get(MONGODBS, KEY.name, KEY.namespace) is None
