"""Strategic merge: how a patch of a built-in kind is laid over an object, by merge keys and `$` directives.

The rules are those of apimachinery's strategicpatch.StrategicMergeMapPatch.
"""

from __future__ import annotations

from typing import Any

from fedstate.local.apiserver.objects.nodes import ANYTHING, Node

_DIRECTIVE = "$patch"
_DELETE_PREFIX = "$deleteFromPrimitiveList/"
_ORDER_PREFIX = "$setElementOrder/"
_RETAIN = "$retainKeys"


class UnknownDirective(ValueError):
    """A `$patch` that is none of replace, merge and delete."""


def merged(original: dict[str, Any], patch: dict[str, Any], node: Node) -> dict[str, Any]:
    """`original` with `patch` merged into it; neither is changed."""
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        replaced: dict[str, Any] = _clean({key: value for key, value in patch.items() if key != _DIRECTIVE})
        return replaced
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise UnknownDirective(f"unknown patch type: {directive} in map: {_go_map(patch)}")
    result = _retained(original, patch.get(_RETAIN))
    for name, value in patch.items():
        if name in (_DIRECTIVE, _RETAIN) or name.startswith((_ORDER_PREFIX, _DELETE_PREFIX)):
            continue
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged_member(result.get(name), value, _member_node(node, name), patch, name)
    for name in patch:
        if name.startswith(_DELETE_PREFIX):
            _delete_primitives(result, name.removeprefix(_DELETE_PREFIX), patch[name])
        elif name.startswith(_ORDER_PREFIX):
            _reorder(result, name.removeprefix(_ORDER_PREFIX), patch, node)
    return result


def _go_map(patch: dict[str, Any]) -> str:
    return "map[" + " ".join(f"{key}:{value}" for key, value in sorted(patch.items())) + "]"


def _retained(original: dict[str, Any], keys: list[str] | None) -> dict[str, Any]:
    return dict(original) if keys is None else {key: value for key, value in original.items() if key in keys}


def _member_node(node: Node, name: str) -> Node:
    return node.properties.get(name) or node.additional or ANYTHING


def _merged_member(old: Any, value: Any, node: Node, patch: dict[str, Any], name: str) -> Any:
    if isinstance(value, dict):
        if "replace" in node.merge_strategies and _DIRECTIVE not in value:
            return _clean(value)
        return merged(old if isinstance(old, dict) else {}, value, node)
    if isinstance(value, list):
        if "merge" in node.merge_strategies:
            return _merged_list(old if isinstance(old, list) else [], value, node)
        return _clean(value)
    return value


def _merged_list(old: list[Any], patch: list[Any], node: Node) -> list[Any]:
    if not node.merge_key:
        return _without_repeats(old + patch)
    directives = [item for item in patch if isinstance(item, dict) and _DIRECTIVE in item]
    if any(item[_DIRECTIVE] == "replace" for item in directives):
        replaced: list[Any] = _clean([item for item in patch if item.get(_DIRECTIVE) != "replace" or len(item) > 1])
        return replaced
    deleted = [item.get(node.merge_key) for item in directives if item[_DIRECTIVE] == "delete"]
    result = [item for item in old if not isinstance(item, dict) or item.get(node.merge_key) not in deleted]
    for item in patch:
        if isinstance(item, dict) and item.get(_DIRECTIVE) == "delete":
            continue
        _merge_item(result, item, node)
    return result


def _merge_item(result: list[Any], item: dict[str, Any], node: Node) -> None:
    items = node.items or ANYTHING
    for index, existing in enumerate(result):
        if isinstance(existing, dict) and existing.get(node.merge_key) == item.get(node.merge_key):
            result[index] = merged(existing, item, items)
            return
    result.append(merged({}, item, items))


def _without_repeats(items: list[Any]) -> list[Any]:
    result: list[Any] = []
    for item in items:
        if item not in result:
            result.append(item)
    return result


def _delete_primitives(result: dict[str, Any], name: str, gone: list[Any]) -> None:
    if isinstance(result.get(name), list):
        result[name] = [item for item in result[name] if item not in gone]


def _reorder(result: dict[str, Any], name: str, patch: dict[str, Any], node: Node) -> None:
    """Items named by the patch take the patch's order; the others keep their places among them."""
    items = result.get(name)
    if not isinstance(items, list):
        return
    key = _member_node(node, name).merge_key
    order = [entry.get(key) if isinstance(entry, dict) else entry for entry in patch[_ORDER_PREFIX + name]]

    def identity(item: Any) -> Any:
        return item.get(key) if isinstance(item, dict) else item

    named = sorted((item for item in items if identity(item) in order), key=lambda item: order.index(identity(item)))
    merged_items: list[Any] = []
    for item in items:
        if identity(item) in order:
            continue
        before = items[: items.index(item)]
        while named and named[0] in before:
            merged_items.append(named.pop(0))
        merged_items.append(item)
    result[name] = merged_items + named


def _clean(value: Any) -> Any:
    """A patch value taken as it is: without nulls and without directives."""
    if isinstance(value, dict):
        return {key: _clean(member) for key, member in value.items() if member is not None and not key.startswith("$")}
    if isinstance(value, list):
        return [_clean(item) for item in value if not (isinstance(item, dict) and item.get(_DIRECTIVE) == "delete")]
    return value
