"""A schema of Kubernetes' OpenAPI dialect, compiled once into nodes that walks are quick over. Knows no object.

References are resolved here, so that a recursive definition becomes a cyclic graph of nodes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Obj: TypeAlias = dict[str, Any]

_REF_PREFIX = "#/components/schemas/"


@dataclass(slots=True, eq=False)
class Limits:
    """The bounds on one value; None where there is none."""

    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    min_items: int | None = None
    max_items: int | None = None
    min_properties: int | None = None
    max_properties: int | None = None
    unique_items: bool = False
    pattern: str | None = None
    matcher: re.Pattern[str] | None = None


@dataclass(slots=True, eq=False)
class Node:
    """One place of a schema. An untyped node (`type` empty, no properties) accepts anything."""

    type: str = ""
    properties: dict[str, Node] = field(default_factory=dict)
    additional: Node | None = None
    items: Node | None = None
    required: tuple[str, ...] = ()
    default: Any = None
    has_default: bool = False
    nullable: bool = False
    int_or_string: bool = False
    preserve_unknown: bool = False
    embedded: bool = False
    list_type: str = "atomic"
    list_keys: tuple[str, ...] = ()
    atomic_map: bool = False
    merge_key: str = ""
    merge_strategies: frozenset[str] = frozenset()
    enum: tuple[Any, ...] | None = None
    format: str = ""
    limits: Limits | None = None
    any_of: tuple[Node, ...] = ()
    one_of: tuple[Node, ...] = ()
    all_of: tuple[Node, ...] = ()
    negated: Node | None = None

    def child(self, name: str) -> Node | None:
        """The node of a member of this object, None where the schema says nothing of it."""
        return self.properties.get(name, self.additional)


ANYTHING = Node(preserve_unknown=True)
STRING = Node(type="string")


def compile_node(openapi: Mapping[str, Any], definitions: Mapping[str, Any] | None = None) -> Node:
    return _Compiler(definitions or {}).node(openapi)


class _Compiler:
    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._known: dict[str, Node] = {}

    def node(self, raw: Mapping[str, Any]) -> Node:
        target, raw = _split_reference(raw)
        if target is None:
            node = Node()
            self._fill(node, raw)
            return node
        referred = self._referred(target)
        if not raw.keys() - {"description"}:
            return referred
        node = Node(**{name: getattr(referred, name) for name in Node.__slots__})
        _set_scalars(node, raw, keep=True)
        return node

    def _referred(self, name: str) -> Node:
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = Node()
            self._fill(known, self._definitions[name])
        return known

    def _fill(self, node: Node, raw: Mapping[str, Any]) -> None:
        _set_scalars(node, raw)
        node.properties = {name: self.node(child) for name, child in (raw.get("properties") or {}).items()}
        additional = raw.get("additionalProperties")
        if isinstance(additional, Mapping):
            node.additional = self.node(additional)
        elif additional:
            node.additional = ANYTHING
        items = raw.get("items")
        if isinstance(items, Mapping):
            node.items = self.node(items)
        node.any_of = tuple(map(self.node, raw.get("anyOf") or ()))
        node.one_of = tuple(map(self.node, raw.get("oneOf") or ()))
        node.all_of = tuple(map(self.node, raw.get("allOf") or ()))
        if raw.get("not") is not None:
            node.negated = self.node(raw["not"])


def _split_reference(raw: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any]]:
    """(name referred to, what is said beside it): `$ref`, or an `allOf` of nothing but a `$ref`."""
    reference = raw.get("$ref")
    if reference is not None:
        return str(reference).removeprefix(_REF_PREFIX), {k: v for k, v in raw.items() if k != "$ref"}
    all_of = raw.get("allOf")
    if all_of and len(all_of) == 1 and "$ref" in all_of[0] and "type" not in raw:
        return str(all_of[0]["$ref"]).removeprefix(_REF_PREFIX), {k: v for k, v in raw.items() if k != "allOf"}
    return None, raw


def _set_scalars(node: Node, raw: Mapping[str, Any], *, keep: bool = False) -> None:
    if not keep:
        node.type = raw.get("type") or ""
        node.format = raw.get("format") or ""
        node.required = tuple(raw.get("required") or ())
        node.limits = _limits(raw)
    if "default" in raw:
        node.default, node.has_default = raw["default"], True
    node.nullable = bool(raw.get("nullable", node.nullable))
    node.int_or_string = bool(raw.get("x-kubernetes-int-or-string", node.int_or_string)) or node.format == "int-or-string"
    node.preserve_unknown = bool(raw.get("x-kubernetes-preserve-unknown-fields", node.preserve_unknown))
    node.embedded = bool(raw.get("x-kubernetes-embedded-resource", node.embedded))
    node.list_type = raw.get("x-kubernetes-list-type", node.list_type)
    node.list_keys = tuple(raw.get("x-kubernetes-list-map-keys", node.list_keys))
    node.atomic_map = raw.get("x-kubernetes-map-type", "atomic" if node.atomic_map else "granular") == "atomic"
    node.merge_key = raw.get("x-kubernetes-patch-merge-key", node.merge_key)
    if "x-kubernetes-patch-strategy" in raw:
        node.merge_strategies = frozenset(raw["x-kubernetes-patch-strategy"].split(","))
    if raw.get("enum") is not None:
        node.enum = tuple(raw["enum"])


_LIMITS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "exclusive_minimum",
    "exclusiveMaximum": "exclusive_maximum",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_items",
    "maxItems": "max_items",
    "minProperties": "min_properties",
    "maxProperties": "max_properties",
    "uniqueItems": "unique_items",
    "pattern": "pattern",
}


def _limits(raw: Mapping[str, Any]) -> Limits | None:
    said = {ours: raw[theirs] for theirs, ours in _LIMITS.items() if raw.get(theirs) is not None}
    if not said:
        return None
    limits = Limits(**said)
    if limits.pattern is not None:
        limits.matcher = re.compile(python_pattern(limits.pattern))
    return limits


def python_pattern(pattern: str) -> str:
    """The Python spelling of an RE2 pattern; in RE2 `$` is the very end of the text."""
    text = pattern.replace(r"\z", r"\Z").replace("[[:alnum:]]", "[0-9A-Za-z]").replace("[[:alpha:]]", "[A-Za-z]")
    if text.endswith("$") and not text.endswith(r"\$"):
        text = text[:-1] + r"\Z"
    return text
