"""Which policy a template belongs to, and the binding that follows from both. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fedstate.kube.objects import (
    KubeObject,
    annotations_of,
    deletion_timestamp_of,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    resource_version_of,
    uid_of,
)
from fedstate.local.karmada import names
from fedstate.local.karmada.matching import selector_rank

_BOOKKEEPING = ("resourceVersion", "managedFields", "generation")
_COPIED = ("conflictResolution", "placement", "preserveResourcesOnDeletion", "schedulerName")


def policy_for(policies: Iterable[KubeObject], template: KubeObject) -> KubeObject | None:
    """The policy that has the template, while it still selects it; else the best of those that do.

    Higher priority first, then the closer selector, then the first name.
    """
    matching = [
        (policy, rank)
        for policy in policies
        if not deletion_timestamp_of(policy)
        and labels_of(policy).get(names.POLICY_ID)
        and (rank := selector_rank(policy["spec"]["resourceSelectors"], template))
    ]
    claimed = labels_of(template).get(names.POLICY_ID)
    for policy, _ in matching:
        if claimed and labels_of(policy)[names.POLICY_ID] == claimed:
            return policy
    ordered = sorted(matching, key=lambda item: (-int(item[0]["spec"].get("priority") or 0), -item[1], name_of(item[0])))
    return ordered[0][0] if ordered else None


def missing_overrides(policy: KubeObject, present: Iterable[str]) -> list[str]:
    """The override policies that the policy waits for."""
    there = set(present)
    return [name for name in policy["spec"].get("dependentOverrides") or () if name not in there]


def claim_of(policy: KubeObject) -> dict[str, Any]:
    """Labels and annotations by which a policy marks templates and bindings as its own."""
    return {
        "labels": {names.POLICY_ID: labels_of(policy)[names.POLICY_ID]},
        "annotations": {names.POLICY_NAME: name_of(policy), names.POLICY_NAMESPACE: namespace_of(policy)},
    }


NO_CLAIM: Mapping[str, Any] = {
    "labels": {names.POLICY_ID: None},
    "annotations": {names.POLICY_NAME: None, names.POLICY_NAMESPACE: None},
}


def is_claimed(obj: KubeObject) -> bool:
    """Whether a template or a binding bears the mark of a policy."""
    return names.POLICY_ID in labels_of(obj) or names.POLICY_NAME in annotations_of(obj)


def bears(obj: KubeObject, claim: Mapping[str, Any]) -> bool:
    """Whether `obj` has every label and annotation of the claim."""
    labels, annotations = labels_of(obj), annotations_of(obj)
    return all(labels.get(key) == value for key, value in claim["labels"].items()) and all(
        annotations.get(key) == value for key, value in claim["annotations"].items()
    )


def new_binding(policy: KubeObject, template: KubeObject, permanent_id: str) -> KubeObject:
    """The binding of a template that has none."""
    claim = claim_of(policy)
    return {
        "apiVersion": "work.karmada.io/v1alpha2",
        "kind": "ResourceBinding",
        "metadata": {
            "name": names.binding_name(template["kind"], name_of(template)),
            "namespace": namespace_of(template),
            "labels": {**claim["labels"], names.BINDING_ID: permanent_id},
            "annotations": claim["annotations"],
            "finalizers": [names.BINDING_FINALIZER],
            "ownerReferences": [owner_reference(template)],
        },
        "spec": binding_spec(policy, template, {}),
    }


def binding_spec(policy: KubeObject, template: KubeObject, present: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of the binding; what the scheduler and the eviction wrote into the present one is kept."""
    spec = {field: value for field, value in present.items() if field not in _COPIED}
    spec |= {field: policy["spec"][field] for field in _COPIED if field in policy["spec"]}
    spec["resource"] = {
        "apiVersion": template["apiVersion"],
        "kind": template["kind"],
        "name": name_of(template),
        "namespace": namespace_of(template),
        "resourceVersion": resource_version_of(template),
        "uid": uid_of(template),
    }
    return spec


def is_changed(old: KubeObject | None, new: KubeObject | None) -> bool:
    """Whether a template changed in more than its status."""
    return old is None or new is None or _substance(old) != _substance(new)


def _substance(obj: KubeObject) -> dict[str, Any]:
    content = {field: value for field, value in obj.items() if field not in ("status", "metadata")}
    content["metadata"] = {field: value for field, value in obj["metadata"].items() if field not in _BOOKKEEPING}
    return content
