# ruff: noqa: E501 - messages stand as they are read
"""What goes wrong in a member cluster: the situation, and what the conditions of the MongoDB say of it."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import CONFIG_MAPS, PODS, SECRETS, STORAGE_CLASSES, Resource
from tests.badinput.conditions import Condition
from tests.dataplane.cell import KEY, Cell

STAMP = {"cluster": "c1", "instanceUID": "uid-1", "planGeneration": 0, "decommission": False}
KEYS = ("rootPassword", "keyfile", "clusterAdminPassword", "clusterMonitorPassword")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """`spec` and `labels` are those of a MongoDB with one member; `before` comes first, `later` once it runs."""

    situation: str
    says: tuple[Condition, ...]
    spec: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[Cell], None] = lambda cell: None
    later: Callable[[Cell], None] | None = None
    looks: int = 4


def stalled(reason: str, message: str) -> tuple[Condition, ...]:
    return (("Stalled", "True", reason, message),)


def remark(message: str) -> tuple[Condition, ...]:
    """The members serve; the message is there nevertheless."""
    return (("Ready", "True", "ReplicaSetReady", message),)


def put(resource: Resource, name: str, **content: Any) -> Callable[[Cell], None]:
    return lambda cell: cell.server.seed(resource, {"metadata": {"name": name, "namespace": KEY.namespace}, **content})


def config(text: str, key: str = "mongod.conf") -> Callable[[Cell], None]:
    return put(CONFIG_MAPS, "mine", data={key: text})


def auth(**values: str | None) -> Callable[[Cell], None]:
    """The Secret of the instance as Karmada brings it, with other values under some keys."""
    texts = {key: f"{key}-0123456789" for key in KEYS} | values
    data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items() if text is not None}
    labels = {"app.kubernetes.io/managed-by": "fedstate", "app.kubernetes.io/instance": KEY.name}
    secret = {"metadata": {"name": f"{KEY.name}-auth", "namespace": KEY.namespace, "labels": labels}, "data": data}
    return lambda cell: cell.server.seed(SECRETS, secret)


def changed(resource: Resource, name: str, change: Callable[[KubeObject], None]) -> Callable[[Cell], None]:
    def edit(cell: Cell) -> None:
        obj = copy.deepcopy(cell.server.get(resource, name, KEY.namespace))
        assert obj is not None
        change(obj)
        cell.server.seed(resource, obj)

    return edit


def gone(resource: Resource, name: str) -> Callable[[Cell], None]:
    return lambda cell: cell.server.remove(resource, name, KEY.namespace)


def pod_says(**status: Any) -> Callable[[Cell], None]:
    return changed(PODS, f"{KEY.name}-replset-0-0", lambda pod: pod.update(status=status))


def silent(cell: Cell) -> None:
    for mongod in cell.mongos.mongods.values():
        mongod.up = False


def other_keyfile(cell: Cell) -> None:
    for mongod in cell.mongos.mongods.values():
        mongod.password = "another"


def restamped(**changes: Any) -> Callable[[Cell], None]:
    return lambda cell: cell.change(federation={**STAMP, **changes})


def wrong_plan(text: str) -> Callable[[Cell], None]:
    return changed(CONFIG_MAPS, f"{KEY.name}-hostconf", lambda obj: obj["data"].update({"replset.json": text}))


UNSCHEDULABLE = {
    "conditions": [{"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient cpu."}]
}
UNKNOWN_OPTION = {
    "containerStatuses": [
        {
            "name": "mongod",
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {
                "terminated": {
                    "exitCode": 2,
                    "message": "Unrecognized option: net.maxConns\ntry 'mongod --help' for more information\n",
                }
            },
        }
    ]
}
NO_IMAGE = {
    "containerStatuses": [
        {"name": "mongod", "state": {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "mongo:6.O"'}}}
    ]
}
VIP = "app.multicloudmongodb.io/vip"

TROUBLES: tuple[Trouble, ...] = (
    Trouble(
        situation="the storage class does not exist",
        spec={"persistence": {"storageClassName": "fast"}},
        says=stalled(
            "StorageClassMissing",
            "spec.persistence.storageClassName is fast, which the cluster does not have; create StorageClass fast there, or name one that it has: standard",
        ),
    ),
    Trouble(
        situation="no storage class is named and the cluster has no default one",
        before=lambda cell: cell.server.remove(STORAGE_CLASSES, "standard"),
        says=stalled(
            "StorageClassMissing",
            "spec.persistence.storageClassName is empty, and the cluster has no default StorageClass; name one of those it has: none",
        ),
    ),
    Trouble(
        situation="a pod fits no node",
        later=pod_says(**UNSCHEDULABLE),
        says=stalled(
            "PodFailing",
            "pod x-replset-0-0 finds no node: 0/1 nodes are available: 1 Insufficient cpu (spec.resources, spec.podSpec)",
        ),
    ),
    Trouble(
        situation="mongod does not know an option",
        later=pod_says(**UNKNOWN_OPTION),
        says=stalled(
            "PodFailing",
            "pod x-replset-0-0, container mongod: CrashLoopBackOff: Unrecognized option: net.maxConns try 'mongod --help' for more information (spec.config, spec.customConfigRef)",
        ),
    ),
    Trouble(
        situation="the image cannot be pulled",
        later=pod_says(**NO_IMAGE),
        says=stalled(
            "PodFailing",
            'pod x-replset-0-0, container mongod: ImagePullBackOff: Back-off pulling image "mongo:6.O" (spec.image, spec.imagePullSecret)',
        ),
    ),
    Trouble(
        situation="the ConfigMap of customConfigRef does not exist",
        spec={"customConfigRef": "mine"},
        says=stalled(
            "MissingReference",
            "spec.customConfigRef: ConfigMap mine does not exist in namespace db; create it or remove the field",
        ),
    ),
    Trouble(
        situation="it has no mongod.conf",
        spec={"customConfigRef": "mine"},
        before=put(CONFIG_MAPS, "mine", data={}),
        says=stalled(
            "ConfigInvalid",
            "spec.customConfigRef: ConfigMap mine in namespace db has no key mongod.conf; put the configuration there",
        ),
    ),
    Trouble(
        situation="its mongod.conf is not YAML",
        spec={"customConfigRef": "mine"},
        before=config("net: [1, 2\nstorage: {}\n"),
        says=stalled(
            "ConfigInvalid",
            "spec.customConfigRef: ConfigMap mine in namespace db holds a mongod.conf that is not YAML (line 2, column 8: expected ',' or ']', but got ':'); correct it",
        ),
    ),
    Trouble(
        situation="its mongod.conf is a list",
        spec={"customConfigRef": "mine"},
        before=config("- net\n- storage\n"),
        says=stalled(
            "ConfigInvalid",
            "spec.customConfigRef: ConfigMap mine in namespace db holds a mongod.conf that is not a map of settings; correct it",
        ),
    ),
    Trouble(
        situation="its mongod.conf sets replSetName",
        spec={"customConfigRef": "mine"},
        before=config("replication: {replSetName: rs0}\n"),
        says=remark(
            "replication.replSetName is set by FedState and cannot be changed; remove it from mongod.conf (spec.customConfigRef)"
        ),
    ),
    Trouble(
        situation="its mongod.conf sets keyFile",
        spec={"customConfigRef": "mine"},
        before=config("security: {keyFile: /etc/key}\n"),
        says=remark(
            "security.keyFile is set by FedState and cannot be changed; remove it from mongod.conf (spec.customConfigRef)"
        ),
    ),
    Trouble(
        situation="its mongod.conf sets the port",
        spec={"customConfigRef": "mine"},
        before=config("net: {port: 27018}\n"),
        says=remark("net.port is set by FedState and cannot be changed; remove it from mongod.conf (spec.customConfigRef)"),
    ),
    Trouble(
        situation="its mongod.conf is one for a host",
        spec={"customConfigRef": "mine"},
        before=config("systemLog: {destination: file, path: /var/log/mongodb/mongod.log}\n"),
        says=remark(
            "systemLog.destination is not used, since it does not fit a member of a set in a pod; remove it from mongod.conf (spec.customConfigRef); systemLog.path is not used, since it does not fit a member of a set in a pod; remove it from mongod.conf (spec.customConfigRef)"
        ),
    ),
    Trouble(
        situation="config sets what FedState sets",
        spec={"config": [{"name": "security.authorization", "value": "disabled"}]},
        says=remark("security.authorization is set by FedState and cannot be changed; remove it from spec.config"),
    ),
    Trouble(
        situation="config sets one name as a value and as a section",
        spec={
            "config": [
                {"name": "storage.wiredTiger", "value": "x"},
                {"name": "storage.wiredTiger.engineConfig.cacheSizeGB", "value": "1"},
            ]
        },
        says=remark(
            "storage.wiredTiger.engineConfig.cacheSizeGB is not used, since storage.wiredTiger has a value of its own; remove one of them"
        ),
    ),
    Trouble(
        situation="the pull secret does not exist",
        spec={"imagePullSecret": "regcred"},
        says=remark("spec.imagePullSecret: Secret regcred does not exist in namespace db; create it or remove the field"),
    ),
    Trouble(
        situation="the Secret of rootPasswordSecretRef does not exist",
        spec={"rootPasswordSecretRef": {"name": "pw"}},
        says=stalled(
            "MissingReference",
            "spec.rootPasswordSecretRef: Secret pw in namespace db does not exist; create it, or change the field",
        ),
    ),
    Trouble(
        situation="the Secret of rootPasswordSecretRef has no such key",
        spec={"rootPasswordSecretRef": {"name": "pw", "key": "root"}},
        before=put(SECRETS, "pw", data={"rootPassword": "eA=="}),
        says=stalled(
            "MissingReference", "spec.rootPasswordSecretRef: Secret pw in namespace db has no text under key root; add one"
        ),
    ),
    Trouble(
        situation="the Secret of a running instance is deleted",
        later=gone(SECRETS, "x-auth"),
        says=stalled(
            "SecretInvalid",
            "Secret x-auth has no key keyfile any more, and without it nobody signs in to the running members; put back what this prints: kubectl exec x-replset-0-0 -c mongod -- cat /run/fedstate/keyfile",
        ),
    ),
    Trouble(
        situation="the Secret of a running instance loses its keyfile",
        later=changed(SECRETS, "x-auth", lambda obj: obj["data"].pop("keyfile")),
        says=stalled(
            "SecretInvalid",
            "Secret x-auth has no key keyfile any more, and without it nobody signs in to the running members; put back what this prints: kubectl exec x-replset-0-0 -c mongod -- cat /run/fedstate/keyfile",
        ),
    ),
    Trouble(
        situation="its keyfile is too short",
        later=changed(SECRETS, "x-auth", lambda obj: obj["data"].update(keyfile="YWJj")),
        says=stalled("SecretInvalid", "key keyfile of Secret x-auth must have 6 to 1024 characters; restore it"),
    ),
    Trouble(
        situation="it is no text",
        later=changed(SECRETS, "x-auth", lambda obj: obj["data"].update(rootPassword="/w==")),
        says=stalled("SecretInvalid", "key rootPassword of Secret x-auth cannot be read as text; restore it"),
    ),
    Trouble(
        situation="the keyfile is not the members'",
        later=other_keyfile,
        says=stalled(
            "SignInRefused",
            "10.0.0.1:30001: does not accept the credentials: the keyfile in Secret x-auth is not the one that the members were started with; restore it",
        ),
    ),
    Trouble(
        situation="no member answers",
        later=silent,
        says=(("Ready", "False", "MembersNotReady", "no member that answers knows a primary; no answer from 10.0.0.1:30001"),),
    ),
    Trouble(
        situation="the member plan is damaged",
        later=wrong_plan("{"),
        says=stalled(
            "PlanUnreadable",
            "ConfigMap x-hostconf: replset.json holds no member plan: it is not JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1)); restore it",
        ),
    ),
    Trouble(
        situation="the member plan lacks its members",
        later=wrong_plan('{"replSetName":"x"}'),
        says=stalled(
            "PlanUnreadable", "ConfigMap x-hostconf: replset.json holds no member plan: 'members' is missing; restore it"
        ),
    ),
    Trouble(
        situation="the VIP label is no address",
        labels={VIP: "a_b"},
        says=stalled(
            "InvalidSpec",
            "metadata.labels[app.multicloudmongodb.io/vip] must be an address: 'a_b' is no IPv4 or IPv6 address and no DNS name",
        ),
    ),
    Trouble(
        situation="the stamp is empty",
        spec={"federation": {}},
        says=stalled(
            "InertTemplate",
            "spec.federation is empty: this is the template of a federated instance, and no override has stamped it for this cluster",
        ),
    ),
    Trouble(
        situation="the stamp is for another cluster",
        spec={"federation": {**STAMP, "cluster": "c2"}},
        says=stalled(
            "ForeignCluster",
            "spec.federation.cluster is c2, but this is cluster c1; --cluster-name has to be the name in Karmada",
        ),
    ),
    Trouble(
        situation="the stamp is of another instance than the one that runs",
        spec={"federation": STAMP},
        before=auth(),
        later=restamped(instanceUID="uid-2"),
        says=stalled(
            "ForeignInstance",
            "members of instance uid-1 run here under this name, and the spec is of instance uid-2; decommission that instance first, or give this one another name",
        ),
    ),
    Trouble(
        situation="a federated instance's stamp is taken away",
        spec={"federation": STAMP},
        before=auth(),
        later=lambda cell: cell.change(federation={}),
        says=stalled(
            "InertTemplate",
            "spec.federation is empty: this is the template of a federated instance, and no override has stamped it for this cluster",
        ),
    ),
    Trouble(
        situation="the Secret of a federated instance has not come",
        spec={"federation": STAMP},
        says=(("Ready", "False", "MembersNotReady", "Secret x-auth is not here yet; the federation distributes it"),),
    ),
    Trouble(
        situation="the Secret of a federated instance lacks a key",
        spec={"federation": STAMP},
        before=auth(clusterAdminPassword=None),
        says=stalled("SecretInvalid", "Secret x-auth has no key clusterAdminPassword; restore it"),
    ),
)
