"""Custom resources: the types that a CustomResourceDefinition defines, and what may be wrong with one. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fedstate.kube.objects import KubeObject, name_of
from fedstate.local.apiserver.meta import SUBDOMAIN_RULE
from fedstate.local.apiserver.objects import cel
from fedstate.local.apiserver.objects.fielderrors import FieldError, duplicate, invalid, required
from fedstate.local.apiserver.objects.schema import Schema, compile_schema, structural_errors
from fedstate.local.apiserver.objects.tables import columns_of_crd
from fedstate.local.apiserver.registry import ResourceType, ScalePaths
from fedstate.local.apiserver.selectors import path_reader
from fedstate.local.apiserver.strategy import Strategy, Write

_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_GROUP = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class CustomStrategy(Strategy):
    """Objects of a custom kind: defaults and rules are in the definition's schema."""

    def __init__(self, schema: Schema, rules: cel.Rules) -> None:
        self._schema = schema
        self._rules = rules

    def default(self, obj: KubeObject) -> KubeObject:
        return self._schema.default(obj)

    def validate(self, obj: KubeObject, old: KubeObject | None, write: Write) -> list[FieldError]:
        found = self._schema.validate(obj, old)
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


def definition_errors(crd: KubeObject, old: KubeObject | None) -> list[FieldError]:
    """What is wrong with a definition beyond the types of its fields."""
    spec = crd.get("spec")
    if not isinstance(spec, dict) or not isinstance(spec.get("names"), dict):
        return [required("spec.names")] if isinstance(spec, dict) else [required("spec")]
    errors = _name_errors(crd, spec)
    errors += _version_errors(spec)
    if old is not None:
        errors += _fixed_errors(spec, old["spec"])
    return errors


def _name_errors(crd: KubeObject, spec: Mapping[str, Any]) -> list[FieldError]:
    names, group = spec["names"], str(spec.get("group") or "")
    errors: list[FieldError] = []
    if not group:
        errors.append(required("spec.group"))
    elif not _GROUP.fullmatch(group):
        errors.append(invalid("spec.group", group, SUBDOMAIN_RULE))
    elif "." not in group:
        errors.append(invalid("spec.group", group, "should be a domain with at least one dot"))
    if spec.get("scope") not in ("Namespaced", "Cluster"):
        errors.append(required("spec.scope"))
    errors += [required(f"spec.names.{field}") for field in ("plural", "kind") if not names.get(field)]
    expected = f"{names.get('plural')}.{group}"
    if name_of(crd) != expected:
        errors.append(invalid("metadata.name", name_of(crd), 'must be spec.names.plural+"."+spec.group'))
    for field in ("plural", "singular"):
        if names.get(field) and not _LABEL.fullmatch(str(names[field])):
            errors.append(invalid(f"spec.names.{field}", names[field], "a DNS-1035 label must consist of lower case alphanumeric characters or '-'"))
    return errors


def _version_errors(spec: Mapping[str, Any]) -> list[FieldError]:
    versions = [version for version in spec.get("versions") or [] if isinstance(version, dict)]
    errors: list[FieldError] = []
    if not versions:
        errors.append(invalid("spec.versions", [], "must have at least one version"))
    elif sum(bool(version.get("storage")) for version in versions) != 1:
        errors.append(invalid("spec.versions", [v.get("name") for v in versions], "must have exactly one version marked as storage version"))
    seen = set()
    for index, version in enumerate(versions):
        where = f"spec.versions[{index}]"
        if version.get("name") in seen:
            errors.append(duplicate(f"{where}.name", version["name"]))
        seen.add(version.get("name"))
        openapi = (version.get("schema") or {}).get("openAPIV3Schema")
        if not isinstance(openapi, dict):
            errors.append(required(f"{where}.schema.openAPIV3Schema", "schemas are required"))
            continue
        path = f"{where}.schema.openAPIV3Schema"
        found = structural_errors(openapi, path)
        errors += found or cel.rule_errors(openapi, path)
    return errors


def _fixed_errors(spec: Mapping[str, Any], before: Mapping[str, Any]) -> list[FieldError]:
    """Fields that may not change once the definition is established."""
    pairs = [
        ("spec.group", spec.get("group"), before["group"]),
        ("spec.scope", spec.get("scope"), before["scope"]),
        ("spec.names.kind", spec["names"].get("kind"), before["names"]["kind"]),
        ("spec.names.plural", spec["names"].get("plural"), before["names"]["plural"]),
    ]
    return [invalid(field, new, "field is immutable") for field, new, old in pairs if new != old]
