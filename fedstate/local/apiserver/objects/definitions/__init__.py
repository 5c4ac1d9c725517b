"""The built-in types as OpenAPI definitions, read from the text files beside this module. Knows no rules and no objects.

A line is `name[!] type attributes -- description`. Attributes: `set`, `keys=a,b` (list type map), `merge[=key]` and `retain`
(strategic merge), `atomic` or `granular` (map type), `enum=a|b`, `default=<json>`. Lists are atomic unless said otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from fedstate.local.apiserver.objects.metadata import MANAGED_FIELDS, OBJECT_META, OWNER_REFERENCE
from fedstate.local.apiserver.objects.nodes import Obj

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
CORE = "io.k8s.api.core.v1"
_FILES = ("core.txt", "apps.txt", "policy.txt")
_REF = "#/components/schemas/"
_SCALARS: dict[str, Obj] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int": {"type": "integer"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "number": {"type": "number"},
    "string:byte": {"type": "string", "format": "byte"},
    "string:date-time": {"type": "string", "format": "date-time"},
    "object": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "any": {"x-kubernetes-preserve-unknown-fields": True},
}
_SHARED = {
    "ObjectMeta": f"{META}.ObjectMeta",
    "quantity": "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "int-or-string": "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    "time": f"{META}.Time",
    "microtime": f"{META}.MicroTime",
}


@dataclass(slots=True)
class Definitions:
    """`schemas` by full name, as `components.schemas` wants them; `kinds`: (apiVersion, kind) to full name."""

    schemas: dict[str, Obj] = field(default_factory=dict)
    kinds: dict[tuple[str, str], str] = field(default_factory=dict)


@cache
def definitions() -> Definitions:
    """Every built-in type. The value is shared: read only."""
    found = Definitions(schemas=_shared_types())
    for name in _FILES:
        text = (resources.files(__package__) / name).read_text(encoding="utf-8")
        _Reader(found).read(text)
    return found


def reference(name: str) -> Obj:
    return {"$ref": _REF + name}


def _shared_types() -> dict[str, Obj]:
    time = {"type": "string", "format": "date-time", "description": "A moment, such as 2026-01-31T12:00:00Z."}
    owners = {**OBJECT_META["properties"]["ownerReferences"], "items": reference(f"{META}.OwnerReference")}
    managed = {**OBJECT_META["properties"]["managedFields"], "items": reference(f"{META}.ManagedFieldsEntry")}
    return {
        f"{META}.Time": time,
        f"{META}.MicroTime": {**time, "description": "A moment with microseconds."},
        f"{META}.OwnerReference": OWNER_REFERENCE,
        f"{META}.ManagedFieldsEntry": MANAGED_FIELDS,
        f"{META}.ObjectMeta": {
            **OBJECT_META,
            "properties": {**OBJECT_META["properties"], "ownerReferences": owners, "managedFields": managed},
        },
        f"{META}.ListMeta": {
            "description": "What every list carries.",
            "type": "object",
            "properties": {
                "continue": {"type": "string", "description": "Token for the next page; empty when there is none."},
                "remainingItemCount": {"type": "integer", "format": "int64", "description": "How many more there are."},
                "resourceVersion": {"type": "string", "description": "Version of the collection; watch from here."},
                "selfLink": {"type": "string", "description": "No longer set."},
            },
        },
        _SHARED["quantity"]: {
            "description": "A number with an optional suffix, such as 500m, 2 or 4Gi.",
            "format": "quantity",
            "oneOf": [{"type": "string"}, {"type": "number"}],
        },
        _SHARED["int-or-string"]: {
            "description": "A number, or a string such as a name or a percentage.",
            "format": "int-or-string",
            "oneOf": [{"type": "integer"}, {"type": "string"}],
        },
    }


class _Reader:
    def __init__(self, found: Definitions) -> None:
        self._found = found
        self._package = ""
        self._api_version = ""
        self._type: Obj = {}

    def read(self, text: str) -> None:
        names = set(self._names(text))
        for line in text.splitlines():
            if not line or line.startswith("#"):
                continue
            if line.startswith("package "):
                _, self._package, *versions = line.split()
                self._api_version = versions[0] if versions else ""
            elif line.startswith("  "):
                self._add_field(line.strip(), names)
            else:
                self._begin_type(line)

    @staticmethod
    def _names(text: str) -> Iterator[str]:
        package = ""
        for line in text.splitlines():
            if line.startswith("package "):
                package = line.split()[1]
            elif line and line[0].isupper():
                yield f"{package}.{line.split()[0]}"

    def _begin_type(self, line: str) -> None:
        head, _, description = line.partition(" -- ")
        name, *attributes = head.split()
        full = f"{self._package}.{name}"
        self._type = {"type": "object", "properties": {}}
        if description:
            self._type["description"] = description
        if "atomic" in attributes:
            self._type["x-kubernetes-map-type"] = "atomic"
        self._found.schemas[full] = self._type
        if "kind" in attributes:
            self._begin_kind(full, name)

    def _begin_kind(self, full: str, name: str) -> None:
        group, _, version = self._api_version.rpartition("/")
        self._found.kinds[self._api_version, name] = full
        self._type["x-kubernetes-group-version-kind"] = [{"group": group, "kind": name, "version": version}]
        self._type["properties"] |= {
            "apiVersion": {"type": "string", "description": "Group and version that the object is written in."},
            "kind": {"type": "string", "description": "What the object is."},
            "metadata": {"allOf": [reference(f"{META}.ObjectMeta")], "description": "Name, labels and the like."},
        }

    def _add_field(self, line: str, names: set[str]) -> None:
        head, _, description = line.partition(" -- ")
        name, type_name, *attributes = head.split(" ")
        if name.endswith("!"):
            name = name[:-1]
            self._type.setdefault("required", []).append(name)
        schema = self._schema_of(type_name, names)
        said = dict(_said(attributes))
        if description:
            said["description"] = description
        if said and "$ref" in schema:
            schema = {"allOf": [schema]}
        self._type["properties"][name] = {**schema, **said}

    def _schema_of(self, name: str, names: set[str]) -> Obj:
        if name.startswith("[]"):
            return {"type": "array", "items": self._schema_of(name[2:], names), "x-kubernetes-list-type": "atomic"}
        if name.startswith("{}"):
            return {"type": "object", "additionalProperties": self._schema_of(name[2:], names)}
        if name in _SCALARS:
            return dict(_SCALARS[name])
        if name in _SHARED:
            return reference(_SHARED[name])
        prefix, dot, short = name.rpartition(".")
        package = {"core": CORE, "meta": META}[prefix] if dot else self._package
        return reference(f"{package}.{short}")


def _said(attributes: list[str]) -> Iterator[tuple[str, Any]]:
    strategies = [name for name in ("merge", "retain") if any(a == name or a.startswith(name + "=") for a in attributes)]
    if strategies:
        yield "x-kubernetes-patch-strategy", ",".join("retainKeys" if name == "retain" else name for name in strategies)
    for attribute in attributes:
        word, _, value = attribute.partition("=")
        if word == "set":
            yield "x-kubernetes-list-type", "set"
        elif word == "keys":
            yield "x-kubernetes-list-type", "map"
            yield "x-kubernetes-list-map-keys", value.split(",")
        elif word == "merge" and value:
            yield "x-kubernetes-patch-merge-key", value
        elif word in ("atomic", "granular"):
            yield "x-kubernetes-map-type", word
        elif word == "enum":
            yield "enum", value.split("|")
        elif word == "default":
            yield "default", json.loads(value)
