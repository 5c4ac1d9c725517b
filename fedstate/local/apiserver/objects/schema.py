"""The schema of one kind: what it defaults, prunes, and finds wrong. CEL rules are not its business (see cel.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedstate.local.apiserver.objects.defaulting import defaulted, pruned
from fedstate.local.apiserver.objects.fielderrors import FieldError
from fedstate.local.apiserver.objects.metadata import OBJECT_META_NODE
from fedstate.local.apiserver.objects.nodes import STRING, Node, Obj, compile_node
from fedstate.local.apiserver.objects.structural import structural_errors
from fedstate.local.apiserver.objects.validation import transition_errors, value_errors

__all__ = ["Obj", "Schema", "compile_schema", "structural_errors"]


class Schema:
    """One kind's compiled schema. Objects given are never changed; what comes back may share parts with them."""

    __slots__ = ("empty", "openapi", "resets_status", "root")

    def __init__(self, openapi: Obj, root: Node, empty: Obj, *, resets_status: bool = False) -> None:
        self.openapi = openapi
        self.root = root
        self.empty = empty
        """The object that a create starts from when the fields it sets are worked out."""
        self.resets_status = resets_status
        """Whether a write to the object itself cannot own anything in its status."""

    def default(self, obj: Obj) -> Obj:
        """The object with the schema's defaults, whole floats of integer fields as integers, and stray nulls dropped."""
        result = defaulted(obj, self.root)
        return result if isinstance(result, dict) else obj

    def prune(self, obj: Obj) -> tuple[Obj, list[str]]:
        """(the object without fields the schema does not know, the paths of those fields in order)."""
        unknown: list[str] = []
        result: Obj = pruned(obj, self.root, "", unknown)
        return _without_empty_metadata(result), sorted(unknown)

    def validate(self, obj: Obj, old: Obj | None = None) -> list[FieldError]:
        """Everything the schema finds wrong; with `old`, what was already wrong and has not changed is forgiven."""
        errors = value_errors(obj, self.root)
        return transition_errors(errors, obj, old) if errors and old is not None else errors


def _without_empty_metadata(obj: Obj) -> Obj:
    """Empty fields of ObjectMeta are not kept, whatever the client wrote."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or all(value not in (None, "", {}, []) for value in metadata.values()):
        return obj
    return {**obj, "metadata": {name: value for name, value in metadata.items() if value not in (None, "", {}, [])}}


def compile_schema(
    openapi: Obj,
    *,
    definitions: Mapping[str, Any] | None = None,
    empty: Obj | None = None,
    keep_unknown: bool = False,
    resets_status: bool = False,
) -> Schema:
    """The schema of a kind from its OpenAPI form (a CRD's `openAPIV3Schema`, or a built-in kind's definition)."""
    root = compile_node(openapi, definitions)
    root = Node(**{name: getattr(root, name) for name in Node.__slots__})
    root.type = "object"
    root.properties = {**root.properties, "apiVersion": STRING, "kind": STRING, "metadata": OBJECT_META_NODE}
    root.preserve_unknown = root.preserve_unknown or keep_unknown
    return Schema(openapi, root, empty or {}, resets_status=resets_status)
