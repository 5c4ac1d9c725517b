"""Two TCP connections joined: bytes, half-closes, back-pressure and aborts pass from one to the other. Knows nothing of Services."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import cast

_RESET = struct.pack("ii", 1, 0)


class End(asyncio.Protocol):
    """One of the two connections of a link; whatever comes before the other one is there is kept for it."""

    def __init__(self, on_lost: Callable[[End], None]) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: End | None = None
        self._on_lost = on_lost
        self._early: list[bytes] = []
        self._early_eof = False
        self._eofs = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        handle: socket.socket = transport.get_extra_info("socket")
        with suppress(OSError):
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def join(self, other: End) -> None:
        """Make `other`, which is connected, the far end of this one, and the reverse."""
        self.other, other.other = other, self
        for near, far in ((self, other), (other, self)):
            for data in near._early:
                far.write(data)
            near._early.clear()
            if near._early_eof:
                far.write_eof()

    def data_received(self, data: bytes) -> None:
        if self.other is None:
            self._early.append(data)
        else:
            self.other.write(data)

    def eof_received(self) -> bool:
        if self.other is None:
            self._early_eof = True
        else:
            self.other.write_eof()
        return True  # the other direction may go on

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def write_eof(self) -> None:
        """The far end has no more to say; when neither has, the link is over."""
        self._eofs += 1
        if self.transport is not None and not self.transport.is_closing() and self.transport.can_write_eof():
            self.transport.write_eof()
        if self.other is not None and self._eofs and self.other._eofs:
            for end in (self, self.other):
                if end.transport is not None:
                    end.transport.close()

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost(self)
        other = self.other
        if other is None or other.transport is None or other.transport.is_closing():
            return
        if exc is not None:
            other.reset()
        else:
            other.transport.close()

    def reset(self) -> None:
        """End the connection as a machine does that knows nothing of it: with a reset."""
        if self.transport is None:
            return
        handle: socket.socket | None = self.transport.get_extra_info("socket")
        if handle is not None:
            with suppress(OSError):
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()


class Link:
    """A client's connection and the one to the backend that was chosen for it."""

    def __init__(self, backend: str, on_over: Callable[[Link], None]) -> None:
        self.backend = backend
        self._on_over = on_over
        self.client = End(self._lost)
        self.server = End(self._lost)
        self._lost_ends = 0

    async def connect(self, host: str, port: int, *, timeout: float) -> None:
        """Connect to the backend and join the two; if that fails the client is reset."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                await loop.create_connection(lambda: self.server, host, port)
        except OSError:  # TimeoutError is one
            self.client.reset()
            return
        if self.client.transport is None or self.client.transport.is_closing():
            self.server.reset()
            return
        self.client.join(self.server)

    def reset(self) -> None:
        """Cut both connections."""
        self.client.reset()
        self.server.reset()

    def _lost(self, end: End) -> None:
        self._lost_ends += 1
        if self._lost_ends == 2 or self.server.transport is None:
            self._on_over(self)
