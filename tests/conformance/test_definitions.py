"""Custom resources: structural schemas, defaults, pruning, CEL rules, status and scale; FedState's own kinds among them."""

from __future__ import annotations

import asyncio
import copy
import secrets
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedstate.kube.client import KubeClient
from fedstate.kube.errors import ApiError, Conflict, Invalid, NotFound, TooManyRequests
from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import CUSTOM_RESOURCE_DEFINITIONS, Resource

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "maximum": 50},
                "mode": {"type": "string", "enum": ["Uniform", "Weighting"], "default": "Uniform"},
                "name": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 5},
                "ratio": {"type": "number"},
                "flag": {"type": "boolean", "default": False},
                "amount": {"x-kubernetes-int-or-string": True},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "nested": {"type": "object", "default": {}, "properties": {"depth": {"type": "integer", "default": 3}}},
                "maybe": {"type": "string", "nullable": True},
                "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set", "maxItems": 3},
                "ports": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"type": "string"}, "port": {"type": "integer"}},
                    },
                },
                "kept": {
                    "type": "string",
                    "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "kept is immutable"}],
                },
            },
            "x-kubernetes-validations": [
                {"rule": "!has(self.ratio) || self.ratio <= 1.0", "message": "ratio must not be above 1"},
                {
                    "rule": "self.size != 13",
                    "messageExpression": "self.size == 13 ? 'bad luck' : ''",
                    "fieldPath": ".size",
                },
            ],
        },
        "status": {"type": "object", "properties": {"ready": {"type": "integer"}, "selector": {"type": "string"}}},
    },
}


def definition(kind: str, schema: dict[str, Any] = SCHEMA, **version: Any) -> KubeObject:
    plural = f"{kind.lower()}s"
    served = {
        "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.ready", "labelSelectorPath": ".status.selector"},
        },
        "additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Mode", "type": "string", "jsonPath": ".spec.mode", "priority": 1},
        ],
        **version,
    }  # fmt: skip
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.conformance.example"},
        "spec": {
            "group": "conformance.example", "scope": "Namespaced", "versions": [served],
            "names": {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"},
        },
    }  # fmt: skip


async def established(client: KubeClient, name: str) -> None:
    async with asyncio.timeout(10):
        while True:
            conditions = (await client.get(CUSTOM_RESOURCE_DEFINITIONS, name)).get("status", {}).get("conditions") or []
            if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
                return
            await asyncio.sleep(0.02)


async def serve(client: KubeClient, crd: KubeObject) -> Resource:
    """Create the definition and wait until its kind is served."""
    await client.create(CUSTOM_RESOURCE_DEFINITIONS, crd)
    await established(client, crd["metadata"]["name"])
    names = crd["spec"]["names"]
    resource = Resource(crd["spec"]["group"], "v1", names["plural"], names["kind"])
    async with asyncio.timeout(10):
        while True:
            try:
                await client.list(resource)
            except (NotFound, TooManyRequests):  # "storage is (re)initializing" comes between
                await asyncio.sleep(0.02)
            else:
                return resource


@pytest.fixture
async def widgets(client: KubeClient) -> Resource:
    """The kind of these tests, one for all of them on a server."""
    resource = Resource("conformance.example", "v1", "widgets", "Widget")
    try:
        await client.get(CUSTOM_RESOURCE_DEFINITIONS, "widgets.conformance.example")
    except NotFound:
        return await serve(client, definition("Widget"))
    return resource


def widget(namespace: str, spec: dict[str, Any] | None = None, name: str = "w") -> KubeObject:
    return {
        "apiVersion": "conformance.example/v1", "kind": "Widget", "metadata": {"name": name, "namespace": namespace},
        "spec": {"size": 1, **(spec or {})},
    }  # fmt: skip


async def test_defaults_are_filled_in(client: KubeClient, widgets: Resource, namespace: str) -> None:
    created = await client.create(widgets, widget(namespace))
    assert created["spec"] == {"size": 1, "mode": "Uniform", "flag": False, "nested": {"depth": 3}}


async def test_unknown_fields_are_pruned(client: KubeClient, widgets: Resource, namespace: str) -> None:
    created = await client.create(widgets, {**widget(namespace, {"unknown": 1, "nested": {"x": 1}}), "extra": 1})
    assert "extra" not in created
    assert "unknown" not in created["spec"]
    assert created["spec"]["nested"] == {"depth": 3}


async def test_preserved_fields_stay(client: KubeClient, widgets: Resource, namespace: str) -> None:
    free = {"a": {"b": [1, "x", None, 1.5]}}
    assert (await client.create(widgets, widget(namespace, {"free": free})))["spec"]["free"] == free


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"size": "5"}, 'spec.size: Invalid value: "string": spec.size in body must be of type integer: "string"'),
        ({"size": 0}, "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1"),
        ({"size": -3}, "spec.size: Invalid value: -3: spec.size in body should be greater than or equal to 1"),
        ({"size": 51}, "spec.size: Invalid value: 51: spec.size in body should be less than or equal to 50"),
        ({"size": 1.5}, 'spec.size: Invalid value: "number": spec.size in body must be of type integer: "number"'),
        ({"size": None}, "spec.size: Required value"),
        ({"mode": "Random"}, 'spec.mode: Unsupported value: "Random": supported values: "Uniform", "Weighting"'),
        ({"name": "ABC"}, "spec.name in body should match '^[a-z]+$'"),
        ({"name": "a"}, "spec.name in body should be at least 2 chars long"),
        ({"name": "abcdef"}, "spec.name: Too long: may not be more than 5"),
        ({"flag": "yes"}, 'spec.flag: Invalid value: "string": spec.flag in body must be of type boolean: "string"'),
        ({"amount": True}, "spec.amount: Invalid value"),
        (
            {"labels": {"a": 1}},
            'spec.labels.a: Invalid value: "integer": spec.labels.a in body must be of type string: "integer"',
        ),
        ({"labels": []}, 'spec.labels: Invalid value: "array": spec.labels in body must be of type object: "array"'),
        ({"tags": ["a", "a"]}, 'spec.tags[1]: Duplicate value: "a"'),
        ({"tags": ["a", "b", "c", "d"]}, "spec.tags: Too many: 4: must have at most 3 items"),
        ({"ports": [{"port": 1}]}, "spec.ports[0].name: Required value"),
        ({"ports": [{"name": "a"}, {"name": "a"}]}, 'spec.ports[1]: Duplicate value: {"name":"a"}'),
        ({"ratio": 2}, "ratio must not be above 1"),
        ({"size": 13}, "spec.size: Invalid value: bad luck"),
    ],
)
async def test_wrong_spec_is_invalid_and_names_the_field(
    client: KubeClient, widgets: Resource, namespace: str, spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(Invalid) as caught:
        await client.create(widgets, widget(namespace, spec))
    assert message in caught.value.message
    with pytest.raises(NotFound):
        await client.get(widgets, "w", namespace)


async def test_invalid_object_lists_every_fault_and_its_cause(client: KubeClient, widgets: Resource, namespace: str) -> None:
    with pytest.raises(Invalid) as caught:
        await client.create(widgets, widget(namespace, {"size": 0, "mode": "x"}))
    assert caught.value.message.startswith('Widget.conformance.example "w" is invalid: [')
    causes = (caught.value.details or {})["causes"]
    assert {"spec.size", "spec.mode"} <= {cause["field"] for cause in causes}


async def test_transition_rule_looks_at_the_old_value(client: KubeClient, widgets: Resource, namespace: str) -> None:
    await client.create(widgets, widget(namespace, {"kept": "a"}))
    with pytest.raises(Invalid) as caught:
        await client.merge_patch(widgets, "w", {"spec": {"kept": "b"}}, namespace=namespace)
    assert "kept is immutable" in caught.value.message


async def test_null_is_dropped_where_it_is_not_allowed_and_kept_where_it_is(
    client: KubeClient, widgets: Resource, namespace: str
) -> None:
    created = await client.create(widgets, widget(namespace, {"maybe": None, "mode": None}))
    assert created["spec"]["maybe"] is None
    assert created["spec"]["mode"] == "Uniform"


async def test_int_or_string_takes_both(client: KubeClient, widgets: Resource, namespace: str) -> None:
    assert (await client.create(widgets, widget(namespace, {"amount": 5}, "a")))["spec"]["amount"] == 5
    assert (await client.create(widgets, widget(namespace, {"amount": "5%"}, "b")))["spec"]["amount"] == "5%"


async def test_generation_counts_changes_of_the_spec_alone(client: KubeClient, widgets: Resource, namespace: str) -> None:
    assert (await client.create(widgets, widget(namespace)))["metadata"]["generation"] == 1
    labelled = await client.merge_patch(widgets, "w", {"metadata": {"labels": {"a": "b"}}}, namespace=namespace)
    assert labelled["metadata"]["generation"] == 1
    status = await client.merge_patch(widgets, "w", {"status": {"ready": 1}}, namespace=namespace, subresource="status")
    assert status["metadata"]["generation"] == 1
    assert (await client.merge_patch(widgets, "w", {"spec": {"size": 2}}, namespace=namespace))["metadata"]["generation"] == 2


async def test_status_is_written_only_through_its_subresource(client: KubeClient, widgets: Resource, namespace: str) -> None:
    created = await client.create(widgets, {**widget(namespace), "status": {"ready": 9}})
    assert "status" not in created
    through = await client.merge_patch(
        widgets, "w", {"status": {"ready": 1}, "spec": {"size": 7}}, namespace=namespace, subresource="status"
    )
    assert through["status"] == {"ready": 1}
    assert through["spec"]["size"] == 1
    kept = await client.merge_patch(widgets, "w", {"status": {"ready": 5}}, namespace=namespace)
    assert kept["status"] == {"ready": 1}


async def test_status_apply_has_an_owner_of_its_own(client: KubeClient, widgets: Resource, namespace: str) -> None:
    await client.apply(widgets, widget(namespace), field_manager="spec-writer")
    intent = {
        "apiVersion": "conformance.example/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "namespace": namespace},
        "status": {"ready": 1},
    }
    applied = await client.apply(widgets, intent, subresource="status", field_manager="status-writer")
    entries = {(e["manager"], e.get("subresource", "")) for e in applied["metadata"]["managedFields"]}
    assert entries == {("spec-writer", ""), ("status-writer", "status")}
    assert applied["spec"]["size"] == 1


async def test_scale_reads_and_writes_the_size(client: KubeClient, widgets: Resource, namespace: str) -> None:
    await client.create(widgets, widget(namespace, {"size": 3}))
    await client.merge_patch(widgets, "w", {"status": {"ready": 2, "selector": "a=b"}}, namespace=namespace, subresource="status")
    path = widgets.path(namespace, "w", "scale")
    scale = await client.request("GET", path)
    assert (scale["kind"], scale["spec"]["replicas"]) == ("Scale", 3)
    assert scale["status"] == {"replicas": 2, "selector": "a=b"}
    scale["spec"]["replicas"] = 5
    assert (await client.request("PUT", path, body=scale))["spec"]["replicas"] == 5
    assert (await client.get(widgets, "w", namespace))["spec"]["size"] == 5


async def test_scale_beyond_the_schema_is_refused(client: KubeClient, widgets: Resource, namespace: str) -> None:
    await client.create(widgets, widget(namespace))
    with pytest.raises(ApiError) as caught:
        await client.merge_patch(widgets, "w", {"spec": {"replicas": 99}}, namespace=namespace, subresource="scale")
    assert "less than or equal to 50" in caught.value.message
    assert (await client.get(widgets, "w", namespace))["spec"]["size"] == 1


async def test_list_map_items_merge_by_their_key(client: KubeClient, widgets: Resource, namespace: str) -> None:
    await client.apply(widgets, widget(namespace, {"ports": [{"name": "a", "port": 1}]}), field_manager="one")
    both = await client.apply(widgets, widget(namespace, {"ports": [{"name": "b", "port": 2}]}), field_manager="two")
    assert both["spec"]["ports"] == [{"name": "a", "port": 1}, {"name": "b", "port": 2}]
    with pytest.raises(Conflict) as caught:
        await client.apply(widgets, widget(namespace, {"ports": [{"name": "a", "port": 9}]}), field_manager="two", force=False)
    assert '.spec.ports[name="a"].port' in caught.value.message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"spec": {"type": "object", "properties": {"x": {}}}},
            "properties[x].type: Required value: must not be empty for specified object fields",
        ),
        (
            {"spec": {"type": "object", "x-kubernetes-validations": [{"rule": "self.nope > 1"}]}},
            "undefined field 'nope'",
        ),
        (
            {"spec": {"type": "object", "properties": {"x": {"type": "string", "default": 5}}}},
            'default: Invalid value: "integer"',
        ),
    ],
)
async def test_wrong_definition_is_refused(client: KubeClient, change: dict[str, Any], message: str) -> None:
    kind = f"Bad{secrets.token_hex(3)}"
    with pytest.raises(Invalid) as caught:
        await client.create(
            CUSTOM_RESOURCE_DEFINITIONS, definition(kind, {"type": "object", "properties": change}, subresources={})
        )
    assert message in caught.value.message


async def test_definition_name_must_match_its_group_and_plural(client: KubeClient) -> None:
    crd = definition("Gadget")
    crd["metadata"]["name"] = "other.conformance.example"
    with pytest.raises(Invalid) as caught:
        await client.create(CUSTOM_RESOURCE_DEFINITIONS, crd)
    assert "metadata.name: Invalid value" in caught.value.message
    assert 'must be spec.names.plural+"."+spec.group' in caught.value.message


async def test_deleting_a_definition_ends_its_objects(client: KubeClient, namespace: str) -> None:
    resource = await serve(client, definition(f"Brief{secrets.token_hex(2)}"))
    name = f"{resource.plural}.{resource.group}"
    body = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": "w", "namespace": namespace},
        "spec": {"size": 1},
    }
    await client.create(resource, body)
    await client.delete(CUSTOM_RESOURCE_DEFINITIONS, name)
    async with asyncio.timeout(15):
        while True:
            try:
                await client.get(CUSTOM_RESOURCE_DEFINITIONS, name)
            except NotFound:
                break
            await asyncio.sleep(0.05)
    with pytest.raises(NotFound):
        await client.get(resource, "w", namespace)


MANIFESTS = Path(__file__).parents[2] / "manifests" / "crds"


@pytest.mark.parametrize("file", sorted(path.name for path in MANIFESTS.glob("*.yaml")))
async def test_our_definitions_are_accepted_and_established(client: KubeClient, file: str) -> None:
    crd = copy.deepcopy(yaml.safe_load((MANIFESTS / file).read_text()))
    await client.apply(CUSTOM_RESOURCE_DEFINITIONS, crd, field_manager="test")
    await established(client, crd["metadata"]["name"])
