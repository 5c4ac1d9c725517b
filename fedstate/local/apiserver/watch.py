"""Watches: the changes of a collection as a stream of events, each encoded once for all who watch it the same way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

import orjson

from fedstate.kube.objects import KubeObject, namespace_of
from fedstate.local.apiserver import errors
from fedstate.local.apiserver.core import to_view
from fedstate.local.apiserver.reads import ListOptions
from fedstate.local.apiserver.registry import ResourceType
from fedstate.local.apiserver.store import Change, Collection, Entry

BOOKMARK_EVERY = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How one group of watchers sees objects: `name` keys the frames they share, `encode` makes what is in one."""

    name: str
    encode: Callable[[Entry], bytes]
    bookmark: Callable[[int, bool], bytes]


def frame(kind: str, body: bytes) -> bytes:
    """One line of the stream."""
    return b'{"type":"' + kind.encode() + b'","object":' + body + b"}\n"


class Watch:
    """One client's watch of one collection."""

    def __init__(self, rtype: ResourceType, collection: Collection, namespace: str, options: ListOptions, view: View) -> None:
        self._rtype = rtype
        self._collection = collection
        self._namespace = namespace
        self._options = options
        self._view = view
        self._revision = 0

    async def frames(self, durable: Callable[[], int], is_served: Callable[[], bool]) -> AsyncGenerator[bytes, None]:
        """Chunks of whole lines until the watch's time is over; raises a 410 before the first if its start is forgotten.

        A kind that is no longer served, or served in another form, ends the watch with its next event.
        """
        loop = asyncio.get_running_loop()
        timeout = self._options.timeout or random.uniform(1800, 3600)  # noqa: S311 - spreads reconnects
        ends = loop.time() + timeout
        yield self._start(durable())
        next_bookmark = loop.time() + random.uniform(0.8, 1.0) * BOOKMARK_EVERY  # noqa: S311
        last_words = max(ends - 2.0, loop.time())
        while True:
            waiter = self._collection.changed()
            chunk, gone = self._advance(durable())
            if chunk:
                yield chunk
            if gone or not is_served():
                return
            now = loop.time()
            if now >= ends:
                return
            if self._options.bookmarks and now >= min(next_bookmark, last_words):
                yield self._view.bookmark(max(self._revision, durable()), False)
                next_bookmark = now + BOOKMARK_EVERY
                last_words = ends + BOOKMARK_EVERY if now >= last_words else last_words
            due = min(ends, next_bookmark, last_words) if self._options.bookmarks else ends
            await _until(waiter, max(0.0, due - loop.time()))
            self._collection.forget(waiter)

    def _start(self, current: int) -> bytes:
        """What a watch begins with: nothing, or the present objects and a bookmark that ends them."""
        wanted = self._options.revision
        initial = self._options.send_initial_events
        if initial is None:
            initial = wanted in (None, 0)
        if not initial:
            self._revision = wanted or current
            if self._collection.since(self._revision) is None:
                floor = self._collection.floor
                raise errors.expired(f"too old resource version: {self._revision} ({floor})")
            return b""
        self._revision = current
        present = (entry for _, entry in self._collection.entries(self._namespace))
        lines = [frame("ADDED", self._view.encode(entry)) for entry in present if self._sees(entry)]
        if self._options.send_initial_events and self._options.bookmarks:
            lines.append(self._view.bookmark(current, True))
        return b"".join(lines)

    def _advance(self, current: int) -> tuple[bytes, bool]:
        """The lines of what has happened since the last call; True if the watch fell too far behind to go on."""
        changes = self._collection.since(self._revision)
        if changes is None:
            message = f"too old resource version: {self._revision} ({self._collection.floor})"
            return frame("ERROR", orjson.dumps(errors.expired(message).body())), True
        if not changes:
            return b"", False
        lines = [line for change in changes if (line := self._line(change)) is not None]
        self._revision = changes[-1].revision
        return b"".join(lines), False

    def _line(self, change: Change) -> bytes | None:
        if self._namespace and namespace_of(change.entry.obj) != self._namespace:
            return None
        kind = self._kind_of(change)
        if kind is None:
            return None
        cached = f"{kind} {self._view.name}"
        found = change.frames.get(cached)
        if found is None:
            found = change.frames[cached] = frame(kind, self._view.encode(self._shown(change, kind)))
        return found

    def _sees(self, entry: Entry | None) -> bool:
        if entry is None:
            return False
        selection = self._options.selection
        return not selection or selection.matches(to_view(self._rtype, entry.obj))

    def _kind_of(self, change: Change) -> str | None:
        """ADDED, MODIFIED or DELETED as this watch's selectors see it; None if they do not see it."""
        if not self._options.selection:
            return change.type
        was_seen = self._sees(change.previous)
        if change.type != "DELETED" and self._sees(change.entry):
            return "MODIFIED" if was_seen else "ADDED"
        return "DELETED" if was_seen else None

    @staticmethod
    def _shown(change: Change, kind: str) -> Entry:
        if kind == "DELETED" and change.type != "DELETED" and change.previous is not None:
            # The object as the selector last saw it, at the revision at which it left.
            obj = change.previous.obj
            left: KubeObject = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(change.revision)}}
            return Entry(left, change.revision)
        return change.entry


async def _until(waiter: asyncio.Future[None], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await waiter
    except TimeoutError:
        pass
