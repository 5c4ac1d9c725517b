"""Whether a CRD's schema is structural, so that the server can default, prune and validate by it. Checks no rule text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from fedstate.local.apiserver.objects.fielderrors import FieldError, forbidden, invalid, not_supported, required
from fedstate.local.apiserver.objects.nodes import Obj, compile_node, python_pattern
from fedstate.local.apiserver.objects.validation import value_errors

ROOT = "spec.validation.openAPIV3Schema"
_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_KEY_DEFAULT = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property"
_FORBIDDEN = (
    "$ref",
    "definitions",
    "dependencies",
    "deprecated",
    "discriminator",
    "id",
    "patternProperties",
    "readOnly",
    "writeOnly",
    "xml",
)


def structural_errors(openapi: Obj, path: str = ROOT) -> list[FieldError]:
    """What keeps `openapi` from being the schema of a CRD version; empty when nothing does."""
    errors = list(_walk(openapi, path, root=True))
    return errors or list(_default_errors(openapi, path))


def _walk(schema: Any, path: str, *, root: bool = False) -> Iterator[FieldError]:
    if not isinstance(schema, dict):
        yield invalid(path, schema, "must be a schema")
        return
    for key in _FORBIDDEN:
        if schema.get(key):
            yield forbidden(f"{path}.{key}", f"{key} is not supported")
    yield from _type_errors(schema, path, root=root)
    yield from _list_errors(schema, path)
    if schema.get("pattern") is not None:
        yield from _pattern_errors(schema["pattern"], path)
    for key in ("allOf", "anyOf", "oneOf"):
        for index, option in enumerate(schema.get(key) or ()):
            yield from _value_only(option, f"{path}.{key}[{index}]", schema)
    if schema.get("not") is not None:
        yield from _value_only(schema["not"], f"{path}.not", schema)
    yield from _children(schema, path)


def _children(schema: Obj, path: str) -> Iterator[FieldError]:
    properties, additional = schema.get("properties") or {}, schema.get("additionalProperties")
    if properties and additional:
        yield forbidden(f"{path}.additionalProperties", "additionalProperties and properties are mutual exclusive")
    if additional is False:
        yield forbidden(f"{path}.additionalProperties", "additionalProperties cannot be set to false")
    for name, child in properties.items():
        yield from _walk(child, f"{path}.properties[{name}]")
    if isinstance(additional, dict):
        yield from _walk(additional, f"{path}.additionalProperties")
    if schema.get("items") is not None:
        yield from _walk(schema["items"], f"{path}.items")


def _type_errors(schema: Obj, path: str, *, root: bool) -> Iterator[FieldError]:
    kind, loose = (
        schema.get("type") or "",
        schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-int-or-string"),
    )
    if root and kind != "object":
        if kind:
            yield invalid(f"{path}.type", kind, "must be object at the root")
        else:
            yield required(f"{path}.type", "must not be empty at the root")
    elif not kind and not loose:
        yield required(
            f"{path}.type", "must not be empty for specified object fields" if ".properties[" in path else "must not be empty"
        )
    if kind and kind not in _TYPES:
        yield not_supported(f"{path}.type", kind, _TYPES)
    if schema.get("x-kubernetes-int-or-string") and kind:
        yield invalid(f"{path}.type", kind, "must be empty if x-kubernetes-int-or-string is true")
    if kind == "array" and schema.get("items") is None:
        yield required(f"{path}.items", "must be specified")
    if schema.get("x-kubernetes-embedded-resource"):
        if kind != "object":
            yield invalid(f"{path}.type", kind, "must be object if x-kubernetes-embedded-resource is true")
        if not schema.get("x-kubernetes-preserve-unknown-fields") and not schema.get("properties"):
            yield required(
                f"{path}.properties",
                "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
            )


def _list_errors(schema: Obj, path: str) -> Iterator[FieldError]:
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or ()
    if kind is not None and schema.get("type") != "array":
        yield invalid(f"{path}.type", schema.get("type") or "", "must be array if x-kubernetes-list-type is specified")
    if kind is not None and kind not in ("atomic", "set", "map"):
        yield not_supported(f"{path}.x-kubernetes-list-type", kind, ("atomic", "map", "set"))
    if keys and kind != "map":
        yield invalid(f"{path}.x-kubernetes-list-type", kind or "", "must be map if x-kubernetes-list-map-keys is non-empty")
    if kind != "map":
        return
    if not keys:
        yield required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
    items = schema.get("items") or {}
    for key in keys:
        child = (items.get("properties") or {}).get(key)
        if child is None:
            yield invalid(
                f"{path}.x-kubernetes-list-map-keys", key, f"entries must all be names of item properties, {key!r} is not"
            )
        elif key not in (items.get("required") or ()) and "default" not in child:
            yield required(
                f"{path}.items.properties[{key}].default",
                _KEY_DEFAULT,
            )


def _pattern_errors(pattern: Any, path: str) -> Iterator[FieldError]:
    try:
        re.compile(python_pattern(pattern))
    except (re.error, TypeError, AttributeError) as error:
        yield invalid(f"{path}.pattern", pattern, f"must be a valid regular expression, but isn't: {error}")


_STRUCTURE_ONLY = ("type", "title", "description", "default", "additionalProperties", "nullable")


def _value_only(option: Any, path: str, structure: Obj) -> Iterator[FieldError]:
    """Inside allOf, anyOf, oneOf and not only values may be restricted, of fields that the structure names."""
    int_or_string = structure.get("x-kubernetes-int-or-string")
    for key in _STRUCTURE_ONLY:
        if option.get(key) not in (None, False, "") and not (key == "type" and int_or_string):
            yield forbidden(
                f"{path}.{key}", "must be empty to be structural" if key != "default" else "must be undefined to be structural"
            )
    for name, child in (option.get("properties") or {}).items():
        outside = (structure.get("properties") or {}).get(name)
        if outside is None:
            yield required(f"{path.rsplit('.', 1)[0]}.properties[{name}]", f"because it is defined in {path}.properties[{name}]")
        else:
            yield from _value_only(child, f"{path}.properties[{name}]", outside)


def _default_errors(schema: Obj, path: str) -> Iterator[FieldError]:
    if "default" in schema:
        for error in value_errors(schema["default"], compile_node(schema)):
            yield replace(error, field=f"{path}.default")
    for name, child in (schema.get("properties") or {}).items():
        yield from _default_errors(child, f"{path}.properties[{name}]")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _default_errors(schema[key], f"{path}.{key}")
