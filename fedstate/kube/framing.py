"""HTTP/1.1 responses out of bytes, however they are cut: head, then the body without its framing. Pure; knows no connection."""

from typing import NamedTuple, TypeAlias

MAX_HEAD = 2**16
MAX_CHUNK_LINE = 2**12

_LINE = b"\r\n"
_CR, _LF = _LINE
_WITHOUT_BODY = frozenset({204, 304})

Buffer: TypeAlias = bytearray | bytes
# From where to where in a buffer.
Span: TypeAlias = tuple[int, int]


class BadResponse(Exception):  # noqa: N818 - what came, not what went wrong here
    """The bytes are no HTTP/1.1 response that could be read; the rest of the connection means nothing."""


class Head(NamedTuple):
    """Status and headers, with names in lower case; `persistent` if the server leaves the connection open afterwards."""

    status: int
    headers: dict[str, str]
    persistent: bool = True


class ResponseReader:
    """Takes the bytes of one response as they come, and says which of them are its body. Not for answers to HEAD."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self.complete = False
        self._surplus = False
        self._carried = b""
        self._chunked = False
        self._in_trailers = False
        self._trailers = 0
        # Of a chunk, its closing line included; of a body of known length; or None for a body that ends with the connection.
        self._left: int | None = 0

    def feed(self, buffer: Buffer, end: int) -> bytes:
        """The body bytes in `buffer[:end]`, which is not kept. Raises BadResponse."""
        where, spans = self.spans(buffer, end)
        view = memoryview(where)
        return b"".join([view[start:stop] for start, stop in spans])

    def spans(self, buffer: Buffer, end: int) -> tuple[Buffer, list[Span]]:
        """Where the body bytes in `buffer[:end]` are: in it, or in the buffer given back instead. Raises BadResponse."""
        if self._carried:
            buffer = self._carried + bytes(memoryview(buffer)[:end])
            end = len(buffer)
            self._carried = b""
        at = 0
        if self.head is None:
            at = self._read_head(buffer, end)
        if self.complete or self.head is None:
            self._surplus = self._surplus or (self.complete and at < end)
            return buffer, []
        if at >= end:
            return buffer, []
        return buffer, self._chunks(buffer, at, end) if self._chunked else self._plain(at, end)

    def ends_here(self) -> bool:
        """Whether the response is whole if the connection ends now."""
        return self.complete or (self.head is not None and self._left is None)

    def leaves_open(self) -> bool:
        """Whether the connection can carry another response: this one is whole, and neither side said or did otherwise."""
        return self.complete and self.head is not None and self.head.persistent and not self._surplus

    def _read_head(self, buffer: Buffer, end: int) -> int:
        """Reads as many heads as there are, for interim ones come first. Gives where the body begins."""
        at = 0
        while self.head is None:
            stop = buffer.find(b"\r\n\r\n", at, end)
            if stop < 0:
                if end - at > MAX_HEAD:
                    raise BadResponse("its headers do not end")
                self._carried = bytes(buffer[at:end])
                return end
            head = _head(bytes(buffer[at:stop]))
            at = stop + 4
            if head.status == 101:
                raise BadResponse("it changes the protocol, which was not asked for")
            if head.status >= 200:
                self.head = head
                self._begin(head)
        return at

    def _begin(self, head: Head) -> None:
        if head.headers.get("content-encoding", "identity") != "identity":
            raise BadResponse("it is compressed, which was not asked for")
        codings = head.headers.get("transfer-encoding")
        length = head.headers.get("content-length")
        if head.status in _WITHOUT_BODY:
            self.complete = True
        elif codings is not None:
            if codings.strip().lower() != "chunked":
                raise BadResponse(f"its transfer encoding is {codings}")
            self._chunked = True
        elif length is None:
            self._left = None
        elif length.isdecimal():
            self._left = int(length)
            self.complete = self._left == 0
        else:
            raise BadResponse("its length is no number")

    def _plain(self, at: int, end: int) -> list[Span]:
        if self._left is None:
            return [(at, end)]
        stop = min(end, at + self._left)
        self._left -= stop - at
        self.complete = self._left == 0
        self._surplus = stop < end
        return [(at, stop)]

    def _chunks(self, buffer: Buffer, at: int, end: int) -> list[Span]:
        spans: list[Span] = []
        left = self._left or 0
        while at < end and not self.complete:
            if left > 2:
                stop = at + left - 2
                if stop + 2 <= end and buffer[stop] == _CR and buffer[stop + 1] == _LF:
                    # The whole chunk is here, as most are.
                    spans.append((at, stop))
                    at, left = stop + 2, 0
                    continue
                stop = min(stop, end)
                spans.append((at, stop))
                left -= stop - at
                at = stop
            elif left:
                # The line that closes a chunk.
                if buffer[at] != _LINE[2 - left]:
                    raise BadResponse("a chunk is longer than it said")
                at += 1
                left -= 1
            else:
                stop = buffer.find(_LINE, at, end)
                if stop < 0:
                    if end - at > MAX_CHUNK_LINE:
                        raise BadResponse("a chunk does not say how long it is")
                    self._carried = bytes(memoryview(buffer)[at:end])
                    at = end
                    break
                left = self._line(bytes(buffer[at:stop]))
                at = stop + 2
        self._left = left
        self._surplus = at < end
        return spans

    def _line(self, line: bytes) -> int:
        """A line between chunks: a size, of which it gives how much then follows, or a trailer, of which nothing is kept."""
        if self._in_trailers:
            self.complete = not line
            self._trailers += len(line)
            if self._trailers > MAX_HEAD:
                raise BadResponse("its trailers do not end")
            return 0
        size = line.partition(b";")[0].strip()
        # int() would take signs and underscores too.
        if not size.isalnum():
            raise BadResponse("a chunk does not say how long it is")
        try:
            length = int(size, 16)
        except ValueError as error:
            raise BadResponse("a chunk does not say how long it is") from error
        self._in_trailers = length == 0
        return length + 2 if length else 0


def _head(text: bytes) -> Head:
    first, *lines = text.decode("latin-1").split("\r\n")
    protocol, _, rest = first.partition(" ")
    code = rest[:3]
    if not protocol.startswith("HTTP/1.") or len(code) != 3 or not code.isdecimal():
        raise BadResponse("it is not HTTP/1.1")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadResponse("a header of it is not formed as one")
        name, value = name.lower(), value.strip()
        if name == "content-length" and headers.get(name, value) != value:
            raise BadResponse("it has two lengths")
        headers[name] = value
    persistent = protocol != "HTTP/1.0" and not _closes(headers)
    return Head(int(code), headers, persistent)


def _closes(headers: dict[str, str]) -> bool:
    # With a length beside the chunks the two ends may differ about where the answer ends (RFC 9112, 6.1).
    if "transfer-encoding" in headers and "content-length" in headers:
        return True
    connection = headers.get("connection")
    return connection is not None and "close" in (option.strip() for option in connection.lower().split(","))
