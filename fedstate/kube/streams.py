"""Watches on connections of their own, without an HTTP library between: one receive buffer for all that a thread reads.

What it refuses to know: proxies, keep-alive, compression. Requests that are no streams go another way.
"""

import asyncio
import ssl
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NoReturn, cast
from urllib.parse import urlsplit

from fedstate.kube.config import ClusterConfig
from fedstate.kube.errors import TransportError
from fedstate.kube.framing import BadResponse, Head, ResponseReader
from fedstate.kube.metrics import REQUESTS
from fedstate.kube.wire import (
    CONNECT_TIMEOUT,
    MAX_ERROR_BODY,
    REQUEST_TIMEOUT,
    ByteStream,
    Request,
    keep_alive,
    refusal,
    with_credentials,
)

# What fits the processor's cache, and an allocator's own memory: larger pieces are mapped and unmapped each time.
RECEIVE_BUFFER = 124 * 1024
# Of one stream, read but not yet taken: above the first the server has to wait, and below the second no longer.
HIGH_WATER = 2**19
LOW_WATER = 2**17

Lost = Callable[[Exception], TransportError]


class _Receive(threading.local):
    """A loop reads for one connection at a time, and nothing of the buffer is kept: one serves them all."""

    def __init__(self) -> None:
        self.buffer = bytearray(RECEIVE_BUFFER)
        # What asyncio's TLS gets has to be a view: it writes into slices, and a slice of a bytearray is a copy.
        self.view = memoryview(self.buffer)


_RECEIVE = _Receive()


class RawStreams:
    """Opens streams to one API server as one identity."""

    def __init__(self, config: ClusterConfig, user_agent: str, tls: ssl.SSLContext | None) -> None:
        self._config = config
        self._user_agent = user_agent
        self._tls = tls
        parts = urlsplit(config.server)
        self._address = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        self._authority = parts.netloc.rpartition("@")[2]
        self._base = parts.path.rstrip("/")
        self._open: set[_Connection] = set()

    async def close(self) -> None:
        for connection in tuple(self._open):
            await connection.close()

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[ByteStream]:
        """The body of the answer. Raises ApiError if it is a refusal, TransportError if there is none."""
        connection = await with_credentials(self._config, lambda header: self._attempt(request, header))
        try:
            yield connection
        finally:
            await self._close(connection)

    async def _attempt(self, request: Request, authorization: str | None) -> "_Connection":
        connection = _Connection(self._lost)
        try:
            head = await self._answer(connection, self._message(request, authorization), request.timeout)
            REQUESTS.labels(str(head.status), request.method, self._authority).inc()
            if head.status >= 300:
                await self._refuse(connection, head)
        except (OSError, TimeoutError, TransportError) as error:
            REQUESTS.labels("<error>", request.method, self._authority).inc()
            await self._close(connection)
            raise error if isinstance(error, TransportError) else self._lost(error) from error
        except BaseException:
            await self._close(connection)
            raise
        return connection

    async def _answer(self, connection: "_Connection", message: bytes, timeout: float) -> Head:
        loop = asyncio.get_running_loop()
        host, port = self._address
        name = (self._config.tls_server_name or host) if self._tls is not None else None
        self._open.add(connection)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await loop.create_connection(lambda: connection, host, port, ssl=self._tls, server_hostname=name)
        except (OSError, TimeoutError) as error:
            raise self._unreachable(error) from error
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

    def _message(self, request: Request, authorization: str | None) -> bytes:
        headers = {
            "Host": self._authority,
            "User-Agent": self._user_agent,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            **request.headers,
        }
        if authorization:
            headers["Authorization"] = authorization
        if request.body is not None:
            headers["Content-Length"] = str(len(request.body))
        lines = [f"{request.method} {self._base}{request.target()} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a line break in the path or a header of a request")
        return "\r\n".join((*lines, "", "")).encode("latin-1") + (request.body or b"")

    def _unreachable(self, error: OSError) -> TransportError:
        if isinstance(error, TimeoutError | ssl.SSLError):
            return self._lost(error)
        return TransportError(f"cannot connect to {self._config.server}: {error.strerror or error}")

    def _lost(self, error: Exception) -> TransportError:
        server = self._config.server
        if isinstance(error, ssl.SSLError):
            return TransportError(f"the certificate of {server} is not accepted: {error}")
        if isinstance(error, TimeoutError):
            return TransportError(f"{server} gave no answer in time")
        return TransportError(f"the connection to {server} broke: {error or type(error).__name__}")


class _Connection(asyncio.BufferedProtocol):
    """One request, and its answer as it comes."""

    def __init__(self, lost: Lost) -> None:
        self._lost = lost
        self._response = ResponseReader()
        self._transport: asyncio.Transport | None = None
        self._chunks: deque[bytes] = deque()
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
        self._size -= len(chunk)
        if self._paused and self._size < LOW_WATER and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return chunk

    async def close(self) -> None:
        """Ends the connection at once; nobody waits for what the server might still say."""
        if self._transport is not None:
            self._transport.abort()
            await asyncio.shield(self._closed)

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
        return _RECEIVE.view

    def buffer_updated(self, nbytes: int) -> None:
        try:
            body = self._response.feed(_RECEIVE.buffer, nbytes)
        except BadResponse as error:
            self._end(self._lost(ConnectionError(f"the answer cannot be read: {error}")))
            return
        if body and not self._ended:
            self._chunks.append(body)
            self._size += len(body)
            if self._size > HIGH_WATER and not self._paused and self._transport is not None:
                self._paused = True
                self._transport.pause_reading()
        if self._response.complete:
            self._end(None)
        self._wake()

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
