"""All objects in memory, in storage version, with the recent history that watches replay. Knows no verbs and no rules.

One thread: a read and the write that depends on it need only stay free of `await` to be atomic.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import orjson

from fedstate.kube.objects import Key, KubeObject, key_of
from fedstate.local.apiserver.storage import Database, Row

HISTORY = 2048
HISTORY_BYTES = 8 * 1024 * 1024
"""How much of its past a collection remembers for watches that resume: so many changes, and not much more than so many bytes."""
EventType = Literal["ADDED", "MODIFIED", "DELETED"]


class Entry:
    """One state of one object: never changed, shared by everyone who reads it; encodings are made once."""

    __slots__ = ("_encoded", "obj", "revision")

    def __init__(self, obj: KubeObject, revision: int, encoded: bytes | None = None) -> None:
        self.obj = obj
        self.revision = revision
        self._encoded: dict[str, bytes] = {} if encoded is None else {"": encoded}

    def encoded(self, form: str = "", view: Callable[[KubeObject], KubeObject] | None = None) -> bytes:
        """The object as JSON; `form` names what `view` turns it into (another version)."""
        found = self._encoded.get(form)
        if found is None:
            found = orjson.dumps(view(self.obj) if view is not None else self.obj)
            self._encoded[form] = found
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One committed write. `entry` of a deletion is the last state, with the deletion's revision."""

    revision: int
    type: EventType
    entry: Entry
    previous: Entry | None
    frames: dict[str, bytes] = field(default_factory=dict)


class Collection:
    """The objects of one kind, in key order, and the last changes of them that are durable."""

    def __init__(self, name: str, floor: int) -> None:
        self.name = name
        self.floor = floor
        """Changes up to this revision are forgotten."""
        self.history: deque[Change] = deque()
        self._history_bytes = 0
        self._entries: dict[Key, Entry] = {}
        self._keys: list[Key] = []
        self._waiters: list[asyncio.Future[None]] = []

    def get(self, key: Key) -> Entry | None:
        return self._entries.get(key)

    def __len__(self) -> int:
        return len(self._keys)

    def entries(self, namespace: str = "") -> Iterator[tuple[Key, Entry]]:
        """In key order; of one namespace, or of all if it is empty."""
        keys = self._keys
        if namespace:
            keys = keys[bisect_left(keys, Key(namespace, "")) : bisect_left(keys, Key(namespace + "\0", ""))]
        return ((key, self._entries[key]) for key in list(keys))

    def put(self, key: Key, entry: Entry) -> None:
        if key not in self._entries:
            insort(self._keys, key)
        self._entries[key] = entry

    def drop(self, key: Key) -> None:
        del self._entries[key]
        del self._keys[bisect_left(self._keys, key)]

    def remember(self, change: Change) -> None:
        """Make a durable change visible to watches."""
        self.history.append(change)
        self._history_bytes += len(change.entry.encoded())
        while len(self.history) > 1 and (len(self.history) > HISTORY or self._history_bytes > HISTORY_BYTES):
            forgotten = self.history.popleft()
            self._history_bytes -= len(forgotten.entry.encoded())
            self.floor = forgotten.revision
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def since(self, revision: int) -> list[Change] | None:
        """Durable changes after `revision`, oldest first; None if some of them are forgotten."""
        if revision < self.floor:
            return None
        found: list[Change] = []
        for change in reversed(self.history):
            if change.revision <= revision:
                break
            found.append(change)
        found.reverse()
        return found

    def changed(self) -> asyncio.Future[None]:
        """A future that ends with the next durable change."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def forget(self, waiter: asyncio.Future[None]) -> None:
        """Give up a future of `changed`."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)


class Store:
    """Every collection, under one revision counter. Readers that must not see what could still be lost await `settled`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._collections: dict[str, Collection] = {}
        self._unpublished: deque[tuple[Collection, Change]] = deque()
        self._listeners: list[Callable[[str, Change], None]] = []
        self.revision = 0
        self._base = 0

    def load(self) -> None:
        """Read the file; a new one starts at revision 1, since clients read 0 as "any"."""
        self.revision, rows = self._database.open()
        self.revision = self._base = max(self.revision, 1)
        self._database.durable = self.revision
        for row in rows:
            assert row.value is not None
            obj: KubeObject = orjson.loads(row.value)
            self.collection(row.collection).put(Key(row.namespace, row.name), Entry(obj, row.revision, row.value))

    def collection(self, name: str) -> Collection:
        found = self._collections.get(name)
        if found is None:
            found = self._collections[name] = Collection(name, self._base)
        return found

    def listen(self, listener: Callable[[str, Change], None]) -> None:
        """Call `listener(collection name, change)` after every durable change."""
        self._listeners.append(listener)

    def put(self, collection: str, obj: KubeObject) -> Entry:
        """Write an object (which must not be changed afterwards) under the next revision, which it is given."""
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        where = self.collection(collection)
        key = key_of(obj)
        previous = where.get(key)
        entry = Entry(obj, self.revision)
        row = Row(collection=collection, namespace=key.namespace, name=key.name, revision=self.revision, value=entry.encoded())
        self._database.write(row)
        where.put(key, entry)
        kind: EventType = "ADDED" if previous is None else "MODIFIED"
        self._unpublished.append((where, Change(revision=self.revision, type=kind, entry=entry, previous=previous)))
        return entry

    def remove(self, collection: str, key: Key, last: KubeObject | None = None) -> Entry:
        """Take an object out; returns its last state under the deletion's revision. `last` replaces that state."""
        where = self.collection(collection)
        previous = where.get(key)
        assert previous is not None
        self.revision += 1
        source = last if last is not None else previous.obj
        obj = {**source, "metadata": {**source["metadata"], "resourceVersion": str(self.revision)}}
        entry = Entry(obj, self.revision)
        row = Row(collection=collection, namespace=key.namespace, name=key.name, revision=self.revision, value=None)
        self._database.write(row)
        where.drop(key)
        self._unpublished.append((where, Change(revision=self.revision, type="DELETED", entry=entry, previous=previous)))
        return entry

    def publish(self, durable: int) -> None:
        """Make changes up to `durable` visible to watches and listeners."""
        while self._unpublished and self._unpublished[0][1].revision <= durable:
            where, change = self._unpublished.popleft()
            where.remember(change)
            for listener in self._listeners:
                listener(where.name, change)

    @property
    def durable(self) -> int:
        return self._database.durable

    @property
    def failure(self) -> Exception | None:
        """Why nothing can be written any more, if so."""
        return self._database.failure

    async def settled(self) -> int:
        """Return the current revision once everything up to it is durable and published."""
        revision = self.revision
        await self._database.settled(revision)
        return revision
