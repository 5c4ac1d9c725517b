"""Bytes to API objects and back, in one place so that the decoder can be exchanged."""

from typing import Any

import orjson


def decode(data: bytes) -> Any:
    """The JSON value in `data`; ValueError if it holds none."""
    return orjson.loads(data)


def encode(value: Any) -> bytes:
    return orjson.dumps(value)
