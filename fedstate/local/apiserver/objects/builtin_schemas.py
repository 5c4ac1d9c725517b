"""The kinds that the API server knows without a CRD: names, schemas, defaults and rules together. Holds no objects."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from fedstate.kube.resources import Resource
from fedstate.local.apiserver.objects import builtin_rules as rules
from fedstate.local.apiserver.objects import workloads
from fedstate.local.apiserver.objects.crds import crd_errors, default_crd
from fedstate.local.apiserver.objects.definitions import definitions
from fedstate.local.apiserver.objects.fielderrors import FieldError
from fedstate.local.apiserver.objects.naming import metadata_errors
from fedstate.local.apiserver.objects.nodes import Node, Obj
from fedstate.local.apiserver.objects.policies import policy_errors
from fedstate.local.apiserver.objects.quantities import BAD_QUANTITY, canonical, canonicalised
from fedstate.local.apiserver.objects.schema import Schema, compile_schema
from fedstate.local.apiserver.objects.validation import type_of

Default = Callable[[Obj], Obj]
Rule = Callable[[Obj, Obj | None], Iterable[FieldError]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltinKind:
    """One built-in kind. `subresources` are those every object has; log, binding and eviction of pods are the server's business."""

    resource: Resource
    singular: str
    schema: Schema
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    name_rule: str = "subdomain"
    dependent_default: Default | None = None
    rule: Rule | None = None

    def default(self, obj: Obj) -> Obj:
        """The object with the defaults a real API server sets, also those that follow from other fields."""
        missing: Obj = {name: {} for name in ("spec", "status") if name in self.schema.empty and obj.get(name) is None}
        if missing:
            obj = {**obj, **missing}
        result = canonicalised(self.schema.default(obj), self.schema.root)
        return self.dependent_default(result) if self.dependent_default is not None else result

    def decode_error(self, obj: Obj) -> str | None:
        """Why the real server could not even decode the object (400), such as a string where a number belongs."""
        return _decode_error(obj, self.schema.root, "", self.resource.kind)

    def validate(self, obj: Obj, old: Obj | None = None) -> list[FieldError]:
        """Everything wrong with the object itself, metadata included, and what of `old` may not change. Looks at no other object."""
        is_definition = self.resource.group == "apiextensions.k8s.io"
        errors = metadata_errors(obj, old, name_rule=self.name_rule, any_finalizer=is_definition)
        if self.rule is not None:
            errors += self.rule(obj, old)
        return errors


def _decode_error(value: Any, node: Node, path: str, struct: str) -> str | None:
    if value is None:
        return None
    if node.format == "quantity":
        return None if _is_quantity(value) else BAD_QUANTITY
    if node.type and not _decodes(value, node):
        found = {"integer": "number", "boolean": "bool"}.get(type_of(value), type_of(value))
        return f"json: cannot unmarshal {found} into Go struct field {struct}.{path} of type {_go_type(node)}"
    if node.format == "byte" and not _is_base64(value):
        return "illegal base64 data at input byte 0"
    members: Iterable[tuple[str, Any, Node | None]] = ()
    if isinstance(value, dict):
        members = ((f"{path}.{name}" if path else name, member, node.child(name)) for name, member in value.items())
    elif isinstance(value, list):
        members = ((path, item, node.items) for item in value)
    for where, member, child in members:
        error = _decode_error(member, child, where, struct) if child is not None else None
        if error:
            return error
    return None


def _decodes(value: Any, node: Node) -> bool:
    found = type_of(value)
    return found == node.type or (node.type == "number" and found == "integer")


def _is_quantity(value: Any) -> bool:
    try:
        canonical(value)
    except ValueError:
        return False
    return True


def _is_base64(value: Any) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _go_type(node: Node) -> str:
    if node.type == "integer":
        return node.format or "int"
    if node.type == "array":
        return "[]" + (_go_type(node.items) if node.items is not None else "interface {}")
    if node.type == "object" and node.additional is not None:
        return "map[string]" + _go_type(node.additional)
    return {"boolean": "bool", "number": "float64", "object": "struct"}.get(node.type, node.type or "interface {}")


_SPEC: Obj = {"metadata": {}, "spec": {}, "status": {}}
_TEMPLATED: Obj = {
    "metadata": {},
    "spec": {"template": {"metadata": {}, "spec": {"containers": None}}, "updateStrategy": {}, "strategy": {}},
    "status": {},
}
_STATUS = ("status",)
_SCALED = ("status", "scale")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    api_version: str
    plural: str
    kind: str
    singular: str = ""
    namespaced: bool = True
    short: tuple[str, ...] = ()
    all_category: bool = False
    sub: tuple[str, ...] = ()
    names: str = "subdomain"
    empty: Obj | None = None
    default: Default | None = None
    rule: Rule | None = None


_RBAC, _ADMISSION = "rbac.authorization.k8s.io/v1", "admissionregistration.k8s.io/v1"


def _core_entries() -> Iterable[_Entry]:
    v1 = "v1"
    yield _Entry(api_version=v1, plural="configmaps", kind="ConfigMap", short=("cm",), rule=rules.config_map_errors)
    yield _Entry(api_version=v1, plural="endpoints", kind="Endpoints", singular="endpoints", short=("ep",))
    yield _Entry(api_version=v1, plural="events", kind="Event", short=("ev",), empty={"source": {}})
    yield _Entry(
        api_version=v1,
        plural="namespaces",
        kind="Namespace",
        namespaced=False,
        short=("ns",),
        sub=_STATUS,
        names="label",
        empty=_SPEC,
        default=rules.default_namespace,
    )
    yield _Entry(
        api_version=v1,
        plural="nodes",
        kind="Node",
        namespaced=False,
        short=("no",),
        sub=_STATUS,
        empty=_SPEC,
        default=rules.default_node,
        rule=rules.node_errors,
    )
    yield _Entry(
        api_version=v1,
        plural="persistentvolumeclaims",
        kind="PersistentVolumeClaim",
        short=("pvc",),
        sub=_STATUS,
        empty={"metadata": {}, "spec": {"resources": {}}, "status": {}},
        default=rules.default_phase,
        rule=rules.claim_errors,
    )
    yield _Entry(
        api_version=v1,
        plural="persistentvolumes",
        kind="PersistentVolume",
        namespaced=False,
        short=("pv",),
        sub=_STATUS,
        empty=_SPEC,
        default=rules.default_phase,
        rule=rules.volume_errors,
    )
    yield _Entry(
        api_version=v1,
        plural="pods",
        kind="Pod",
        short=("po",),
        all_category=True,
        sub=_STATUS,
        empty={"metadata": {}, "spec": {"containers": None}, "status": {}},
        default=workloads.default_pod,
        rule=workloads.pod_errors,
    )
    yield _Entry(api_version=v1, plural="secrets", kind="Secret", default=rules.default_secret, rule=rules.secret_errors)
    yield _Entry(api_version=v1, plural="serviceaccounts", kind="ServiceAccount", short=("sa",))
    yield _Entry(
        api_version=v1,
        plural="services",
        kind="Service",
        short=("svc",),
        all_category=True,
        sub=_STATUS,
        names="dns1035",
        empty={"metadata": {}, "spec": {}, "status": {"loadBalancer": {}}},
        default=rules.default_service,
        rule=rules.service_errors,
    )


def _group_entries() -> Iterable[_Entry]:
    apps = "apps/v1"
    yield _Entry(api_version=apps, plural="controllerrevisions", kind="ControllerRevision")
    yield _Entry(
        api_version=apps,
        plural="statefulsets",
        kind="StatefulSet",
        short=("sts",),
        all_category=True,
        sub=_SCALED,
        empty=_TEMPLATED,
        default=workloads.default_stateful_set,
        rule=workloads.stateful_set_errors,
    )
    for plural, kind, short in (("deployments", "Deployment", "deploy"), ("replicasets", "ReplicaSet", "rs")):
        yield _Entry(
            api_version=apps,
            plural=plural,
            kind=kind,
            short=(short,),
            all_category=True,
            sub=_SCALED,
            empty=_TEMPLATED,
            default=workloads.default_workload,
            rule=workloads.workload_errors,
        )
    yield _Entry(
        api_version="storage.k8s.io/v1",
        plural="storageclasses",
        kind="StorageClass",
        namespaced=False,
        short=("sc",),
        rule=rules.storage_class_errors,
    )
    yield _Entry(api_version="coordination.k8s.io/v1", plural="leases", kind="Lease", empty={"spec": {}}, rule=rules.lease_errors)
    yield _Entry(api_version="events.k8s.io/v1", plural="events", kind="Event", short=("ev",), rule=rules.event_errors)
    yield _Entry(
        api_version="policy/v1",
        plural="poddisruptionbudgets",
        kind="PodDisruptionBudget",
        short=("pdb",),
        sub=_STATUS,
        empty=_SPEC,
        rule=rules.budget_errors,
    )
    yield _Entry(
        api_version="discovery.k8s.io/v1", plural="endpointslices", kind="EndpointSlice", rule=rules.endpoint_slice_errors
    )


def _policy_entries() -> Iterable[_Entry]:
    for plural, kind, namespaced in (("roles", "Role", True), ("clusterroles", "ClusterRole", False)):
        yield _Entry(api_version=_RBAC, plural=plural, kind=kind, namespaced=namespaced, names="path", rule=rules.role_errors)
    for plural, kind, namespaced in (("rolebindings", "RoleBinding", True), ("clusterrolebindings", "ClusterRoleBinding", False)):
        yield _Entry(
            api_version=_RBAC,
            plural=plural,
            kind=kind,
            namespaced=namespaced,
            names="path",
            default=rules.default_role_binding,
            rule=rules.role_binding_errors,
        )
    yield _Entry(
        api_version=_ADMISSION,
        plural="validatingadmissionpolicies",
        kind="ValidatingAdmissionPolicy",
        namespaced=False,
        sub=_STATUS,
        empty=_SPEC,
        rule=policy_errors,
    )
    yield _Entry(
        api_version=_ADMISSION,
        plural="validatingadmissionpolicybindings",
        kind="ValidatingAdmissionPolicyBinding",
        namespaced=False,
        empty={"spec": {}},
    )
    yield _Entry(
        api_version="apiextensions.k8s.io/v1",
        plural="customresourcedefinitions",
        kind="CustomResourceDefinition",
        namespaced=False,
        short=("crd", "crds"),
        sub=_STATUS,
        empty={"metadata": {}, "spec": {"names": {}}, "status": {}},
        default=default_crd,
        rule=crd_errors,
    )


@cache
def builtin_kinds() -> tuple[BuiltinKind, ...]:
    """Every built-in kind, in the order of discovery."""
    return tuple(map(_built, (*_core_entries(), *_group_entries(), *_policy_entries())))


@cache
def builtin_kind(api_version: str, kind: str) -> BuiltinKind | None:
    return next((one for one in builtin_kinds() if (one.resource.api_version, one.resource.kind) == (api_version, kind)), None)


def _built(entry: _Entry) -> BuiltinKind:
    group, _, version = entry.api_version.rpartition("/")
    known = definitions()
    openapi = known.schemas[known.kinds[entry.api_version, entry.kind]]
    return BuiltinKind(
        resource=Resource(group, version, entry.plural, entry.kind, entry.namespaced),
        singular=entry.singular or entry.kind.lower(),
        schema=compile_schema(openapi, definitions=known.schemas, empty=entry.empty, resets_status="status" in entry.sub),
        short_names=entry.short,
        categories=("all",) if entry.all_category else (),
        subresources=entry.sub,
        name_rule=entry.names,
        dependent_default=entry.default,
        rule=entry.rule,
    )
