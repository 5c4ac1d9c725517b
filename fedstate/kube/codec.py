"""Bytes to API objects and back, in one place so that the decoder can be exchanged."""

from typing import Any, TypeAlias

import orjson

# Bytes that are only read.
Data: TypeAlias = bytes | bytearray | memoryview


def decode(data: Data) -> Any:
    """The JSON value in `data`; ValueError if it holds none."""
    return orjson.loads(data)


def encode(value: Any) -> bytes:
    return orjson.dumps(value)
