"""Server-side apply: fields have owners, and nobody overwrites another's without saying so."""

from __future__ import annotations

from typing import Any

import pytest

from fedstate.kube.client import KubeClient
from fedstate.kube.errors import ApiError, Conflict
from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import CONFIG_MAPS, NAMESPACES, SERVICES
from tests.conformance.conftest import config_map


def owners(obj: KubeObject) -> dict[tuple[str, str], dict[str, Any]]:
    """(manager, operation) → fields."""
    return {(entry["manager"], entry["operation"]): entry["fieldsV1"] for entry in obj["metadata"].get("managedFields", [])}


async def apply(
    client: KubeClient, namespace: str, data: dict[str, str], *, manager: str = "one", force: bool = False
) -> KubeObject:
    return await client.apply(CONFIG_MAPS, config_map("a", namespace, data), field_manager=manager, force=force)


async def test_apply_creates_what_is_not_there(client: KubeClient, namespace: str) -> None:
    created = await apply(client, namespace, {"k": "v"})
    assert created["data"] == {"k": "v"}
    assert owners(created) == {("one", "Apply"): {"f:data": {"f:k": {}}}}


async def test_applying_the_same_again_changes_nothing(client: KubeClient, namespace: str) -> None:
    first = await apply(client, namespace, {"k": "v"})
    assert (await apply(client, namespace, {"k": "v"}))["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_field_left_out_is_removed_if_nobody_else_owns_it(client: KubeClient, namespace: str) -> None:
    await apply(client, namespace, {"a": "1", "b": "2"})
    assert (await apply(client, namespace, {"a": "1"}))["data"] == {"a": "1"}


async def test_two_managers_own_fields_of_their_own(client: KubeClient, namespace: str) -> None:
    await apply(client, namespace, {"a": "1"})
    both = await apply(client, namespace, {"b": "2"}, manager="two")
    assert both["data"] == {"a": "1", "b": "2"}
    assert owners(both) == {("one", "Apply"): {"f:data": {"f:a": {}}}, ("two", "Apply"): {"f:data": {"f:b": {}}}}


async def test_anothers_field_with_another_value_conflicts_and_names_owner_and_field(client: KubeClient, namespace: str) -> None:
    await apply(client, namespace, {"a": "1"})
    with pytest.raises(Conflict) as caught:
        await apply(client, namespace, {"a": "2"}, manager="two")
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "one": .data.a'
    causes = (caught.value.details or {})["causes"]
    assert causes == [{"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.a"}]
    assert (await client.get(CONFIG_MAPS, "a", namespace))["data"] == {"a": "1"}


async def test_several_conflicts_are_all_named(client: KubeClient, namespace: str) -> None:
    await apply(client, namespace, {"a": "1", "b": "1"})
    with pytest.raises(Conflict) as caught:
        await apply(client, namespace, {"a": "2", "b": "2"}, manager="two")
    assert caught.value.message.startswith('Apply failed with 2 conflicts: conflicts with "one":')
    assert "- .data.a" in caught.value.message
    assert "- .data.b" in caught.value.message


async def test_the_same_value_is_shared(client: KubeClient, namespace: str) -> None:
    await apply(client, namespace, {"a": "1"})
    shared = await apply(client, namespace, {"a": "1"}, manager="two")
    assert set(owners(shared)) == {("one", "Apply"), ("two", "Apply")}
    kept = await apply(client, namespace, {}, manager="two")
    assert kept["data"] == {"a": "1"}
    assert owners(kept)[("one", "Apply")] == {"f:data": {"f:a": {}}}
    assert owners(kept).get(("two", "Apply")) in (None, {"f:data": {}})


async def test_force_takes_the_field_over(client: KubeClient, namespace: str) -> None:
    await apply(client, namespace, {"a": "1", "b": "1"})
    taken = await apply(client, namespace, {"a": "2"}, manager="two", force=True)
    assert taken["data"] == {"a": "2", "b": "1"}
    assert owners(taken) == {("one", "Apply"): {"f:data": {"f:b": {}}}, ("two", "Apply"): {"f:data": {"f:a": {}}}}


async def test_ordinary_update_takes_ownership_without_asking(client: KubeClient, namespace: str) -> None:
    await apply(client, namespace, {"a": "1"})
    updated = await client.merge_patch(CONFIG_MAPS, "a", {"data": {"a": "2"}}, namespace=namespace)
    assert owners(updated)[("test", "Update")]["f:data"] == {"f:a": {}}
    assert ("one", "Apply") not in owners(updated) or "f:data" not in owners(updated)[("one", "Apply")]
    with pytest.raises(Conflict) as caught:
        await apply(client, namespace, {"a": "1"})
    assert 'conflict with "test" using v1: .data.a' in caught.value.message


async def test_field_manager_is_required(client: KubeClient, namespace: str) -> None:
    with pytest.raises(ApiError) as caught:
        await client.request(
            "PATCH",
            CONFIG_MAPS.path(namespace, "a"),
            body=config_map("a", namespace),
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
    assert caught.value.status in (400, 422)
    assert "fieldManager" in caught.value.message


async def test_managed_fields_cannot_be_applied(client: KubeClient, namespace: str) -> None:
    with pytest.raises(ApiError) as caught:
        await client.apply(CONFIG_MAPS, config_map("a", namespace, managedFields=[{"manager": "x"}]), field_manager="one")
    assert "metadata.managedFields must be nil" in caught.value.message


async def test_apply_with_an_old_version_conflicts(client: KubeClient, namespace: str) -> None:
    first = await apply(client, namespace, {"a": "1"})
    await apply(client, namespace, {"a": "2"})
    stale = config_map("a", namespace, {"a": "3"}, resourceVersion=first["metadata"]["resourceVersion"])
    with pytest.raises(Conflict):
        await client.apply(CONFIG_MAPS, stale, field_manager="one")


async def test_dry_run_apply_shows_and_keeps(client: KubeClient, namespace: str) -> None:
    await apply(client, namespace, {"a": "1"})
    shown = await client.apply(CONFIG_MAPS, config_map("a", namespace, {"a": "2"}), field_manager="one", dry_run=True)
    assert shown["data"] == {"a": "2"}
    assert (await client.get(CONFIG_MAPS, "a", namespace))["data"] == {"a": "1"}


async def test_labels_of_two_managers_live_side_by_side(client: KubeClient, namespace: str) -> None:
    await client.apply(CONFIG_MAPS, config_map("a", namespace, labels={"x": "1"}), field_manager="one")
    both = await client.apply(CONFIG_MAPS, config_map("a", namespace, labels={"y": "2"}), field_manager="two")
    assert both["metadata"]["labels"] == {"x": "1", "y": "2"}
    left = await client.apply(CONFIG_MAPS, config_map("a", namespace), field_manager="one")
    assert left["metadata"]["labels"] == {"y": "2"}


async def test_finalizers_are_a_set_with_owners(client: KubeClient, namespace: str) -> None:
    await client.apply(CONFIG_MAPS, config_map("a", namespace, finalizers=["x.io/one"]), field_manager="one")
    both = await client.apply(CONFIG_MAPS, config_map("a", namespace, finalizers=["x.io/two"]), field_manager="two")
    assert sorted(both["metadata"]["finalizers"]) == ["x.io/one", "x.io/two"]
    left = await client.apply(CONFIG_MAPS, config_map("a", namespace), field_manager="one")
    assert left["metadata"]["finalizers"] == ["x.io/two"]
    await client.apply(CONFIG_MAPS, config_map("a", namespace), field_manager="two")


async def test_service_ports_merge_by_port_and_protocol(client: KubeClient, namespace: str) -> None:
    def service(ports: list[dict[str, Any]]) -> KubeObject:
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "s", "namespace": namespace},
            "spec": {"ports": ports},
        }

    await client.apply(SERVICES, service([{"name": "a", "port": 1}]), field_manager="one")
    both = await client.apply(SERVICES, service([{"name": "b", "port": 2}]), field_manager="two")
    assert [port["port"] for port in both["spec"]["ports"]] == [1, 2]
    left = await client.apply(SERVICES, service([]), field_manager="one", force=True)
    assert [port["port"] for port in left["spec"]["ports"]] == [2]


async def test_apply_of_a_cluster_scoped_object(client: KubeClient, namespace: str) -> None:
    labelled = await client.apply(NAMESPACES, {"metadata": {"name": namespace, "labels": {"x": "1"}}}, field_manager="one")
    assert labelled["metadata"]["labels"]["x"] == "1"
    assert labelled["status"]["phase"] == "Active"
