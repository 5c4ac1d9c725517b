"""Sets of field paths: what a value sets, how two values differ, and the `fieldsV1` form of managed fields.

A path is a tuple of steps as fieldsV1 writes them (`f:spec`, `k:{"name":"x"}`, `v:"a"`, `i:0`); a set is a frozenset of paths.
The rules are those of sigs.k8s.io/structured-merge-diff (typed.ToFieldSet, typed.Compare, typed.Merge, typed.RemoveItems).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from fedstate.local.apiserver.objects.nodes import ANYTHING, Node

Path: TypeAlias = tuple[str, ...]
FieldSet: TypeAlias = frozenset[Path]

ABSENT: Any = object()


def to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def in_order(fields: Iterable[Path]) -> list[Path]:
    """Paths as structured-merge-diff lists them: at each level first the ones that end there."""
    return sorted(fields, key=lambda path: tuple((depth < len(path) - 1, step) for depth, step in enumerate(path)))


def is_granular_list(node: Node) -> bool:
    return node.list_type in ("set", "map")


def step_of(item: Any, node: Node) -> str:
    """The step that names an item of a set or a map-like list; ValueError if the item lacks its keys."""
    if node.list_type == "set":
        return "v:" + to_json(item)
    if not isinstance(item, Mapping):
        raise ValueError("associative list with keys may not have non-map elements")  # noqa: TRY004 - the caller words it
    keys: dict[str, Any] = {}
    for key in node.list_keys:
        value = item.get(key)
        if value is None:
            described = node.items.properties.get(key) if node.items is not None else None
            if described is not None and described.has_default:
                keys[key] = described.default
        else:
            keys[key] = value
    if not keys:
        raise ValueError(
            "associative list with keys has an element that omits all key fields "
            f"{_names(node.list_keys)} (and doesn't have default values for any key fields)"
        )
    return "k:" + to_json(keys)


def _names(keys: Iterable[str]) -> str:
    return "[" + " ".join(f'"{key}"' for key in keys) + "]"


def child_node(node: Node, name: str) -> Node:
    return node.properties.get(name) or node.additional or ANYTHING


def fields_of(value: Any, node: Node) -> FieldSet:
    """Every path that `value`, taken as the configuration of somebody, claims."""
    found: set[Path] = set()
    _collect(value, node, (), found)
    return frozenset(found)


def _collect(value: Any, node: Node, path: Path, found: set[Path]) -> None:
    if isinstance(value, dict) and not node.atomic_map:
        for name, member in value.items():
            here = (*path, "f:" + name)
            _collect(member, child_node(node, name), here, found)
            if member is None or member == {} or name not in node.properties:
                found.add(here)
    elif isinstance(value, list) and is_granular_list(node):
        for item in value:
            here = (*path, step_of(item, node))
            _collect(item, node.items or ANYTHING, here, found)
            found.add(here)
    else:
        found.add(path)


@dataclass(slots=True)
class Comparison:
    added: set[Path]
    modified: set[Path]
    removed: set[Path]


def compare(old: Any, new: Any, node: Node) -> Comparison:
    """What changed from `old` to `new`, in paths; ABSENT stands for no value at all."""
    comparison = Comparison(set(), set(), set())
    _compare(old, new, node, (), comparison)
    return comparison


def _compare(old: Any, new: Any, node: Node, path: Path, out: Comparison) -> None:
    if old is not ABSENT and new is not ABSENT and (old is new or (type(old) is type(new) and old == new)):
        return
    granular = [kind for kind in (_granular_kind(old, node), _granular_kind(new, node)) if kind]
    if not granular or (not old and not new and old is not ABSENT and new is not ABSENT):
        _compare_leaf(old, new, path, out)
        return
    if old is ABSENT or new is ABSENT:
        if not (new if old is ABSENT else old):
            _compare_leaf(old, new, path, out)
            return
        (out.added if old is ABSENT else out.removed).add(path)
    elif _is_leaf(old, node) or _is_leaf(new, node):
        out.modified.add(path)
    for step, before, after, child in _pairs(old, new, node):
        _compare(before, after, child, (*path, step), out)


def _granular_kind(value: Any, node: Node) -> str:
    if isinstance(value, dict) and not node.atomic_map:
        return "map"
    return "list" if isinstance(value, list) and is_granular_list(node) else ""


def _is_leaf(value: Any, node: Node) -> bool:
    return value is not None and not _granular_kind(value, node)


def _compare_leaf(old: Any, new: Any, path: Path, out: Comparison) -> None:
    if old is ABSENT:
        out.added.add(path)
    elif new is ABSENT:
        out.removed.add(path)
    else:
        out.modified.add(path)


def _pairs(old: Any, new: Any, node: Node) -> Iterator[tuple[str, Any, Any, Node]]:
    before, after = dict(members(old, node)), dict(members(new, node))
    for step in {**before, **after}:
        child = child_node(node, step[2:]) if step.startswith("f:") else node.items or ANYTHING
        yield step, before.get(step, ABSENT), after.get(step, ABSENT), child


def members(value: Any, node: Node) -> Iterator[tuple[str, Any]]:
    """(step, member) of a granular map or list; nothing of anything else."""
    if isinstance(value, dict) and not node.atomic_map:
        for name, member in value.items():
            yield "f:" + name, member
    elif isinstance(value, list) and is_granular_list(node):
        for item in value:
            yield step_of(item, node), item


def merge(old: Any, new: Any, node: Node) -> Any:
    """`old` with what `new` says laid over it; items of granular lists keep the order of `new` where both have them."""
    if isinstance(old, dict) and isinstance(new, dict) and not node.atomic_map:
        result = dict(old)
        for name, member in new.items():
            result[name] = merge(old[name], member, child_node(node, name)) if name in old else member
        return result
    if isinstance(old, list) and isinstance(new, list) and is_granular_list(node):
        return _merge_lists(old, new, node)
    # A null says nothing about the members of a container, so they stay.
    return old if new is None and old and _granular_kind(old, node) else new


def _merge_lists(old: list[Any], new: list[Any], node: Node) -> list[Any]:
    """Items only `old` has come as early as they stood; the order of shared items is that of `new`."""
    items = node.items or ANYTHING
    before, after = dict(members(old, node)), dict(members(new, node))
    live, wanted = list(before), list(after)
    shared = [step for step in wanted if step in before]
    merged: list[Any] = []
    position = 0
    for step in wanted:
        next_shared = shared[0] if shared else None
        while position < len(live) and live[position] != step:
            if live[position] not in after:
                merged.append(before[live[position]])
            elif live[position] == next_shared:
                break
            position += 1
        if step == next_shared:
            shared.pop(0)
            position += position < len(live) and live[position] == step
        merged.append(merge(before[step], after[step], items) if step in before else after[step])
    return merged + [before[step] for step in live[position:] if step not in after]


def remove(value: Any, node: Node, gone: FieldSet) -> Any:
    """`value` without the items at the paths of `gone`; a container that is not itself among them stays, if need be empty."""
    below: dict[str, set[Path]] = {}
    for path in gone:
        if path:
            below.setdefault(path[0], set()).add(path[1:])
    return _remove(value, node, below)


def _remove(value: Any, node: Node, below: Mapping[str, set[Path]]) -> Any:
    granular = _granular_kind(value, node)
    if not granular or not value:
        return value
    kept: list[tuple[str, Any]] = []
    for step, member in members(value, node):
        inner = below.get(step)
        if inner is None:
            kept.append((step, member))
            continue
        if () in inner:
            continue
        child = child_node(node, step[2:]) if granular == "map" else node.items or ANYTHING
        kept.append((step, remove(member, child, frozenset(inner))))
    return {step[2:]: member for step, member in kept} if granular == "map" else [member for _, member in kept]


def with_named_fields(fields: FieldSet, node: Node) -> FieldSet:
    """`fields` and every struct field (one the schema names) on the way to one of them."""
    result = set(fields)
    for path in fields:
        here: Node = node
        for depth, step in enumerate(path[:-1]):
            if step.startswith("f:"):
                if step[2:] in here.properties:
                    result.add(path[: depth + 1])
                here = child_node(here, step[2:])
            else:
                here = here.items or ANYTHING
    return frozenset(result)


def encode(fields: Iterable[Path]) -> dict[str, Any]:
    """The `fieldsV1` object of a set."""
    root: dict[str, Any] = {}
    for path in sorted(fields):
        here = root
        for step in path:
            here = here.setdefault(step, {})
        here["."] = {}
    return _without_lone_dots(root)


def _without_lone_dots(tree: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for step in sorted(tree, key=lambda step: (step != ".", step)):
        child = tree[step]
        result[step] = {} if child.keys() <= {"."} else _without_lone_dots(child)
    return result


def decode(fields_v1: Mapping[str, Any]) -> FieldSet:
    """The set that a `fieldsV1` object means."""
    found: set[Path] = set()
    _decode(fields_v1, (), found)
    return frozenset(found)


def _decode(tree: Mapping[str, Any], path: Path, found: set[Path]) -> None:
    for step, child in tree.items():
        if step == ".":
            found.add(path)
        elif child:
            _decode(child, (*path, step), found)
        else:
            found.add((*path, step))


def shown(path: Path) -> str:
    """A path as conflicts are reported, such as `.spec.template.spec.containers[name="db"].image`."""
    return "".join(f".{step[2:]}" if step.startswith("f:") else f"[{_shown_step(step)}]" for step in path)


def _shown_step(step: str) -> str:
    kind, text = step[0], step[2:]
    if kind == "k":
        return ",".join(f"{key}={to_json(value)}" for key, value in json.loads(text).items())
    return "=" + text if kind == "v" else text
