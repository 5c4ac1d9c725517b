"""Custom resources: the types that a CustomResourceDefinition defines. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fedstate.kube.objects import KubeObject
from fedstate.local.apiserver.objects import cel
from fedstate.local.apiserver.objects.fielderrors import FieldError
from fedstate.local.apiserver.objects.schema import Schema, compile_schema
from fedstate.local.apiserver.objects.tables import columns_of_crd
from fedstate.local.apiserver.registry import ResourceType, ScalePaths, version_priority
from fedstate.local.apiserver.selectors import path_reader
from fedstate.local.apiserver.strategy import Strategy, Write

_BLOCKING = frozenset(f"FieldValue{kind}" for kind in ("NotSupported", "Required", "TooLong", "TooMany", "TypeInvalid"))
"""Errors beside which kube-apiserver does not ask the CEL rules."""


class CustomStrategy(Strategy):
    """Objects of a custom kind: defaults and rules are in the definition's schema."""

    def __init__(self, schema: Schema, rules: cel.Rules) -> None:
        self._schema = schema
        self._rules = rules

    def default(self, obj: KubeObject) -> KubeObject:
        return self._schema.default(obj)

    def validate(self, obj: KubeObject, old: KubeObject | None, write: Write) -> list[FieldError]:
        found = [*super().validate(obj, old, write), *self._schema.validate(obj, old)]
        blocked = any(error.reason in _BLOCKING for error in found)
        return [*found, *(self._rules.not_checked() if blocked else self._rules.validate(obj, old))]


def custom_types(crd: KubeObject) -> list[ResourceType]:
    """A type for every served version."""
    versions = crd["spec"]["versions"]
    storage = next(version for version in versions if version.get("storage"))
    return [_custom_type(crd, version, storage) for version in versions if version.get("served")]


def _schema(crd: KubeObject, version: Mapping[str, Any]) -> Schema:
    return compile_schema(_openapi(version), keep_unknown=bool(crd["spec"].get("preserveUnknownFields")))


def _openapi(version: Mapping[str, Any]) -> dict[str, Any]:
    return (version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}


def _custom_type(crd: KubeObject, version: Mapping[str, Any], storage: Mapping[str, Any]) -> ResourceType:
    spec = crd["spec"]
    names, schema = spec["names"], _schema(crd, version)
    subresources = version.get("subresources") or {}
    fields = [item["jsonPath"].lstrip(".") for item in version.get("selectableFields") or []]
    is_storage = version["name"] == storage["name"]
    kept = schema if is_storage else _schema(crd, storage)
    return ResourceType(
        group=spec["group"], version=version["name"], plural=names["plural"], kind=names["kind"],
        strategy=CustomStrategy(schema, cel.compile_rules(_openapi(version))), namespaced=spec["scope"] == "Namespaced",
        singular=names.get("singular") or names["kind"].lower(), list_kind=names.get("listKind") or f"{names['kind']}List",
        short_names=tuple(names.get("shortNames") or ()), categories=tuple(names.get("categories") or ()),
        collection=f"{spec['group']}/{names['plural']}", storage_version=storage["name"],
        has_status="status" in subresources, scale=_scale(subresources.get("scale")), has_generation=True, custom=True,
        schema=schema, columns=columns_of_crd(dict(version)), selectable={field: path_reader(field) for field in fields},
        to_storage=None if is_storage else _converter(f"{spec['group']}/{storage['name']}", kept),
        from_storage=None if is_storage else _converter(f"{spec['group']}/{version['name']}", schema),
        deprecation=_deprecation(crd, version),
    )  # fmt: skip


def _converter(api_version: str, schema: Schema) -> Callable[[KubeObject], KubeObject]:
    """What the conversion strategy None does: another API version, and what that version's schema makes of the rest."""

    def convert(obj: KubeObject) -> KubeObject:
        pruned, _ = schema.prune({**obj, "apiVersion": api_version})
        return schema.default(pruned)

    return convert


def _deprecation(crd: KubeObject, version: Mapping[str, Any]) -> str:
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning"):
        return str(version["deprecationWarning"])
    group, kind = crd["spec"]["group"], crd["spec"]["names"]["kind"]
    said = f"{group}/{version['name']} {kind} is deprecated"
    fresh = [v["name"] for v in crd["spec"]["versions"] if v.get("served") and not v.get("deprecated")]
    newest = min(fresh, key=version_priority, default="")
    newer = newest and version_priority(newest) < version_priority(version["name"])
    return f"{said}; use {group}/{newest} {kind}" if newer else said


def _scale(paths: Mapping[str, str] | None) -> ScalePaths | None:
    if not paths:
        return None
    return ScalePaths(
        spec_replicas=paths["specReplicasPath"],
        status_replicas=paths["statusReplicasPath"],
        selector=paths.get("labelSelectorPath") or "",
    )
