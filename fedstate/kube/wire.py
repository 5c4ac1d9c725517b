"""What a client asks of the network, and what every way of asking shares: requests, sockets, TLS, credentials, refusals.

Opens no connection.
"""

import socket
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable
from urllib.parse import urlencode

from fedstate.kube.codec import decode
from fedstate.kube.config import ClusterConfig
from fedstate.kube.errors import ApiError, Unauthorized, api_error_from
from fedstate.kube.framing import Buffer

T = TypeVar("T")

MAX_CONNECTIONS = 64
CONNECT_TIMEOUT = 5.0
REQUEST_TIMEOUT = 30.0
MAX_ERROR_BODY = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request to an API server; `timeout` is for the whole answer, or for each read of a stream."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = REQUEST_TIMEOUT

    def target(self) -> str:
        """Path and query, as they are sent."""
        return f"{self.path}?{_query(tuple(self.params.items()))}" if self.params else self.path


# The same few come again and again.
@lru_cache(256)
def _query(params: tuple[tuple[str, str], ...]) -> str:
    return urlencode(params)


class ByteStream(Protocol):
    """The body of an answer as it arrives."""

    async def readany(self) -> bytes:
        """The next bytes; empty at the end. TransportError if the connection broke or went silent."""


# Gets bytes where they are, `buffer[start:stop]`, and keeps nothing of the buffer.
Sink: TypeAlias = Callable[[Buffer, int, int], None]


@runtime_checkable
class PushedStream(ByteStream, Protocol):
    """A stream that hands its bytes over as they come, without a copy; read it in this way or by `readany`, not by both."""

    def push_to(self, sink: Sink) -> None:
        """Calls `sink` with all bytes, from the first to the last."""

    async def pushed(self) -> bool:
        """Waits until `sink` has got more; False at the end. Tells the stream that all it gave before is done with."""


class Transport(Protocol):
    """What KubeClient needs from the network. Refusals raise ApiError, missing answers TransportError."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, request: Request) -> bytes | bytearray: ...

    def stream(self, request: Request) -> AbstractAsyncContextManager[ByteStream]: ...


async def _authorization(config: ClusterConfig, *, fresh: bool) -> str | None:
    token = config.token
    if token is None or isinstance(token, str):
        return f"Bearer {token}" if token else None
    return await token.authorization(fresh=fresh)


async def with_credentials(config: ClusterConfig, attempt: Callable[[str | None], Awaitable[T]]) -> T:
    """What `attempt` gives with the Authorization header of `config`; after a 401 once more, if that can be renewed."""
    try:
        return await attempt(await _authorization(config, fresh=False))
    except Unauthorized:
        if config.token is None or isinstance(config.token, str):
            raise
        return await attempt(await _authorization(config, fresh=True))


def refusal(status: int, body: bytes | bytearray, retry_after: str | None) -> ApiError:
    """The error that an answer with this HTTP status means."""
    said: Any = None
    try:
        said = decode(body)
    except ValueError:
        # Not a Status: its content stays unquoted, for it may be anything.
        said = None
    return api_error_from(status, said, retry_after=retry_after)


def keepalive_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket whose dead peer is noticed in half a minute: HTTP/1.1 has no ping of its own."""
    made = socket.socket(family=address[0], type=address[1], proto=address[2])
    keep_alive(made)
    return made


def keep_alive(made: socket.socket) -> None:
    """Has the kernel ask a silent peer whether it is still there."""
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # TCP_USER_TIMEOUT is in milliseconds; macOS has none of these but KEEPINTVL and KEEPCNT.
    for option, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 30_000)):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def tls_context(config: ClusterConfig) -> ssl.SSLContext:
    """Trusts what `config` says, and signs in with its certificate if it has one. Reads files: not for the event loop."""
    context = ssl.create_default_context(cadata=config.ca_data.decode() if config.ca_data else None)
    # Authorities made by common Kubernetes installers lack extensions that the strict mode of newer Pythons demands.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if config.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if config.client_cert_data and config.client_key_data:
        with tempfile.TemporaryDirectory(prefix="fedstate-tls-") as directory:
            certificate, key = Path(directory) / "tls.crt", Path(directory) / "tls.key"
            certificate.write_bytes(config.client_cert_data)
            key.touch(mode=0o600)
            key.write_bytes(config.client_key_data)
            context.load_cert_chain(certificate, key)
    return context
