"""HTTP to one API server: two aiohttp sessions, TLS, credentials, and errors turned into ours.

Knows no resources and decodes no objects. Does not retry, except once after a 401 with fresh credentials.
"""

import asyncio
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from yarl import URL

from fedstate.kube.codec import decode
from fedstate.kube.config import ClusterConfig
from fedstate.kube.errors import TransportError, Unauthorized, api_error_from
from fedstate.kube.metrics import REQUESTS

CONNECT_TIMEOUT = 5.0
REQUEST_TIMEOUT = 30.0
MAX_CONNECTIONS = 64
MAX_ERROR_BODY = 2**20

_NETWORK_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request to an API server; `timeout` is for the whole answer, or for each read of a stream."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = REQUEST_TIMEOUT


class ByteStream(Protocol):
    """The body of an answer as it arrives."""

    async def readany(self) -> bytes:
        """The next bytes; empty at the end. TransportError if the connection broke or went silent."""


class Transport(Protocol):
    """What KubeClient needs from the network. Refusals raise ApiError, missing answers TransportError."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, request: Request) -> bytes: ...

    def stream(self, request: Request) -> AbstractAsyncContextManager[ByteStream]: ...


class HttpTransport:
    """Requests and watches on separate connections, so that neither waits for the other."""

    def __init__(self, config: ClusterConfig, user_agent: str) -> None:
        self._config = config
        self._user_agent = user_agent
        self._requests: aiohttp.ClientSession | None = None
        self._watches: aiohttp.ClientSession | None = None
        self._host = config.server.split("://", 1)[-1].split("/", 1)[0]

    async def open(self) -> None:
        tls = await asyncio.to_thread(_tls_context, self._config) if self._config.server.startswith("https:") else None
        self._requests = self._session(tls, MAX_CONNECTIONS)
        self._watches = self._session(tls, 0)

    async def close(self) -> None:
        for session in (self._requests, self._watches):
            if session is not None:
                await session.close()
        self._requests = self._watches = None

    async def send(self, request: Request) -> bytes:
        timeout = aiohttp.ClientTimeout(total=request.timeout, sock_connect=CONNECT_TIMEOUT)
        response = await self._answer(self._requests, request, timeout)
        try:
            return await response.read()
        except _NETWORK_ERRORS as error:
            raise self._lost(error) from error
        finally:
            response.release()

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[ByteStream]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT, sock_read=request.timeout)
        response = await self._answer(self._watches, request, timeout)
        try:
            yield _Body(response.content, self._lost)
        finally:
            response.close()

    def _session(self, tls: ssl.SSLContext | None, limit: int) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=limit, ssl=True if tls is None else tls, socket_factory=_keepalive_socket, keepalive_timeout=60
        )
        # Compression costs more than a fast network does; proxies come from the kubeconfig, never from the environment.
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._user_agent, "Accept": "application/json", "Accept-Encoding": "identity"},
            read_bufsize=2**18,
            trust_env=False,
            proxy=self._config.proxy,
        )

    async def _answer(
        self, session: aiohttp.ClientSession | None, request: Request, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        if session is None:
            raise RuntimeError("the client is not open; use it in `async with`")
        try:
            return await self._attempt(session, request, timeout, await self._authorization(fresh=False))
        except Unauthorized:
            if self._config.token is None or isinstance(self._config.token, str):
                raise
            return await self._attempt(session, request, timeout, await self._authorization(fresh=True))

    async def _authorization(self, *, fresh: bool) -> str | None:
        token = self._config.token
        if token is None or isinstance(token, str):
            return f"Bearer {token}" if token else None
        return await token.authorization(fresh=fresh)

    async def _attempt(
        self, session: aiohttp.ClientSession, request: Request, timeout: aiohttp.ClientTimeout, authorization: str | None
    ) -> aiohttp.ClientResponse:
        headers = dict(request.headers)
        if authorization:
            headers["Authorization"] = authorization
        try:
            response = await session.request(
                request.method,
                URL(self._config.server + request.path, encoded=True),
                params=dict(request.params) or None,
                data=request.body,
                headers=headers,
                timeout=timeout,
                server_hostname=self._config.tls_server_name,
                allow_redirects=False,
            )
        except _NETWORK_ERRORS as error:
            REQUESTS.labels("<error>", request.method, self._host).inc()
            raise self._lost(error) from error
        REQUESTS.labels(str(response.status), request.method, self._host).inc()
        if response.status >= 300:
            await self._refuse(response)
        return response

    async def _refuse(self, response: aiohttp.ClientResponse) -> None:
        body: Any = None
        try:
            body = decode(await response.content.read(MAX_ERROR_BODY))
        except ValueError:
            # Not a Status: its content stays unquoted, for it may be anything.
            body = None
        except _NETWORK_ERRORS as error:
            raise self._lost(error) from error
        finally:
            response.release()
        raise api_error_from(response.status, body, retry_after=response.headers.get("Retry-After"))

    def _lost(self, error: Exception) -> TransportError:
        server = self._config.server
        if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLError):
            return TransportError(f"the certificate of {server} is not accepted: {error}")
        if isinstance(error, TimeoutError):
            return TransportError(f"{server} gave no answer in time")
        if isinstance(error, aiohttp.ClientConnectorError):
            return TransportError(f"cannot connect to {server}: {error.os_error.strerror or error.os_error}")
        return TransportError(f"the connection to {server} broke: {error or type(error).__name__}")


class _Body:
    def __init__(self, content: aiohttp.StreamReader, lost: Callable[[Exception], TransportError]) -> None:
        self._content = content
        self._lost = lost

    async def readany(self) -> bytes:
        try:
            return await self._content.readany()
        except _NETWORK_ERRORS as error:
            raise self._lost(error) from error


def _keepalive_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket whose dead peer is noticed in half a minute: HTTP/1.1 has no ping of its own."""
    family, kind, protocol = address[0], address[1], address[2]
    made = socket.socket(family=family, type=kind, proto=protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # TCP_USER_TIMEOUT is in milliseconds; macOS has none of these but KEEPINTVL and KEEPCNT.
    for option, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 30_000)):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return made


def _tls_context(config: ClusterConfig) -> ssl.SSLContext:
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
