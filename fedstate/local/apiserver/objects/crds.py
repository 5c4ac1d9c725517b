"""Rules and defaults of CustomResourceDefinitions. The schema inside is judged by structural.py, its CEL rules by cel.py."""

from __future__ import annotations

from collections.abc import Iterator

from fedstate.local.apiserver.objects.fielderrors import FieldError, invalid, not_supported, required
from fedstate.local.apiserver.objects.naming import dns1035_errors, subdomain_errors
from fedstate.local.apiserver.objects.nodes import Obj
from fedstate.local.apiserver.objects.structural import ROOT, structural_errors

_FIXED = "field is immutable"


def default_crd(crd: Obj) -> Obj:
    """Singular and list names that follow from the kind."""
    spec = crd.get("spec") or {}
    names = dict(spec.get("names") or {})
    if names.get("kind"):
        names.setdefault("singular", str(names["kind"]).lower())
        names.setdefault("listKind", f"{names['kind']}List")
    return {**crd, "spec": {**spec, "names": names}}


def crd_errors(crd: Obj, old: Obj | None = None) -> Iterator[FieldError]:
    """Everything wrong with the definition, the schemas of its versions and their CEL rules included."""
    spec = crd.get("spec") or {}
    names, group = spec.get("names") or {}, spec.get("group") or ""
    wanted = f"{names.get('plural') or ''}.{group}"
    name = (crd.get("metadata") or {}).get("name") or ""
    if name != wanted:
        yield invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    yield from _name_errors(names, group)
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        yield not_supported("spec.scope", spec.get("scope") or "", ("Cluster", "Namespaced"))
    yield from _version_list_errors(spec.get("versions") or [])
    unchanged = old is not None and (old.get("spec") or {}).get("versions") == spec.get("versions")
    if not unchanged:
        versions = spec.get("versions") or ()
        for index, version in enumerate(versions):
            path = f"spec.versions[{index}]"
            # The real server keeps the schema of a single version in a field of its old API, and speaks of that.
            where = ROOT if len(versions) == 1 else f"{path}.schema.openAPIV3Schema"
            yield from _version_errors(version, path, where)
    if old is not None:
        yield from _change_errors(spec, old.get("spec") or {})


def _name_errors(names: Obj, group: str) -> Iterator[FieldError]:
    if not group:
        yield required("spec.group")
    elif "." not in group:
        yield invalid("spec.group", group, "should be a domain with at least one dot")
    else:
        yield from (invalid("spec.group", group, why) for why in subdomain_errors(group))
    for field in ("plural", "kind"):
        if not names.get(field):
            yield required(f"spec.names.{field}")
    for field in ("plural", "singular"):
        if names.get(field):
            yield from (invalid(f"spec.names.{field}", names[field], why) for why in dns1035_errors(names[field]))
    if names.get("kind"):
        yield from (
            invalid("spec.names.kind", names["kind"], "may have mixed case, but should otherwise match: " + why)
            for why in dns1035_errors(names["kind"].lower())
        )


def _version_list_errors(versions: list[Obj]) -> Iterator[FieldError]:
    stored = [version for version in versions if version.get("storage")]
    if len(stored) != 1:
        yield invalid("spec.versions", versions, "must have exactly one version marked as storage version")
    seen = [version.get("name") for version in versions]
    if len(set(seen)) < len(seen):
        yield invalid("spec.versions", versions, "must contain unique version names")


def _version_errors(version: Obj, path: str, where: str) -> Iterator[FieldError]:
    if not version.get("name"):
        yield required(f"{path}.name")
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is None:
        yield required(where, "schemas are required")
        return
    errors = structural_errors(schema, where)
    yield from errors or _rule_errors(schema, where)
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        yield from _column_errors(column, f"{path}.additionalPrinterColumns[{index}]")


def _rule_errors(schema: Obj, where: str) -> list[FieldError]:
    """The engine is loaded only when the first definition is judged."""
    from fedstate.local.apiserver.objects.cel import rule_errors

    return rule_errors(schema, where)


def _column_errors(column: Obj, path: str) -> Iterator[FieldError]:
    types = ("integer", "number", "string", "boolean", "date")
    for field in ("name", "type", "jsonPath"):
        if not column.get(field):
            yield required(f"{path}.{field}")
    if column.get("type") and column["type"] not in types:
        yield invalid(f"{path}.type", column["type"], f"must be one of {','.join(sorted(types))}")
    if column.get("jsonPath") and not str(column["jsonPath"]).startswith("."):
        yield invalid(f"{path}.jsonPath", column["jsonPath"], "is an invalid JSON path: JSON path must start with `.`")


def _change_errors(spec: Obj, old: Obj) -> Iterator[FieldError]:
    for field in ("group", "scope"):
        if spec.get(field) != old.get(field):
            yield invalid(f"spec.{field}", spec.get(field), _FIXED)
    names, before = spec.get("names") or {}, old.get("names") or {}
    for field in ("plural", "kind"):
        if names.get(field) != before.get(field):
            yield invalid(f"spec.names.{field}", names.get(field), _FIXED)
