"""A template as a member cluster shall hold it, the Work that carries it, and what of a member's object survives an apply. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from fedstate.kube.objects import (
    KubeObject,
    annotations_of,
    generation_of,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from fedstate.local.karmada import names
from fedstate.local.karmada.overrides import AppliedRule, applied_overrides, overridden

_SERVER_FIELDS = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)
_RETAINED_METADATA = ("finalizers", "ownerReferences")
_KARMADA_LABELS = (names.MANAGED, names.POLICY_ID, names.BINDING_ID, names.WORK_ID)
_KARMADA_ANNOTATIONS = (
    names.POLICY_NAME,
    names.POLICY_NAMESPACE,
    names.BINDING_NAME,
    names.BINDING_NAMESPACE,
    names.TEMPLATE_UID,
    names.TEMPLATE_GENERATION,
    names.MANAGED_LABELS,
    names.MANAGED_ANNOTATIONS,
    names.WORK_NAME,
    names.WORK_NAMESPACE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkIdentity:
    """Where a Work lives, and the id that it keeps for life."""

    namespace: str
    name: str
    permanent_id: str


def work_of_binding(binding: KubeObject, template: KubeObject, identity: WorkIdentity, rules: list[AppliedRule]) -> KubeObject:
    """The Work of a template for one cluster, overrides applied; PatchError if one of them does not apply."""
    resolution = conflict_resolution(binding, template)
    marks = {
        names.BINDING_NAME: name_of(binding),
        names.BINDING_NAMESPACE: namespace_of(binding),
        names.CONFLICT_RESOLUTION: resolution,
    }
    binding_id = labels_of(binding)[names.BINDING_ID]
    manifest = without_server_fields(template)
    _annotate(manifest, marks)
    _label(manifest, {names.BINDING_ID: binding_id})
    manifest = _marked(overridden(manifest, rules), template, identity)
    annotations = dict(marks)
    if record := applied_overrides(rules):
        annotations[names.APPLIED_OVERRIDES] = record
    work = _work(identity, manifest)
    work["metadata"]["annotations"] = annotations
    work["metadata"]["labels"][names.BINDING_ID] = binding_id
    work["spec"]["suspendDispatching"] = False
    if (preserve := binding["spec"].get("preserveResourcesOnDeletion")) is not None:
        work["spec"]["preserveResourcesOnDeletion"] = preserve
    return work


def conflict_resolution(binding: KubeObject, template: KubeObject) -> str:
    """`abort` or `overwrite`: the template's annotation before the policy's word."""
    return (
        annotations_of(template).get(names.CONFLICT_RESOLUTION)
        or str(binding["spec"].get("conflictResolution") or "Abort").lower()
    )


def work_of_namespace(namespace: KubeObject, identity: WorkIdentity) -> KubeObject:
    """The Work that brings a namespace of the control plane to a cluster; it goes with the namespace and preserves nothing."""
    work = _work(identity, _marked(without_server_fields(namespace), namespace, identity))
    work["metadata"]["ownerReferences"] = [owner_reference(namespace)]
    return work


def _work(identity: WorkIdentity, manifest: KubeObject) -> KubeObject:
    return {
        "apiVersion": "work.karmada.io/v1alpha1",
        "kind": "Work",
        "metadata": {
            "name": identity.name,
            "namespace": identity.namespace,
            "labels": {names.WORK_ID: identity.permanent_id},
            "finalizers": [names.WORK_FINALIZER],
        },
        "spec": {"workload": {"manifests": [manifest]}},
    }


def without_server_fields(template: KubeObject) -> KubeObject:
    """A copy without status and without what a server keeps about the object."""
    manifest = deepcopy({field: value for field, value in template.items() if field != "status"})
    for field in _SERVER_FIELDS:
        manifest["metadata"].pop(field, None)
    return manifest


def _marked(manifest: KubeObject, template: KubeObject, identity: WorkIdentity) -> KubeObject:
    _label(manifest, {names.MANAGED: "true", names.WORK_ID: identity.permanent_id})
    marks = {names.WORK_NAME: identity.name, names.WORK_NAMESPACE: identity.namespace, names.TEMPLATE_UID: uid_of(template)}
    if generation := generation_of(template):
        marks[names.TEMPLATE_GENERATION] = str(generation)
    _annotate(manifest, marks | {names.MANAGED_LABELS: ",".join(sorted(manifest["metadata"]["labels"]))})
    managed = sorted({*manifest["metadata"]["annotations"], names.MANAGED_ANNOTATIONS})
    _annotate(manifest, {names.MANAGED_ANNOTATIONS: ",".join(managed)})
    return manifest


def _label(manifest: KubeObject, labels: Mapping[str, str]) -> None:
    manifest["metadata"]["labels"] = {**(manifest["metadata"].get("labels") or {}), **labels}


def _annotate(manifest: KubeObject, annotations: Mapping[str, str]) -> None:
    manifest["metadata"]["annotations"] = {**(manifest["metadata"].get("annotations") or {}), **annotations}


def retained(manifest: KubeObject, observed: KubeObject) -> KubeObject:
    """What to PUT over `observed`: the manifest, with labels, annotations, finalizers and owners that the member side added."""
    result = deepcopy(manifest)
    metadata = result["metadata"]
    metadata["resourceVersion"] = observed["metadata"]["resourceVersion"]
    metadata["uid"] = uid_of(observed)
    for field in _RETAINED_METADATA:
        if observed["metadata"].get(field):
            metadata[field] = deepcopy(observed["metadata"][field])
    metadata["labels"] = _merged(labels_of(observed), labels_of(manifest), _managed(observed, names.MANAGED_LABELS))
    metadata["annotations"] = _merged(
        annotations_of(observed), annotations_of(manifest), _managed(observed, names.MANAGED_ANNOTATIONS)
    )
    if "status" in observed:
        result["status"] = deepcopy(observed["status"])
    if manifest["kind"] == "Service":
        _retain_service(result["spec"], observed["spec"])
    return result


def _managed(observed: KubeObject, annotation: str) -> frozenset[str]:
    return frozenset(annotations_of(observed).get(annotation, "").split(","))


def _merged(observed: Mapping[str, str], desired: Mapping[str, str], managed: frozenset[str]) -> dict[str, str]:
    return {key: value for key, value in observed.items() if key not in managed} | dict(desired)


def _retain_service(spec: dict[str, Any], observed: Mapping[str, Any]) -> None:
    for field in ("clusterIP", "clusterIPs", "healthCheckNodePort"):
        if observed.get(field):
            spec[field] = deepcopy(observed[field])


def may_apply(manifest: KubeObject, observed: KubeObject) -> bool:
    """Whether the member's object is Karmada's already, or may be taken over."""
    if labels_of(observed).get(names.MANAGED) == "true":
        return True
    return annotations_of(manifest).get(names.CONFLICT_RESOLUTION) == "overwrite"


def conflict_message(manifest: KubeObject, cluster: str) -> str:
    """What Karmada says of an object that it may not take over."""
    where = f"{namespace_of(manifest)}/{name_of(manifest)}" if namespace_of(manifest) else name_of(manifest)
    return (
        f"resource(kind={manifest['kind']}, {where}) already exists in the cluster {cluster} and the "
        f"{names.CONFLICT_RESOLUTION} strategy value is empty, Karmada will not manage this resource"
    )


def clean_up_patch() -> dict[str, Any]:
    """The merge patch that takes Karmada's labels and annotations off a preserved object."""
    return {
        "metadata": {
            "labels": dict.fromkeys(_KARMADA_LABELS),
            "annotations": dict.fromkeys(_KARMADA_ANNOTATIONS),
        }
    }
