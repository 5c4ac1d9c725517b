"""Which node a pod fits, and the words for none."""

from typing import Any

import pytest

from fedstate.local.node.fitting import choose_node, demand_of


def node(
    name: str,
    cpu: str = "2",
    *,
    labels: dict[str, str] | None = None,
    taints: list[dict[str, str]] | None = None,
    ready: str = "True",
) -> Any:
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"taints": taints or []},
        "status": {"allocatable": {"cpu": cpu, "memory": "4Gi", "pods": "2"}, "conditions": [{"type": "Ready", "status": ready}]},
    }


def pod(cpu: str = "1", *, on: str = "", phase: str = "Pending", **spec: Any) -> Any:
    container = {"name": "c", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}
    return {"metadata": {"name": "p"}, "spec": {"containers": [container], "nodeName": on, **spec}, "status": {"phase": phase}}


def test_limits_stand_in_for_requests_and_the_largest_init_container_counts() -> None:
    wanted = {
        "containers": [
            {"name": "a", "resources": {"limits": {"cpu": "500m"}}},
            {"name": "b", "resources": {"requests": {"cpu": "250m"}}},
        ],
        "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "600m", "memory": "1Ki"}}}],
    }
    assert demand_of({"metadata": {}, "spec": wanted}) == {"cpu": 750, "memory": 1024, "pods": 1}


def test_the_first_node_that_fits_is_taken_and_finished_pods_do_not_count() -> None:
    nodes = [node("b"), node("a")]
    assert choose_node(pod(), nodes, []).node == "a"
    assert choose_node(pod("2"), nodes, [pod(on="a", phase="Succeeded")]).node == "a"
    assert choose_node(pod("2"), nodes, [pod(on="a", phase="Running")]).node == "b"


MASTER = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
AFFINITY = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}]
        }
    }
}


@pytest.mark.parametrize(
    ("the_pod", "nodes", "message"),
    [
        (pod("3"), [node("a"), node("b")], "0/2 nodes are available: 2 Insufficient cpu."),
        (pod(), [node("a", taints=[MASTER])], "0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: db}."),
        (
            pod(nodeSelector={"x": "y"}),
            [node("a")],
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
        ),
        (pod(affinity=AFFINITY), [node("a")], "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."),
        (pod(), [node("a", ready="Unknown")], "0/1 nodes are available: 1 node(s) were not ready."),
        (pod(), [], "no nodes available to schedule pods"),
    ],
)
def test_a_pod_that_fits_nowhere_is_told_so_in_the_words_of_the_real_scheduler(
    the_pod: Any, nodes: list[Any], message: str
) -> None:
    verdict = choose_node(the_pod, nodes, [])
    assert verdict.node is None
    assert verdict.message == message


@pytest.mark.parametrize(
    "toleration",
    [
        {"operator": "Exists"},
        {"key": "dedicated", "value": "db"},
        {"key": "dedicated", "operator": "Exists", "effect": "NoSchedule"},
    ],
)
def test_a_toleration_lets_a_pod_onto_a_tainted_node(toleration: dict[str, str]) -> None:
    assert choose_node(pod(tolerations=[toleration]), [node("a", taints=[MASTER])], []).node == "a"


def test_required_affinity_is_met_by_any_of_its_terms() -> None:
    assert choose_node(pod(affinity=AFFINITY), [node("a"), node("b", labels={"disk": "ssd"})], []).node == "b"
