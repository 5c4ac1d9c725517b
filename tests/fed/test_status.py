"""The announcement's example, from what its member clusters reported to the status it shows; and what statuses say in odd cases."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from fedstate.api.karmada import CLUSTERS, RESOURCE_BINDINGS
from fedstate.api.replset import PlanMember, ReplsetPlan
from fedstate.fed.auth import auth_secret
from fedstate.fed.look import Surroundings, look, parse
from fedstate.fed.members import hostconf
from fedstate.fed.news import news
from fedstate.fed.observed import Karmada, Observed, References
from fedstate.fed.outcome import Stage
from fedstate.fed.plan import plan_for
from fedstate.fed.policies import Task, override_policy
from fedstate.fed.status import is_reported, status_for
from fedstate.kube.objects import Key, KubeObject

NOW = datetime(2023, 5, 25, 7, 7, 57, tzinfo=UTC)
KEY = Key("federation-mongo-operator", "multicloudmongodb-sample")
UID = "56c69f88-6c52-4886-a922-9ebf7c156ba5"
PLACEMENT = '{"ClusterWithReplicaset":[{"cluster":"10-29-14-21","replicaset":4},{"cluster":"10-29-14-25","replicaset":1}]}'
INSTANCE = yaml.safe_load(f"""
apiVersion: middleware.fedstate.io/v1alpha1
kind: MultiCloudMongoDB
metadata:
  annotations: {{schedulerResult: '{PLACEMENT}'}}
  finalizers: [multiCloudMongoDB.finalizers.middleware.fedstate.io]
  generation: 1
  name: {KEY.name}
  namespace: {KEY.namespace}
  uid: {UID}
spec:
  auth: {{rootPasswd: 39nZzksAmXE=}}
  config: {{}}
  export: {{resource: {{}}}}
  imageSetting: {{image: "mongo:3.6", imagePullPolicy: Always, imagePullSecret: {{}}}}
  member: {{}}
  replicaset: 5
  resource: {{limits: {{cpu: "2", memory: 512Mi}}, requests: {{cpu: "1", memory: 512Mi}}}}
  scheduler: {{schedulerMode: Uniform, schedulerName: multicloud-middleware-scheduler}}
  spreadConstraints: {{}}
  storage: {{storageClass: managed-nfs-storage, storageSize: 1Gi}}
""")
ANNOUNCED = yaml.safe_load(f"""
conditions:
- message: Service Dispatch Successful And Ready For External Service
  reason: ServerReady
  status: "True"
  type: ServerReady
- message: 'The number of member clusters is the same as the number of control plane copies, check, SpecReplicaset: 5'
  reason: CheckSuccess
  status: "True"
  type: ServerCheck
- message: 'Get Scheduler Result From MultiCloudMongoDB Annotations Success (federation-mongo-operator/multicloudmongodb-sample): {PLACEMENT}'
  reason: GetSchedulerSuccess
  status: "True"
  type: ServerScheduledResult
externalAddr: 10.29.5.103:33498,10.29.5.103:38640,10.29.5.103:37661,10.29.5.103:35880,10.29.5.107:38640
result:
- applied: true
  cluster: 10-29-14-21
  connectAddrWithRole:
    10.29.5.103:33498: SECONDARY
    10.29.5.103:35880: SECONDARY
    10.29.5.103:37661: SECONDARY
    10.29.5.103:38640: PRIMARY
  currentRevision: multicloudmongodb-sample-666cb9cb8
  replicasetSpec: 4
  replicasetStatus: 4
  state: Running
- applied: true
  cluster: 10-29-14-25
  connectAddrWithRole:
    10.29.5.107:38640: SECONDARY
  currentRevision: multicloudmongodb-sample-866554df84
  replicasetSpec: 1
  replicasetStatus: 1
  state: Running
state: Health
""")
HOSTS = {
    "10-29-14-21": ["10.29.5.103:33498", "10.29.5.103:38640", "10.29.5.103:37661", "10.29.5.103:35880"],
    "10-29-14-25": ["10.29.5.107:38640"],
}
IDS = {"10.29.5.103:33498": 0, "10.29.5.103:38640": 1, "10.29.5.107:38640": 2, "10.29.5.103:37661": 3, "10.29.5.103:35880": 4}
REVISIONS = {"10-29-14-21": "multicloudmongodb-sample-666cb9cb8", "10-29-14-25": "multicloudmongodb-sample-866554df84"}


def member_status(cluster: str) -> dict[str, Any]:
    members = [
        {
            "name": f"{KEY.name}-replset-{index}",
            "ordinal": index,
            "host": host,
            "ready": True,
            "role": "PRIMARY" if host == "10.29.5.103:38640" else "SECONDARY",
            "configured": True,
        }
        for index, host in enumerate(HOSTS[cluster])
    ]
    return {
        "state": "Running",
        "members": members,
        "replicaSet": {"committed": True} if any(member["role"] == "PRIMARY" for member in members) else {},
        "currentRevision": REVISIONS[cluster],
        "currentInfo": {"members": len(members)},
        "federation": {"cluster": cluster, "instanceUID": UID, "planGeneration": 2},
        "heartbeatTime": "2023-05-25T07:07:50Z",
    }


def cluster(name: str, vip: str | None, *, ready: bool = True) -> KubeObject:
    return {
        "apiVersion": CLUSTERS.api_version,
        "kind": CLUSTERS.kind,
        "metadata": {"name": name, "labels": {} if vip is None else {"vip": vip}},
        "status": {
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True" if ready else "False",
                    "reason": "ClusterReady" if ready else "ClusterNotReachable",
                }
            ]
        },
    }


def observed_of(
    raw: KubeObject = INSTANCE,
    *,
    statuses: dict[str, dict[str, Any]] | None = None,
    clusters: dict[str, KubeObject] | None = None,
    references: References | None = None,
    running: bool = True,
) -> Observed:
    statuses = statuses if statuses is not None else {name: member_status(name) for name in HOSTS}
    members = [
        PlanMember(id=IDS[host], host=host, cluster=name, member=f"{KEY.name}-replset-{index}", tags={"cluster": name})
        for name, hosts in HOSTS.items()
        for index, host in enumerate(hosts)
    ]
    plan = ReplsetPlan(
        replset_name=KEY.name,
        generation=2,
        initiator="10-29-14-21",
        members=tuple(sorted(members, key=lambda m: m.id)),
        next_member_id=5,
    )
    tasks = [
        Task(
            cluster=name,
            members=len(hosts),
            arbiter=False,
            rs_init=name == "10-29-14-21",
            vip=hosts[0].split(":")[0],
            instance_uid=UID,
            generation=2,
            decommission=False,
        )
        for name, hosts in HOSTS.items()
    ]
    binding: KubeObject = {
        "apiVersion": RESOURCE_BINDINGS.api_version,
        "metadata": {"name": f"{KEY.name}-mongodb", "namespace": KEY.namespace},
        "spec": {"clusters": [{"name": name} for name in HOSTS], "preserveResourcesOnDeletion": True},
        "status": {
            "aggregatedStatus": [
                {"clusterName": name, "applied": True, "health": "Healthy", "status": status} for name, status in statuses.items()
            ]
        },
    }
    objects = Karmada()
    if running:
        objects = Karmada(
            auth=auth_secret(KEY.namespace, KEY.name, existing=None, root_password=None, entropy=lambda count: b"\1" * count),
            hostconf=hostconf(KEY.namespace, KEY.name, UID, plan),
            override=override_policy(KEY.namespace, KEY.name, tasks, instance_uid=UID, plan=plan),
            template={"metadata": {"name": KEY.name, "namespace": KEY.namespace}, "spec": {}},
            binding=binding,
        )
    around = Surroundings(
        clusters=clusters
        if clusters is not None
        else {name: cluster(name, hosts[0].split(":")[0]) for name, hosts in HOSTS.items()},
        now=NOW,
        references=references or References(),
    )
    return look(KEY, parse(raw), objects, around)


def status_of(observed: Observed) -> dict[str, Any]:
    return status_for(observed, plan_for(observed, lambda count: b"\1" * count))


def condition(status: dict[str, Any], type_: str) -> dict[str, Any]:
    found: dict[str, Any] = next(entry for entry in status["conditions"] if entry["type"] == type_)
    return found


def test_the_announced_status_comes_out_field_by_field() -> None:
    status = status_of(observed_of())
    assert status["state"] == ANNOUNCED["state"]
    assert status["externalAddr"] == ANNOUNCED["externalAddr"]
    assert len(status["result"]) == len(ANNOUNCED["result"])
    for entry, announced in zip(status["result"], ANNOUNCED["result"], strict=True):
        assert {name: entry[name] for name in announced} == announced
    for announced in ANNOUNCED["conditions"]:
        found = condition(status, announced["type"])
        assert {name: found[name] for name in announced} == announced


def test_a_status_that_says_it_all_is_not_written_again() -> None:
    observed = observed_of()
    raw = copy.deepcopy(INSTANCE)
    raw["status"] = {**status_of(observed), "scheduling": {"message": "by the scheduler"}}
    raw["status"]["conditions"].append({"type": "Scheduled", "status": "True"})
    again = observed_of(raw)
    assert is_reported(raw, status_of(again))


def test_times_of_conditions_move_only_with_their_status() -> None:
    raw = copy.deepcopy(INSTANCE)
    raw["status"] = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}]}
    status = status_of(observed_of(raw))
    assert condition(status, "Ready")["lastTransitionTime"] == "2020-01-01T00:00:00Z"
    assert condition(status, "QuorumSafe")["lastTransitionTime"] == "2023-05-25T07:07:57Z"


def test_five_members_on_two_clusters_are_healthy_but_not_safe() -> None:
    status = status_of(observed_of())
    assert status["survives"] == "1/2"
    assert condition(status, "QuorumSafe")["status"] == "False"
    assert "10-29-14-21" in condition(status, "QuorumSafe")["message"]


def test_stale_word_of_a_dead_cluster_counts_for_nothing() -> None:
    clusters = {
        "10-29-14-21": cluster("10-29-14-21", "10.29.5.103", ready=False),
        "10-29-14-25": cluster("10-29-14-25", "10.29.5.107"),
    }
    status = status_of(observed_of(clusters=clusters))
    assert status["state"] == "UnHealth"
    assert status["result"][0]["state"] == "Unknown"
    assert status["result"][0]["replicasetStatus"] == 0
    assert "ClusterNotReachable" in status["result"][0]["message"]
    assert condition(status, "MajorityLost")["status"] == "True"
    assert condition(status, "RecoveryRequired")["status"] == "True"


def test_the_recovery_that_is_asked_for_is_one_that_this_version_can_do() -> None:
    clusters = {
        "10-29-14-21": cluster("10-29-14-21", "10.29.5.103", ready=False),
        "10-29-14-25": cluster("10-29-14-25", "10.29.5.107"),
    }
    message = condition(status_of(observed_of(clusters=clusters)), "RecoveryRequired")["message"]
    assert "forceReconfig is not acted upon in this version" in message
    assert "by hand" in message


@pytest.mark.parametrize(
    ("told", "shown"),
    [(("6.0.5", "6.0.5"), "6.0.5"), (("6.0.14", "6.0.5"), "6.0.5, 6.0.14"), (("6.0.5, 7.0.1", "6.0.14"), "6.0.5, 6.0.14, 7.0.1")],
)
def test_the_version_is_that_of_all_members_the_lowest_first(told: tuple[str, str], shown: str) -> None:
    statuses = {name: member_status(name) | {"version": version} for name, version in zip(HOSTS, told, strict=True)}
    assert status_of(observed_of(statuses=statuses))["version"] == shown
    assert "version" not in status_of(observed_of())


def test_a_report_about_another_instance_is_not_counted() -> None:
    statuses = {name: member_status(name) for name in HOSTS}
    statuses["10-29-14-25"]["federation"]["instanceUID"] = "another"
    status = status_of(observed_of(statuses=statuses))
    assert status["state"] == "SubHealth"
    assert status["result"][1]["replicasetStatus"] == 0


def with_annotation(text: str | None) -> KubeObject:
    raw: KubeObject = copy.deepcopy(INSTANCE)
    raw["metadata"]["annotations"] = {} if text is None else {"schedulerResult": text}
    return raw


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "Waiting for multicloud-middleware-scheduler"),
        ("{", "is not JSON"),
        ("[]", "has no list ClusterWithReplicaset"),
        ('{"ClusterWithReplicaset":[{"cluster":"a","replicaset":-1}]}', "at least 0"),
        ('{"ClusterWithReplicaset":[]}', "places no data member"),
        ('{"ClusterWithReplicaset":[{"cluster":"mars","replicaset":5}]}', "mars is not joined"),
    ],
)
def test_a_placement_that_cannot_be_followed_is_named_and_changes_nothing(text: str | None, expected: str) -> None:
    observed = observed_of(with_annotation(text), running=False)
    plan = plan_for(observed, lambda count: b"\1" * count)
    found = condition(status_for(observed, plan), "ServerScheduledResult")
    assert (found["status"], found["reason"]) == ("False", "GetSchedulerFail")
    assert expected in found["message"]
    assert not plan.actions
    assert plan.stage in (Stage.UNPLACED, Stage.BLOCKED)


def test_a_bad_placement_of_a_running_instance_leaves_the_former_one_in_force() -> None:
    observed = observed_of(with_annotation("{"))
    status = status_of(observed)
    assert condition(status, "ServerScheduledResult")["status"] == "False"
    assert condition(status, "Stalled")["reason"] == "PlacementInvalid"
    assert status["state"] == "Health"


def test_a_cluster_without_vip_is_named_with_the_label_to_set() -> None:
    clusters = {"10-29-14-21": cluster("10-29-14-21", "10.29.5.103"), "10-29-14-25": cluster("10-29-14-25", None)}
    status = status_of(observed_of(clusters=clusters, running=False))
    assert "set the label vip on the Cluster 10-29-14-25" in condition(status, "Stalled")["message"]


def test_a_placement_of_another_size_is_followed_and_said() -> None:
    raw = copy.deepcopy(INSTANCE)
    raw["spec"]["replicaset"] = 7
    found = condition(status_of(observed_of(raw)), "ServerCheck")
    assert (found["status"], found["reason"]) == ("False", "CheckFail")
    assert "5" in found["message"]
    assert "7" in found["message"]


def test_missing_references_hold_everything_back_and_are_named() -> None:
    problem = "spec.config.configRef: ConfigMap a/b does not exist; create it, or change the field"
    observed = observed_of(running=False, references=References(problems=(problem,)))
    plan = plan_for(observed, lambda count: b"\1" * count)
    assert not plan.actions
    found = condition(status_for(observed, plan), "Stalled")
    assert (found["status"], found["reason"], found["message"]) == ("True", "MissingReference", problem)
    assert condition(status_for(observed, plan), "ServerScheduledResult")["status"] == "True"


def test_a_spec_that_cannot_be_read_is_named_and_the_instance_can_still_be_deleted() -> None:
    raw = copy.deepcopy(INSTANCE)
    raw["spec"]["replicaset"] = 0
    status = status_of(observed_of(raw, running=False))
    assert condition(status, "Stalled")["reason"] == "InvalidSpec"
    assert "spec.replicaset" in condition(status, "Stalled")["message"]
    raw["metadata"]["deletionTimestamp"] = "2023-05-25T07:00:00Z"
    plan = plan_for(observed_of(raw, running=False), lambda count: b"\1" * count)
    assert [str(action) for action in plan.actions] == [f"set-finalizers MultiCloudMongoDB {KEY.name}"]


def test_no_password_is_ever_in_a_status_or_an_event() -> None:
    status = status_of(observed_of())
    assert "39nZzksAmXE" not in repr(status)
    assert "39nZzksAmXE" not in repr(observed_of())
    assert "39nZzksAmXE" not in repr(news({}, status))


def test_news_are_told_once_and_only_of_changes() -> None:
    status = status_of(observed_of())
    assert not [item for item in news(status, status)]
    worse = copy.deepcopy(status)
    worse["state"] = "UnHealth"
    del worse["primary"]
    worse["result"][0]["reachable"] = False
    worse["result"].pop()
    assert [item.reason for item in news(status, worse)] == ["StateChanged", "PrimaryLost", "ClusterLost", "ClusterReleased"]
    assert [item.reason for item in news(worse, status)][:2] == ["StateChanged", "PrimaryChanged"]


def test_what_only_a_human_can_mend_in_a_member_cluster_is_said_on_the_instance() -> None:
    message = "spec.persistence.storageClassName is managed-nfs-storage, which the cluster does not have"
    stalled = {"type": "Stalled", "status": "True", "reason": "StorageClassMissing", "message": message}
    statuses = {name: {**member_status(name), "state": "Error", "members": [], "conditions": [stalled]} for name in HOSTS}
    status = status_of(observed_of(statuses=statuses))
    message = message.replace("spec.persistence.storageClassName", "spec.storage.storageClass")
    assert status["state"] == "UnHealth"
    said = condition(status, "Stalled")
    assert (said["status"], said["reason"]) == ("True", "StorageClassMissing")
    assert said["message"] == f"cluster 10-29-14-21, 10-29-14-25: {message}"
    assert condition(status, "Ready")["message"] == said["message"]
    assert [result["message"] for result in status["result"]] == [message, message]
