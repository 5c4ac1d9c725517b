"""Merge patch and a small server-side apply for the fake API server. Lists are atomic in both."""

import copy
from collections.abc import Iterator
from typing import Any

Path = tuple[str, ...]


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for field, value in patch.items():
        if value is None:
            result.pop(field, None)
        else:
            result[field] = merge(result.get(field), value)
    return result


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and (value or not path):
        for field, inner in value.items():
            yield from leaves(inner, (*path, field))
    else:
        yield path, value


def read(obj: dict[str, Any], path: Path) -> Any:
    found: Any = obj
    for field in path:
        if not isinstance(found, dict) or field not in found:
            return None
        found = found[field]
    return found


def write(obj: dict[str, Any], path: Path, value: Any) -> None:
    for field in path[:-1]:
        if not isinstance(obj.get(field), dict):
            obj[field] = {}
        obj = obj[field]
    obj[path[-1]] = copy.deepcopy(value)


def remove(obj: dict[str, Any], path: Path) -> None:
    """Removes the leaf, and the maps that are empty without it."""
    inner = obj.get(path[0])
    if len(path) > 1 and isinstance(inner, dict):
        remove(inner, path[1:])
        if not inner:
            del obj[path[0]]
    elif len(path) == 1:
        obj.pop(path[0], None)


class Ownership:
    """Which field manager applied which leaves of one object."""

    def __init__(self) -> None:
        self.fields: dict[str, set[Path]] = {}

    def conflicts(self, live: dict[str, Any], intent: dict[str, Any], manager: str) -> list[str]:
        wanted = dict(leaves(intent))
        return [
            f"{'.'.join(path)} is owned by {other}"
            for other, paths in self.fields.items()
            for path in paths
            if other != manager and path in wanted and read(live, path) != wanted[path]
        ]

    def apply(self, live: dict[str, Any], intent: dict[str, Any], manager: str) -> dict[str, Any]:
        result = copy.deepcopy(live)
        wanted = dict(leaves(intent))
        shared = {path for other, paths in self.fields.items() if other != manager for path in paths}
        for path in self.fields.get(manager, set()) - wanted.keys() - shared:
            remove(result, path)
        for path, value in wanted.items():
            for other, paths in self.fields.items():
                if other != manager and read(live, path) != value:
                    paths.discard(path)
            write(result, path, value)
        self.fields[manager] = set(wanted)
        return result
