"""Whether an apply configuration fits its schema closely enough to be merged: known fields, right containers, unique keys."""

from __future__ import annotations

from typing import Any

from fedstate.local.apiserver.objects import fieldset
from fedstate.local.apiserver.objects.nodes import ANYTHING, Node, Obj


class UntypedIntent(ValueError):
    """The intent is not of the schema's type. kube-apiserver answers 500 with this message."""


def check_typed(intent: Obj, root: Node, api_version: str) -> None:
    """Raise UntypedIntent, in kube-apiserver's words, naming everything that does not fit."""
    errors: list[str] = []
    _check(intent, root, (), errors)
    if errors:
        metadata = intent.get("metadata") or {}
        where = f"{metadata.get('namespace') or ''}/{metadata.get('name') or ''}; {api_version}, Kind={intent.get('kind', '')}"
        said = errors[0] if len(errors) == 1 else "errors:\n  " + "\n  ".join(errors)
        raise UntypedIntent(f"failed to create typed patch object ({where}): {said}")


def _check(value: Any, node: Node, path: fieldset.Path, errors: list[str]) -> None:
    if value is None or node is ANYTHING:
        return
    if node.type == "object":
        if not isinstance(value, dict):
            errors.append(f"{fieldset.shown(path)}: expected map, got {_shown(value)}")
            return
        _check_members(value, node, path, errors)
    elif node.type == "array":
        if not isinstance(value, list):
            errors.append(f"{fieldset.shown(path)}: expected list, got {_shown(value)}")
            return
        _check_items(value, node, path, errors)
    elif node.type in _SCALARS and not node.int_or_string and not _is_scalar(value, node.type):
        errors.append(f"{fieldset.shown(path)}: expected {_SCALARS[node.type]}, got {_got(value, node.type)}")


_SCALARS = {"string": "string", "integer": "numeric (int or float)", "number": "numeric (int or float)", "boolean": "boolean"}


def _is_scalar(value: Any, kind: str) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind == "boolean":
        return isinstance(value, bool)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _got(value: Any, wanted: str) -> str:
    """What was found instead, in the three ways the real one prints it."""
    if wanted == "boolean":
        return _shown(value)
    if wanted == "string":
        return f"&value.valueUnstructured{{Value:{_plain(value)}}}"
    return {str: "string", bool: "boolean", list: "list", dict: "map"}.get(type(value), "null")


def _shown(value: Any) -> str:
    """As Go's %v prints the wrapped value."""
    return "&{" + _plain(value) + "}"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return "[" + " ".join(map(_plain, value)) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_plain(member)}" for key, member in sorted(value.items())) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_members(value: dict[str, Any], node: Node, path: fieldset.Path, errors: list[str]) -> None:
    embedded = node.embedded or node.preserve_unknown
    for name, member in value.items():
        child = node.child(name)
        here = (*path, "f:" + name)
        if child is None:
            if not embedded:
                errors.append(f"{fieldset.shown(here)}: field not declared in schema")
            continue
        _check(member, child, here, errors)


def _check_items(value: list[Any], node: Node, path: fieldset.Path, errors: list[str]) -> None:
    items = node.items or ANYTHING
    seen: set[str] = set()
    for index, item in enumerate(value):
        step = f"i:{index}"
        if fieldset.is_granular_list(node):
            try:
                step = fieldset.step_of(item, node)
            except ValueError as error:
                errors.append(f"{fieldset.shown(path)}: element {index}: {error}")
                continue
            if step in seen:
                errors.append(f"{fieldset.shown(path)}: duplicate entries for key {fieldset.shown((step,))}")
            seen.add(step)
        _check(item, items, (*path, step), errors)
