"""The writer's account of what was lost."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from fedstate.local.writer import Writer


class _Collection:
    """Holds some documents, and lets the writer have another one acknowledged while they are read."""

    def __init__(self, writer: Writer, documents: list[int]) -> None:
        self._writer = writer
        self._documents = documents

    def find(self, query: dict[str, Any], fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for number in list(self._documents):
            yield {"_id": number}
        self._writer.acknowledged.append(99)


async def test_a_document_acknowledged_while_the_others_are_read_back_is_not_called_lost(monkeypatch: Any) -> None:
    writer = Writer("mongodb://127.0.0.1:1")
    monkeypatch.setattr(writer, "_collection", _Collection(writer, [0, 2]))
    writer.acknowledged += [0, 1, 2]
    try:
        assert await writer.missing() == [1]
    finally:
        await writer.close()


async def test_a_writer_closed_while_its_client_connects_leaves_no_socket_to_the_garbage_collector() -> None:
    with nobody_accepts() as address:
        others = open_sockets()
        writer = Writer(f"mongodb://{address}")
        run = asyncio.create_task(writer.run())
        await until(lambda: not open_sockets() <= others)
        writer.stop()
        await writer.close()
        await run
        await until(lambda: open_sockets() <= others)


@contextmanager
def nobody_accepts() -> Iterator[str]:
    """An address at which connections open for ever: the listener's queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        host, port = listener.getsockname()
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((host, port))
        yield f"{host}:{port}"


def open_sockets() -> set[int]:
    return {id(found) for found in gc.get_objects() if type(found) is socket.socket and found.fileno() >= 0}


async def until(holds: Callable[[], bool]) -> None:
    """Wait at most 10 s."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
