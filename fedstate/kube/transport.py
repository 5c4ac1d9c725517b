"""What a client reaches its API server by: our own connections, or an HTTP library's where a proxy is between.

Knows no resources and decodes no objects.
"""

import asyncio
from contextlib import AbstractAsyncContextManager

from fedstate.kube.config import ClusterConfig
from fedstate.kube.endpoint import Endpoint
from fedstate.kube.pool import RequestPool
from fedstate.kube.streams import RawStreams
from fedstate.kube.wire import ByteStream, Request, Transport, tls_context

__all__ = ["ByteStream", "DirectTransport", "Request", "Transport", "transport_for"]


def transport_for(config: ClusterConfig, user_agent: str) -> Transport:
    """The way to the server of `config`."""
    if not config.proxy:
        return DirectTransport(config, user_agent)
    # Rarely needed, and its import takes 8 MB and a quarter of a second.
    from fedstate.kube.proxied import ProxiedTransport

    return ProxiedTransport(config, user_agent)


class DirectTransport:
    """Requests and watches on separate connections, so that neither waits for the other."""

    def __init__(self, config: ClusterConfig, user_agent: str) -> None:
        self._config = config
        self._user_agent = user_agent
        self._requests: RequestPool | None = None
        self._watches: RawStreams | None = None

    async def open(self) -> None:
        tls = await asyncio.to_thread(tls_context, self._config) if self._config.server.startswith("https:") else None
        endpoint = Endpoint(self._config, self._user_agent, tls)
        self._requests, self._watches = RequestPool(endpoint), RawStreams(endpoint)

    async def close(self) -> None:
        requests, watches = self._requests, self._watches
        self._requests = self._watches = None
        if requests is not None:
            await requests.close()
        if watches is not None:
            await watches.close()

    async def send(self, request: Request) -> bytes | bytearray:
        if self._requests is None:
            raise RuntimeError("the client is not open; use it in `async with`")
        return await self._requests.send(request)

    def stream(self, request: Request) -> AbstractAsyncContextManager[ByteStream]:
        if self._watches is None:
            raise RuntimeError("the client is not open; use it in `async with`")
        return self._watches.stream(request)
