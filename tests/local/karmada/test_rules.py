"""Placement, Works, aggregation, policies, eviction and capacity on plain objects; the expected ones are as a real Karmada made them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from fedstate.kube.objects import KubeObject
from fedstate.local.karmada import names
from fedstate.local.karmada.aggregate import aggregated_status, binding_status
from fedstate.local.karmada.capacity import format_quantity, node_summary, resource_summary
from fedstate.local.karmada.eviction import after_eviction
from fedstate.local.karmada.overrides import AppliedRule
from fedstate.local.karmada.placement import select_clusters
from fedstate.local.karmada.policies import binding_spec, is_changed, missing_overrides, new_binding, policy_for
from fedstate.local.karmada.work import WorkIdentity, conflict_message, may_apply, retained, work_of_binding, work_of_namespace

API_VERSION = "middleware.fedstate.io/v1alpha1"
RESOURCE = {
    "apiVersion": API_VERSION,
    "kind": "MongoDB",
    "name": "orders",
    "namespace": "db",
    "uid": "u1",
    "resourceVersion": "7",
}
TEMPLATE: KubeObject = {
    "apiVersion": API_VERSION,
    "kind": "MongoDB",
    "metadata": {
        "name": "orders",
        "namespace": "db",
        "uid": "u1",
        "resourceVersion": "7",
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "finalizers": ["x"],
        "labels": {names.POLICY_ID: "pp"},
    },
    "spec": {"members": 5},
    "status": {"clusters": 2},
}


@pytest.mark.parametrize(
    ("kind", "namespace", "name", "expected"),
    [
        ("Namespace", "", "db", "db-5d98c6dc65"),
        ("MongoDB", "db", "orders", "orders-55f78698f6"),
        ("Secret", "db", "orders-auth", "orders-auth-fb475fd67"),
        ("ConfigMap", "db", "orders-hostconf", "orders-hostconf-5b878dcfff"),
    ],
)
def test_works_have_the_names_that_karmada_gives_them(kind: str, namespace: str, name: str, expected: str) -> None:
    assert names.work_name(kind, namespace, name) == expected
    assert names.binding_name("MongoDB", "a:b") == "a.b-mongodb"


def cluster(
    name: str, *, kinds: tuple[str, ...] = ("MongoDB",), taints: tuple[dict[str, str], ...] = (), **meta: Any
) -> KubeObject:
    served = [{"groupVersion": API_VERSION, "resources": [{"kind": kind, "name": kind} for kind in kinds]}]
    return {"metadata": {"name": name, **meta}, "spec": {"taints": list(taints)}, "status": {"apiEnablements": served}}


def binding(
    *clusters: str, names_: tuple[str, ...] = (), tolerations: tuple[dict[str, str], ...] = (), **spec: Any
) -> KubeObject:
    placement: dict[str, Any] = {"clusterAffinity": {"clusterNames": list(names_)}} if names_ else {}
    if tolerations:
        placement["clusterTolerations"] = list(tolerations)
    metadata = {"name": "orders-mongodb", "namespace": "db", "generation": 2, "labels": {names.BINDING_ID: "rb"}}
    content = {"resource": RESOURCE, "placement": placement, "clusters": [{"name": name} for name in clusters], **spec}
    return {"metadata": metadata, "spec": content}


NOT_READY = {"key": names.NOT_READY_TAINT, "effect": "NoSchedule"}
BROKEN = {"key": "example.org/broken", "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("given", "clusters", "chosen"),
    [
        (binding(), [cluster("b"), cluster("a")], ("a", "b")),
        (binding(names_=("a", "nowhere")), [cluster("b"), cluster("a")], ("a",)),
        (binding(), [cluster("a", kinds=())], ()),
        (binding("a"), [cluster("a", kinds=())], ("a",)),
        (binding(), [cluster("a", taints=(NOT_READY,))], ()),
        (binding("a"), [cluster("a", taints=(NOT_READY, BROKEN))], ("a",)),
        (binding(tolerations=({"operator": "Exists"},)), [cluster("a", taints=(NOT_READY, BROKEN))], ("a",)),
        (binding(tolerations=({"key": "example.org/broken", "operator": "Exists"},)), [cluster("a", taints=(NOT_READY,))], ()),
        (binding("a"), [cluster("a", deletionTimestamp="2026-01-01T00:00:00Z")], ()),
        (binding(gracefulEvictionTasks=[{"fromCluster": "a"}]), [cluster("a"), cluster("b")], ("b",)),
    ],
)
def test_clusters_are_selected_by_name_taint_and_kind_but_those_that_have_the_object_stay(
    given: KubeObject, clusters: list[KubeObject], chosen: tuple[str, ...]
) -> None:
    assert select_clusters(given, clusters).clusters == chosen


def test_that_no_cluster_fits_is_told_as_karmada_tells_it() -> None:
    selection = select_clusters(binding(names_=("nowhere",)), [cluster("a"), cluster("b"), cluster("c")])
    assert selection.message == (
        "0/3 clusters are available: 3 cluster(s) did not match the placement cluster affinity constraint."
    )


IDENTITY = WorkIdentity(namespace="karmada-es-m1", name="orders-55f78698f6", permanent_id="wk")


def test_a_work_carries_the_overridden_manifest_with_karmadas_marks() -> None:
    rule = AppliedRule(policy="p", overriders={"plaintext": [{"path": "/spec/members", "operator": "replace", "value": 3}]})
    given = binding("m1", conflictResolution="Abort", preserveResourcesOnDeletion=True)
    work = work_of_binding(given, TEMPLATE, IDENTITY, [rule])
    manifest = work["spec"]["workload"]["manifests"][0]
    assert manifest["spec"] == {"members": 3}
    assert "status" not in manifest
    assert manifest["metadata"] == {
        "name": "orders",
        "namespace": "db",
        "labels": {names.MANAGED: "true", names.POLICY_ID: "pp", names.BINDING_ID: "rb", names.WORK_ID: "wk"},
        "annotations": {
            names.BINDING_NAME: "orders-mongodb",
            names.BINDING_NAMESPACE: "db",
            names.TEMPLATE_GENERATION: "1",
            names.TEMPLATE_UID: "u1",
            names.CONFLICT_RESOLUTION: "abort",
            names.WORK_NAME: "orders-55f78698f6",
            names.WORK_NAMESPACE: "karmada-es-m1",
            names.MANAGED_LABELS: f"{names.MANAGED},{names.POLICY_ID},{names.BINDING_ID},{names.WORK_ID}",
            names.MANAGED_ANNOTATIONS: ",".join(
                [
                    names.BINDING_NAME,
                    names.BINDING_NAMESPACE,
                    names.TEMPLATE_GENERATION,
                    names.MANAGED_ANNOTATIONS,
                    names.MANAGED_LABELS,
                    names.TEMPLATE_UID,
                    names.CONFLICT_RESOLUTION,
                    names.WORK_NAME,
                    names.WORK_NAMESPACE,
                ]
            ),
        },
    }
    assert work["spec"]["preserveResourcesOnDeletion"] is True
    assert work["metadata"]["labels"] == {names.WORK_ID: "wk", names.BINDING_ID: "rb"}


def test_the_work_of_a_namespace_belongs_to_it_and_preserves_nothing() -> None:
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "db", "uid": "n1"},
        "spec": {"finalizers": ["kubernetes"]},
    }
    work = work_of_namespace(namespace, IDENTITY)
    assert "preserveResourcesOnDeletion" not in work["spec"]
    assert work["metadata"]["ownerReferences"][0]["uid"] == "n1"
    assert names.TEMPLATE_GENERATION not in work["spec"]["workload"]["manifests"][0]["metadata"]["annotations"]


def test_an_apply_keeps_what_the_member_added_and_removes_what_karmada_no_longer_sets() -> None:
    manifest = {"kind": "MongoDB", "metadata": {"name": "o", "labels": {"set": "new"}, "annotations": {}}, "spec": {"members": 3}}
    observed = {
        "kind": "MongoDB",
        "metadata": {
            "name": "o",
            "uid": "m",
            "resourceVersion": "9",
            "finalizers": ["own"],
            "labels": {"set": "old", "dropped": "1", "own": "1"},
            "annotations": {names.MANAGED_LABELS: "dropped,set", "own": "1"},
        },
        "spec": {"members": 9, "extra": 1},
        "status": {"state": "Running"},
    }
    written = retained(manifest, observed)
    assert written["spec"] == {"members": 3}
    assert written["metadata"]["labels"] == {"set": "new", "own": "1"}
    assert written["metadata"]["annotations"]["own"] == "1"
    assert (written["metadata"]["finalizers"], written["metadata"]["resourceVersion"]) == (["own"], "9")
    assert written["status"] == {"state": "Running"}


def test_only_a_managed_object_or_one_to_overwrite_may_be_applied_to() -> None:
    stranger: KubeObject = {"kind": "MongoDB", "metadata": {"name": "orders", "namespace": "db"}}
    managed: KubeObject = {"metadata": {"labels": {names.MANAGED: "true"}}}
    overwrite: KubeObject = {"metadata": {"annotations": {names.CONFLICT_RESOLUTION: "overwrite"}}}
    assert not may_apply(stranger, stranger)
    assert may_apply(stranger, managed)
    assert may_apply(overwrite, stranger)
    assert conflict_message(stranger, "m3") == (
        "resource(kind=MongoDB, db/orders) already exists in the cluster m3 and the work.karmada.io/conflict-resolution "
        "strategy value is empty, Karmada will not manage this resource"
    )


def work(cluster_name: str, *, applied: bool | None = True, status: dict[str, Any] | None = None, **meta: Any) -> KubeObject:
    conditions = [] if applied is None else [{"type": "Applied", "status": str(applied), "message": "why"}]
    entry = {"health": "Healthy"} | ({"status": status} if status is not None else {})
    return {
        "metadata": {"name": "w", "namespace": f"karmada-es-{cluster_name}", **meta},
        "status": {"conditions": conditions, "manifestStatuses": [entry]},
    }


def test_a_binding_tells_of_each_work_in_order_and_skips_those_that_go() -> None:
    works = [work("c", status={}), work("a", applied=False), work("b", deletionTimestamp="t"), work("d", applied=None)]
    assert aggregated_status(works) == [
        {"clusterName": "a", "health": "Unknown", "appliedMessage": "why"},
        {"clusterName": "c", "applied": True, "health": "Healthy", "status": {}},
        {"clusterName": "d", "health": "Unknown"},
    ]


@pytest.mark.parametrize(
    ("clusters", "works", "fully"),
    [
        (("a", "b"), [work("a"), work("b")], "True"),
        (("a", "b"), [work("a")], "False"),
        (("a",), [work("a", applied=False)], "False"),
        ((), [], "False"),
    ],
)
def test_fully_applied_means_every_cluster_of_the_binding(clusters: tuple[str, ...], works: list[KubeObject], fully: str) -> None:
    conditions = binding_status(binding(*clusters), works, "now")["conditions"]
    assert [item["status"] for item in conditions if item["type"] == "FullyApplied"] == [fully]


def policy(
    name: str, *, mark: str | None = None, priority: int = 0, selector: dict[str, Any] | None = None, **spec: Any
) -> KubeObject:
    chosen = {"name": "orders"} if selector is None else selector
    selectors = [{"apiVersion": API_VERSION, "kind": "MongoDB", **chosen}]
    metadata = {"name": name, "namespace": "db", "labels": {names.POLICY_ID: mark or name}}
    return {"metadata": metadata, "spec": {"resourceSelectors": selectors, "priority": priority, **spec}}


@pytest.mark.parametrize(
    ("policies", "chosen"),
    [
        ([], None),
        ([policy("b"), policy("a")], "a"),
        ([policy("b", priority=1), policy("a")], "b"),
        ([policy("b"), policy("a", selector={})], "b"),
        ([policy("b", selector={"name": "invoices"})], None),
        ([policy("a"), policy("b", mark="pp")], "b"),
    ],
)
def test_a_template_keeps_its_policy_or_gets_the_best_one(policies: list[KubeObject], chosen: str | None) -> None:
    found = policy_for(policies, TEMPLATE)
    assert (found["metadata"]["name"] if found else None) == chosen


def test_a_policy_waits_for_its_override_policies() -> None:
    assert missing_overrides(policy("a", dependentOverrides=["x", "y"]), ["y"]) == ["x"]
    assert missing_overrides(policy("a"), []) == []


def test_a_binding_follows_its_policy_and_keeps_what_the_scheduler_wrote() -> None:
    first = policy("a", conflictResolution="Abort", preserveResourcesOnDeletion=True, placement={"x": 1}, schedulerName="s")
    made = new_binding(first, TEMPLATE, "rb")
    assert made["metadata"]["name"] == "orders-mongodb"
    assert made["metadata"]["ownerReferences"][0]["uid"] == "u1"
    second = policy("a", conflictResolution="Overwrite", placement={"x": 2}, schedulerName="s")
    spec = binding_spec(second, TEMPLATE, {**made["spec"], "clusters": [{"name": "a"}]})
    assert spec == {
        "resource": RESOURCE,
        "clusters": [{"name": "a"}],
        "conflictResolution": "Overwrite",
        "placement": {"x": 2},
        "schedulerName": "s",
    }


def test_a_written_status_is_no_change_of_a_template() -> None:
    later = {**TEMPLATE, "metadata": {**TEMPLATE["metadata"], "resourceVersion": "8"}, "status": {"clusters": 3}}
    assert not is_changed(TEMPLATE, later)
    assert is_changed(TEMPLATE, {**later, "spec": {"members": 7}})
    assert is_changed(None, TEMPLATE)


NOW = datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)


def test_an_untolerated_no_execute_taint_takes_the_cluster_out_and_leaves_a_task() -> None:
    result = after_eviction(binding("a", "b"), {"b": cluster("b", taints=(BROKEN,))}, timeout=30, now=NOW)
    assert result.spec["clusters"] == [{"name": "a"}]
    task = {"fromCluster": "b", "producer": "TaintManager", "purgeMode": "Gracefully", "reason": "TaintUntolerated"}
    assert result.spec["gracefulEvictionTasks"] == [{"creationTimestamp": "2026-01-01T00:00:30Z", **task}]
    assert result.look_again_after == 30


def test_a_tolerated_taint_evicts_nobody() -> None:
    given = binding("a", "b", tolerations=({"operator": "Exists"},))
    assert after_eviction(given, {"b": cluster("b", taints=(BROKEN,))}, timeout=30, now=NOW).spec == given["spec"]


@pytest.mark.parametrize(("began", "stays"), [("2026-01-01T00:00:10Z", True), ("2026-01-01T00:00:00Z", False)])
def test_a_task_ends_after_its_time(began: str, stays: bool) -> None:
    given = binding("a", gracefulEvictionTasks=[{"fromCluster": "b", "creationTimestamp": began}])
    assert ("gracefulEvictionTasks" in after_eviction(given, {}, timeout=30, now=NOW).spec) is stays


def test_a_task_ends_at_once_when_all_is_healthy_elsewhere() -> None:
    task = {"fromCluster": "b", "creationTimestamp": "2026-01-01T00:00:29Z"}
    given = binding("a", gracefulEvictionTasks=[task])
    given["status"] = {"schedulerObservedGeneration": 2, "aggregatedStatus": [{"clusterName": "a", "health": "Healthy"}]}
    assert "gracefulEvictionTasks" not in after_eviction(given, {}, timeout=30, now=NOW).spec


@pytest.mark.parametrize(
    ("name", "amount", "text"),
    [
        ("cpu", "4", "4"),
        ("cpu", "0.5", "500m"),
        ("memory", "8589934592", "8Gi"),
        ("memory", "1000", "1000"),
        ("memory", "0", "0"),
        ("pods", "1024", "1024"),
    ],
)
def test_quantities_are_written_as_kubernetes_writes_them(name: str, amount: str, text: str) -> None:
    assert format_quantity(name, Decimal(amount)) == text


def node(name: str, cpu: str, *, ready: bool = True) -> KubeObject:
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {
        "metadata": {"name": name},
        "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "2"}, "conditions": conditions},
    }


def pod(cpu: str, *, on: str = "", phase: str = "Running", init: str = "") -> KubeObject:
    spec: dict[str, Any] = {"containers": [{"resources": {"requests": {"cpu": cpu}}}, {}]}
    if init:
        spec["initContainers"] = [{"resources": {"requests": {"cpu": init}}}]
    if on:
        spec["nodeName"] = on
    return {"metadata": {"name": "p"}, "spec": spec, "status": {"phase": phase}}


def test_room_is_what_nodes_have_and_pods_ask_for() -> None:
    nodes = [node("n1", "4"), node("n2", "2500m", ready=False)]
    pods = [pod("1", on="n1", init="1500m"), pod("1", on="n1", phase="Failed"), pod("250m"), pod("100m", on="n2")]
    models = [{"grade": g, "ranges": [{"name": "cpu", "min": str(low)}]} for g, low in enumerate((0, 1, 2, 4))]
    assert node_summary(nodes) == {"totalNum": 2, "readyNum": 1}
    assert node_summary([]) == {}
    assert resource_summary(nodes, pods, models) == {
        "allocatable": {"cpu": "6500m", "memory": "16Gi", "pods": "4"},
        "allocated": {"cpu": "1600m", "pods": "2"},
        "allocating": {"cpu": "250m", "pods": "1"},
        "allocatableModelings": [{"count": n, "grade": g} for g, n in enumerate((0, 0, 2, 0))],
    }
