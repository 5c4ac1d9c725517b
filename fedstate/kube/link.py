"""One connection to an API server that is kept from one request to the next.

Knows one request at a time; which connection carries which is somebody else's business.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, cast

from fedstate.kube.endpoint import RECEIVE, Endpoint
from fedstate.kube.errors import TransportError
from fedstate.kube.framing import BadResponse, Head, ResponseReader
from fedstate.kube.wire import MAX_ERROR_BODY, keep_alive


class Answer(NamedTuple):
    """A whole answer; of a refusal's body, no more than anybody would read."""

    head: Head
    body: bytearray


class Link(asyncio.BufferedProtocol):
    """`exchange` while `ready`, one after another. `on_end` is called once, when the connection is gone."""

    def __init__(self, endpoint: Endpoint, on_end: Callable[["Link"], None]) -> None:
        self._endpoint = endpoint
        self._on_end = on_end
        self._receive = RECEIVE
        self._transport: asyncio.Transport | None = None
        self._reader: ResponseReader | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._body = bytearray()
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Whether it can be asked: nothing is being asked, and neither side has ended it.
        self.ready = False
        # Whether it ended before anything came of an answer, having brought others before.
        self.stale = False
        self._used = False
        self._heard = False
        self.deadline = 0.0
        self.idle_since = 0.0

    async def exchange(self, message: bytes, deadline: float) -> Answer:
        """The answer to `message`. TransportError if there is none; a cancelled exchange ends the connection."""
        assert self._transport is not None
        assert self.ready
        self._used = self._reader is not None
        self.ready = self._heard = False
        self._body = bytearray()
        self._reader = ResponseReader()
        self.deadline = deadline
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(message)
        try:
            return await self._answer
        finally:
            self._answer = None
            if not self.ready:
                self.abort()

    def expire(self) -> None:
        """Gives up the exchange: its deadline has passed."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(self._endpoint.lost(TimeoutError()))

    def abort(self) -> None:
        """Ends the connection at once; nobody waits for what the server might still say."""
        self.ready = False
        if self._transport is not None:
            self._transport.abort()

    def abandon(self) -> None:
        """As `abort`, of one whose making failed or was cancelled: uvloop does not tell of the end of these."""
        self.abort()
        if not self._closed.done():
            self._closed.set_result(None)

    async def wait_closed(self) -> None:
        if self._transport is not None:
            await asyncio.shield(self._closed)

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not derived from asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        made = transport.get_extra_info("socket")
        if made is not None:
            keep_alive(made)
        self.ready = True

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._receive.view

    def buffer_updated(self, nbytes: int) -> None:
        reader = self._reader
        if reader is None or self._answer is None:
            # Said without having been asked; whatever comes after it might be taken for the answer to the next question.
            self.abort()
            return
        self._heard = True
        received = self._receive
        try:
            buffer, spans = reader.spans(received.buffer, nbytes)
        except BadResponse as error:
            self._fail(self._endpoint.lost(ConnectionError(f"the answer cannot be read: {error}")))
            return
        if spans:
            view = received.view if buffer is received.buffer else memoryview(buffer)
            for start, stop in spans:
                self._body += view[start:stop]
        if reader.complete:
            self._finish(reader, ready=reader.leaves_open())
        elif reader.head is not None and reader.head.status >= 300 and len(self._body) > MAX_ERROR_BODY:
            self._finish(reader, ready=False)

    def eof_received(self) -> bool:
        reader = self._reader
        if self._answer is not None and reader is not None and reader.ends_here():
            self._finish(reader, ready=False)
        else:
            what = "it ended within an answer" if self._heard else "the server closed it without an answer"
            self._fail(self._endpoint.lost(ConnectionResetError(what)))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._fail(self._endpoint.lost(exc))
        else:
            self.eof_received()
        if not self._closed.done():
            self._closed.set_result(None)
        self._on_end(self)

    def _finish(self, reader: ResponseReader, *, ready: bool) -> None:
        assert reader.head is not None
        if self._answer is not None and not self._answer.done():
            self.ready = ready
            self._answer.set_result(Answer(reader.head, self._body))

    def _fail(self, error: TransportError) -> None:
        self.ready = False
        if self._answer is not None and not self._answer.done():
            self.stale = self._used and not self._heard
            self._answer.set_exception(error)
