"""JSON values as CEL sees them through a schema: numbers of the right kind, times and durations, escaped names."""

from __future__ import annotations

import base64
import re
from datetime import datetime, timedelta
from typing import Any

from fedstate.local.apiserver.objects.nodes import Node

_ESCAPES = {".": "__dot__", "-": "__dash__", "/": "__slash__"}
_RESERVED = frozenset(
    ("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop")
    + ("package", "namespace", "return", "var", "void", "while")
)
_DURATION_PART = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def signature_of(node: Node) -> str:
    """The CEL type of a node; objects with named fields are dyn, their fields are checked by name instead."""
    if node.int_or_string:
        return "dyn"
    if node.type == "array":
        return f"list({signature_of(node.items) if node.items is not None else 'dyn'})"
    if node.type == "object" and not node.properties and node.additional is not None:
        return f"map({signature_of(node.additional)})"
    if node.type == "string":
        return {"date-time": "timestamp", "date": "timestamp", "duration": "duration", "byte": "bytes"}.get(node.format, "string")
    return {"integer": "int", "number": "double", "boolean": "bool"}.get(node.type, "dyn")


def escaped(name: str) -> str:
    """The name of a field in an expression, such as `my__dash__field`."""
    if name in _RESERVED:
        return f"__{name}__"
    text = name.replace("__", "__underscores__")
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text


def cel_value(value: Any, node: Node, *, alone: bool = True) -> Any:
    """`value` for the engine. A value of the wrong type is passed as it is: validation complains of it elsewhere.

    The engine takes times, durations and bytes only where the variable itself is one; within an object they stay text.
    """
    if isinstance(value, dict):
        return {_key(name, node): cel_value(member, node.child(name) or _UNTYPED, alone=False) for name, member in value.items()}
    if isinstance(value, list):
        items = node.items or _UNTYPED
        return [cel_value(item, items, alone=False) for item in value]
    if isinstance(value, str) and node.format and not node.int_or_string:
        return _formatted(value, node.format) if alone else value
    if node.type == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _key(name: str, node: Node) -> str:
    return escaped(name) if name in node.properties else name


def _formatted(text: str, name: str) -> Any:
    try:
        if name == "date-time":
            return datetime.fromisoformat(text.upper())
        if name == "duration":
            return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text)))
        if name == "byte":
            return base64.b64decode(text)
    except ValueError:
        pass
    return text


_UNTYPED = Node(preserve_unknown=True)
