"""JSON Patch (RFC 6902), JSON Merge Patch (RFC 7396) and strategic merge patch, with kube-apiserver's answers to bad ones.

The document given is never changed. The lenience of the Go library is kept: indexes may be negative, `replace` may add a member.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from fedstate.local.apiserver.objects.nodes import Obj
from fedstate.local.apiserver.objects.schema import Schema
from fedstate.local.apiserver.objects.strategic import UnknownDirective, merged

_DOES_NOT_FIT = "the server rejected our request due to an error in our request"


class PatchError(Exception):
    """A patch that cannot be applied: `status` and `reason` are those of the answer, str() its message."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class _Misfit(Exception):
    """An operation does not fit the document; the API says nothing more precise, so neither does this."""


def json_patch(doc: Any, ops: Any) -> Any:
    """`doc` after all `ops`, or PatchError when one fails; then nothing happened."""
    if not isinstance(ops, list) or not all(isinstance(op, Mapping) for op in ops):
        raise _undecodable(ops[0] if isinstance(ops, list) else ops, "[]handlers.jsonPatchOp")
    if len(ops) > 10_000:
        raise PatchError(413, "RequestEntityTooLarge", f"The allowed maximum operations in a JSON patch is 10000, got {len(ops)}")
    result = copy.deepcopy(doc)
    try:
        for op in ops:
            result = _operate(result, op)
    except _Misfit as error:
        raise PatchError(422, "Invalid", _DOES_NOT_FIT) from error
    return result


def merge_patch(doc: Any, patch: Any) -> Any:
    """`doc` with `patch` merged into it."""
    if not isinstance(patch, Mapping):
        raise _undecodable(patch, "map[string]interface {}")
    return _merge(doc, patch)


def strategic_merge_patch(doc: Obj, patch: Any, schema: Schema) -> Obj:
    """`doc` with `patch` merged by the merge keys and directives of a built-in kind."""
    if not isinstance(patch, Mapping):
        raise PatchError(
            400, "BadRequest", str(_undecodable(patch, "map[string]interface {}")).removeprefix("error decoding patch: ")
        )
    try:
        return merged(doc, dict(patch), schema.root)
    except UnknownDirective as error:
        raise PatchError(500, "InternalError", str(error)) from error


def _undecodable(found: Any, wanted: str) -> PatchError:
    kinds = {bool: "bool", str: "string", int: "number", float: "number", list: "array", dict: "object", type(None): "null"}
    return PatchError(
        400,
        "BadRequest",
        f"error decoding patch: json: cannot unmarshal {kinds.get(type(found), 'object')} into Go value of type {wanted}",
    )


def _merge(doc: Any, patch: Any) -> Any:
    if not isinstance(patch, Mapping):
        return patch
    result = dict(doc) if isinstance(doc, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merge(result.get(name), value)
    return result


def _operate(doc: Any, op: Mapping[str, Any]) -> Any:
    kind, path = op.get("op"), _pointer(op.get("path"))
    value = op.get("value")
    if kind == "test":
        if not _equal(_found(doc, path, missing=None), value):
            raise _Misfit("test failed")
        return doc
    if kind == "remove":
        return _removed(doc, path)
    if kind == "add":
        return _added(doc, path, copy.deepcopy(value))
    if kind == "replace":
        return _replaced(doc, path, copy.deepcopy(value))
    if kind == "move":
        source = _pointer(op.get("from"))
        moved = _found(doc, source)
        return _added(_removed(doc, source), path, moved)
    if kind == "copy":
        return _added(doc, path, copy.deepcopy(_found(doc, _pointer(op.get("from")))))
    raise _Misfit(f"unexpected kind: {kind}")


def _pointer(text: Any) -> list[str]:
    if text == "":
        return []
    if not isinstance(text, str) or not text.startswith("/"):
        raise _Misfit(f"not a JSON pointer: {text!r}")
    return [step.replace("~1", "/").replace("~0", "~") for step in text[1:].split("/")]


_NOTHING: Any = object()


def _found(doc: Any, path: list[str], *, missing: Any = _NOTHING) -> Any:
    """The value at `path`; a missing last member is `missing` if that is given."""
    for depth, step in enumerate(path):
        if isinstance(doc, dict):
            if step not in doc:
                if depth == len(path) - 1 and missing is not _NOTHING:
                    return missing
                raise _Misfit(f"missing key: {step}")
            doc = doc[step]
        elif isinstance(doc, list):
            doc = doc[_index(step, len(doc))]
        else:
            raise _Misfit(f"no container at {step}")
    return doc


def _index(step: str, length: int) -> int:
    """A position in a list of `length`; negative ones count from the end."""
    try:
        index = int(step)
    except ValueError as error:
        raise _Misfit(f"not an index: {step}") from error
    if index < 0:
        index += length
    if not 0 <= index < length:
        raise _Misfit(f"index out of range: {step}")
    return index


def _added(doc: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    container, last = _found(doc, path[:-1]), path[-1]
    if isinstance(container, dict):
        container[last] = value
    elif isinstance(container, list):
        container.insert(len(container) if last == "-" else _index(last, len(container) + 1), value)
    else:
        raise _Misfit("no container to add to")
    return doc


def _replaced(doc: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    container, last = _found(doc, path[:-1]), path[-1]
    if isinstance(container, dict):
        container[last] = value
    elif isinstance(container, list):
        container[_index(last, len(container))] = value
    else:
        raise _Misfit("no container to replace in")
    return doc


def _removed(doc: Any, path: list[str]) -> Any:
    if not path:
        raise _Misfit("the document itself cannot be removed")
    container, last = _found(doc, path[:-1]), path[-1]
    if isinstance(container, dict) and last in container:
        del container[last]
    elif isinstance(container, list):
        del container[_index(last, len(container))]
    else:
        raise _Misfit(f"unable to remove nonexistent key: {last}")
    return doc


def _equal(one: Any, other: Any) -> bool:
    """JSON equality: true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)
