"""Custom resources: the types that a CustomResourceDefinition defines. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fedstate.kube.objects import KubeObject
from fedstate.local.apiserver.objects import cel
from fedstate.local.apiserver.objects.fielderrors import FieldError
from fedstate.local.apiserver.objects.schema import Schema, compile_schema
from fedstate.local.apiserver.objects.tables import columns_of_crd
from fedstate.local.apiserver.registry import ResourceType, ScalePaths
from fedstate.local.apiserver.selectors import path_reader
from fedstate.local.apiserver.strategy import Strategy, Write


class CustomStrategy(Strategy):
    """Objects of a custom kind: defaults and rules are in the definition's schema."""

    def __init__(self, schema: Schema, rules: cel.Rules) -> None:
        self._schema = schema
        self._rules = rules

    def default(self, obj: KubeObject) -> KubeObject:
        return self._schema.default(obj)

    def validate(self, obj: KubeObject, old: KubeObject | None, write: Write) -> list[FieldError]:
        found = [*super().validate(obj, old, write), *self._schema.validate(obj, old)]
        return found or self._rules.validate(obj, old)


def custom_types(crd: KubeObject) -> Iterator[ResourceType]:
    """A type for every served version."""
    spec = crd["spec"]
    storage = next(v["name"] for v in spec["versions"] if v.get("storage"))
    for version in spec["versions"]:
        if version.get("served"):
            yield _custom_type(crd, version, storage)


def _custom_type(crd: KubeObject, version: Mapping[str, Any], storage: str) -> ResourceType:
    spec = crd["spec"]
    names = spec["names"]
    openapi = (version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}
    schema = compile_schema(openapi, keep_unknown=bool(spec.get("preserveUnknownFields")))
    subresources = version.get("subresources") or {}
    fields = [item["jsonPath"].lstrip(".") for item in version.get("selectableFields") or []]
    return ResourceType(
        group=spec["group"], version=version["name"], plural=names["plural"], kind=names["kind"],
        strategy=CustomStrategy(schema, cel.compile_rules(openapi)), namespaced=spec["scope"] == "Namespaced",
        singular=names.get("singular") or names["kind"].lower(), list_kind=names.get("listKind") or f"{names['kind']}List",
        short_names=tuple(names.get("shortNames") or ()), categories=tuple(names.get("categories") or ()),
        collection=f"{spec['group']}/{names['plural']}", storage_version=storage,
        has_status="status" in subresources, scale=_scale(subresources.get("scale")), has_generation=True, custom=True,
        schema=schema, columns=columns_of_crd(dict(version)), selectable={field: path_reader(field) for field in fields},
    )  # fmt: skip


def _scale(paths: Mapping[str, str] | None) -> ScalePaths | None:
    if not paths:
        return None
    return ScalePaths(
        spec_replicas=paths["specReplicasPath"],
        status_replicas=paths["statusReplicasPath"],
        selector=paths.get("labelSelectorPath") or "",
    )
