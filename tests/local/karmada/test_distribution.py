"""What reaches the members, and what they report back."""

from __future__ import annotations

from fedstate.kube.objects import KubeObject, annotations_of, labels_of
from tests.local.karmada.federation import DATABASES, Federation, eventually


async def test_each_cluster_gets_its_own_overridden_object(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    first, second = await federation.database("m1"), await federation.database("m2")
    assert (first["spec"]["members"], second["spec"]["members"]) == (3, 2)
    assert labels_of(first)["karmada.io/managed"] == "true"
    assert labels_of(second)["vip-of"] == "m2"
    assert annotations_of(first)["work.karmada.io/namespace"] == "karmada-es-m1"
    binding = await federation.binding()
    assert [target["name"] for target in binding["spec"]["clusters"]] == ["m1", "m2"]


async def test_a_member_status_reaches_the_binding(federation: Federation) -> None:
    await federation.distribute()
    await federation.wait_distributed()
    await federation.members["m2"].merge_patch(
        DATABASES, "orders", {"status": {"state": "Running"}}, namespace="db", subresource="status"
    )

    async def reported() -> KubeObject | None:
        items = {item["clusterName"]: item for item in (await federation.binding())["status"]["aggregatedStatus"]}
        return items if items["m2"].get("status") == {"state": "Running"} else None

    items = await eventually(reported)
    assert items["m2"] == {"clusterName": "m2", "applied": True, "health": "Healthy", "status": {"state": "Running"}}
    assert items["m1"] == {"clusterName": "m1", "applied": True, "health": "Healthy"}
