"""What an instance demands, read from its spec or remembered from an equal one."""

from dataclasses import replace
from typing import Any

import pytest

from fedstate.api.federated import MultiCloudMongoDB
from fedstate.errors import TerminalError
from fedstate.kube.objects import KubeObject, key_of
from fedstate.scheduler import middleware
from fedstate.scheduler.middleware import mongodb_demand
from tests.api.objects import instance

RESULT = '{"ClusterWithReplicaset":[{"cluster":"a","replicaset":3}]}'
REBALANCE = "middleware.fedstate.io/rebalance"
ALONE = {
    "affinity": {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {
                    "topologyKey": "kubernetes.io/hostname",
                    "labelSelector": {"matchLabels": {"app.kubernetes.io/instance": "orders"}},
                }
            ]
        }
    }
}
SPECS: list[dict[str, Any]] = [
    {},
    {"resource": {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "1Gi"}}, "config": {"arbiter": True}},
    {"auth": {"rootPasswd": "secret"}},
    {"auth": {"rootPasswordSecretRef": {"name": "root"}}},
    {"auth": None, "imageSetting": {"imagePullSecret": {"user": "u", "passwd": "p"}}},
    {"imageSetting": {"imagePullSecret": "pull"}, "storage": {"storageClass": "fast"}},
    {"member": {"podSpec": ALONE}},
    {"scheduler": {"allowDynamicScheduler": False, "schedulerMode": "Weighting"}, "failover": {"tolerationSeconds": 7}},
    {"spreadConstraints": {"nodeSelect": {"gpu": "yes"}, "maxMembersPerCluster": 2}},
]
METADATA: list[dict[str, Any]] = [
    {},
    {"annotations": {"schedulerResult": RESULT, REBALANCE: "now"}, "generation": 9},
    {"annotations": {REBALANCE: "now", "middleware.fedstate.io/rebalanced": "now"}, "deletionTimestamp": "2026-01-01T00:00:00Z"},
]


def read_anew(obj: KubeObject) -> Any:
    demand = middleware._demand(MultiCloudMongoDB.from_object(obj), key_of(obj))
    annotations = obj["metadata"].get("annotations", {})
    return demand, annotations.get(REBALANCE, "") if "middleware.fedstate.io/rebalanced" not in annotations else ""


@pytest.mark.parametrize("metadata", METADATA)
@pytest.mark.parametrize("spec", SPECS)
def test_what_is_remembered_is_what_would_be_read(spec: dict[str, Any], metadata: dict[str, Any]) -> None:
    obj = instance(spec, **metadata)
    demand, rebalance = read_anew(obj)
    for _ in range(2):
        found = mongodb_demand(obj)
        assert found.rebalance == rebalance
        assert found == replace(demand, rebalance=rebalance)


@pytest.mark.parametrize(
    ("spec", "metadata"),
    [
        ({"replicaset": 0}, {}),
        ({"auth": [], "replicaset": 0}, {}),
        ({}, {"name": "9lives"}),
        ({"replicaset": 0}, {"name": "9lives"}),
        ({"member": "x"}, {}),
        ({}, {"annotations": {"schedulerResult": "{"}}),
        ({"spreadConstraints": {"clusterNames": ["a"], "excludeClusterNames": ["a"]}}, {}),
    ],
)
def test_what_is_wrong_is_said_in_the_same_words(spec: dict[str, Any], metadata: dict[str, Any]) -> None:
    obj = instance(spec, **metadata)
    with pytest.raises(TerminalError) as anew:
        MultiCloudMongoDB.from_object(obj)
    for _ in range(2):
        with pytest.raises(TerminalError) as found:
            mongodb_demand(obj)
        assert (found.value.reason, found.value.message) == (anew.value.reason, anew.value.message)


def test_what_an_api_server_completes_is_remembered() -> None:
    """It fills in an empty object for every sub-object that is left out."""
    completed = {"replicaset": 6, "imageSetting": {"image": "mongo:6.0", "imagePullSecret": {}}, "config": {}, "member": {}}
    mongodb_demand(instance(completed))
    before = middleware._wishes.cache_info()
    mongodb_demand(instance(dict(completed), name="another"))
    after = middleware._wishes.cache_info()
    assert (after.hits, after.misses) == (before.hits + 1, before.misses)


def test_nothing_secret_is_remembered() -> None:
    before = middleware._wishes.cache_info().currsize
    mongodb_demand(instance({"auth": {"rootPasswd": "known to nobody else"}, "replicaset": 7}))
    mongodb_demand(instance({"imageSetting": {"imagePullSecret": {"user": "u", "passwd": "p"}}, "replicaset": 7}))
    assert middleware._wishes.cache_info().currsize == before
