"""Requests to one API server over a few connections that are kept, one request at a time on each.

Retries nothing that a server may have acted on: that is left to whoever knows what the request was for.
"""

import asyncio
from collections import deque

from fedstate.kube.endpoint import Endpoint
from fedstate.kube.errors import TransportError
from fedstate.kube.link import Answer, Link
from fedstate.kube.wire import MAX_CONNECTIONS, Request, refusal, with_credentials

# Shorter than the 90 seconds after which a kube-apiserver closes it, which could cross a request on its way.
IDLE_TIMEOUT = 60.0

# What a server may be asked twice, when an old connection brought no answer: as Go's client does.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class RequestPool:
    """At most `limit` requests are on their way; the others wait, first come first served, within their own deadlines."""

    def __init__(self, endpoint: Endpoint, *, limit: int = MAX_CONNECTIONS) -> None:
        self._endpoint = endpoint
        self._free = limit
        self._waiting: deque[asyncio.Future[None]] = deque()
        # Of the connections that wait for a request the one used last is taken first, so that the others can grow old.
        self._idle: list[Link] = []
        self._busy: set[Link] = set()
        self._links: set[Link] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._closed = False

    async def close(self) -> None:
        """Ends all connections; requests on their way fail."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(self._gone())
        links = tuple(self._links)
        for link in links:
            link.abort()
        for link in links:
            await link.wait_closed()

    async def send(self, request: Request) -> bytearray:
        """The body of the answer. Raises ApiError if it is a refusal, TransportError if there is none in time."""
        deadline = asyncio.get_running_loop().time() + request.timeout
        return await with_credentials(self._endpoint.config, lambda header: self._attempt(request, header, deadline))

    async def _attempt(self, request: Request, authorization: str | None, deadline: float) -> bytearray:
        message = self._endpoint.message(request, authorization)
        try:
            head, body = await self._exchange(request.method, message, deadline)
        except TransportError:
            self._endpoint.count("<error>", request.method)
            raise
        self._endpoint.count(str(head.status), request.method)
        if head.status >= 300:
            raise refusal(head.status, body, head.headers.get("retry-after"))
        return body

    async def _exchange(self, method: str, message: bytes, deadline: float) -> Answer:
        if self._free:
            self._free -= 1
        else:
            await self._wait_for_place(deadline)
        link: Link | None = None
        try:
            link = self._idle_link() or await self._connect(deadline)
            try:
                return await self._ask(link, message, deadline)
            except TransportError:
                if not link.stale or method not in _SAFE or self._closed:
                    raise
            # The server closed it while nobody asked; on a new connection that cannot be.
            link = await self._connect(deadline)
            return await self._ask(link, message, deadline)
        finally:
            self._leave_place(link)

    async def _ask(self, link: Link, message: bytes, deadline: float) -> Answer:
        self._look_at(deadline)
        self._busy.add(link)
        try:
            return await link.exchange(message, deadline)
        finally:
            self._busy.discard(link)

    async def _connect(self, deadline: float) -> Link:
        if self._closed:
            raise self._gone()
        link = Link(self._endpoint, self._ended)
        self._links.add(link)
        try:
            async with asyncio.timeout_at(deadline):
                await self._endpoint.connect(lambda: link)
        except BaseException as error:
            link.abandon()
            self._links.discard(link)
            if isinstance(error, TimeoutError):
                raise self._endpoint.lost(error) from error
            raise
        if self._closed:
            link.abort()
            raise self._gone()
        if not link.ready:
            raise self._endpoint.lost(ConnectionResetError("the server closed it at once"))
        return link

    async def _wait_for_place(self, deadline: float) -> None:
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout_at(deadline):
                await place
        except BaseException as error:
            # Given the place and cancelled at once: somebody else gets it.
            if place.done() and not place.cancelled() and place.exception() is None:
                self._leave_place(None)
            if isinstance(error, TimeoutError):
                raise self._endpoint.lost(error) from error
            raise

    def _leave_place(self, link: Link | None) -> None:
        if link is not None and link.ready:
            link.idle_since = asyncio.get_running_loop().time()
            self._idle.append(link)
            self._look_at(link.idle_since + IDLE_TIMEOUT)
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1

    def _idle_link(self) -> Link | None:
        oldest = asyncio.get_running_loop().time() - IDLE_TIMEOUT
        while self._idle:
            link = self._idle.pop()
            if link.ready and link.idle_since > oldest:
                return link
            link.abort()
        return None

    def _ended(self, link: Link) -> None:
        self._links.discard(link)
        if link in self._idle:
            self._idle.remove(link)

    def _look_at(self, when: float) -> None:
        """Has the deadlines looked at no later than `when`: one timer serves them all, and is rarely set."""
        if self._timer is not None:
            if self._timer_at <= when:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(when, self._look)
        self._timer_at = when

    def _look(self) -> None:
        # A loop may call a timer one tick of its clock early.
        now = max(asyncio.get_running_loop().time(), self._timer_at)
        self._timer = None
        for link in self._busy:
            if link.deadline <= now:
                link.expire()
            else:
                self._look_at(link.deadline)
        while self._idle and self._idle[0].idle_since + IDLE_TIMEOUT <= now:
            self._idle.pop(0).abort()
        if self._idle:
            self._look_at(self._idle[0].idle_since + IDLE_TIMEOUT)

    def _gone(self) -> TransportError:
        return TransportError(f"the connections to {self._endpoint.config.server} are closed")
