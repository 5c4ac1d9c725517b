"""Bytes of a watch into WatchEvents; an ERROR event becomes the exception it stands for.

Knows nothing of caches and does not reconnect.
"""

import asyncio
import logging
from collections import deque
from typing import NamedTuple

from fedstate.kube.codec import decode
from fedstate.kube.errors import TransportError, api_error_from
from fedstate.kube.metrics import WATCH_LINES_SKIPPED
from fedstate.kube.objects import KubeObject, annotations_of
from fedstate.kube.transport import ByteStream

_log = logging.getLogger(__name__)

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
_TYPES = frozenset({"ADDED", "MODIFIED", "DELETED", "BOOKMARK"})

# Bookmarks come about once a minute where they come at all: a stream that has shown two and then falls silent is dead,
# even if a proxy on the way keeps its TCP connection alive.
BOOKMARK_IDLE_LIMIT = 150.0


class WatchEvent(NamedTuple):
    """ADDED, MODIFIED, DELETED or BOOKMARK, with the object as the server sent it."""

    type: str
    object: KubeObject


def ends_initial_events(event: WatchEvent) -> bool:
    """Whether this bookmark closes the initial list of a watch that asked for one."""
    return event.type == "BOOKMARK" and annotations_of(event.object).get(INITIAL_EVENTS_END) == "true"


class WatchStream:
    """The events of one watch, until the server ends it.

    Raises ApiError for an ERROR event and TransportError when the stream breaks, is cut within a line, or falls silent.
    Lines that mean nothing are logged, counted and skipped.
    """

    def __init__(self, body: ByteStream, resource: str, *, idle_limit: float) -> None:
        self._body = body
        self._resource = resource
        self._idle_limit = idle_limit
        self._bookmarks = 0
        self._lines: deque[bytes] = deque()
        self._partial: list[bytes] = []
        self._ended = False

    def __aiter__(self) -> "WatchStream":
        return self

    async def __anext__(self) -> WatchEvent:
        while True:
            while self._lines:
                event = self._event(self._lines.popleft())
                if event is not None:
                    return event
            if self._ended:
                raise StopAsyncIteration
            await self._read()

    async def _read(self) -> None:
        limit = min(self._idle_limit, BOOKMARK_IDLE_LIMIT) if self._bookmarks >= 2 else self._idle_limit
        try:
            async with asyncio.timeout(limit):
                chunk = await self._body.readany()
        except TimeoutError as error:
            raise TransportError(f"the watch of {self._resource} was silent for {limit:.0f} s") from error
        if not chunk:
            self._ended = True
            if self._partial:
                raise TransportError(f"the watch of {self._resource} ended within a line")
            return
        if b"\n" not in chunk:
            self._partial.append(chunk)
            return
        lines = (b"".join(self._partial) + chunk).split(b"\n")
        rest = lines.pop()
        self._partial = [rest] if rest else []
        self._lines.extend(line for line in lines if line)

    def _event(self, line: bytes) -> WatchEvent | None:
        try:
            decoded = decode(line)
            kind, obj = decoded["type"], decoded["object"]
        except (ValueError, KeyError, TypeError):
            self._skip("a line that is not an event")
            return None
        if kind == "ERROR":
            raise api_error_from(500, obj)
        if kind not in _TYPES or not isinstance(obj, dict) or not isinstance(obj.get("metadata"), dict):
            self._skip("an event of an unknown shape")
            return None
        if kind == "BOOKMARK":
            self._bookmarks += 1
        return WatchEvent(kind, obj)

    def _skip(self, what: str) -> None:
        WATCH_LINES_SKIPPED.labels(self._resource).inc()
        _log.warning("skipped something in a watch that was not understood", extra={"resource": self._resource, "what": what})
