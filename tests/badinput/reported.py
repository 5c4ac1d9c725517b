# ruff: noqa: E501 - messages stand as they are read
"""What is accepted and cannot be done, or not as it was meant: the situation, and what an instance's conditions say of it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fedstate.api.naming import ANNOTATION_REBALANCE, MULTI_CLOUD_MONGODBS
from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import CONFIG_MAPS, SECRETS, Resource
from tests.badinput.conditions import Condition
from tests.scheduler.clusters import COMPLETE, LOST, ONE_CPU, cluster, modelled

NAME = "orders"
TAINT = [{"key": "maintenance", "value": "tonight", "effect": "NoSchedule"}]
OTHER_KIND = [{"groupVersion": "apps/v1", "resources": [{"kind": "Deployment", "name": "deployments"}]}]
THREE = tuple(cluster(name) for name in ("ap", "eu", "us"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """`spec` is added to a valid one; `beside` is what lies in its namespace; with `told`, an event says it too."""

    situation: str
    says: tuple[Condition, ...]
    spec: Mapping[str, Any] = field(default_factory=dict)
    clusters: tuple[KubeObject, ...] = THREE
    annotations: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[tuple[Resource, KubeObject], ...] = ()
    told: bool = False

    @property
    def manifest(self) -> KubeObject:
        return {
            "apiVersion": MULTI_CLOUD_MONGODBS.api_version,
            "kind": MULTI_CLOUD_MONGODBS.kind,
            "metadata": {"name": NAME, "annotations": dict(self.annotations)},
            "spec": {"replicaset": 3, **ONE_CPU, **self.spec},
        }


def placed(result: str) -> dict[str, str]:
    return {"schedulerResult": result}


EVEN = placed(
    '{"ClusterWithReplicaset":[{"cluster":"ap","replicaset":1},{"cluster":"eu","replicaset":1},{"cluster":"us","replicaset":1}]}'
)
ANEW = {ANNOTATION_REBALANCE: "now"}


def secret(name: str, **data: str) -> tuple[Resource, KubeObject]:
    return SECRETS, {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in data.items()},
    }


def config(name: str, **data: str) -> tuple[Resource, KubeObject]:
    return CONFIG_MAPS, {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {key.replace("_", "."): value for key, value in data.items()},
    }


def unplaced(message: str, reason: str = "NoFeasibleCluster") -> tuple[Condition, ...]:
    return (("Scheduled", "False", reason, message),)


def stalled(message: str, reason: str = "MissingReference") -> tuple[Condition, ...]:
    return (("Stalled", "True", reason, message),)


REPORTED: tuple[Reported, ...] = (
    Reported(
        situation="no cluster has joined Karmada",
        clusters=(),
        says=unplaced("0/0 clusters can run a member: no cluster has joined Karmada.", "WaitingForClusters"),
    ),
    Reported(
        situation="a cluster has just joined and not reported yet",
        clusters=(cluster("eu", conditions=[COMPLETE]),),
        says=unplaced("Waiting for the first report of eu; members do not move once they are placed.", "WaitingForClusters"),
    ),
    Reported(
        situation="the only cluster is not Ready",
        clusters=(cluster("eu", conditions=[LOST]),),
        says=unplaced("0/1 clusters can run a member: eu: not Ready (ClusterNotReachable)."),
    ),
    Reported(
        situation="a cluster has no VIP",
        clusters=(cluster("eu", vip=None),),
        says=unplaced(
            "0/1 clusters can run a member: eu: no VIP (set label vip or annotation middleware.fedstate.io/vip of the Cluster)."
        ),
    ),
    Reported(
        situation="a cluster's VIP is no address",
        clusters=(cluster("eu", vip="a_b"),),
        says=unplaced(
            "0/1 clusters can run a member: eu: VIP 'a_b' is no IPv4 or IPv6 address and no DNS name (correct label vip or annotation middleware.fedstate.io/vip of the Cluster)."
        ),
    ),
    Reported(
        situation="a cluster's VIP is 0.0.0.0",
        clusters=(cluster("eu", vip="0.0.0.0"),),
        says=unplaced(
            "0/1 clusters can run a member: eu: VIP 0.0.0.0 is not the address of a host (correct label vip or annotation middleware.fedstate.io/vip of the Cluster)."
        ),
    ),
    Reported(
        situation="two clusters have the same VIP",
        clusters=(cluster("eu", vip="10.0.0.1"), cluster("us", vip="10.0.0.1")),
        says=unplaced(
            "0/2 clusters can run a member: eu: VIP 10.0.0.1 is also that of us (every cluster needs its own); us: VIP 10.0.0.1 is also that of eu (every cluster needs its own)."
        ),
    ),
    Reported(
        situation="a cluster has a taint that is not tolerated",
        clusters=(cluster("eu", taints=TAINT),),
        says=unplaced(
            "0/1 clusters can run a member: eu: taint maintenance=tonight:NoSchedule is not tolerated (spec.spreadConstraints.tolerations)."
        ),
    ),
    Reported(
        situation="nodeSelect matches no cluster",
        spec={"spreadConstraints": {"nodeSelect": {"deploy": "mongo"}}},
        clusters=(cluster("eu"), cluster("us", labels={"deploy": "web"})),
        says=unplaced(
            "0/2 clusters can run a member: eu: label deploy is missing, spec.spreadConstraints.nodeSelect wants 'mongo'; us: label deploy is 'web', spec.spreadConstraints.nodeSelect wants 'mongo'."
        ),
    ),
    Reported(
        situation="clusterNames names only a cluster that is not there",
        spec={"spreadConstraints": {"clusterNames": ["mars"]}},
        clusters=(cluster("eu"),),
        says=unplaced(
            "0/1 clusters can run a member: eu: not in spec.spreadConstraints.clusterNames; mars: no Cluster of this name, spec.spreadConstraints.clusterNames wants it."
        ),
    ),
    Reported(
        situation="the CRDs are not installed in a cluster",
        clusters=(cluster("eu", apis=OTHER_KIND),),
        says=unplaced(
            "0/1 clusters can run a member: eu: does not serve mongodbs.middleware.fedstate.io v1alpha1 (install the CRDs and the data plane there)."
        ),
    ),
    Reported(
        situation="a cluster has too little cpu",
        clusters=(cluster("eu", cpu="2", used="1500m"),),
        says=unplaced("0/1 clusters can run a member: eu: fits 0 members: needs cpu 1, free 0.5 (spec.resource)."),
    ),
    Reported(
        situation="a member wants more memory than a cluster has",
        spec={"resource": {"limits": {"memory": "100Gi"}}},
        clusters=(cluster("eu"),),
        says=unplaced("0/1 clusters can run a member: eu: fits 0 members: needs memory 100Gi, free 63Gi (spec.resource)."),
    ),
    Reported(
        situation="no node of a cluster is large enough, as its resource models tell",
        spec={"resource": {"requests": {"cpu": "2", "memory": "16Gi"}}},
        clusters=(modelled({0: 2, 1: 4}, name="eu"),),
        says=unplaced(
            "0/1 clusters can run a member: eu: fits 0 members: none of its nodes has so much free: by its resourceModels each has less than cpu 2 or memory 16Gi (spec.resource)."
        ),
    ),
    Reported(
        situation="several clusters, each out for another reason",
        clusters=(cluster("ap", vip=None), cluster("eu", conditions=[LOST]), cluster("us", cpu="500m")),
        says=unplaced(
            "0/3 clusters can run a member: ap: no VIP (set label vip or annotation middleware.fedstate.io/vip of the Cluster); eu: not Ready (ClusterNotReachable); us: fits 0 members: needs cpu 1, free 0.5 (spec.resource)."
        ),
        told=True,
    ),
    Reported(
        situation="the members fit only in part",
        spec={"replicaset": 5},
        clusters=(cluster("ap", cpu="1"), cluster("eu", cpu="2"), cluster("us", vip=None)),
        says=unplaced(
            "5 members do not fit, 2 too many; 2/3 clusters can run a member: ap: fits 1 member; eu: fits 2 members; us: no VIP (set label vip or annotation middleware.fedstate.io/vip of the Cluster). Lower spec.replicaset or spec.resource, or make room.",
            "InsufficientCapacity",
        ),
    ),
    Reported(
        situation="maxMembersPerCluster leaves no room",
        spec={"replicaset": 7, "spreadConstraints": {"maxMembersPerCluster": 2}},
        says=unplaced(
            "7 members do not fit, 1 too many; 3/3 clusters can run a member: ap: fits 2 members; eu: fits 2 members; us: fits 2 members. Lower spec.replicaset or spec.resource, raise spec.spreadConstraints.maxMembersPerCluster, or make room.",
            "InsufficientCapacity",
        ),
    ),
    Reported(
        situation="only two clusters",
        clusters=(cluster("eu"), cluster("us")),
        says=(
            (
                "Scheduled",
                "True",
                "Placed",
                "3 members on 2 clusters: eu 2, us 1. The set does not survive the loss of eu: one of fewer than three clusters always holds half of the votes or more.",
            ),
        ),
    ),
    Reported(
        situation="an arbiter that carries the majority of writes",
        spec={"replicaset": 2, "config": {"arbiter": True}},
        says=(
            (
                "Scheduled",
                "True",
                "Placed",
                "2 members on 3 clusters: ap 1, eu 1, us 0 and the arbiter. Without ap or eu there is a primary, but majority writes do not commit: an arbiter holds no data.",
            ),
        ),
    ),
    Reported(
        situation="schedulerResult is not JSON",
        annotations=placed("c1=3"),
        says=(
            *unplaced(
                "metadata.annotations.schedulerResult: is not JSON (Expecting value: line 1 column 1 (char 0))",
                "PlacementInvalid",
            ),
            *stalled(
                "metadata.annotations.schedulerResult: is not JSON (Expecting value: line 1 column 1 (char 0))",
                "PlacementInvalid",
            ),
        ),
    ),
    Reported(
        situation="schedulerResult has a negative number",
        annotations=placed('{"ClusterWithReplicaset":[{"cluster":"eu","replicaset":-1}]}'),
        says=(
            *unplaced(
                "metadata.annotations.schedulerResult: ClusterWithReplicaset[0].replicaset must be a whole number of at least 0",
                "PlacementInvalid",
            ),
            *stalled(
                "metadata.annotations.schedulerResult: ClusterWithReplicaset[0].replicaset must be a whole number of at least 0",
                "PlacementInvalid",
            ),
        ),
    ),
    Reported(
        situation="schedulerResult names a cluster twice",
        annotations=placed('{"ClusterWithReplicaset":[{"cluster":"eu","replicaset":1},{"cluster":"eu","replicaset":2}]}'),
        says=stalled("metadata.annotations.schedulerResult: names cluster eu more than once", "PlacementInvalid"),
    ),
    Reported(
        situation="schedulerResult names a cluster that is not in Karmada",
        annotations=placed('{"ClusterWithReplicaset":[{"cluster":"eu","replicaset":2},{"cluster":"mars","replicaset":1}]}'),
        says=(
            (
                "Scheduled",
                "True",
                "Placed",
                "3 members on 2 clusters: eu 2, mars 1. The set does not survive the loss of eu: one of fewer than three clusters always holds half of the votes or more. mars is lost (no Cluster of this name in Karmada); its 1 member stays placed there: nothing is moved while there is no primary with a majority.",
            ),
            *stalled(
                "metadata.annotations.schedulerResult: cluster mars is not joined to Karmada; join it, or place its members elsewhere",
                "PlacementInvalid",
            ),
        ),
    ),
    Reported(
        situation="a cluster is lost and members may not be moved",
        spec={"scheduler": {"allowDynamicScheduler": False}},
        clusters=(cluster("ap"), cluster("eu"), cluster("us", conditions=[LOST, COMPLETE])),
        annotations=EVEN,
        says=(
            (
                "Scheduled",
                "True",
                "Placed",
                "3 members on 3 clusters: ap 1, eu 1, us 1. us is lost (not Ready (ClusterNotReachable)); its 1 member stays placed there: spec.scheduler.allowDynamicScheduler is false.",
            ),
        ),
    ),
    Reported(
        situation="a cluster is lost, and the set has no primary",
        clusters=(cluster("ap"), cluster("eu"), cluster("us", conditions=[LOST, COMPLETE])),
        annotations=EVEN,
        says=(
            (
                "Scheduled",
                "True",
                "Placed",
                "3 members on 3 clusters: ap 1, eu 1, us 1. us is lost (not Ready (ClusterNotReachable)); its 1 member stays placed there: nothing is moved while there is no primary with a majority.",
            ),
        ),
    ),
    Reported(
        situation="members are to be placed anew and may not be moved",
        spec={"scheduler": {"allowDynamicScheduler": False}},
        annotations=EVEN | ANEW,
        says=(
            (
                "Scheduled",
                "True",
                "Placed",
                "3 members on 3 clusters: ap 1, eu 1, us 1. The members are not placed anew, as middleware.fedstate.io/rebalance asks: spec.scheduler.allowDynamicScheduler is false.",
            ),
        ),
    ),
    Reported(
        situation="members are to be placed anew, and the set has no primary",
        annotations=EVEN | ANEW,
        says=(
            (
                "Scheduled",
                "True",
                "Placed",
                "3 members on 3 clusters: ap 1, eu 1, us 1. The members are not placed anew, as middleware.fedstate.io/rebalance asks: nothing is moved while there is no primary with a majority.",
            ),
        ),
    ),
    Reported(
        situation="another scheduler's schedulerResult names a cluster that is not there",
        spec={"scheduler": {"schedulerName": "mine"}},
        annotations=placed('{"ClusterWithReplicaset":[{"cluster":"mars","replicaset":3}]}'),
        says=stalled(
            "metadata.annotations.schedulerResult: cluster mars is not joined to Karmada; join it, or place its members elsewhere",
            "PlacementInvalid",
        ),
        told=True,
    ),
    Reported(
        situation="another scheduler places members on a cluster without a VIP",
        spec={"scheduler": {"schedulerName": "mine"}},
        clusters=(cluster("eu", vip=None),),
        annotations=placed('{"ClusterWithReplicaset":[{"cluster":"eu","replicaset":3}]}'),
        says=stalled(
            "metadata.annotations.schedulerResult: cluster eu has no VIP; set the label vip on the Cluster eu", "PlacementInvalid"
        ),
    ),
    Reported(
        situation="another scheduler places another number of members than replicaset",
        spec={"scheduler": {"schedulerName": "mine"}, "replicaset": 5},
        annotations=placed('{"ClusterWithReplicaset":[{"cluster":"eu","replicaset":3}]}'),
        says=(
            (
                "ServerCheck",
                "False",
                "CheckFail",
                "The placement has 3 members, spec.replicaset is 5; the placement is followed as it is, until mine changes the annotation schedulerResult",
            ),
        ),
    ),
    Reported(
        situation="another scheduler is named and has placed nothing",
        spec={"scheduler": {"schedulerName": "mine"}},
        says=(
            ("ServerScheduledResult", "False", "GetSchedulerFail", "Waiting for mine to write the annotation schedulerResult"),
            (
                "Ready",
                "False",
                "WaitingForClusters",
                "The instance has not been placed yet; spec.scheduler.schedulerName leaves that to mine",
            ),
        ),
    ),
    Reported(
        situation="the pull secret has a user and no password",
        spec={"imageSetting": {"imagePullSecret": {"user": "me"}}},
        says=(
            *unplaced(
                "spec.imageSetting.imagePullSecret.passwd is missing; give both a user and a password, or the name of a Secret instead of them",
                "InvalidSpec",
            ),
            *stalled(
                "spec.imageSetting.imagePullSecret.passwd is missing; give both a user and a password, or the name of a Secret instead of them",
                "InvalidSpec",
            ),
        ),
    ),
    Reported(
        situation="the pull secret is a list",
        spec={"imageSetting": {"imagePullSecret": ["regcred"]}},
        says=stalled(
            "spec.imageSetting.imagePullSecret must be the name of a Secret, or an object with user and passwd, not ['regcred']",
            "InvalidSpec",
        ),
    ),
    Reported(
        situation="the ConfigMap of config.configRef does not exist",
        spec={"config": {"configRef": "mine"}},
        says=stalled("spec.config.configRef: ConfigMap shop/mine does not exist; create it, or change the field"),
        told=True,
    ),
    Reported(
        situation="the ConfigMap of config.configRef has no mongod.conf",
        spec={"config": {"configRef": "mine"}},
        beside=(config("mine", a="1", b="2"),),
        says=stalled("spec.config.configRef: ConfigMap shop/mine has no key mongod.conf; put the configuration there"),
    ),
    Reported(
        situation="its mongod.conf is not YAML",
        spec={"config": {"configRef": "mine"}},
        beside=(config("mine", mongod_conf="net:\n  maxIncomingConnections: 9\n ssl: x: y\n"),),
        says=stalled(
            "spec.config.configRef: ConfigMap shop/mine holds a mongod.conf that is not YAML (line 3, column 2: expected <block end>, but found '<block mapping start>'); correct it"
        ),
    ),
    Reported(
        situation="its mongod.conf is in the old format",
        spec={"config": {"configRef": "mine"}},
        beside=(config("mine", mongod_conf="port = 27017\nlogpath = /var/log/mongod.log\n"),),
        says=stalled("spec.config.configRef: ConfigMap shop/mine holds a mongod.conf that is not a map of settings; correct it"),
    ),
    Reported(
        situation="the pull secret does not exist",
        spec={"imageSetting": {"imagePullSecret": "regcred"}},
        says=stalled("spec.imageSetting.imagePullSecret: Secret shop/regcred does not exist; create it, or change the field"),
    ),
    Reported(
        situation="the pull secret is of another kind",
        spec={"imageSetting": {"imagePullSecret": "regcred"}},
        beside=(secret("regcred", username="me"),),
        says=stalled(
            "spec.imageSetting.imagePullSecret: Secret shop/regcred has no key .dockerconfigjson; make it with kubectl create secret docker-registry"
        ),
    ),
    Reported(
        situation="the Secret of rootPasswordSecretRef does not exist",
        spec={"auth": {"rootPasswordSecretRef": {"name": "pw"}}},
        says=stalled("spec.auth.rootPasswordSecretRef: Secret shop/pw does not exist; create it, or change the field"),
    ),
    Reported(
        situation="the Secret of rootPasswordSecretRef has no such key",
        spec={"auth": {"rootPasswordSecretRef": {"name": "pw", "key": "root"}}},
        beside=(secret("pw", rootPassword="x"),),
        says=stalled("spec.auth.rootPasswordSecretRef: Secret shop/pw has no text under the key root; add one"),
    ),
    Reported(
        situation="two references are missing at once",
        spec={"auth": {"rootPasswordSecretRef": {"name": "pw"}}, "config": {"configRef": "mine"}},
        says=stalled(
            "spec.auth.rootPasswordSecretRef: Secret shop/pw does not exist; create it, or change the field; spec.config.configRef: ConfigMap shop/mine does not exist; create it, or change the field"
        ),
    ),
)
