"""What the API server refuses: one change each to a manifest that it accepts, and the whole answer that its author reads."""

# ruff: noqa: E501 - messages stand as they are read

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from fedstate.api.naming import MONGODBS, MULTI_CLOUD_MONGODBS
from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import Resource

INSTANCE: dict[str, Any] = {
    "replicaset": 5,
    "export": {"enable": False},
    "resource": {"limits": {"cpu": "2", "memory": "512Mi"}, "requests": {"cpu": "1", "memory": "512Mi"}},
    "storage": {"storageClass": "managed-nfs-storage", "storageSize": "1Gi"},
    "imageSetting": {"image": "mongo:6.0", "imagePullPolicy": "Always"},
}
DATABASE: dict[str, Any] = {
    "members": 3,
    "image": "mongo:6.0",
    "resources": {"limits": {"cpu": "2", "memory": "512Mi"}, "requests": {"cpu": "1", "memory": "512Mi"}},
    "persistence": {"storageClassName": "standard", "storage": "1Gi"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """`change` is merged into the valid spec (None removes a field); with `later`, into one that is stored already."""

    change: dict[str, Any]
    messages: tuple[str, ...]
    resource: Resource = MULTI_CLOUD_MONGODBS
    name: str = "orders"
    later: bool = False

    @property
    def valid(self) -> KubeObject:
        """The manifest without the mistake."""
        spec = INSTANCE if self.resource is MULTI_CLOUD_MONGODBS else DATABASE
        return {
            "apiVersion": self.resource.api_version,
            "kind": self.resource.kind,
            "metadata": {"name": "orders" if self.later else self.name},
            "spec": copy.deepcopy(spec),
        }

    @property
    def manifest(self) -> KubeObject:
        """The manifest with the mistake."""
        return self.valid | {"spec": merged(self.valid["spec"], self.change)}


def merged(value: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """A JSON merge patch applied."""
    result = dict(value)
    for key, new in change.items():
        if new is None:
            result.pop(key, None)
        elif isinstance(new, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], new)
        else:
            result[key] = new
    return result


def instance(change: dict[str, Any], *messages: str, **more: Any) -> Rejected:
    return Rejected(change=change, messages=messages, **more)


def database(change: dict[str, Any], *messages: str, **more: Any) -> Rejected:
    return Rejected(change=change, messages=messages, resource=MONGODBS, **more)


REJECTED: tuple[Rejected, ...] = (
    instance(
        {"replicaset": "5"}, 'spec.replicaset: Invalid value: "string": spec.replicaset in body must be of type integer: "string"'
    ),
    instance({"replicaset": None}, "spec.replicaset: Required value"),
    instance(
        {"replicaset": 0}, "spec.replicaset: Invalid value: 0: spec.replicaset in body should be greater than or equal to 1"
    ),
    instance(
        {"replicaset": -3}, "spec.replicaset: Invalid value: -3: spec.replicaset in body should be greater than or equal to 1"
    ),
    instance(
        {"replicaset": 51}, "spec.replicaset: Invalid value: 51: spec.replicaset in body should be less than or equal to 50"
    ),
    instance(
        {"scheduler": {"schedulerMode": "Random"}},
        'spec.scheduler.schedulerMode: Unsupported value: "Random": supported values: "Uniform", "Weighting"',
    ),
    instance({"replicas": 5}, 'strict decoding error: unknown field "spec.replicas"'),
    instance({"storage": {"storageSzie": "10Gi"}}, 'strict decoding error: unknown field "spec.storage.storageSzie"'),
    instance(
        {"auth": {"rootPasswd": "a", "rootPasswordSecretRef": {"name": "b"}}},
        "spec.auth.rootPasswordSecretRef: Invalid value: rootPasswd is set too; keep the Secret and remove the password",
    ),
    instance(
        {"auth": {"rootPasswd": ""}},
        'spec.auth.rootPasswd: Invalid value: "": must not be empty; remove the field to get a random password',
    ),
    instance(
        {"auth": {"rootPasswd": 123456}},
        'spec.auth.rootPasswd: Invalid value: "integer": spec.auth.rootPasswd in body must be of type string: "integer"',
    ),
    instance({"auth": {"rootPasswordSecretRef": {"key": "b"}}}, "spec.auth.rootPasswordSecretRef.name: Required value"),
    instance(
        {"auth": {"rootPasswordSecretRef": {"name": "My Secret"}}},
        'spec.auth.rootPasswordSecretRef.name: Invalid value: "My Secret": must be the name of an object: a-z, 0-9, - and ., with a letter or digit at both ends',
    ),
    instance(
        {"resource": {"limits": {"memory": "512mb"}}},
        'spec.resource.limits[memory]: Invalid value: "512mb": must be a quantity of at least 0, such as 500m, 2 or 4Gi',
    ),
    instance(
        {"resource": {"limits": {"memory": "-1Gi"}}},
        'spec.resource.limits[memory]: Invalid value: "-1Gi": must be a quantity of at least 0, such as 500m, 2 or 4Gi',
        "spec.resource: Invalid value: a request is more than its limit; lower the request or raise the limit",
    ),
    instance(
        {"resource": {"limits": {"memory": 512}, "requests": {"memory": 512}}},
        "spec.resource.limits: Invalid value: memory is less than 1Mi; was the unit forgotten, as in 512Mi?",
        "spec.resource.requests: Invalid value: memory is less than 1Mi; was the unit forgotten, as in 512Mi?",
    ),
    instance(
        {"resource": {"requests": {"cpu": "3"}}},
        "spec.resource: Invalid value: a request is more than its limit; lower the request or raise the limit",
    ),
    instance(
        {"export": {"enable": True, "resource": {"limits": {"cpu": "100m"}, "requests": {"cpu": "200m"}}}},
        "spec.export.resource: Invalid value: a request is more than its limit; lower the request or raise the limit",
    ),
    instance(
        {"storage": {"storageSize": "-1Gi"}},
        'spec.storage.storageSize: Invalid value: "-1Gi": must be a quantity greater than 0, such as 10Gi',
    ),
    instance(
        {"storage": {"storageSize": "0"}},
        'spec.storage.storageSize: Invalid value: "0": must be a quantity greater than 0, such as 10Gi',
    ),
    instance(
        {"storage": {"storageSize": "ten"}},
        'spec.storage.storageSize: Invalid value: "ten": must be a quantity greater than 0, such as 10Gi',
    ),
    instance(
        {"storage": {"storageSize": 10}},
        "spec.storage.storageSize: Invalid value: 10: is less than 1Mi; was the unit forgotten, as in 10Gi?",
    ),
    instance(
        {"storage": {"storageClass": "My Class"}},
        'spec.storage.storageClass: Invalid value: "My Class": must be the name of an object: a-z, 0-9, - and ., with a letter or digit at both ends',
    ),
    instance(
        {"storage": {"reclaimPolicy": "Recycle"}},
        'spec.storage.reclaimPolicy: Unsupported value: "Recycle": supported values: "Retain", "Delete"',
    ),
    instance(
        {"storage": {"storageSize": "512Mi"}},
        'spec.storage.storageSize: Invalid value: "512Mi": a volume cannot shrink; to get smaller volumes, create a new instance and copy the data',
        later=True,
    ),
    instance(
        {"storage": {"storageClass": "fast"}},
        "spec.storage.storageClass: Invalid value: cannot be changed, since a volume cannot move to another class; create a new instance and copy the data",
        later=True,
    ),
    instance(
        {"storage": {"storageClass": None}},
        "spec.storage.storageClass: Invalid value: cannot be changed, since a volume cannot move to another class; create a new instance and copy the data",
        later=True,
    ),
    instance(
        {"replicaset": 0},
        "spec.replicaset: Invalid value: 0: spec.replicaset in body should be greater than or equal to 1",
        later=True,
    ),
    instance(
        {"imageSetting": {"image": ""}},
        'spec.imageSetting.image: Invalid value: "": spec.imageSetting.image in body should be at least 1 chars long',
    ),
    instance(
        {"imageSetting": {"imagePullPolicy": "Sometimes"}},
        'spec.imageSetting.imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
    ),
    instance(
        {"config": {"configRef": "a/b"}},
        'spec.config.configRef: Invalid value: "a/b": must be the name of an object: a-z, 0-9, - and ., with a letter or digit at both ends',
    ),
    instance(
        {"config": {"arbiter": "yes"}},
        'spec.config.arbiter: Invalid value: "string": spec.config.arbiter in body must be of type boolean: "string"',
    ),
    instance(
        {"spreadConstraints": {"clusterNames": ["c1", "c1"]}}, 'spec.spreadConstraints.clusterNames[1]: Duplicate value: "c1"'
    ),
    instance(
        {"spreadConstraints": {"clusterNames": ["c1"], "excludeClusterNames": ["c1"]}},
        "spec.spreadConstraints.excludeClusterNames: Invalid value: names a cluster that clusterNames names too; keep it in one of them",
    ),
    instance(
        {"spreadConstraints": {"maxMembersPerCluster": 0}},
        "spec.spreadConstraints.maxMembersPerCluster: Invalid value: 0: spec.spreadConstraints.maxMembersPerCluster in body should be greater than or equal to 1",
    ),
    instance(
        {"spreadConstraints": {"nodeSelect": {"disk": 1}}},
        'spec.spreadConstraints.nodeSelect.disk: Invalid value: "integer": spec.spreadConstraints.nodeSelect.disk in body must be of type string: "integer"',
    ),
    instance(
        {"spreadConstraints": {"tolerations": [{"operator": "Exists", "value": "x"}]}},
        "spec.spreadConstraints.tolerations[0]: Invalid value: value must be empty if the operator is Exists",
    ),
    instance(
        {"spreadConstraints": {"tolerations": [{"operator": "Equal"}]}},
        "spec.spreadConstraints.tolerations[0]: Invalid value: key is required unless the operator is Exists",
    ),
    instance(
        {"failover": {"tolerationSeconds": -1}},
        "spec.failover.tolerationSeconds: Invalid value: -1: spec.failover.tolerationSeconds in body should be greater than or equal to 0",
    ),
    instance(
        {"failover": {"forceReconfig": {"survivors": [], "approval": "now"}}},
        "spec.failover.forceReconfig.survivors: Invalid value: 0: spec.failover.forceReconfig.survivors in body should have at least 1 items",
    ),
    instance({"failover": {"forceReconfig": {"survivors": ["c1"]}}}, "spec.failover.forceReconfig.approval: Required value"),
    instance({}, "metadata.name: Invalid value: must have at most 40 characters, as members are named after it", name="o" * 41),
    instance(
        {},
        "metadata.name: Invalid value: must start with a letter and hold only a-z, 0-9 and -, as Services are named after it",
        name="3orders",
    ),
    instance(
        {},
        "metadata.name: Invalid value: must start with a letter and hold only a-z, 0-9 and -, as Services are named after it",
        name="orders.eu",
    ),
    instance(
        {"replicaset": 0, "storage": {"reclaimPolicy": "Recycle"}},
        "spec.replicaset: Invalid value: 0: spec.replicaset in body should be greater than or equal to 1",
        'spec.storage.reclaimPolicy: Unsupported value: "Recycle": supported values: "Retain", "Delete"',
    ),
    database({"members": 0}, "spec.members: Invalid value: must be at least 1"),
    database({"members": -1}, "spec.members: Invalid value: -1: spec.members in body should be greater than or equal to 0"),
    database({"members": 51}, "spec.members: Invalid value: 51: spec.members in body should be less than or equal to 50"),
    database({"members": None}, "spec.members: Required value"),
    database({"type": "Sharded"}, 'spec.type: Unsupported value: "Sharded": supported values: "ReplicaSet"'),
    database(
        {"persistence": {"storage": "big"}},
        'spec.persistence.storage: Invalid value: "big": must be a quantity greater than 0, such as 10Gi',
    ),
    database(
        {"persistence": {"storage": "512Mi"}},
        'spec.persistence.storage: Invalid value: "512Mi": a volume cannot shrink; to get smaller volumes, create a new instance and copy the data',
        later=True,
    ),
    database(
        {"persistence": {"storageClassName": "fast"}},
        "spec.persistence.storageClassName: Invalid value: cannot be changed, since a volume cannot move to another class; create a new instance and copy the data",
        later=True,
    ),
    database(
        {"config": [{"name": "LOG_LEVEL", "value": "info"}, {"name": "LOG_LEVEL", "value": "debug"}]},
        'spec.config[1]: Duplicate value: {"name":"LOG_LEVEL"}',
    ),
    database({"config": [{"value": "info"}]}, "spec.config[0].name: Required value"),
    database(
        {"rootPassword": "a", "rootPasswordSecretRef": {"name": "b"}},
        "spec.rootPasswordSecretRef: Invalid value: rootPassword is set too; keep the Secret and remove the password",
    ),
    database(
        {"rootPassword": ""}, 'spec.rootPassword: Invalid value: "": must not be empty; remove the field to get a random password'
    ),
    database(
        {"federation": {"cluster": "c1"}},
        "spec.federation: Invalid value: a stamp is either empty or names both cluster and instanceUID",
    ),
    database({"podSpec": {"hostNetwork": True}}, 'strict decoding error: unknown field "spec.podSpec.hostNetwork"'),
    database(
        {},
        "metadata.name: Invalid value: must start with a letter and hold only a-z, 0-9 and -, as Services are named after it",
        name="3orders",
    ),
)
