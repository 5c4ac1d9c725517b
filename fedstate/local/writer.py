"""A plain MongoDB client, as an application would have one: it writes with majority acknowledgement and remembers what was acknowledged.

It knows nothing of FedState but the address list and the password. The driver's client is the one with threads: its asyncio client
(4.20) leaves the socket of a connection to the garbage collector when it is closed while that one opens (PYTHON-5867).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote_plus

from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from fedstate.errors import FedstateError

WRITE_TIMEOUT = 1.0
PAUSE = 0.02
FIRST_WRITE_TIMEOUT = 30.0


def connection_string(addresses: str, *, replica_set: str, user: str, password: str) -> str:
    """The URI for `status.externalAddr`, with user and password escaped."""
    return (
        f"mongodb://{quote_plus(user)}:{quote_plus(password)}@{addresses}/?replicaSet={quote_plus(replica_set)}&authSource=admin"
    )


class Writer:
    """Writes numbered documents one after another, and never twice the same number; `acknowledged` holds what the majority has."""

    def __init__(self, uri: str, *, collection: str = "writes") -> None:
        self._client: MongoClient[dict[str, Any]] = MongoClient(
            uri,
            serverSelectionTimeoutMS=1000,
            connectTimeoutMS=1000,
            socketTimeoutMS=5000,
            heartbeatFrequencyMS=500,
            retryWrites=False,
        )
        concern = WriteConcern(w="majority", wtimeout=5000, j=True)
        database = self._client.get_database("fedstate_demo")
        self._collection = database.get_collection(collection, write_concern=concern, read_concern=ReadConcern("majority"))
        self._next = 0
        self.acknowledged: list[int] = []
        self.acknowledged_at: list[float] = []
        self.first_seconds = 0.0
        self._stopping = False

    async def write_one(self) -> float:
        """Write one document, trying for 30 s (FedstateError after them); return the seconds that the acknowledged try took."""
        deadline = time.monotonic() + FIRST_WRITE_TIMEOUT
        while time.monotonic() < deadline:
            begun = time.monotonic()
            if await self._try():
                return time.monotonic() - begun
            await asyncio.sleep(PAUSE)
        raise FedstateError(f"no write was acknowledged by a majority within {FIRST_WRITE_TIMEOUT:.0f} s")

    async def run(self) -> None:
        """Write until `stop`. Not to be cancelled: the write under way would go on in its thread, and nobody would count it."""
        while not self._stopping:
            await self._try()
            await asyncio.sleep(PAUSE)

    def stop(self) -> None:
        """Let `run` end after the write under way, which the driver's own timeouts bound."""
        self._stopping = True

    async def wait_acknowledged(self, timeout: float) -> None:
        """Wait until one more document is acknowledged."""
        count = len(self.acknowledged)
        async with asyncio.timeout(timeout):
            while len(self.acknowledged) == count:  # noqa: ASYNC110  the figure is our own
                await asyncio.sleep(PAUSE)

    def longest_gap(self, since: float) -> float:
        """The longest time without an acknowledged write since a moment (monotonic seconds)."""
        before = max((at for at in self.acknowledged_at if at <= since), default=since)
        marks = [before, *(at for at in self.acknowledged_at if at > since)]
        return max((later - earlier for earlier, later in zip(marks, marks[1:], strict=False)), default=0.0)

    async def missing(self) -> list[int]:
        """Numbers acknowledged before the call that cannot be read back by a majority read; writing may go on meanwhile."""
        written = list(self.acknowledged)
        found = await asyncio.to_thread(self._read)
        return [number for number in written if number not in found]

    async def close(self) -> None:
        """Close the connections."""
        await asyncio.to_thread(self._client.close)

    def _read(self) -> set[int]:
        return {document["_id"] for document in self._collection.find({}, {"_id": 1})}

    async def _try(self) -> bool:
        number, self._next = self._next, self._next + 1
        try:
            await asyncio.to_thread(self._collection.insert_one, {"_id": number})
        except PyMongoError:
            return False
        self.acknowledged.append(number)
        self.acknowledged_at.append(time.monotonic())
        return True


@asynccontextmanager
async def writing(uri: str, *, collection: str = "writes") -> AsyncIterator[Writer]:
    """A writer that writes in the background while the block runs, after its first document was acknowledged."""
    writer = Writer(uri, collection=collection)
    try:
        writer.first_seconds = await writer.write_one()
        task = asyncio.create_task(writer.run(), name="writer")
        try:
            yield writer
        finally:
            writer.stop()
            await task
    finally:
        await writer.close()
