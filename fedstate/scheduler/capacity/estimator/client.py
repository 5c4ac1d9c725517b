"""Speaks to one estimator, over one connection that is kept open and made again when it broke. Knows no cluster's other sources.

The only module that imports grpclib.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import Counter
from dataclasses import dataclass
from typing import Any

from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from h2.exceptions import H2Error

from fedstate.errors import FedstateError
from fedstate.scheduler.capacity.estimator.codec import METHOD, decode_response
from fedstate.scheduler.capacity.estimator.discovery import Address

TIMEOUT = 3.0
_LONGEST_WORDS = 300
_LOOKUP = 1.0


class NoAnswer(FedstateError):
    """There is no number, and the message says why; `absent`: there is no estimator where one could have been."""

    def __init__(self, message: str, *, absent: bool = False) -> None:
        super().__init__(message)
        self.absent = absent


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """PEM files for TLS: the authority of the estimators' certificates, and what this client shows them, if they ask.

    The files are read again after a connection has failed. `verify` False takes any certificate.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify: bool = True

    def context(self) -> ssl.SSLContext:
        """Raises OSError for a file that cannot be read, or does not hold what it should."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.ca_file:
            context.load_verify_locations(self.ca_file)
        else:
            context.load_default_certs()
        context.set_alpn_protocols(["h2"])
        if self.cert_file:
            # A key that is locked is refused; OpenSSL would ask the terminal for the word.
            context.load_cert_chain(self.cert_file, self.key_file, password="")
        return context


class _Bytes(CodecBase):
    """Messages go and come as bytes; codec.py reads them."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        return data


class Estimator:
    """The estimator at one address; plaintext unless there are credentials. Any number of questions at once."""

    def __init__(self, address: Address, credentials: Credentials | None = None, *, timeout: float = TIMEOUT) -> None:
        self.address = address
        self._credentials = credentials
        self._timeout = timeout
        self._channel: Channel | None = None
        self._calls: Counter[Channel] = Counter()
        self._closed = False

    async def ask(self, request: bytes) -> int:
        """How many members fit, from an encoded request; NoAnswer, with the reason, for everything else that may happen.

        To be awaited in a task of its own, which ends with it: grpclib cancels the task that waits, to wake it.
        """
        try:
            members = decode_response(await self._answer(request))
        except (OSError, GRPCError, StreamTerminatedError, ProtocolError, H2Error, ValueError, LookupError) as error:
            raise self._reason(error) from error
        if members < 0:
            raise NoAnswer(f"estimator at {self.address} does not know how much room there is: it answered {members}")
        return members

    def close(self) -> None:
        """For good: questions that wait for their answer get none."""
        self._closed = True
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    async def _answer(self, request: bytes) -> bytes:
        """Asks again, once, where the connection broke: an estimator that starts anew is no reason to do without it."""
        try:
            return await self._call(request)
        except StreamTerminatedError:
            return await self._call(request)

    async def _call(self, request: bytes) -> bytes:
        async with asyncio.timeout(self._timeout):
            channel = await self._open()
            self._calls[channel] += 1
            try:
                async with UnaryUnaryMethod[bytes, bytes](channel, METHOD, bytes, bytes).open() as stream:
                    await stream.send_message(request, end=True)
                    raw = await stream.recv_message()
            except GRPCError:
                raise
            except BaseException:
                # Nobody can tell a connection that has gone silent from an estimator that is slow: both get a new one.
                if self._channel is channel:
                    self._channel = None
                raise
            finally:
                self._release(channel)
        if raw is None:
            raise ValueError("it said that all is well, and no more")
        return raw

    async def _open(self) -> Channel:
        if self._channel is None:
            if self.address.guessed:
                await self._look_up()
            context = await asyncio.to_thread(self._context, self._credentials) if self._credentials else None
            if self._closed:
                raise NoAnswer(f"estimator at {self.address} is not asked any more")
            # Another question may have opened it meanwhile.
            if self._channel is None:
                self._channel = Channel(self.address.host, self.address.port, codec=_Bytes(), ssl=context)
        return self._channel

    async def _look_up(self) -> None:
        """Where nobody says that there is an estimator, a name that leads nowhere is no failure."""
        try:
            async with asyncio.timeout(_LOOKUP):
                await asyncio.get_running_loop().getaddrinfo(self.address.host, self.address.port)
        except (socket.gaierror, TimeoutError) as error:
            raise NoAnswer(f"there is no estimator at {self.address}: no such name", absent=True) from error

    def _release(self, channel: Channel) -> None:
        """A connection that is not for the next question is closed once nobody waits on it."""
        self._calls[channel] -= 1
        if not self._calls[channel]:
            del self._calls[channel]
            if self._channel is not channel:
                channel.close()

    def _context(self, credentials: Credentials) -> ssl.SSLContext:
        try:
            return credentials.context()
        except OSError as error:
            raise NoAnswer(f"estimator at {self.address} is not asked: the files for TLS cannot be used: {error}") from error

    def _reason(self, error: Exception) -> NoAnswer:
        who = f"estimator at {self.address}"
        match error:
            case GRPCError():
                return NoAnswer(f"{who} refuses: {_printable(error.message or error.status.name)}")
            case socket.gaierror():
                return NoAnswer(f"{who} cannot be found: {_printable(error.strerror or str(error))}")
            case ssl.SSLCertVerificationError():
                return NoAnswer(f"{who} shows a certificate that is not accepted: {_printable(error.verify_message)}")
            case TimeoutError():
                return NoAnswer(f"{who} gave no answer in {self._timeout:g} s")
            case ssl.SSLError():
                return NoAnswer(f"{who} and this client do not agree on TLS: {_printable(error.reason or str(error))}")
            case OSError():
                return NoAnswer(f"{who} cannot be reached: {os.strerror(error.errno) if error.errno else _printable(str(error))}")
            case StreamTerminatedError():
                return NoAnswer(f"{who} broke the connection off")
        return NoAnswer(f"{who} answered what is not understood: {_printable(str(error) or type(error).__name__)}")


def _printable(words: str) -> str:
    """What a server said, fit for a status and a log."""
    return "".join(letter if letter.isprintable() else " " for letter in words)[:_LONGEST_WORDS]
