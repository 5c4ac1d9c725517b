"""The durable half of the store: one SQLite file, written by one thread in batches. Knows rows, not objects."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
  collection TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, value BLOB NOT NULL,
  PRIMARY KEY (collection, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counter (id INTEGER PRIMARY KEY CHECK (id = 0), revision INTEGER NOT NULL);
INSERT OR IGNORE INTO counter VALUES (0, 0);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One object's new state at one revision; `value` None means it is gone."""

    collection: str
    namespace: str
    name: str
    revision: int
    value: bytes | None


class Database:
    """Rows that survive the process. `durable` is the newest revision known to be in the file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="apiserver-storage")
        self._connection: sqlite3.Connection | None = None
        self._pending: list[Row] = []
        self._wakeup = asyncio.Event()
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self.failure: Exception | None = None
        self.durable = 0

    def open(self) -> tuple[int, list[Row]]:
        """Open or create the file; return its revision and everything in it."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        self._connection = connection
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.executescript(_SCHEMA)
        (revision,) = connection.execute("SELECT revision FROM counter").fetchone()
        self.durable = int(revision)
        return self.durable, list(self._rows(connection))

    @staticmethod
    def _rows(connection: sqlite3.Connection) -> Iterator[Row]:
        query = "SELECT collection, namespace, name, revision, value FROM objects ORDER BY collection, namespace, name"
        with closing(connection.execute(query)) as cursor:
            for collection, namespace, name, revision, value in cursor:
                yield Row(collection=collection, namespace=namespace, name=name, revision=revision, value=value)

    def write(self, row: Row) -> None:
        """Queue a row; it is durable once `durable` has reached its revision."""
        if self.failure is not None:
            raise self.failure
        self._pending.append(row)
        self._wakeup.set()

    async def settled(self, revision: int) -> None:
        """Return once `revision` is in the file; raises what the file system said if it cannot be."""
        if self.failure is not None:
            raise self.failure
        if revision > self.durable:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append((revision, waiter))
            await waiter

    async def run(self, on_durable: Callable[[int], None]) -> None:
        """Write queued rows, a batch per transaction, and tell `on_durable` after each; ends by cancellation."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            batch, self._pending = self._pending, []
            if not batch:
                continue
            try:
                await loop.run_in_executor(self._executor, self._commit, batch)
            except (sqlite3.Error, OSError) as error:
                self._fail(error)
                raise
            self.durable = batch[-1].revision
            on_durable(self.durable)
            self._wake_waiters()

    def _commit(self, batch: list[Row]) -> None:
        connection = self._connection
        assert connection is not None
        connection.execute("BEGIN IMMEDIATE")
        try:
            for row in batch:
                identity = (row.collection, row.namespace, row.name)
                if row.value is None:
                    connection.execute("DELETE FROM objects WHERE collection=? AND namespace=? AND name=?", identity)
                else:
                    connection.execute("REPLACE INTO objects VALUES (?,?,?,?,?)", (*identity, row.revision, row.value))
            connection.execute("UPDATE counter SET revision=?", (batch[-1].revision,))
            connection.execute("COMMIT")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _wake_waiters(self) -> None:
        waiting = self._waiters
        self._waiters = [(revision, waiter) for revision, waiter in waiting if revision > self.durable]
        for revision, waiter in waiting:
            if revision <= self.durable and not waiter.done():
                waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        self.failure = error
        for _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(error)
        self._waiters.clear()

    def close(self) -> None:
        """Write what is still queued and close the file; call after `run` has ended."""
        connection = self._connection
        if connection is None:
            return
        if self._pending and self.failure is None:
            batch, self._pending = self._pending, []
            self._executor.submit(self._commit, batch).result()
            self.durable = batch[-1].revision
        self._executor.shutdown(wait=True)
        connection.close()
        self._connection = None
