"""Specs that make no sense, and the sentence their owner gets to read."""

from typing import Any

import pytest

from fedstate.api.federated import MultiCloudMongoDB
from fedstate.api.mongodb import MongoDB
from fedstate.errors import TerminalError
from tests.api.objects import instance, mongodb

REJECTED: list[tuple[dict[str, Any], str]] = [
    ({"replicaset": None}, "spec.replicaset is required"),
    ({"replicaset": 0}, "spec.replicaset must be from 1 to 50, not 0"),
    ({"replicaset": 51}, "spec.replicaset must be from 1 to 50, not 51"),
    ({"replicaset": -3}, "spec.replicaset must be from 1 to 50, not -3"),
    ({"replicaset": "5"}, "spec.replicaset must be a whole number, not '5'"),
    ({"replicaset": True}, "spec.replicaset must be a whole number, not True"),
    ({"storage": {"storageSize": "ten"}}, "spec.storage.storageSize must be a quantity such as 500m, 2 or 10Gi, not 'ten'"),
    ({"storage": {"storageSize": "0"}}, "spec.storage.storageSize must be more than 0, not '0'"),
    ({"storage": {"storageSize": "-1Gi"}}, "spec.storage.storageSize must be more than 0, not '-1Gi'"),
    ({"storage": {"reclaimPolicy": "Recycle"}}, "spec.storage.reclaimPolicy must be one of Retain, Delete, not 'Recycle'"),
    ({"storage": {"storageClass": "My Class"}}, "spec.storage.storageClass must be the name of an object, not 'My Class'"),
    ({"storage": []}, "spec.storage must be an object, not []"),
    (
        {"resource": {"requests": {"cpu": "one"}}},
        "spec.resource.requests.cpu must be a quantity such as 500m, 2 or 10Gi, not 'one'",
    ),
    ({"resource": {"limits": {"memory": "-1"}}}, "spec.resource.limits.memory must be at least 0, not '-1'"),
    (
        {"resource": {"limits": {"cpu": "1"}, "requests": {"cpu": "1500m"}}},
        "spec.resource.requests.cpu is 1500m, more than its limit 1; lower it or raise the limit",
    ),
    (
        {"auth": {"rootPasswd": "a", "rootPasswordSecretRef": {"name": "b"}}},
        "spec.auth.rootPasswordSecretRef and rootPasswd are both set; keep the Secret and remove the password",
    ),
    ({"auth": {"rootPasswordSecretRef": {"key": "b"}}}, "spec.auth.rootPasswordSecretRef.name is required"),
    ({"auth": {"rootPasswd": 123456}}, "spec.auth.rootPasswd must be a text; put it in quotes"),
    (
        {"imageSetting": {"imagePullSecret": {"user": "me"}}},
        "spec.imageSetting.imagePullSecret.passwd is missing; give both a user and a password, or the name of a Secret instead of them",
    ),
    (
        {"imageSetting": {"imagePullSecret": 7}},
        "spec.imageSetting.imagePullSecret must be the name of a Secret, or an object with user and passwd, not 7",
    ),
    (
        {"imageSetting": {"imagePullPolicy": "Sometimes"}},
        "spec.imageSetting.imagePullPolicy must be one of Always, IfNotPresent, Never, not 'Sometimes'",
    ),
    ({"config": {"arbiter": "yes"}}, "spec.config.arbiter must be true or false, not 'yes'"),
    ({"config": {"configRef": "a/b"}}, "spec.config.configRef must be the name of an object, not 'a/b'"),
    ({"export": {"enable": 1}}, "spec.export.enable must be true or false, not 1"),
    ({"scheduler": {"schedulerMode": "Random"}}, "spec.scheduler.schedulerMode must be one of Uniform, Weighting, not 'Random'"),
    (
        {"spreadConstraints": {"nodeSelect": {"disk": 1}}},
        "spec.spreadConstraints.nodeSelect.disk must be a text, not 1; put it in quotes",
    ),
    (
        {"spreadConstraints": {"clusterNames": ["a", "b"], "excludeClusterNames": ["b"]}},
        "spec.spreadConstraints.excludeClusterNames and clusterNames both name b; keep one",
    ),
    ({"spreadConstraints": {"clusterNames": "a"}}, "spec.spreadConstraints.clusterNames must be a list of texts"),
    ({"spreadConstraints": {"maxMembersPerCluster": 0}}, "spec.spreadConstraints.maxMembersPerCluster must be at least 1, not 0"),
    (
        {"spreadConstraints": {"tolerations": [{"operator": "Exists", "value": "x"}]}},
        "spec.spreadConstraints.tolerations[0].value must be empty if the operator is Exists",
    ),
    (
        {"spreadConstraints": {"tolerations": [{"value": "x"}]}},
        "spec.spreadConstraints.tolerations[0].key is required unless the operator is Exists",
    ),
    (
        {"spreadConstraints": {"preferences": [{"weight": 5, "nodeSelect": {}}]}},
        "spec.spreadConstraints.preferences[0].nodeSelect must name at least one label that the preferred clusters have",
    ),
    (
        {"spreadConstraints": {"preferences": [{"weight": 0, "nodeSelect": {"disk": "ssd"}}]}},
        "spec.spreadConstraints.preferences[0].weight must be from 1 to 100, not 0",
    ),
    ({"scheduler": {"allowDynamicScheduler": "no"}}, "spec.scheduler.allowDynamicScheduler must be true or false, not 'no'"),
    ({"failover": {"tolerationSeconds": -1}}, "spec.failover.tolerationSeconds must be at least 0, not -1"),
    (
        {"failover": {"forceReconfig": {"approval": "x"}}},
        "spec.failover.forceReconfig.survivors must name the clusters whose members are to go on alone",
    ),
    (
        {"failover": {"forceReconfig": {"survivors": ["a"]}}},
        "spec.failover.forceReconfig.approval is required: a text that is new for every approval",
    ),
]


@pytest.mark.parametrize(("spec", "message"), REJECTED)
def test_a_multicloudmongodb_that_makes_no_sense_is_refused_with_its_field(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(TerminalError) as caught:
        MultiCloudMongoDB.from_object(instance(spec))
    assert (caught.value.reason, caught.value.message) == ("InvalidSpec", message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "Orders",
            "metadata.name must start with a letter and hold only a-z, 0-9 and -, as Services are named after it, not 'Orders'",
        ),
        (
            "3orders",
            "metadata.name must start with a letter and hold only a-z, 0-9 and -, as Services are named after it, not '3orders'",
        ),
        ("a.b", "metadata.name must start with a letter and hold only a-z, 0-9 and -, as Services are named after it, not 'a.b'"),
        ("x" * 41, "metadata.name must have at most 40 characters, as members are named after it, not 41"),
    ],
)
def test_a_name_nothing_can_be_named_after_is_refused(name: str, message: str) -> None:
    for parse, obj in ((MultiCloudMongoDB.from_object, instance(name=name)), (MongoDB.from_object, mongodb(name=name))):
        with pytest.raises(TerminalError) as caught:
            parse(obj)
        assert caught.value.message == message


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ("nonsense", "is not JSON (Expecting value: line 1 column 1 (char 0))"),
        ("[]", "has no list ClusterWithReplicaset"),
        ('{"ClusterWithReplicaset":["a"]}', "ClusterWithReplicaset[0] is not an object"),
        ('{"ClusterWithReplicaset":[{"replicaset":1}]}', "ClusterWithReplicaset[0].cluster must be the name of a cluster"),
        (
            '{"ClusterWithReplicaset":[{"cluster":"a","replicaset":-1}]}',
            "ClusterWithReplicaset[0].replicaset must be a whole number of at least 0",
        ),
        (
            '{"ClusterWithReplicaset":[{"cluster":"a","replicaset":1000000}]}',
            "ClusterWithReplicaset[0].replicaset must be at most 1000, not 1000000",
        ),
        ('{"ClusterWithReplicaset":[{"cluster":"a","arbiter":1}]}', "ClusterWithReplicaset[0].arbiter must be true or false"),
        (
            '{"ClusterWithReplicaset":[{"cluster":"a","replicaset":1},{"cluster":"a","replicaset":1}]}',
            "names cluster a more than once",
        ),
        (
            '{"ClusterWithReplicaset":[{"cluster":"a","arbiter":true},{"cluster":"b","arbiter":true}]}',
            "puts an arbiter on more than one cluster; a replica set has at most one",
        ),
    ],
)
def test_a_scheduler_result_that_makes_no_sense_is_refused(result: str, message: str) -> None:
    with pytest.raises(TerminalError) as caught:
        MultiCloudMongoDB.from_object(instance(annotations={"schedulerResult": result}))
    assert caught.value.reason == "PlacementInvalid"
    assert caught.value.message == f"metadata.annotations.schedulerResult: {message}"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"members": None}, "spec.members is required"),
        ({"members": 51}, "spec.members must be from 0 to 50, not 51"),
        ({"type": "Sharded"}, "spec.type must be one of ReplicaSet, not 'Sharded'"),
        ({"config": [{"value": "x"}]}, "spec.config[0].name is required"),
        ({"config": {}}, "spec.config must be a list of objects"),
        ({"persistence": {"storage": "big"}}, "spec.persistence.storage must be a quantity such as 500m, 2 or 10Gi, not 'big'"),
        (
            {"rootPassword": "a", "rootPasswordSecretRef": {"name": "b"}},
            "spec.rootPasswordSecretRef and rootPassword are both set; keep the Secret and remove the password",
        ),
        (
            {"imagePullSecret": {"password": "x"}},
            "spec.imagePullSecret.username is missing; give both a user and a password, or the name of a Secret instead of them",
        ),
        (
            {"federation": {"cluster": "a"}},
            "spec.federation.instanceUID is missing; a stamp is either empty or names both a cluster and an instance",
        ),
    ],
)
def test_a_mongodb_that_makes_no_sense_is_refused_with_its_field(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(TerminalError) as caught:
        MongoDB.from_object(mongodb(spec))
    assert caught.value.message == message


def test_a_vip_that_is_no_address_is_refused() -> None:
    with pytest.raises(TerminalError, match=r"metadata.labels\[app.multicloudmongodb.io/vip\] must be an address: 'a_b' is no"):
        MongoDB.from_object(mongodb(labels={"app.multicloudmongodb.io/vip": "a_b"}))


def test_a_password_is_in_no_representation() -> None:
    secret = "correct horse"  # noqa: S105
    parsed = [
        MultiCloudMongoDB.from_object(
            instance({"auth": {"rootPasswd": secret}, "imageSetting": {"imagePullSecret": {"user": "u", "passwd": secret}}})
        ),
        MongoDB.from_object(mongodb({"rootPassword": secret, "imagePullSecret": {"username": "u", "password": secret}})),
    ]
    assert all(secret not in repr(value) for value in parsed)
