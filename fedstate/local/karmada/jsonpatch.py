"""RFC 6902 as override policies use it: add, remove and replace on a copy, with errors that name the path. Pure."""

from __future__ import annotations

from typing import Any

from fedstate.errors import FedstateError


class PatchError(FedstateError):
    """An operation does not apply to the document."""


def pointer_tokens(path: str) -> list[str]:
    """The parts of a JSON pointer, unescaped."""
    if not path.startswith("/"):
        raise PatchError(f"path {path!r} must start with '/'")
    return [token.replace("~1", "/").replace("~0", "~") for token in path[1:].split("/")]


def pointer(*tokens: str) -> str:
    """The JSON pointer of the parts."""
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in tokens)


def value_at(document: Any, path: str) -> Any:
    """What the document holds at `path`; PatchError if it holds nothing there."""
    for token in pointer_tokens(path):
        document = _child(document, token, path)
    return document


def apply_operation(document: Any, operator: str, path: str, value: Any = None) -> None:
    """Change `document` in place; a path that is not there is a PatchError, and then nothing has changed."""
    tokens = pointer_tokens(path)
    parent = document
    for token in tokens[:-1]:
        parent = _child(parent, token, path)
    last = tokens[-1]
    if isinstance(parent, list):
        _change_list(parent, last, (operator, path), value)
    elif isinstance(parent, dict):
        _change_dict(parent, last, (operator, path), value)
    else:
        raise PatchError(f"{operator} operation does not apply: parent of {path!r} is no object or list")


def _change_dict(parent: dict[str, Any], key: str, operation: tuple[str, str], value: Any) -> None:
    operator, path = operation
    if operator != "add" and key not in parent:
        raise PatchError(f"{operator} operation does not apply: doc is missing key: {path}: missing value")
    if operator == "remove":
        del parent[key]
    else:
        parent[key] = value


def _change_list(parent: list[Any], token: str, operation: tuple[str, str], value: Any) -> None:
    operator, path = operation
    if operator == "add":
        parent.insert(len(parent) if token == "-" else _index(token, len(parent) + 1, path), value)
    elif operator == "remove":
        del parent[_index(token, len(parent), path)]
    else:
        parent[_index(token, len(parent), path)] = value


def _child(document: Any, token: str, path: str) -> Any:
    if isinstance(document, list):
        return document[_index(token, len(document), path)]
    if isinstance(document, dict) and token in document:
        return document[token]
    raise PatchError(f"operation does not apply: doc is missing path: {path}: missing value")


def _index(token: str, length: int, path: str) -> int:
    if token.isdecimal() and int(token) < length:
        return int(token)
    raise PatchError(f"operation does not apply: {path} names item {token!r} of a list of {length}")
