"""Bytes of a watch into WatchEvents; an ERROR event becomes the exception it stands for.

Knows nothing of caches and does not reconnect.
"""

import asyncio
import logging
from collections import deque
from typing import Generic, TypeVar

from fedstate.kube.codec import Data
from fedstate.kube.decoding import Decoder, WatchEvent
from fedstate.kube.errors import TransportError
from fedstate.kube.framing import Buffer
from fedstate.kube.metrics import WATCH_LINES_SKIPPED
from fedstate.kube.wire import ByteStream, PushedStream

__all__ = ["BOOKMARK_IDLE_LIMIT", "WatchEvent", "WatchStream", "ends_initial_events"]

_log = logging.getLogger(__name__)

T = TypeVar("T")

# Bookmarks come about once a minute where they come at all: a stream that has shown two and then falls silent is dead,
# even if a proxy on the way keeps its TCP connection alive.
BOOKMARK_IDLE_LIMIT = 150.0

# How many events are handed out at once, so that nobody else on the loop waits longer than a few milliseconds.
BATCH = 64
# Of whole objects fewer are decoded: the garbage collector goes through all that are held at once, again and again.
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
        self._idle_limit = idle_limit
        self._bookmarks = 0
        # What is large once it is decoded waits as it came; the rest is decoded where it lies in the receive buffer.
        self._lines: deque[bytes] | None = deque() if decoder.whole else None
        self._partial: list[bytes] = []
        self._ended = False
        self._decoded: list[WatchEvent[T]] = []
        self._events: deque[WatchEvent[T]] = deque()
        self._error: Exception | None = None
        self._pushed = body.pushed if isinstance(body, PushedStream) else None
        if isinstance(body, PushedStream):
            body.push_to(self._take)

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
            if self._lines:
                for _ in range(min(BATCH_WHOLE, len(self._lines))):
                    self._take_line(self._lines.popleft())
            if self._decoded:
                # What came before an error counts first.
                events, self._decoded = self._decoded[:BATCH], self._decoded[BATCH:]
                return events
            if self._error is not None:
                raise self._error
            if self._lines:
                continue
            if self._ended:
                return []
            await self._read()

    async def _read(self) -> None:
        limit = min(self._idle_limit, BOOKMARK_IDLE_LIMIT) if self._bookmarks >= 2 else self._idle_limit
        try:
            async with asyncio.timeout(limit):
                if self._pushed is not None:
                    self._ended = not await self._pushed()
                else:
                    chunk = await self._body.readany()
                    self._ended = not chunk
                    self._take(chunk, 0, len(chunk))
        except TimeoutError as error:
            raise TransportError(f"the watch of {self._resource} was silent for {limit:.0f} s") from error
        if self._ended and self._partial:
            raise TransportError(f"the watch of {self._resource} ended within a line")

    def _take(self, buffer: Buffer, start: int, stop: int) -> None:
        """Bytes as they come, of which nothing is kept in place."""
        lines, view = self._lines, memoryview(buffer)
        while start < stop:
            end = buffer.find(b"\n", start, stop)
            if end < 0:
                self._partial.append(bytes(view[start:stop]))
                return
            line: Data = view[start:end]
            start = end + 1
            if self._partial:
                line = b"".join((*self._partial, line))
                self._partial = []
            if lines is None:
                self._take_line(line)
            else:
                lines.append(bytes(line))

    def _take_line(self, line: Data) -> None:
        if not line or self._error is not None:
            return
        try:
            event = self._decode(line)
        except ValueError as error:
            self._skip(str(error))
        except Exception as error:  # noqa: BLE001 - not handled, but raised where the stream is read and not where bytes come in
            self._error = error
        else:
            if event.type == "BOOKMARK":
                self._bookmarks += 1
            self._decoded.append(event)

    def _skip(self, what: str) -> None:
        WATCH_LINES_SKIPPED.labels(self._resource).inc()
        _log.warning("skipped something in a watch that was not understood", extra={"resource": self._resource, "what": what})
