"""Watches on connections of their own, without an HTTP library between.

What it refuses to know: proxies, keep-alive, compression. Requests that are no streams go another way.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NoReturn, cast

from fedstate.kube.endpoint import RECEIVE, Endpoint
from fedstate.kube.errors import TransportError
from fedstate.kube.framing import BadResponse, Buffer, Head, ResponseReader, Span
from fedstate.kube.wire import MAX_ERROR_BODY, REQUEST_TIMEOUT, ByteStream, Request, Sink, keep_alive, refusal, with_credentials

# Of one stream, read but not yet taken: above the first the server has to wait, and below the second no longer.
HIGH_WATER = 2**19
LOW_WATER = 2**17


class RawStreams:
    """Opens streams to one API server as one identity."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._open: set[_Connection] = set()

    async def close(self) -> None:
        for connection in tuple(self._open):
            await connection.close()

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[ByteStream]:
        """The body of the answer. Raises ApiError if it is a refusal, TransportError if there is none."""
        connection = await with_credentials(self._endpoint.config, lambda header: self._attempt(request, header))
        try:
            yield connection
        finally:
            await self._close(connection)

    async def _attempt(self, request: Request, authorization: str | None) -> "_Connection":
        connection = _Connection(self._endpoint)
        try:
            head = await self._answer(connection, self._endpoint.message(request, authorization), request.timeout)
            self._endpoint.count(str(head.status), request.method)
            if head.status >= 300:
                await self._refuse(connection, head)
        except (TimeoutError, TransportError) as error:
            self._endpoint.count("<error>", request.method)
            await self._close(connection)
            raise error if isinstance(error, TransportError) else self._endpoint.lost(error) from error
        except BaseException:
            await self._close(connection)
            raise
        return connection

    async def _answer(self, connection: "_Connection", message: bytes, timeout: float) -> Head:
        self._open.add(connection)
        try:
            await self._endpoint.connect(lambda: connection)
        except BaseException:
            connection.abandon()
            raise
        connection.send(message)
        async with asyncio.timeout(timeout):
            return await connection.head()

    async def _refuse(self, connection: "_Connection", head: Head) -> NoReturn:
        body = b""
        async with asyncio.timeout(REQUEST_TIMEOUT):
            while len(body) < MAX_ERROR_BODY and (more := await connection.readany()):
                body += more
        raise refusal(head.status, body, head.headers.get("retry-after"))

    async def _close(self, connection: "_Connection") -> None:
        self._open.discard(connection)
        await connection.close()


class _Connection(asyncio.BufferedProtocol):
    """One request, and its answer as it comes."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._lost = endpoint.lost
        self._receive = RECEIVE
        self._response = ResponseReader()
        self._transport: asyncio.Transport | None = None
        self._chunks: deque[bytes] = deque()
        self._sink: Sink | None = None
        self._pushed = False
        self._size = 0
        self._paused = False
        self._ended = False
        self._error: TransportError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._closed = asyncio.get_running_loop().create_future()

    # What the reader of the stream asks.

    def send(self, message: bytes) -> None:
        assert self._transport is not None
        self._transport.write(message)

    async def head(self) -> Head:
        while self._response.head is None:
            if self._ended:
                raise self._error or self._lost(ConnectionResetError("the server closed it without an answer"))
            await self._wait()
        return self._response.head

    async def readany(self) -> bytes:
        while not self._chunks:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return b""
            await self._wait()
        chunk = self._chunks.popleft()
        self._taken(len(chunk))
        return chunk

    def push_to(self, sink: Sink) -> None:
        self._sink = sink
        while self._chunks:
            chunk = self._chunks.popleft()
            sink(chunk, 0, len(chunk))
            self._pushed = True

    async def pushed(self) -> bool:
        self._taken(self._size)
        while not self._pushed:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return False
            await self._wait()
        self._pushed = False
        return True

    async def close(self) -> None:
        """Ends the connection at once; nobody waits for what the server might still say."""
        if self._transport is not None:
            self._transport.abort()
            await asyncio.shield(self._closed)

    def abandon(self) -> None:
        """Of one whose making failed or was cancelled: uvloop does not tell of the end of these."""
        if self._transport is not None:
            self._transport.abort()
        if not self._closed.done():
            self._closed.set_result(None)

    def _taken(self, size: int) -> None:
        self._size -= size
        if self._paused and self._size < LOW_WATER and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not derived from asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        made = transport.get_extra_info("socket")
        if made is not None:
            keep_alive(made)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._receive.view

    def buffer_updated(self, nbytes: int) -> None:
        received = self._receive.buffer
        try:
            buffer, spans = self._response.spans(received, nbytes)
        except BadResponse as error:
            self._end(self._lost(ConnectionError(f"the answer cannot be read: {error}")))
            return
        if spans and not self._ended:
            self._give(buffer, spans)
        if self._response.complete:
            self._end(None)
        self._wake()

    def _give(self, buffer: Buffer, spans: list[Span]) -> None:
        for start, stop in spans:
            self._size += stop - start
            if self._sink is not None:
                self._sink(buffer, start, stop)
                self._pushed = True
            else:
                self._chunks.append(bytes(memoryview(buffer)[start:stop]))
        if self._size > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._end(None if self._response.ends_here() else self._lost(ConnectionResetError("it ended within an answer")))
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._end(self._lost(exc))
        else:
            self.eof_received()
        if not self._closed.done():
            self._closed.set_result(None)

    def _end(self, error: TransportError | None) -> None:
        if not self._ended:
            self._ended = True
            self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
