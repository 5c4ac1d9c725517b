"""Whether a built-in object could be decoded into its Go type: the real server answers 400 before it looks any closer."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any

from fedstate.local.apiserver.objects.nodes import Node
from fedstate.local.apiserver.objects.quantities import BAD_QUANTITY, canonical
from fedstate.local.apiserver.objects.validation import type_of


def decode_error(value: Any, node: Node, path: str, struct: str) -> str | None:
    """Why Go could not decode `value`, found at `path` of a `struct`, as encoding/json says it; None if it could."""
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
        error = decode_error(member, child, where, struct) if child is not None else None
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
