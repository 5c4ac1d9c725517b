"""Bytes of a watch into WatchEvents; an ERROR event becomes the exception it stands for.

Knows nothing of caches and does not reconnect.
"""

import asyncio
import logging
from collections import deque
from typing import Generic, TypeVar

from fedstate.kube.decoding import Decoder, WatchEvent
from fedstate.kube.errors import ApiError, TransportError
from fedstate.kube.metrics import WATCH_LINES_SKIPPED
from fedstate.kube.wire import ByteStream

__all__ = ["BOOKMARK_IDLE_LIMIT", "WatchEvent", "WatchStream", "ends_initial_events"]

_log = logging.getLogger(__name__)

T = TypeVar("T")

# Bookmarks come about once a minute where they come at all: a stream that has shown two and then falls silent is dead,
# even if a proxy on the way keeps its TCP connection alive.
BOOKMARK_IDLE_LIMIT = 150.0

# How many events are decoded at once, so that nobody else on the loop waits longer than a few milliseconds.
BATCH = 64
# Of whole objects fewer: the garbage collector goes through all that are held at once, again and again.
BATCH_WHOLE = 8


def ends_initial_events(event: WatchEvent[T]) -> bool:
    """Whether this bookmark closes the initial list of a watch that asked for one."""
    return event.ends_initial_events


class WatchStream(Generic[T]):
    """The events of one watch, until the server ends it.

    Raises ApiError for an ERROR event and TransportError when the stream breaks, is cut within a line, or falls silent.
    Lines that mean nothing are logged, counted and skipped.
    """

    def __init__(self, body: ByteStream, resource: str, decoder: Decoder[T], *, idle_limit: float) -> None:
        self._body = body
        self._resource = resource
        self._decode = decoder.event
        self._batch = BATCH_WHOLE if decoder.whole else BATCH
        self._idle_limit = idle_limit
        self._bookmarks = 0
        self._lines: deque[bytes] = deque()
        self._partial: list[bytes] = []
        self._ended = False
        self._events: deque[WatchEvent[T]] = deque()
        self._error: ApiError | None = None

    def __aiter__(self) -> "WatchStream[T]":
        return self

    async def __anext__(self) -> WatchEvent[T]:
        if not self._events:
            self._events.extend(await self.batch())
            if not self._events:
                raise StopAsyncIteration
        return self._events.popleft()

    async def batch(self) -> list[WatchEvent[T]]:
        """The next events, in order, as many as are there and take no long time; none at the end."""
        while True:
            if self._error is not None:
                raise self._error
            if self._lines:
                events = self._decoded()
                if events:
                    return events
            elif self._ended:
                return []
            else:
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
        lines = chunk.split(b"\n")
        if self._partial:
            lines[0] = b"".join((*self._partial, lines[0]))
        rest = lines.pop()
        self._partial = [rest] if rest else []
        self._lines.extend(lines)

    def _decoded(self) -> list[WatchEvent[T]]:
        events: list[WatchEvent[T]] = []
        lines, decode = self._lines, self._decode
        for _ in range(min(self._batch, len(lines))):
            line = lines.popleft()
            if not line:
                continue
            try:
                event = decode(line)
            except ApiError as error:
                # What came before it counts first.
                self._error = error
                break
            except ValueError as error:
                self._skip(str(error))
                continue
            if event.type == "BOOKMARK":
                self._bookmarks += 1
            events.append(event)
        return events

    def _skip(self, what: str) -> None:
        WATCH_LINES_SKIPPED.labels(self._resource).inc()
        _log.warning("skipped something in a watch that was not understood", extra={"resource": self._resource, "what": what})
