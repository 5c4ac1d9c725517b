"""A gRPC server that reads requests as an estimator of each version does, and a wire in front of it that can be cut."""

from __future__ import annotations

import asyncio
import enum
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NoReturn, Self, cast

from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.protocol import H2Protocol
from grpclib.server import Server, Stream

from fedstate.api.federated import Toleration
from fedstate.kube.objects import cpu_millis, quantity_bytes
from fedstate.kube.protobuf import fields, varint
from fedstate.kube.records import Requirement, Terms
from fedstate.scheduler.capacity.estimator.codec import METHOD

MANY = 2**31 - 1


class Version(enum.Enum):
    """Which fields carry amounts, affinity and tolerations; where there are two, the second is read only without the first."""

    V1_17 = ((2,), (1,), (3,))
    V1_18 = ((5, 2), (4, 1), (5, 3))
    V1_19 = ((5,), (4,), (5,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A MaxAvailableReplicasRequest, as a server understood it."""

    cluster: str
    namespace: str
    amounts: Mapping[str, str]
    node_selector: Mapping[str, str]
    terms: Terms
    tolerations: tuple[Toleration, ...]


def understood(raw: bytes, version: Version) -> Asked:
    amounts, affinity, tolerations = version.value
    request = _by_number(raw)
    requirements = _by_number(_last(request, 2))
    claim = _by_number(_last(requirements, 1))
    entries = [_by_number(entry) for entry in _first_there(requirements, amounts)]
    selector = [_by_number(entry) for entry in claim.get(2, ())]
    return Asked(
        cluster=_last(request, 1).decode(),
        namespace=_last(requirements, 3).decode(),
        amounts={_last(entry, 1).decode(): _last(_by_number(_last(entry, 2)), 1).decode() for entry in entries},
        node_selector={_last(entry, 1).decode(): _last(entry, 2).decode() for entry in selector},
        terms=tuple(_terms(_first_there(claim, affinity))),
        tolerations=tuple(map(_toleration, _first_there(claim, tolerations))),
    )


def _by_number(raw: bytes) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for number, value in fields(raw):
        found.setdefault(number, []).append(value)
    return found


def _last(message: Mapping[int, list[Any]], number: int) -> bytes:
    return bytes(message[number][-1]) if number in message else b""


def _first_there(message: Mapping[int, list[Any]], numbers: tuple[int, ...]) -> list[Any]:
    return next((message[number] for number in numbers if number in message), [])


def _terms(selectors: list[bytes]) -> Iterator[tuple[Requirement, ...]]:
    for selector in selectors:
        for term in _by_number(selector).get(1, ()):
            yield tuple(_requirement(_by_number(one)) for one in _by_number(term).get(1, ()))


def _requirement(message: Mapping[int, list[Any]]) -> Requirement:
    values = tuple(bytes(value).decode() for value in message.get(3, ()))
    return Requirement(_last(message, 1).decode(), _last(message, 2).decode(), values)


def _toleration(raw: bytes) -> Toleration:
    message = _by_number(raw)
    key, operator, value, effect = (_last(message, number).decode() for number in (1, 2, 3, 4))
    return Toleration(key=key, operator=operator, value=value, effect=effect)


def encoded_response(members: int) -> bytes:
    return b"\x08" + varint(members & (1 << 64) - 1) if members else b""


class _Bytes(CodecBase):
    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        return data


class _Wire(H2Protocol):
    """A connection that is known, so that it can be reset."""

    wires: list[asyncio.BaseTransport]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.wires.append(transport)
        super().connection_made(transport)


class _Server(Server):
    def __init__(self, estimator: EstimatorServer) -> None:
        super().__init__([estimator], codec=_Bytes())
        self.wires: list[asyncio.BaseTransport] = []

    def _protocol_factory(self) -> H2Protocol:
        plain = super()._protocol_factory()
        wire = _Wire(plain.handler, plain.config, plain.h2_config)
        wire.wires = self.wires
        return wire


@dataclass(slots=True)
class EstimatorServer:
    """An estimator of one cluster with one node, that has so much free; `answer` takes the place of its arithmetic."""

    cluster: str
    free: Mapping[str, int]
    version: Version = Version.V1_19
    tls: ssl.SSLContext | None = None
    answer: Callable[[], int] | None = None
    stuck: bool = False
    asked: list[Asked] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    _server: _Server | None = None

    def __mapping__(self) -> dict[str, Handler]:
        return {METHOD: Handler(self._max_available_replicas, Cardinality.UNARY_UNARY, bytes, bytes)}

    async def start(self) -> None:
        """Also again, on the same port."""
        listening = socket.create_server(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        self._server = _Server(self)
        await self._server.start(sock=listening, ssl=self.tls)

    async def kill(self) -> None:
        """As a process that dies: its connections are reset, and nobody listens."""
        self.reset()
        server, self._server = self._server, None
        if server is not None:
            server.close()
            await server.wait_closed()

    def reset(self) -> None:
        """As one that starts anew at once: its connections are reset, and the next one is welcome."""
        for wire in self._server.wires if self._server is not None else ():
            cast(asyncio.Transport, wire).abort()

    @property
    def connections(self) -> int:
        """How many there were since it was started."""
        return len(self._server.wires) if self._server is not None else 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.kill()

    async def _max_available_replicas(self, stream: Stream[bytes, bytes]) -> None:
        raw = await stream.recv_message()
        assert raw is not None
        asked = understood(raw, self.version)
        self.asked.append(asked)
        self.reached.set()
        if self.stuck:
            await asyncio.Event().wait()
        if asked.cluster != self.cluster:
            raise GRPCError(Status.UNKNOWN, f"cluster name does not match, got: {asked.cluster}, desire: {self.cluster}")
        await stream.send_message(encoded_response(self._members(asked.amounts) if self.answer is None else self.answer()))

    def _members(self, amounts: Mapping[str, str]) -> int:
        parse = {"cpu": cpu_millis}
        return min(
            (self.free.get(name, 0) // parse.get(name, quantity_bytes)(text) for name, text in amounts.items()), default=MANY
        )


class Listener:
    """Accepts connections and says the same to each, whatever it is asked."""

    def __init__(self, says: bytes = b"", *, closes: bool = False) -> None:
        self._says = says
        self._closes = closes
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        writer.write(self._says)
        if self._closes:
            writer.close()


def no_such_name(*_: object, **__: object) -> NoReturn:
    """In place of socket.getaddrinfo."""
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
