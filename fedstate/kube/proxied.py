"""HTTP to one API server through a proxy, by aiohttp. Answers as our own connections do, in the same words.

Knows no resources and decodes no objects. Does not retry, except once after a 401 with fresh credentials.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from fedstate.kube.config import ClusterConfig
from fedstate.kube.errors import TransportError
from fedstate.kube.metrics import REQUESTS
from fedstate.kube.wire import (
    CONNECT_TIMEOUT,
    MAX_CONNECTIONS,
    MAX_ERROR_BODY,
    ByteStream,
    Request,
    keepalive_socket,
    refusal,
    tls_context,
    with_credentials,
)

_NETWORK_ERRORS = (aiohttp.ClientError, TimeoutError, OSError)


class ProxiedTransport:
    """Requests and watches on separate connections, so that neither waits for the other."""

    def __init__(self, config: ClusterConfig, user_agent: str) -> None:
        self._config = config
        self._user_agent = user_agent
        self._requests: aiohttp.ClientSession | None = None
        self._watches: aiohttp.ClientSession | None = None
        self._host = config.server.split("://", 1)[-1].split("/", 1)[0]

    async def open(self) -> None:
        tls = await asyncio.to_thread(tls_context, self._config) if self._config.server.startswith("https:") else None
        self._requests, self._watches = self._session(tls, MAX_CONNECTIONS), self._session(tls, 0)

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
            limit=limit, ssl=True if tls is None else tls, socket_factory=keepalive_socket, keepalive_timeout=60
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
        return await with_credentials(self._config, lambda header: self._attempt(session, request, timeout, header))

    async def _attempt(
        self, session: aiohttp.ClientSession, request: Request, timeout: aiohttp.ClientTimeout, authorization: str | None
    ) -> aiohttp.ClientResponse:
        headers = dict(request.headers)
        if authorization:
            headers["Authorization"] = authorization
        try:
            response = await session.request(
                request.method,
                # One text, for the library remembers what it has parsed; a query given apart is merged anew each time.
                URL(self._config.server + request.target(), encoded=True),
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
        try:
            body = await response.content.read(MAX_ERROR_BODY)
        except _NETWORK_ERRORS as error:
            raise self._lost(error) from error
        finally:
            response.release()
        raise refusal(response.status, body, response.headers.get("Retry-After"))

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
