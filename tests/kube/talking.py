"""A server that says bytes as it is told, and the ways in which a client can be connected to it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest

from fedstate.kube.client import KubeClient

Script = Callable[["Talk"], Awaitable[None]]
Scenario = Callable[[KubeClient], Awaitable[None]]

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def line(kind: str, name: str, **metadata: Any) -> bytes:
    return json.dumps({"type": kind, "object": {"metadata": {"name": name, **metadata}}}).encode() + b"\n"


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    return b"%x%s\r\n%s\r\n" % (len(data), extension, data)


@dataclass
class Talk:
    """The server's end of one connection, after the request has come."""

    request: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def next(self) -> str:
        """Head and body of the next request on this connection; IncompleteReadError if it ends first."""
        self.request = await request(self.reader)
        return self.request

    async def silence(self) -> None:
        await asyncio.sleep(30)

    def reset(self) -> None:
        self.writer.transport.abort()


async def request(reader: asyncio.StreamReader) -> str:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next((int(line[15:]) for line in head.split("\r\n") if line.startswith("Content-Length:")), 0)
    return head + (await reader.readexactly(length)).decode()


def saying(*parts: bytes) -> Script:
    async def script(talk: Talk) -> None:
        for part in parts:
            await talk.say(part)

    return script


@dataclass
class Server:
    scripts: list[Script]
    talks: list[Talk] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            talk = Talk(await request(reader), reader, writer)
            self.talks.append(talk)
            await self.scripts[min(len(self.talks), len(self.scripts)) - 1](talk)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self.tasks.discard(task)


class Play(Protocol):
    def __call__(self, scenario: Scenario, *scripts: Script, token: Any = "secret") -> list[str]: ...


# uvloop?, TLS?, our own connections?
PLAIN = {"raw": (False, False, True), "uvloop-raw": (True, False, True), "aiohttp": (False, False, False)}
TLS = {"tls-raw": (False, True, True), "uvloop-tls-raw": (True, True, True)}


def ways(chosen: dict[str, tuple[bool, bool, bool]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("play", list(chosen.values()), ids=list(chosen), indirect=True)


plain = ways(PLAIN)
every_way = ways(PLAIN | TLS)
