"""What a Cluster object tells, and how a member that does not answer is treated."""

from __future__ import annotations

from pathlib import Path

from fedstate.api.karmada import CLUSTERS, RESOURCE_BINDINGS
from fedstate.kube.objects import KubeObject, deletion_timestamp_of, labels_of
from fedstate.kube.resources import CUSTOM_RESOURCE_DEFINITIONS, NODES, PODS
from tests.local.karmada.federation import DATABASES, Federation, eventually, gone, running_federation


async def test_a_joined_cluster_shows_what_it_serves_and_what_room_it_has(federation: Federation) -> None:
    member = federation.members["m1"]
    node = {"metadata": {"name": "n1"}, "spec": {}}
    await member.create(NODES, node)
    allocatable = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    conditions = [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready"}]
    status = {"allocatable": allocatable, "capacity": allocatable, "conditions": conditions}
    await member.merge_patch(NODES, "n1", {"status": status}, subresource="status")
    container = {"name": "c", "image": "c", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}
    spec = {"nodeName": "n1", "containers": [container], "automountServiceAccountToken": False}
    await member.create(PODS, {"metadata": {"name": "p1", "namespace": "default"}, "spec": spec})

    async def counted() -> KubeObject | None:
        cluster = await federation.control.get(CLUSTERS, "m1")
        return cluster if (cluster["status"].get("resourceSummary") or {}).get("allocated") else None

    cluster = await eventually(counted)
    status = cluster["status"]
    assert status["nodeSummary"] == {"totalNum": 1, "readyNum": 1}
    assert status["resourceSummary"]["allocatable"] == allocatable
    assert status["resourceSummary"]["allocated"] == {"cpu": "500m", "memory": "1Gi", "pods": "1"}
    assert {"grade": 1, "count": 1} in status["resourceSummary"]["allocatableModelings"]
    enabled = {item["groupVersion"]: {kind["kind"] for kind in item["resources"]} for item in status["apiEnablements"]}
    assert "MongoDB" in enabled["middleware.fedstate.io/v1alpha1"]
    assert {"Pod", "Secret", "ConfigMap", "Namespace"} <= enabled["v1"]
    assert status["kubernetesVersion"].startswith("v1.")
    assert {item["type"]: item["reason"] for item in status["conditions"]} == {
        "CompleteAPIEnablements": "Complete",
        "Ready": "ClusterReady",
    }


async def test_a_dead_member_waits_while_the_others_are_served(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    status = {"state": "Running"}
    await federation.members["m2"].merge_patch(DATABASES, "orders", {"status": status}, namespace="db", subresource="status")
    expected = {"clusterName": "m2", "applied": True, "health": "Healthy", "status": status}

    async def unchanged() -> bool:
        return expected in (await federation.binding())["status"]["aggregatedStatus"]

    await eventually(unchanged)
    await federation.servers["m2"].stop()
    await federation.override({"m1": 4, "m2": 1})
    await eventually(lambda: _members(federation, "m1", 4))
    cluster = await federation.wait_ready("m2", ready=False)
    assert [item["reason"] for item in cluster["status"]["conditions"] if item["type"] == "Ready"] == ["ClusterNotReachable"]
    await eventually(lambda: _tainted(federation, "m2"))
    assert await unchanged()
    assert [target["name"] for target in (await federation.binding())["spec"]["clusters"]] == ["m1", "m2"]
    await federation.servers["m2"].start()
    await eventually(lambda: _members(federation, "m2", 1))

    async def untainted() -> bool:
        return not await _tainted(federation, "m2")

    await eventually(untainted)


async def test_a_template_deleted_while_a_member_is_dead_leaves_a_work_that_ends_with_its_return(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    await federation.servers["m2"].stop()
    await federation.wait_ready("m2", ready=False)
    await federation.control.delete(DATABASES, "orders", namespace="db")
    await gone(federation.binding)
    assert deletion_timestamp_of(await federation.work("m2"))
    await federation.servers["m2"].start()
    await gone(lambda: federation.work("m2"))
    assert "karmada.io/managed" not in labels_of(await federation.database("m2"))


async def test_a_dead_cluster_can_be_unjoined(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    await federation.servers["m2"].stop()
    await federation.wait_ready("m2", ready=False)
    await federation.unjoin("m2")
    await gone(lambda: federation.control.get(CLUSTERS, "m2"))


async def test_a_member_that_loses_the_kind_stays_in_the_binding_and_says_so(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    await federation.members["m2"].delete(CUSTOM_RESOURCE_DEFINITIONS, "mongodbs.middleware.fedstate.io")

    async def told() -> bool:
        items = (await federation.binding())["status"]["aggregatedStatus"]
        message = next(item.get("appliedMessage", "") for item in items if item["clusterName"] == "m2")
        return str(message).endswith("the server could not find the requested resource")

    await eventually(told)
    assert {"name": "m2"} in (await federation.binding())["spec"]["clusters"]


async def test_without_the_failover_gates_a_no_execute_taint_changes_nothing(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    await _taint(federation, "m2")
    await federation.override({"m1": 4, "m2": 1})
    await eventually(lambda: _members(federation, "m2", 1))


async def test_with_the_failover_gates_an_untolerated_taint_evicts_and_its_end_brings_back(tmp_path: Path) -> None:
    async with running_federation(tmp_path, eviction_timeout=1.0) as federation:
        await federation.distribute()
        await federation.wait_distributed()
        await _taint(federation, "m2")

        async def evicted() -> bool:
            binding = await federation.control.get(RESOURCE_BINDINGS, "orders-mongodb", "db")
            return bool(binding["spec"]["clusters"] == [{"name": "m1"}])

        await eventually(evicted)

        async def unmanaged() -> bool:
            return "karmada.io/managed" not in labels_of(await federation.database("m2"))

        await eventually(unmanaged)
        await federation.propagate(resolution="Overwrite")
        await federation.control.merge_patch(CLUSTERS, "m2", {"spec": {"taints": None}})

        async def back() -> bool:
            return "karmada.io/managed" in labels_of(await federation.database("m2"))

        await eventually(back)


async def _members(federation: Federation, member: str, count: int) -> bool:
    return bool((await federation.database(member))["spec"]["members"] == count)


async def _tainted(federation: Federation, member: str) -> bool:
    taints = (await federation.control.get(CLUSTERS, member))["spec"].get("taints") or ()
    return any(taint["key"] == "cluster.karmada.io/not-ready" and taint["effect"] == "NoSchedule" for taint in taints)


async def _taint(federation: Federation, member: str) -> None:
    taint = {"key": "example.org/broken", "effect": "NoExecute"}
    await federation.control.merge_patch(CLUSTERS, member, {"spec": {"taints": [taint]}})
