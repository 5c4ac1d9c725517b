"""The wire format of protobuf, as its documentation writes it."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstate.kube.protobuf import BrokenMessage, delimited, fields, varint


@pytest.mark.parametrize(
    ("value", "raw"),
    [(0, b"\0"), (1, b"\1"), (127, b"\x7f"), (128, b"\x80\1"), (150, b"\x96\1"), (2**64 - 1, b"\xff" * 9 + b"\1")],
)
def test_numbers_are_written_seven_bits_at_a_time(value: int, raw: bytes) -> None:
    assert varint(value) == raw
    assert list(fields(b"\x08" + raw)) == [(1, value)]


@given(st.lists(st.tuples(st.integers(1, 2**29 - 1), st.binary(max_size=300))))
def test_what_was_written_is_read_in_its_order(parts: list[tuple[int, bytes]]) -> None:
    assert list(fields(b"".join(delimited(number, value) for number, value in parts))) == parts


def test_fields_of_fixed_length_are_read_as_their_bytes() -> None:
    assert list(fields(b"\x09abcdefgh\x15abcd\x08\x05")) == [(1, b"abcdefgh"), (2, b"abcd"), (1, 5)]


@pytest.mark.parametrize("raw", [b"\x08", b"\x0a\x05abc", b"\x09abc", b"\x0b", b"\xff" * 11])
def test_broken_messages_are_told(raw: bytes) -> None:
    with pytest.raises(BrokenMessage):
        list(fields(raw))


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_told_to_be_broken(raw: bytes) -> None:
    with suppress(BrokenMessage):
        assert all(isinstance(value, int | bytes) for _, value in fields(raw))
