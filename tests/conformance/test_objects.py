"""Create, read, replace, patch, delete: what an API server promises of any object."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fedstate.kube.client import KubeClient
from fedstate.kube.errors import AlreadyExists, ApiError, Conflict, Invalid, NotFound
from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import CONFIG_MAPS, SECRETS, SERVICES
from tests.conformance.conftest import config_map


async def test_created_object_carries_what_the_server_gives(client: KubeClient, namespace: str) -> None:
    created = await client.create(CONFIG_MAPS, config_map("a", namespace, {"k": "v"}))
    metadata = created["metadata"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", metadata["uid"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata["creationTimestamp"])
    assert int(metadata["resourceVersion"]) > 0
    assert "selfLink" not in metadata
    assert created["kind"] == "ConfigMap"
    assert created["apiVersion"] == "v1"
    assert created == await client.get(CONFIG_MAPS, "a", namespace)


async def test_creating_twice_says_already_exists(client: KubeClient, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map("a", namespace))
    with pytest.raises(AlreadyExists) as caught:
        await client.create(CONFIG_MAPS, config_map("a", namespace))
    assert caught.value.message == 'configmaps "a" already exists'


async def test_missing_object_is_not_found(client: KubeClient, namespace: str) -> None:
    with pytest.raises(NotFound) as caught:
        await client.get(CONFIG_MAPS, "none", namespace)
    assert caught.value.message == 'configmaps "none" not found'
    assert caught.value.reason == "NotFound"


async def test_missing_namespace_is_not_found(client: KubeClient) -> None:
    with pytest.raises(NotFound) as caught:
        await client.create(CONFIG_MAPS, config_map("a", "no-such-namespace"))
    assert caught.value.message == 'namespaces "no-such-namespace" not found'


async def test_generate_name_makes_a_name(client: KubeClient, namespace: str) -> None:
    wanted: KubeObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "job-", "namespace": namespace}}
    names = {(await client.create(CONFIG_MAPS, wanted))["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(re.fullmatch(r"job-[a-z0-9]{5}", name) for name in names)


@pytest.mark.parametrize("name", ["UPPER", "under_score", "-dash", "a..b", "x" * 254])
async def test_bad_name_is_invalid(client: KubeClient, namespace: str, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        await client.create(CONFIG_MAPS, config_map(name, namespace))
    assert "metadata.name: Invalid value" in caught.value.message


async def test_name_is_required(client: KubeClient, namespace: str) -> None:
    with pytest.raises(Invalid) as caught:
        await client.create(
            CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": namespace}}, namespace=namespace
        )
    assert "name or generateName is required" in caught.value.message


async def test_replace_with_an_old_version_conflicts(client: KubeClient, namespace: str) -> None:
    first = await client.create(CONFIG_MAPS, config_map("a", namespace, {"k": "1"}))
    second = await client.replace(CONFIG_MAPS, {**first, "data": {"k": "2"}})
    assert second["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
    with pytest.raises(Conflict) as caught:
        await client.replace(CONFIG_MAPS, {**first, "data": {"k": "3"}})
    assert caught.value.message == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again'
    )


async def test_replace_that_changes_nothing_keeps_the_version(client: KubeClient, namespace: str) -> None:
    first = await client.create(CONFIG_MAPS, config_map("a", namespace, {"k": "1"}))
    assert (await client.replace(CONFIG_MAPS, first))["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_replace_with_another_uid_conflicts(client: KubeClient, namespace: str) -> None:
    first = await client.create(CONFIG_MAPS, config_map("a", namespace))
    other = {**first, "metadata": {**first["metadata"], "uid": "11111111-1111-1111-1111-111111111111"}}
    with pytest.raises(Conflict) as caught:
        await client.replace(CONFIG_MAPS, other)
    assert "Precondition failed: UID in precondition" in caught.value.message


async def test_merge_patch_sets_and_removes(client: KubeClient, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map("a", namespace, {"k": "1", "gone": "x"}))
    patched = await client.merge_patch(CONFIG_MAPS, "a", {"data": {"k": "2", "gone": None}}, namespace=namespace)
    assert patched["data"] == {"k": "2"}


async def test_merge_patch_with_an_old_version_conflicts(client: KubeClient, namespace: str) -> None:
    first = await client.create(CONFIG_MAPS, config_map("a", namespace, {"k": "1"}))
    await client.merge_patch(CONFIG_MAPS, "a", {"data": {"k": "2"}}, namespace=namespace)
    patch = {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "data": {"k": "3"}}
    with pytest.raises(Conflict):
        await client.merge_patch(CONFIG_MAPS, "a", patch, namespace=namespace)


async def test_json_patch_tests_before_it_changes(client: KubeClient, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map("a", namespace, {"k": "1"}))
    good = [{"op": "test", "path": "/data/k", "value": "1"}, {"op": "replace", "path": "/data/k", "value": "2"}]
    assert (await client.json_patch(CONFIG_MAPS, "a", good, namespace=namespace))["data"] == {"k": "2"}
    with pytest.raises(ApiError) as caught:
        await client.json_patch(CONFIG_MAPS, "a", good, namespace=namespace)
    assert caught.value.status == 422
    assert (await client.get(CONFIG_MAPS, "a", namespace))["data"] == {"k": "2"}


async def test_json_patch_of_a_missing_path_is_refused(client: KubeClient, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map("a", namespace))
    with pytest.raises(ApiError) as caught:
        await client.json_patch(CONFIG_MAPS, "a", [{"op": "replace", "path": "/spec/x", "value": 1}], namespace=namespace)
    assert caught.value.status == 422


async def test_dry_run_changes_nothing(client: KubeClient, namespace: str) -> None:
    dry = await client.create(CONFIG_MAPS, config_map("a", namespace), dry_run=True)
    assert dry["metadata"]["uid"]
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, "a", namespace)


async def test_delete_of_a_missing_object_is_not_found(client: KubeClient, namespace: str) -> None:
    with pytest.raises(NotFound):
        await client.delete(CONFIG_MAPS, "none", namespace=namespace)


async def test_delete_with_another_uid_conflicts_and_keeps_the_object(client: KubeClient, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map("a", namespace))
    with pytest.raises(Conflict) as caught:
        await client.delete(CONFIG_MAPS, "a", namespace=namespace, uid="11111111-1111-1111-1111-111111111111")
    assert (
        "the UID in the precondition (11111111-1111-1111-1111-111111111111) does not match the UID in record"
        in caught.value.message
    )
    assert await client.get(CONFIG_MAPS, "a", namespace)


async def test_delete_with_an_old_version_conflicts(client: KubeClient, namespace: str) -> None:
    first = await client.create(CONFIG_MAPS, config_map("a", namespace))
    await client.merge_patch(CONFIG_MAPS, "a", {"data": {"k": "2"}}, namespace=namespace)
    with pytest.raises(Conflict):
        await client.delete(CONFIG_MAPS, "a", namespace=namespace, resource_version=first["metadata"]["resourceVersion"])


async def test_string_data_of_a_secret_becomes_data(client: KubeClient, namespace: str) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": namespace},
        "stringData": {"p": "hello"},
    }
    created = await client.create(SECRETS, secret)
    assert created["data"] == {"p": "aGVsbG8="}
    assert "stringData" not in created
    assert created["type"] == "Opaque"


async def test_immutable_config_map_refuses_a_change(client: KubeClient, namespace: str) -> None:
    await client.create(CONFIG_MAPS, {**config_map("a", namespace, {"k": "1"}), "immutable": True})
    with pytest.raises(Invalid) as caught:
        await client.merge_patch(CONFIG_MAPS, "a", {"data": {"k": "2"}}, namespace=namespace)
    assert "field is immutable when `immutable` is set" in caught.value.message


SERVICE: dict[str, Any] = {"type": "NodePort", "selector": {"app": "x"}, "ports": [{"port": 27017}]}


def service(name: str, namespace: str, spec: dict[str, Any] | None = None) -> KubeObject:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec or SERVICE}


async def test_service_gets_defaults_a_cluster_address_and_a_node_port(client: KubeClient, namespace: str) -> None:
    created = await client.create(SERVICES, service("s", namespace))
    spec = created["spec"]
    assert spec["clusterIP"].startswith("10.96.")
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    port = spec["ports"][0]
    assert (port["protocol"], port["targetPort"]) == ("TCP", 27017)
    assert 30000 <= port["nodePort"] <= 32767
    assert (spec["sessionAffinity"], spec["externalTrafficPolicy"], spec["internalTrafficPolicy"]) == (
        "None",
        "Cluster",
        "Cluster",
    )


async def test_node_port_in_use_is_refused_and_free_again_after_deletion(client: KubeClient, namespace: str) -> None:
    port = (await client.create(SERVICES, service("a", namespace)))["spec"]["ports"][0]["nodePort"]
    again = service("b", namespace, {**SERVICE, "ports": [{"port": 1, "nodePort": port}]})
    with pytest.raises(Invalid) as caught:
        await client.create(SERVICES, again)
    assert f"spec.ports[0].nodePort: Invalid value: {port}: provided port is already allocated" in caught.value.message
    await client.delete(SERVICES, "a", namespace=namespace)
    assert (await client.create(SERVICES, again))["spec"]["ports"][0]["nodePort"] == port


async def test_node_port_outside_the_range_is_refused(client: KubeClient, namespace: str) -> None:
    with pytest.raises(Invalid) as caught:
        await client.create(SERVICES, service("a", namespace, {**SERVICE, "ports": [{"port": 1, "nodePort": 80}]}))
    assert "provided port is not in the valid range" in caught.value.message


async def test_node_port_stays_when_the_service_changes(client: KubeClient, namespace: str) -> None:
    created = await client.create(SERVICES, service("a", namespace))
    changed = await client.merge_patch(SERVICES, "a", {"spec": {"selector": {"app": "y"}}}, namespace=namespace)
    assert changed["spec"]["ports"] == created["spec"]["ports"]
    assert changed["spec"]["clusterIP"] == created["spec"]["clusterIP"]


async def test_headless_service_has_no_cluster_address(client: KubeClient, namespace: str) -> None:
    created = await client.create(SERVICES, service("a", namespace, {"clusterIP": "None", "ports": [{"port": 27017}]}))
    assert created["spec"]["clusterIP"] == "None"


async def test_cluster_address_cannot_be_changed(client: KubeClient, namespace: str) -> None:
    await client.create(SERVICES, service("a", namespace))
    with pytest.raises(Invalid):
        await client.merge_patch(
            SERVICES, "a", {"spec": {"clusterIP": "10.96.200.200", "clusterIPs": ["10.96.200.200"]}}, namespace=namespace
        )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"ports": []}, "spec.ports: Required value"),
        ({"ports": [{"port": 0}]}, "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
        ({"ports": [{"port": 1}, {"port": 2}]}, "spec.ports[0].name: Required value"),
        ({"type": "Strange", "ports": [{"port": 1}]}, 'spec.type: Unsupported value: "Strange"'),
    ],
)
async def test_wrong_service_is_invalid_with_the_field(
    client: KubeClient, namespace: str, spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await client.create(SERVICES, service("a", namespace, spec))
    assert message in caught.value.message
