"""One API server as our own connections see it: its address, what a request to it looks like, and what went wrong with it.

Holds no connection.
"""

import asyncio
import ssl
import threading
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from fedstate.kube.config import ClusterConfig
from fedstate.kube.errors import TransportError
from fedstate.kube.metrics import REQUESTS
from fedstate.kube.wire import CONNECT_TIMEOUT, Request

P = TypeVar("P", bound=asyncio.BaseProtocol)

# What fits the processor's cache, and an allocator's own memory: larger pieces are mapped and unmapped each time.
RECEIVE_BUFFER = 124 * 1024

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class _Receive(threading.local):
    """A loop reads for one connection at a time, and nothing of the buffer is kept: one serves them all."""

    def __init__(self) -> None:
        self.buffer = bytearray(RECEIVE_BUFFER)
        # What asyncio's TLS gets has to be a view: it writes into slices, and a slice of a bytearray is a copy.
        self.view = memoryview(self.buffer)


RECEIVE = _Receive()


class Endpoint:
    """One API server and one identity on it."""

    def __init__(self, config: ClusterConfig, user_agent: str, tls: ssl.SSLContext | None) -> None:
        self.config = config
        self._tls = tls
        parts = urlsplit(config.server)
        self._address = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        self._authority = parts.netloc.rpartition("@")[2]
        self._base = parts.path.rstrip("/")
        self._same = f" HTTP/1.1\r\nHost: {self._authority}\r\nUser-Agent: {user_agent}\r\nAccept-Encoding: identity\r\n"
        if self._same.count("\n") != 4:
            raise ValueError("a line break in the address of a server or in what this program calls itself")
        self._counters: dict[tuple[str, str], Any] = {}

    async def connect(self, protocol: Callable[[], P]) -> P:
        """A connection that can be written to; TransportError if there is none in time."""
        host, port = self._address
        name = (self.config.tls_server_name or host) if self._tls is not None else None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                _, made = await loop.create_connection(protocol, host, port, ssl=self._tls, server_hostname=name)
        except (OSError, TimeoutError) as error:
            if isinstance(error, TimeoutError | ssl.SSLError):
                raise self.lost(error) from error
            raise TransportError(f"cannot connect to {self.config.server}: {error.strerror or error}") from error
        return made

    def message(self, request: Request, authorization: str | None) -> bytes:
        """The bytes of a request. ValueError for a line break in it, which would make it two."""
        body = request.body
        headers = "".join([f"{name}: {value}\r\n" for name, value in request.headers.items()])
        lines = 5 + len(request.headers)
        if "Accept" not in request.headers:
            headers += "Accept: application/json\r\n"
            lines += 1
        if authorization:
            headers += f"Authorization: {authorization}\r\n"
            lines += 1
        if body is not None or request.method in _WITH_BODY:
            headers += f"Content-Length: {len(body or b'')}\r\n"
            lines += 1
        text = f"{request.method} {self._base}{request.target()}{self._same}{headers}\r\n"
        if text.count("\n") != lines or text.count("\r") != lines:
            raise ValueError("a line break in the path or a header of a request")
        return text.encode("latin-1") + body if body else text.encode("latin-1")

    def count(self, code: str, method: str) -> None:
        """Counts an answer with this status, or `<error>` for none."""
        counter = self._counters.get((code, method))
        if counter is None:
            counter = self._counters[(code, method)] = REQUESTS.labels(code, method, self._authority)
        counter.inc()

    def lost(self, error: Exception) -> TransportError:
        """What it means that a connection failed with `error`."""
        server = self.config.server
        if isinstance(error, ssl.SSLError):
            return TransportError(f"the certificate of {server} is not accepted: {error}")
        if isinstance(error, TimeoutError):
            return TransportError(f"{server} gave no answer in time")
        return TransportError(f"the connection to {server} broke: {str(error) or type(error).__name__}")
