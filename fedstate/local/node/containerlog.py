"""Output of a container: one file of bytes, and beside it when each piece came. Knows nothing of pods or HTTP."""

from __future__ import annotations

import asyncio
import bisect
import struct
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

_STAMP = struct.Struct("<QQ")
LARGEST = 16 * 1024 * 1024
_PIECE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """What part of a log is wanted, as `kubectl logs` asks for it."""

    tail_lines: int | None = None
    since: float | None = None
    """Unix time."""
    limit_bytes: int | None = None
    timestamps: bool = False
    follow: bool = False


class LogWriter(asyncio.Protocol):
    """The reading end of a container's output. When a file has `LARGEST` bytes it starts again, as a rotated log does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.closed = False
        self._changed = asyncio.Event()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._data: BinaryIO = path.open("wb", buffering=0)
        self._times: BinaryIO = _times_path(path).open("wb", buffering=0)
        self._size = 0

    def data_received(self, data: bytes) -> None:
        if self._size + len(data) > LARGEST:
            self._data.truncate(0)
            self._data.seek(0)
            self._times.truncate(0)
            self._times.seek(0)
            self._size = 0
        self._times.write(_STAMP.pack(self._size, time.time_ns()))
        self._data.write(data)
        self._size += len(data)
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.close()

    def close(self) -> None:
        """End the log: followers get what is there and stop."""
        if not self.closed:
            self.closed = True
            self._data.close()
            self._times.close()
            self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    @property
    def next_change(self) -> asyncio.Event:
        """Set when more has come, or the end; take it before reading, so that nothing is missed."""
        return self._changed

    async def end(self) -> None:
        """Wait until the log is closed."""
        while not self.closed:
            await self._changed.wait()


def _times_path(path: Path) -> Path:
    return path.with_suffix(".times")


class _Lines:
    """Complete lines from a byte offset on, each with its time."""

    def __init__(self, path: Path, query: LogQuery) -> None:
        self._path = path
        self._query = query
        self._offset = 0
        self._rest = b""

    def read(self, *, final: bool) -> list[bytes]:
        """Lines that came since the last call; an unfinished one only if nothing follows any more."""
        try:
            size = self._path.stat().st_size
            if size < self._offset:  # the log has started again
                self._offset, self._rest = 0, b""
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = self._rest + file.read(size - self._offset)
        except FileNotFoundError:
            return []
        start = self._offset - len(self._rest)
        self._offset = size
        lines = data.splitlines(keepends=True) if b"\r" not in data else data.replace(b"\r", b" ").splitlines(keepends=True)
        self._rest = lines.pop() if lines and not final and not lines[-1].endswith(b"\n") else b""
        return self._stamped(lines, start)

    def _stamped(self, lines: list[bytes], start: int) -> list[bytes]:
        if not self._query.timestamps and self._query.since is None:
            return lines
        stamps = list(_STAMP.iter_unpack(_whole(_times_path(self._path))))
        offsets = [stamp[0] for stamp in stamps]
        found = []
        for line in lines:
            index = bisect.bisect_right(offsets, start) - 1
            nanoseconds = stamps[index][1] if index >= 0 else 0
            start += len(line)
            if self._query.since is None or nanoseconds >= self._query.since * 1e9:
                found.append(_stamp_text(nanoseconds) + line if self._query.timestamps else line)
        return found


def _whole(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return b""
    return data[: len(data) - len(data) % _STAMP.size]


def _stamp_text(nanoseconds: int) -> bytes:
    moment = datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds % 1_000_000_000:09d}Z ".encode()


async def read_log(path: Path, query: LogQuery, writer: LogWriter | None) -> AsyncGenerator[bytes, None]:
    """The wanted part of a log, then, if it is to be followed, everything that comes until `writer` is closed."""
    lines = _Lines(path, query)
    tail, left = query.tail_lines, query.limit_bytes
    while True:
        live = writer is not None and not writer.closed and query.follow
        change = writer.next_change if writer is not None else None
        found = await asyncio.to_thread(lines.read, final=not live)
        if tail is not None:
            found, tail = found[-tail:] if tail else [], None
        data = b"".join(found)
        if left is not None:
            data, left = data[:left], left - min(left, len(data))
        for start in range(0, len(data), _PIECE):
            yield data[start : start + _PIECE]
        if not live or left == 0 or change is None:
            return
        await change.wait()
