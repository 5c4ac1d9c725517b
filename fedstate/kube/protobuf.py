"""The wire format of protobuf: a message's fields, read and written. Knows no message."""

from collections.abc import Iterator
from typing import Any

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}
_LONGEST_VARINT = 70


class BrokenMessage(ValueError):
    """Bytes that are no protobuf message."""


def fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers with their values in the order of the message: ints, or the bytes of everything else."""
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(raw, at)
            yield number, value
            continue
        if wire == _DELIMITED:
            length, at = _varint(raw, at)
        elif wire in _FIXED_BYTES:
            length = _FIXED_BYTES[wire]
        else:
            raise BrokenMessage(f"wire type {wire} of field {number} is not in use")
        if at + length > len(raw):
            raise BrokenMessage(f"field {number} ends after its message")
        yield number, raw[at : at + length]
        at += length


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(raw) and shift < _LONGEST_VARINT:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise BrokenMessage("a number does not end")


def varint(value: int) -> bytes:
    """A number that is not negative, as protobuf writes it."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def delimited(number: int, value: bytes | str) -> bytes:
    """A field whose value is a text, bytes, or a message."""
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | _DELIMITED) + varint(len(raw)) + raw
