"""HTTP/1.1 framing by itself: whatever the cuts, the same bytes; whatever is wrong, said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstate.kube.framing import BadResponse, ResponseReader

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def feed(parts: list[bytes]) -> tuple[bytes, ResponseReader]:
    reader = ResponseReader()
    shared = bytearray(2**16)
    body = b""
    for part in parts:
        shared[: len(part)] = part
        body += reader.feed(shared, len(part))
    return body, reader


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(0, 400), max_size=12), st.booleans())
def test_the_body_is_the_same_however_the_bytes_are_cut(chunks: list[bytes], cuts: list[int], trailers: bool) -> None:
    text = CHUNKED + b"".join(b"%X;x=y\r\n%s\r\n" % (len(data), data) for data in chunks) + b"0\r\n"
    text += b"A: b\r\n\r\n" if trailers else b"\r\n"
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    body, reader = feed([text[start:stop] for start, stop in zip(places, places[1:], strict=False)])
    assert body == b"".join(chunks)
    assert reader.complete


@given(st.binary(max_size=300), st.integers(0, 20))
def test_nonsense_is_refused_or_waited_for_and_never_breaks_anything_else(data: bytes, cut: int) -> None:
    for start in (b"", CHUNKED):
        reader = ResponseReader()
        try:
            for part in (start, data[:cut], data[cut:]):
                reader.feed(part, len(part))
        except BadResponse:
            pass


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"0x1\r\n",
        CHUNKED + b"\r\n",
        CHUNKED + b"1\r\nabc",
        CHUNKED + b"1" * 5_000,
        CHUNKED + b"0\r\n" + b"X: y\r\n" * 20_000,
    ],
    ids=[str(number) for number in range(15)],
)
def test_what_is_no_response_is_refused(text: bytes) -> None:
    with pytest.raises(BadResponse):
        feed([text[at : at + 60_000] for at in range(0, len(text), 60_000)] + [b"xxxxxxx"])


def test_answers_without_a_body_are_complete_with_their_head() -> None:
    for head in (b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"):
        assert feed([head])[1].complete


def test_only_a_body_without_a_length_may_end_with_the_connection() -> None:
    assert feed([b"HTTP/1.1 200 OK\r\n\r\nabc"])[1].ends_here()
    assert not feed([CHUNKED + b"3\r\nabc\r\n"])[1].ends_here()
    assert not feed([b"HTTP/1.1 200"])[1].ends_here()


@pytest.mark.parametrize(
    ("text", "open_afterwards"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (CHUNKED + b"1\r\na\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: x, CLOSE\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", False),
        (b"HTTP/1.1 204 No Content\r\n\r\na", False),
        (CHUNKED + b"0\r\n\r\na", False),
        (b"HTTP/1.1 200 OK\r\n\r\nabc", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", False),
    ],
)
def test_a_connection_is_used_again_only_where_both_sides_agree_that_the_answer_is_over(
    text: bytes, open_afterwards: bool
) -> None:
    assert feed([text])[1].leaves_open() is open_afterwards
    assert feed([text[at : at + 1] for at in range(len(text))])[1].leaves_open() is open_afterwards
