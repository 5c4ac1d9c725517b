"""Has the cache seen what we wrote ourselves? For steps that must not be repeated on an old view.

Knows nothing of what was written; compares resource versions as integers, as client-go's own caches do.
"""

import asyncio
from enum import Enum
from typing import NamedTuple

from fedstate.kube.objects import Key, KubeObject, resource_version_of
from fedstate.kube.store import Store

DEADLINE = 5.0


class View(Enum):
    """What to do with the cached view of a key."""

    CURRENT = "read the cache"
    WAIT = "look again soon"
    READ_LIVE = "ask the server"


class _Write(NamedTuple):
    version: int
    at: float


class OwnWrites:
    """Remembers the newest write per key until the store has caught up with it."""

    def __init__(self, store: Store, *, deadline: float = DEADLINE) -> None:
        self._store = store
        self._deadline = deadline
        self._writes: dict[Key, _Write] = {}

    def record(self, key: Key, written: KubeObject) -> None:
        """Call with the object that the server returned for a write made on behalf of `key`."""
        version = _number(resource_version_of(written))
        self._writes[key] = _Write(version, asyncio.get_running_loop().time())

    def view(self, key: Key) -> View:
        """CURRENT once the store holds everything up to the write; WAIT until then; READ_LIVE if that takes too long."""
        write = self._writes.get(key)
        if write is None:
            return View.CURRENT
        if _number(self._store.resource_version) >= write.version:
            del self._writes[key]
            return View.CURRENT
        if asyncio.get_running_loop().time() - write.at >= self._deadline:
            return View.READ_LIVE
        return View.WAIT

    def forget(self, key: Key) -> None:
        self._writes.pop(key, None)


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0
