"""What a value breaks of its schema, in kube-apiserver's words and order. Defaults, pruning and CEL are elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fedstate.local.apiserver.objects import formats
from fedstate.local.apiserver.objects.fielderrors import (
    FieldError,
    duplicate,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
    type_invalid,
)
from fedstate.local.apiserver.objects.nodes import Limits, Node

_INTEGER_RANGES = {
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}


def value_errors(value: Any, node: Node) -> list[FieldError]:
    """Every error of a whole object."""
    return list(_errors(value, node, ""))


def transition_errors(errors: list[FieldError], obj: Any, old: Any) -> list[FieldError]:
    """The errors without those about a value that `old` already had at the same place (validation ratcheting)."""
    return [error for error in errors if not _same_at(error.field, obj, old)]


def _same_at(field: str, obj: Any, old: Any) -> bool:
    if field in ("", "<nil>"):
        return False
    absent = object()
    for step in field.replace("[", ".[").split("."):
        if step.startswith("["):
            index = int(step[1:-1])
            obj = obj[index] if isinstance(obj, list) and index < len(obj) else absent
            old = old[index] if isinstance(old, list) and index < len(old) else absent
        else:
            obj = obj.get(step, absent) if isinstance(obj, dict) else absent
            old = old.get(step, absent) if isinstance(old, dict) else absent
        if old is absent:
            return False
    return obj is not absent and bool(obj == old)


def type_of(value: Any) -> str:
    """The JSON type as OpenAPI names it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    return "array" if isinstance(value, list) else "object"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _errors(value: Any, node: Node, path: str) -> Iterator[FieldError]:
    found = type_of(value)
    if found == "null" and (node.nullable or not (node.type or node.int_or_string)):
        return
    wrong = _type_error(found, node, path)
    if wrong is not None:
        yield wrong
        if found == "number" and node.type == "integer":
            yield _unlocated(f"Checked value must be of type integer (default format) in {path}")
        return
    if node.enum is not None and value not in node.enum:
        yield not_supported(path, value, node.enum)
    if node.limits is not None:
        yield from _limit_errors(value, node.limits, path)
    if node.format:
        yield from _format_errors(value, node, path)
    if found == "object":
        yield from _object_errors(value, node, path)
    elif found == "array":
        yield from _list_errors(value, node, path)
    if node.any_of or node.one_of or node.all_of or node.negated is not None:
        yield from _combination_errors(value, node, path)


def _unlocated(text: str) -> FieldError:
    return invalid("<nil>", "", text)


def _type_error(found: str, node: Node, path: str) -> FieldError | None:
    if node.int_or_string:
        wanted: tuple[str, ...] = ("integer", "string")
    elif node.type:
        wanted = (node.type,)
    else:
        return None
    if found in wanted or (found == "integer" and node.type == "number"):
        return None
    return type_invalid(path, found, f"{path} in body must be of type {','.join(wanted)}: {json.dumps(found)}")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e21 else str(value)


def _limit_errors(value: Any, limits: Limits, path: str) -> Iterator[FieldError]:
    if isinstance(value, str):
        yield from _string_errors(value, limits, path)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _number_errors(value, limits, path)
    elif isinstance(value, list):
        if limits.min_items is not None and len(value) < limits.min_items:
            yield invalid(path, len(value), f"{path} in body should have at least {limits.min_items} items")
        if limits.max_items is not None and len(value) > limits.max_items:
            yield too_many(path, len(value), limits.max_items)
        if limits.unique_items and len({json.dumps(item, sort_keys=True) for item in value}) < len(value):
            yield invalid(path, "", f"{path} in body shouldn't contain duplicates")
    elif isinstance(value, dict):
        if limits.min_properties is not None and len(value) < limits.min_properties:
            yield invalid(path, len(value), f"{path} in body should have at least {limits.min_properties} properties")
        if limits.max_properties is not None and len(value) > limits.max_properties:
            yield too_many(path, len(value), limits.max_properties)


def _string_errors(value: str, limits: Limits, path: str) -> Iterator[FieldError]:
    if limits.max_length is not None and len(value) > limits.max_length:
        yield too_long(path, limits.max_length)
    if limits.min_length is not None and len(value) < limits.min_length:
        yield invalid(path, value, f"{path} in body should be at least {limits.min_length} chars long")
    if limits.matcher is not None and not limits.matcher.search(value):
        yield invalid(path, value, f"{path} in body should match '{limits.pattern}'")


def _number_errors(value: float, limits: Limits, path: str) -> Iterator[FieldError]:
    factor = limits.multiple_of
    if factor and abs(value / factor - round(value / factor)) > 1e-9:
        yield invalid(path, value, f"{path} in body should be a multiple of {_number(factor)}")
    if limits.maximum is not None and (value > limits.maximum or (limits.exclusive_maximum and value == limits.maximum)):
        words = "less than" if limits.exclusive_maximum else "less than or equal to"
        yield invalid(path, value, f"{path} in body should be {words} {_number(limits.maximum)}")
    if limits.minimum is not None and (value < limits.minimum or (limits.exclusive_minimum and value == limits.minimum)):
        words = "greater than" if limits.exclusive_minimum else "greater than or equal to"
        yield invalid(path, value, f"{path} in body should be {words} {_number(limits.minimum)}")


def _format_errors(value: Any, node: Node, path: str) -> Iterator[FieldError]:
    if isinstance(value, str):
        if not formats.matches(node.format, value):
            yield type_invalid(path, value, f"{path} in body must be of type {node.format}: {json.dumps(value)}")
    elif node.type == "integer" and node.format in _INTEGER_RANGES:
        low, high = _INTEGER_RANGES[node.format]
        if not low <= value <= high:
            yield _unlocated(f"Checked value must be of type integer with format {node.format} in {path}")


def _object_errors(value: dict[str, Any], node: Node, path: str) -> Iterator[FieldError]:
    for name in node.required:
        if name not in value:
            yield required(_join(path, name))
    if node.embedded:
        for name in ("apiVersion", "kind"):
            if name not in node.required and not value.get(name):
                yield required(_join(path, name))
    for name, member in value.items():
        child = node.properties.get(name, node.additional)
        if child is not None:
            yield from _errors(member, child, _join(path, name))


def _list_errors(value: list[Any], node: Node, path: str) -> Iterator[FieldError]:
    items = node.items
    if items is not None:
        for index, item in enumerate(value):
            yield from _errors(item, items, f"{path}[{index}]")
    if node.list_type not in ("set", "map"):
        return
    seen: set[str] = set()
    for index, item in enumerate(value):
        shown = {key: item.get(key) for key in node.list_keys if key in item} if _is_keyed(item, node) else item
        identity = json.dumps(shown, sort_keys=True)
        if identity in seen:
            yield duplicate(f"{path}[{index}]", shown)
        seen.add(identity)


def _is_keyed(item: Any, node: Node) -> bool:
    return node.list_type == "map" and isinstance(item, dict)


def _combination_errors(value: Any, node: Node, path: str) -> Iterator[FieldError]:
    quoted = json.dumps(path)
    if node.any_of:
        tries = [list(_errors(value, option, path)) for option in node.any_of]
        if all(tries):
            yield _unlocated(f"{quoted} must validate at least one schema (anyOf)")
            yield from tries[0]
    if node.one_of:
        tries = [list(_errors(value, option, path)) for option in node.one_of]
        valid = sum(1 for errors in tries if not errors)
        if valid == 0:
            yield _unlocated(f"{quoted} must validate one and only one schema (oneOf). Found none valid")
            yield from tries[0]
        elif valid > 1:
            yield _unlocated(f"{quoted} must validate one and only one schema (oneOf). Found {valid} valid alternatives")
    if node.all_of:
        broken = [error for option in node.all_of for error in _errors(value, option, path)]
        if broken:
            yield from broken
            yield _unlocated(f"{quoted} must validate all the schemas (allOf)")
    if node.negated is not None and not list(_errors(value, node.negated, path)):
        yield _unlocated(f"{quoted} must not validate the schema (not)")
