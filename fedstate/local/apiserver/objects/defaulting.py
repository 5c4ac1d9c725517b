"""Defaults and pruning as kube-apiserver does them: pure walks that copy only along what they change."""

from __future__ import annotations

import copy
from typing import Any

from fedstate.local.apiserver.objects.metadata import OBJECT_META_NODE
from fedstate.local.apiserver.objects.nodes import STRING, Node


def defaulted(value: Any, node: Node) -> Any:
    if isinstance(value, dict):
        return _defaulted_object(value, node)
    if isinstance(value, list):
        return _defaulted_list(value, node.items)
    if type(value) is float and (node.type == "integer" or node.int_or_string) and value.is_integer():
        return int(value)
    return value


def _defaulted_object(value: dict[str, Any], node: Node) -> dict[str, Any]:
    result = value
    for name, child in node.properties.items():
        if value.get(name) is not None:
            continue
        if name not in value:
            if not child.has_default:
                continue
        elif child.nullable or child.type == "":
            continue
        if result is value:
            result = dict(value)
        if child.has_default:
            result[name] = copy.deepcopy(child.default)
        else:
            del result[name]
    return _defaulted_members(result, node)


def _defaulted_members(value: dict[str, Any], node: Node) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for name, member in value.items():
        child = node.properties.get(name, node.additional)
        if child is None or member is None:
            continue
        changed = defaulted(member, child)
        if changed is not member:
            changes[name] = changed
    return {**value, **changes} if changes else value


def _defaulted_list(value: list[Any], items: Node | None) -> list[Any]:
    if items is None:
        return value
    changed = [defaulted(item, items) for item in value]
    return changed if any(new is not old for new, old in zip(changed, value, strict=True)) else value


def pruned(value: Any, node: Node, path: str, unknown: list[str]) -> Any:
    """The value without fields that `node` does not know; their paths are added to `unknown`."""
    if isinstance(value, dict):
        return _pruned_object(value, node, path, unknown)
    if isinstance(value, list) and node.items is not None:
        items = node.items
        changed = [pruned(item, items, f"{path}[{index}]", unknown) for index, item in enumerate(value)]
        return changed if any(new is not old for new, old in zip(changed, value, strict=True)) else value
    return value


_EMBEDDED = {"apiVersion": STRING, "kind": STRING, "metadata": OBJECT_META_NODE}


def _pruned_object(value: dict[str, Any], node: Node, path: str, unknown: list[str]) -> dict[str, Any]:
    result = value
    for name, member in value.items():
        child = node.properties.get(name)
        if child is None:
            child = node.additional
        if child is None and node.embedded:
            child = _EMBEDDED.get(name)
        if child is None:
            if node.preserve_unknown:
                continue
            unknown.append(f"{path}.{name}" if path else name)
            if result is value:
                result = dict(value)
            del result[name]
            continue
        changed = pruned(member, child, f"{path}.{name}" if path else name, unknown)
        if changed is not member:
            if result is value:
                result = dict(value)
            result[name] = changed
    return result
