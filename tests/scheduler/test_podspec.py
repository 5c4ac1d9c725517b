"""What of a podSpec becomes part of a member's shape."""

from typing import Any

import pytest

from fedstate.api.federated import Toleration
from fedstate.kube.objects import Key
from fedstate.kube.records import Requirement
from fedstate.scheduler.middleware import MONGODB
from fedstate.scheduler.podspec import shape_of
from tests.api.objects import instance

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def of(pod_spec: dict[str, Any]) -> Any:
    return shape_of({}, None, pod_spec, Key("shop", "orders"))


def test_an_instance_tells_the_shape_of_its_members() -> None:
    spec = {
        "resource": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
        "export": {"enable": True, "resource": {"requests": {"cpu": "100m"}}},
        "storage": {"storageClass": "fast"},
        "member": {"podSpec": {"nodeSelector": {"disk": "ssd"}}},
    }
    demand = MONGODB.demand_of(instance(spec))
    assert demand.shape.request == (("cpu", 1100), ("memory", 1 << 30))
    assert (demand.shape.storage_class, demand.shape.node_selector) == ("fast", (("disk", "ssd"),))
    assert MONGODB.demand_of(instance()).shape.storage_class == ""


def test_required_node_affinity_becomes_terms_and_an_empty_term_meets_no_node() -> None:
    terms = [
        {"matchExpressions": [{"key": "arch", "operator": "In", "values": ["arm64"]}]},
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]},
        {},
    ]
    found = of({"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": terms}}}})
    assert found.terms == (
        (Requirement("arch", "In", ("arm64",)),),
        (Requirement("metadata.name", "In", ("a",)),),
        (Requirement("metadata.name", "In", ()),),
    )


def test_tolerations_are_read_as_kubernetes_reads_them() -> None:
    found = of({"tolerations": [{"key": "a", "value": "b"}, {"operator": "Exists", "effect": "NoExecute"}, "nonsense"]})
    assert found.tolerations == (
        Toleration(key="a", operator="Equal", value="b", effect=""),
        Toleration(key="", operator="Exists", value="", effect="NoExecute"),
    )


@pytest.mark.parametrize(
    ("selector", "key", "alone"),
    [
        ({"matchLabels": {"app.kubernetes.io/instance": "orders"}}, "kubernetes.io/hostname", True),
        ({"matchLabels": {"app.kubernetes.io/name": "mongodb"}}, "kubernetes.io/hostname", True),
        ({"matchLabels": {"app.kubernetes.io/instance": "orders"}}, "topology.kubernetes.io/zone", False),
        ({"matchLabels": {"app.kubernetes.io/instance": "others"}}, "kubernetes.io/hostname", False),
        ({"matchLabels": {"app": "orders"}}, "kubernetes.io/hostname", False),
        ({}, "kubernetes.io/hostname", False),
        (
            {"matchExpressions": [{"key": "app.kubernetes.io/instance", "operator": "In", "values": ["orders", "x"]}]},
            "kubernetes.io/hostname",
            True,
        ),
        (
            {"matchExpressions": [{"key": "app.kubernetes.io/instance", "operator": "NotIn", "values": ["orders"]}]},
            "kubernetes.io/hostname",
            False,
        ),
        ({"matchExpressions": [{"key": "app.kubernetes.io/instance", "operator": "Exists"}]}, "kubernetes.io/hostname", True),
    ],
)
def test_a_member_is_alone_on_its_node_if_it_must_not_share_it_with_its_own(selector: Any, key: str, alone: bool) -> None:
    term = {"labelSelector": selector, "topologyKey": key}
    found = of({"affinity": {"podAntiAffinity": {REQUIRED: [term]}}})
    assert (found.alone, found.instance) == (alone, Key("shop", "orders") if alone else None)
    assert not of({"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}}).alone


@pytest.mark.parametrize(
    "nonsense", [{"affinity": "x"}, {"tolerations": 3}, {"nodeSelector": None}, {"affinity": {"nodeAffinity": []}}]
)
def test_nonsense_is_left_to_the_member_cluster(nonsense: dict[str, Any]) -> None:
    assert of(nonsense) == of({})
