"""How objects end: finalizers, owners, namespaces, admission that refuses, pods with their grace time."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import pytest

from fedstate.kube.client import KubeClient
from fedstate.kube.errors import ApiError, Conflict, Forbidden, Invalid, NotFound
from fedstate.kube.objects import KubeObject, owner_reference
from fedstate.kube.resources import (
    CONFIG_MAPS,
    NAMESPACES,
    PODS,
    STATEFUL_SETS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
    Resource,
)
from tests.conformance.conftest import config_map


async def gone(client: KubeClient, resource: Resource, name: str, namespace: str = "", seconds: float = 15) -> None:
    """Wait until the object is no more."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                await client.get(resource, name, namespace)
            except NotFound:
                return
            await asyncio.sleep(0.05)


async def test_finalizer_holds_the_object_until_it_is_removed(client: KubeClient, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map("a", namespace, finalizers=["x.io/hold"]))
    await client.delete(CONFIG_MAPS, "a", namespace=namespace)
    held = await client.get(CONFIG_MAPS, "a", namespace)
    assert held["metadata"]["deletionTimestamp"]
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0
    await client.merge_patch(CONFIG_MAPS, "a", {"metadata": {"finalizers": None}}, namespace=namespace)
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, "a", namespace)


async def test_second_deletion_keeps_the_first_timestamp(client: KubeClient, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map("a", namespace, finalizers=["x.io/hold"]))
    await client.delete(CONFIG_MAPS, "a", namespace=namespace)
    first = await client.get(CONFIG_MAPS, "a", namespace)
    await client.delete(CONFIG_MAPS, "a", namespace=namespace)
    assert (await client.get(CONFIG_MAPS, "a", namespace))["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    await client.merge_patch(CONFIG_MAPS, "a", {"metadata": {"finalizers": None}}, namespace=namespace)


async def test_no_finalizer_can_be_added_to_an_object_that_ends(client: KubeClient, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map("a", namespace, finalizers=["x.io/hold"]))
    await client.delete(CONFIG_MAPS, "a", namespace=namespace)
    with pytest.raises(ApiError) as caught:
        await client.merge_patch(CONFIG_MAPS, "a", {"metadata": {"finalizers": ["x.io/hold", "x.io/more"]}}, namespace=namespace)
    assert "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted" in caught.value.message
    await client.merge_patch(CONFIG_MAPS, "a", {"metadata": {"finalizers": None}}, namespace=namespace)


async def test_deletion_timestamp_cannot_be_set_by_hand(client: KubeClient, namespace: str) -> None:
    created = await client.create(CONFIG_MAPS, config_map("a", namespace, deletionTimestamp="2020-01-01T00:00:00Z"))
    assert "deletionTimestamp" not in created["metadata"]


async def test_same_name_gets_another_uid_after_deletion(client: KubeClient, namespace: str) -> None:
    first = await client.create(CONFIG_MAPS, config_map("a", namespace))
    await client.delete(CONFIG_MAPS, "a", namespace=namespace)
    assert (await client.create(CONFIG_MAPS, config_map("a", namespace)))["metadata"]["uid"] != first["metadata"]["uid"]


async def owner_and_child(client: KubeClient, namespace: str, *, block: bool = True) -> None:
    owner = await client.create(CONFIG_MAPS, config_map("owner", namespace))
    await client.create(
        CONFIG_MAPS, config_map("child", namespace, ownerReferences=[owner_reference(owner, block_deletion=block)])
    )


async def test_children_end_after_their_owner(client: KubeClient, namespace: str) -> None:
    await owner_and_child(client, namespace)
    await client.delete(CONFIG_MAPS, "owner", namespace=namespace)
    await gone(client, CONFIG_MAPS, "child", namespace)


async def test_foreground_deletion_ends_the_children_first(client: KubeClient, namespace: str) -> None:
    await owner_and_child(client, namespace)
    await client.merge_patch(CONFIG_MAPS, "child", {"metadata": {"finalizers": ["x.io/hold"]}}, namespace=namespace)
    await client.delete(CONFIG_MAPS, "owner", namespace=namespace, propagation="Foreground")
    async with asyncio.timeout(10):
        while "deletionTimestamp" not in (await client.get(CONFIG_MAPS, "child", namespace))["metadata"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert (await client.get(CONFIG_MAPS, "owner", namespace))["metadata"]["finalizers"] == ["foregroundDeletion"]
    await client.merge_patch(CONFIG_MAPS, "child", {"metadata": {"finalizers": None}}, namespace=namespace)
    await gone(client, CONFIG_MAPS, "owner", namespace)


async def test_orphaned_children_stay_without_an_owner(client: KubeClient, namespace: str) -> None:
    await owner_and_child(client, namespace)
    await client.delete(CONFIG_MAPS, "owner", namespace=namespace, propagation="Orphan")
    await gone(client, CONFIG_MAPS, "owner", namespace)
    assert not (await client.get(CONFIG_MAPS, "child", namespace))["metadata"].get("ownerReferences")


async def test_child_whose_owner_never_was_is_collected(client: KubeClient, namespace: str) -> None:
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": "11111111-1111-1111-1111-111111111111"}
    await client.create(CONFIG_MAPS, config_map("child", namespace, ownerReferences=[reference]))
    await gone(client, CONFIG_MAPS, "child", namespace)


async def test_ending_namespace_takes_its_objects_and_refuses_new_ones(client: KubeClient, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map("held", namespace, finalizers=["x.io/hold"]))
    await client.create(CONFIG_MAPS, config_map("free", namespace))
    await client.delete(NAMESPACES, namespace)
    assert (await client.get(NAMESPACES, namespace))["status"]["phase"] == "Terminating"
    with pytest.raises(Forbidden) as caught:
        await client.create(CONFIG_MAPS, config_map("late", namespace))
    assert f"unable to create new content in namespace {namespace} because it is being terminated" in caught.value.message
    await gone(client, CONFIG_MAPS, "free", namespace)
    await client.merge_patch(CONFIG_MAPS, "held", {"metadata": {"finalizers": None}}, namespace=namespace)
    await gone(client, NAMESPACES, namespace)


async def test_namespace_has_its_name_as_a_label(client: KubeClient, namespace: str) -> None:
    assert (await client.get(NAMESPACES, namespace))["metadata"]["labels"]["kubernetes.io/metadata.name"] == namespace


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_system_namespaces_are_there(client: KubeClient, name: str) -> None:
    assert (await client.get(NAMESPACES, name))["status"]["phase"] == "Active"


@pytest.mark.parametrize("name", ["default", "kube-system"])
async def test_system_namespaces_cannot_be_deleted(client: KubeClient, name: str) -> None:
    with pytest.raises(Forbidden) as caught:
        await client.delete(NAMESPACES, name)
    assert "this namespace may not be deleted" in caught.value.message


def pod(name: str, namespace: str, **spec: Any) -> KubeObject:
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [{"name": "c", "image": "mongo"}], "nodeName": "nowhere", **spec},
    }  # fmt: skip


async def test_pod_on_a_node_ends_only_when_its_node_says_so(client: KubeClient, namespace: str) -> None:
    await client.create(PODS, pod("p", namespace, terminationGracePeriodSeconds=7))
    await client.delete(PODS, "p", namespace=namespace)
    ending = await client.get(PODS, "p", namespace)
    assert ending["metadata"]["deletionTimestamp"]
    assert ending["metadata"]["deletionGracePeriodSeconds"] == 7
    await client.delete(PODS, "p", namespace=namespace, grace_period=0)
    await gone(client, PODS, "p", namespace, seconds=1)


async def test_pod_without_a_node_ends_at_once(client: KubeClient, namespace: str) -> None:
    unbound = pod("p", namespace)
    unbound["spec"]["schedulerName"] = "nobody"
    del unbound["spec"]["nodeName"]
    await client.create(PODS, unbound)
    await client.delete(PODS, "p", namespace=namespace)
    await gone(client, PODS, "p", namespace, seconds=1)


async def test_binding_gives_a_pod_its_node_once(client: KubeClient, namespace: str) -> None:
    unbound = pod("p", namespace, schedulerName="nobody")
    del unbound["spec"]["nodeName"]
    await client.create(PODS, unbound)
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p", "namespace": namespace},
        "target": {"kind": "Node", "name": "n1"},
    }
    await client.create_subresource(PODS, "p", "binding", binding, namespace=namespace)
    bound = await client.get(PODS, "p", namespace)
    assert bound["spec"]["nodeName"] == "n1"
    assert {"type": "PodScheduled", "status": "True"}.items() <= bound["status"]["conditions"][0].items()
    with pytest.raises(Conflict):
        await client.create_subresource(PODS, "p", "binding", binding, namespace=namespace)
    await client.delete(PODS, "p", namespace=namespace, grace_period=0)


async def test_pod_gets_the_defaults_of_kubernetes(client: KubeClient, namespace: str) -> None:
    created = await client.create(PODS, pod("p", namespace))
    spec = created["spec"]
    assert (spec["restartPolicy"], spec["dnsPolicy"], spec["terminationGracePeriodSeconds"]) == ("Always", "ClusterFirst", 30)
    assert spec["containers"][0]["imagePullPolicy"] == "Always"
    assert created["status"]["phase"] == "Pending"
    assert created["status"]["qosClass"] == "BestEffort"
    await client.delete(PODS, "p", namespace=namespace, grace_period=0)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"containers": []}, "spec.containers: Required value"),
        ({"containers": [{"image": "x"}]}, "spec.containers[0].name: Required value"),
        ({"containers": [{"name": "c"}]}, "spec.containers[0].image: Required value"),
        ({"restartPolicy": "Sometimes"}, 'spec.restartPolicy: Unsupported value: "Sometimes"'),
        (
            {"containers": [{"name": "c", "image": "x", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]},
            'spec.containers[0].volumeMounts[0].name: Not found: "v"',
        ),
    ],
)
async def test_wrong_pod_is_invalid_with_the_field(
    client: KubeClient, namespace: str, spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await client.create(PODS, pod("p", namespace, **spec))
    assert message in caught.value.message


def stateful_set(namespace: str) -> KubeObject:
    return {
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "s", "namespace": namespace},
        "spec": {
            "replicas": 1, "serviceName": "s", "selector": {"matchLabels": {"app": "s"}},
            "template": {"metadata": {"labels": {"app": "s"}}, "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "mongo"}]}},
        },
    }  # fmt: skip


async def test_stateful_set_makes_its_pod_and_makes_it_again(client: KubeClient, namespace: str) -> None:
    await client.create(STATEFUL_SETS, stateful_set(namespace))

    async def pod_uid(other_than: str = "") -> str:
        async with asyncio.timeout(15):
            while True:
                try:
                    found = await client.get(PODS, "s-0", namespace)
                except NotFound:
                    await asyncio.sleep(0.05)
                    continue
                if (uid := str(found["metadata"]["uid"])) != other_than:
                    assert found["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == "s-0"
                    assert found["metadata"]["ownerReferences"][0]["kind"] == "StatefulSet"
                    return uid

    first = await pod_uid()
    await client.delete(PODS, "s-0", namespace=namespace, grace_period=0)
    await pod_uid(other_than=first)
    await client.delete(STATEFUL_SETS, "s", namespace=namespace)
    await gone(client, PODS, "s-0", namespace)


async def test_stateful_set_refuses_changes_of_what_cannot_change(client: KubeClient, namespace: str) -> None:
    await client.create(STATEFUL_SETS, stateful_set(namespace))
    with pytest.raises(Invalid) as caught:
        await client.merge_patch(STATEFUL_SETS, "s", {"spec": {"serviceName": "other"}}, namespace=namespace)
    assert 'spec.serviceName: Invalid value: "other": field is immutable' in caught.value.message
    await client.delete(STATEFUL_SETS, "s", namespace=namespace)


async def test_admission_policy_refuses_what_its_expression_denies(client: KubeClient) -> None:
    suffix = secrets.token_hex(3)
    name, label = f"guard-{suffix}", f"guarded-{suffix}"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["namespaces"]}
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{
                "expression": f"!has(oldObject.metadata.labels) || !('{label}' in oldObject.metadata.labels)", "message": "it holds a database"
            }],
        },
    }  # fmt: skip
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }  # fmt: skip
    await client.create(VALIDATING_ADMISSION_POLICIES, policy)
    await client.create(VALIDATING_ADMISSION_POLICY_BINDINGS, binding)
    attempts = 0
    async with asyncio.timeout(15):
        while True:  # a new policy is in force after a moment
            attempts += 1
            guarded = f"guarded-{suffix}-{attempts}"
            await client.create(
                NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": guarded, "labels": {label: "true"}}}
            )
            try:
                await client.delete(NAMESPACES, guarded)
            except ApiError as error:
                refusal = error
                break
            await asyncio.sleep(0.1)
    assert refusal.status == 422
    assert f"ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: it holds a database" in refusal.message
    await client.merge_patch(NAMESPACES, guarded, {"metadata": {"labels": {label: None}}})
    await client.delete(NAMESPACES, guarded)
    await client.delete(VALIDATING_ADMISSION_POLICY_BINDINGS, name)
    await client.delete(VALIDATING_ADMISSION_POLICIES, name)
