"""Override policies on plain objects."""

from __future__ import annotations

from typing import Any

import pytest

from fedstate.kube.objects import KubeObject
from fedstate.local.karmada.jsonpatch import PatchError
from fedstate.local.karmada.overrides import AppliedRule, applied_overrides, overridden, rules_for

TEMPLATE: KubeObject = {
    "apiVersion": "middleware.fedstate.io/v1alpha1",
    "kind": "MongoDB",
    "metadata": {"name": "orders", "namespace": "db", "labels": {"a": "1"}},
    "spec": {"members": 5, "image": "registry.example.org/mongo:6.0", "list": ["x", "y"], "a/b": 1},
}


def overriders(**fields: Any) -> list[AppliedRule]:
    return [AppliedRule(policy="p", overriders=fields)]


@pytest.mark.parametrize(
    ("operator", "path", "value", "field", "expected"),
    [
        ("replace", "/spec/members", 3, "members", 3),
        ("add", "/spec/members", 3, "members", 3),
        ("add", "/spec/federation", {"cluster": "m1"}, "federation", {"cluster": "m1"}),
        ("remove", "/spec/image", None, "image", None),
        ("replace", "/spec/a~1b", 2, "a/b", 2),
        ("add", "/spec/list/-", "z", "list", ["x", "y", "z"]),
        ("add", "/spec/list/0", "z", "list", ["z", "x", "y"]),
        ("replace", "/spec/list/1", "z", "list", ["x", "z"]),
        ("remove", "/spec/list/0", None, "list", ["y"]),
    ],
)
def test_plaintext_is_a_json_patch(operator: str, path: str, value: Any, field: str, expected: Any) -> None:
    patched = overridden(TEMPLATE, overriders(plaintext=[{"operator": operator, "path": path, "value": value}]))
    assert patched["spec"].get(field) == expected
    assert TEMPLATE["spec"]["members"] == 5


@pytest.mark.parametrize(
    ("operator", "path"),
    [
        ("replace", "/spec/none"),
        ("remove", "/spec/none"),
        ("add", "/none/none"),
        ("replace", "/spec/list/2"),
        ("replace", "/spec/list/-"),
        ("add", "/spec/members/x"),
        ("replace", "spec"),
    ],
)
def test_a_path_that_is_not_there_names_policy_and_path(operator: str, path: str) -> None:
    with pytest.raises(PatchError, match="overridePolicy p: .*" + path.replace("/", "/")):
        overridden(TEMPLATE, overriders(plaintext=[{"operator": operator, "path": path, "value": 1}]))


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        ("add", {"b": "2"}, {"a": "1", "b": "2"}),
        ("add", {"a": "2"}, {"a": "2"}),
        ("replace", {"a": "2", "b": "2"}, {"a": "2"}),
        ("remove", {"a": "", "b": ""}, {}),
    ],
)
def test_labels_that_are_not_there_are_added_but_neither_replaced_nor_removed(
    operator: str, value: dict[str, str], expected: dict[str, str]
) -> None:
    assert (
        overridden(TEMPLATE, overriders(labelsOverrider=[{"operator": operator, "value": value}]))["metadata"]["labels"]
        == expected
    )


def test_annotations_can_be_added_where_there_are_none() -> None:
    result = overridden(TEMPLATE, overriders(annotationsOverrider=[{"operator": "add", "value": {"x.org/y": "1"}}]))
    assert result["metadata"]["annotations"] == {"x.org/y": "1"}
    untouched = overridden(TEMPLATE, overriders(annotationsOverrider=[{"operator": "replace", "value": {"x": "1"}}]))
    assert "annotations" not in untouched["metadata"]


@pytest.mark.parametrize(
    ("component", "operator", "value", "expected"),
    [
        ("Registry", "replace", "other.example.org", "other.example.org/mongo:6.0"),
        ("Registry", "remove", "", "mongo:6.0"),
        ("Repository", "replace", "team/mongo", "registry.example.org/team/mongo:6.0"),
        ("Tag", "replace", "7.0", "registry.example.org/mongo:7.0"),
        ("Tag", "add", "-debian", "registry.example.org/mongo:6.0-debian"),
        ("Tag", "remove", "", "registry.example.org/mongo"),
        ("Tag", "replace", "sha256:ab", "registry.example.org/mongo@sha256:ab"),
    ],
)
def test_parts_of_an_image_are_changed_at_the_path_given(component: str, operator: str, value: str, expected: str) -> None:
    item = {"predicate": {"path": "/spec/image"}, "component": component, "operator": operator, "value": value}
    assert overridden(TEMPLATE, overriders(imageOverrider=[item]))["spec"]["image"] == expected


def test_images_of_a_pod_template_are_found_without_a_path() -> None:
    template = {"kind": "StatefulSet", "metadata": {}, "spec": {"template": {"spec": {"containers": [{"image": "mongo:6"}]}}}}
    changed = overridden(template, overriders(imageOverrider=[{"component": "Tag", "operator": "replace", "value": "7"}]))
    assert changed["spec"]["template"]["spec"]["containers"] == [{"image": "mongo:7"}]


def cluster(name: str, region: str = "r1", **labels: str) -> KubeObject:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"region": region, "zones": ["z1"]}}


def policy(name: str, selectors: list[dict[str, Any]] | None, *targets: dict[str, Any] | None) -> KubeObject:
    rules = [
        {"targetCluster": target, "overriders": {"plaintext": [{"path": f"/{name}/{i}"}]}} for i, target in enumerate(targets)
    ]
    return {"metadata": {"name": name}, "spec": {"resourceSelectors": selectors, "overrideRules": rules}}


BY_NAME = {"apiVersion": TEMPLATE["apiVersion"], "kind": "MongoDB", "name": "orders"}
BY_LABEL = {"apiVersion": TEMPLATE["apiVersion"], "kind": "MongoDB", "labelSelector": {"matchLabels": {"a": "1"}}}


@pytest.mark.parametrize(
    ("target", "matches"),
    [
        (None, True),
        ({"clusterNames": ["m1"]}, True),
        ({"clusterNames": ["m2"]}, False),
        ({"exclude": ["m1"]}, False),
        ({"labelSelector": {"matchLabels": {"tier": "gold"}}}, True),
        ({"labelSelector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]}}, False),
        ({"labelSelector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}}, True),
        ({"fieldSelector": {"matchExpressions": [{"key": "region", "operator": "In", "values": ["r1"]}]}}, True),
        ({"fieldSelector": {"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["z1"]}]}}, False),
        ({"fieldSelector": {"matchExpressions": [{"key": "provider", "operator": "In", "values": ["p"]}]}}, False),
    ],
)
def test_a_rule_holds_for_the_clusters_that_it_targets(target: dict[str, Any] | None, matches: bool) -> None:
    assert bool(rules_for([policy("p", [BY_NAME], target)], TEMPLATE, cluster("m1", tier="gold"))) is matches


def test_the_closest_selector_and_then_the_last_name_comes_last() -> None:
    policies = [
        policy("c", None, None),
        policy("b", [BY_NAME], None),
        policy("a", [BY_NAME], None, None),
        policy("z", [BY_LABEL], None),
    ]
    policies.append(policy("other", [{**BY_NAME, "name": "invoices"}], None))
    assert [rule.policy for rule in rules_for(policies, TEMPLATE, cluster("m1"))] == ["c", "z", "a", "a", "b"]


def test_what_was_applied_is_recorded_in_karmadas_order() -> None:
    rules = overriders(
        labelsOverrider=[{"value": {"vip": "127.0.1.1"}, "operator": "add"}],
        plaintext=[{"operator": "replace", "value": 3, "path": "/spec/members"}],
    )
    assert applied_overrides(rules) == (
        '[{"policyName":"p","overriders":{"plaintext":[{"path":"/spec/members","operator":"replace","value":3}],'
        '"labelsOverrider":[{"operator":"add","value":{"vip":"127.0.1.1"}}]}}]'
    )
    assert applied_overrides([]) == ""
