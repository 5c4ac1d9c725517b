"""Watches over the wire, byte by byte: what servers do right and wrong, on both loops, with and without TLS.

Our own connections and aiohttp's have to answer alike: the second is what is used behind a proxy.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from fedstate.kube.client import KubeClient
from fedstate.kube.config import FileToken
from fedstate.kube.errors import Expired, ServerError, TooManyRequests, TransportError, Unauthorized
from fedstate.kube.objects import KubeObject
from fedstate.kube.recordkinds import POD_RECORDS
from fedstate.kube.resources import PODS
from fedstate.kube.watch import WatchEvent
from tests.kube.talking import CHUNKED, LAST, Play, Scenario, Script, Talk, chunk, every_way, line, plain, saying


async def read(client: KubeClient, **options: Any) -> list[WatchEvent[KubeObject]]:
    async with client.watch(PODS, "n", resource_version="5", **options) as stream:
        return [event async for event in stream]


def reads(*expected: str) -> Scenario:
    async def scenario(client: KubeClient) -> None:
        assert [event.object["metadata"]["name"] for event in await read(client)] == list(expected)

    return scenario


def raises(error: type[Exception], match: str | None = None, after: int | None = 0) -> Scenario:
    async def scenario(client: KubeClient) -> None:
        got = 0
        with pytest.raises(error, match=match):  # noqa: PT012 - how far it came matters
            async with client.watch(PODS, "n", resource_version="5") as stream:
                async for _ in stream:
                    got += 1
        assert after is None or got == after

    return scenario


A, B = line("ADDED", "a"), line("ADDED", "b")


@plain
@pytest.mark.parametrize(
    "parts",
    [
        [CHUNKED + chunk(A) + chunk(B) + LAST],
        [CHUNKED, chunk(A + B[:9]), chunk(B[9:]), LAST],
        [CHUNKED + chunk(A, b";name=value") + chunk(B), b"0\r\nX-Trailer: 1\r\nX-Other: 2\r\n", b"\r\n"],
        [b"HTTP/1.1 100 Continue\r\n\r\n" + CHUNKED + chunk(A) + chunk(B) + LAST],
        [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(A + B), A[:5], A[5:] + B],
        [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + A, B],
        [b"HTTP/1.0 200 OK\r\n\r\n" + A, B],
    ],
    ids=["chunks", "cut lines", "trailers", "interim", "length", "close", "http/1.0"],
)
def test_events_come_whatever_frames_them(play: Play, parts: list[bytes]) -> None:
    play(reads("a", "b"), saying(*parts))


@every_way
def test_events_come_however_the_bytes_are_cut(play: Play) -> None:
    text = CHUNKED + chunk(A) + chunk(B) + LAST

    async def script(talk: Talk) -> None:
        for at in range(0, len(text), 7):
            await talk.say(text[at : at + 7])
            await asyncio.sleep(0)

    play(reads("a", "b"), script)


@every_way
def test_a_line_of_three_megabytes_is_read(play: Play) -> None:
    play(reads("a", "b"), saying(CHUNKED + chunk(line("ADDED", "a", note="x" * 3_000_000)) + chunk(B) + LAST))


@plain
def test_half_a_line_at_the_end_is_a_broken_stream(play: Play) -> None:
    play(raises(TransportError, "within a line", after=1), saying(CHUNKED + chunk(A + b'{"type":"ADD') + LAST))


@every_way
@pytest.mark.parametrize(
    "parts",
    [
        [CHUNKED + chunk(A) + b"400\r\n" + A[:9]],
        [CHUNKED + chunk(A)],
        [CHUNKED + chunk(A) + b"4"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + A],
    ],
    ids=["within a chunk", "between chunks", "within a size", "within its length"],
)
def test_a_server_that_closes_too_early_breaks_the_stream_after_what_came(play: Play, parts: list[bytes]) -> None:
    play(raises(TransportError, after=1), saying(*parts))


@every_way
def test_a_reset_is_a_broken_stream(play: Play) -> None:
    async def script(talk: Talk) -> None:
        await talk.say(CHUNKED + chunk(A))
        await asyncio.sleep(0.02)
        talk.reset()

    play(raises(TransportError, after=1), script)


@plain
def test_silence_beyond_the_servers_own_end_is_a_broken_stream(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedstate.kube.client.WATCH_GRACE", 0.15)

    async def scenario(client: KubeClient) -> None:
        with pytest.raises(TransportError, match=r"silent|no answer in time"):
            await read(client, timeout=0.05)

    async def script(talk: Talk) -> None:
        await talk.say(CHUNKED + chunk(A))
        await talk.silence()

    play(scenario, script)


@plain
def test_a_server_that_takes_the_request_and_says_nothing_is_given_up(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedstate.kube.client.WATCH_GRACE", 0.15)

    async def scenario(client: KubeClient) -> None:
        with pytest.raises(TransportError, match="no answer in time"):
            await read(client, timeout=0.05)

    play(scenario, Talk.silence)


@plain
def test_an_error_event_is_raised_after_what_came_before_it(play: Play) -> None:
    status = {"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}
    error = json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"
    play(raises(Expired, "too old", after=1), saying(CHUNKED + chunk(A) + chunk(error) + chunk(B) + LAST))


def refused(code: int, reason: str, *headers: str) -> Script:
    status = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": f"because {code}"}
    body = json.dumps(status).encode()
    head = "\r\n".join((f"HTTP/1.1 {code} {reason}", *headers, f"Content-Length: {len(body)}", "", ""))
    return saying(head.encode() + body)


@plain
def test_a_refusal_comes_as_what_it_means(play: Play) -> None:
    async def scenario(client: KubeClient) -> None:
        with pytest.raises(TooManyRequests, match="because 429") as raised:
            await read(client)
        assert raised.value.retry_after == 7

    play(scenario, refused(429, "TooManyRequests", "Retry-After: 7"))
    play(raises(Expired, "because 410"), refused(410, "Expired"))
    play(raises(ServerError, "could not reach it"), saying(b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>secret</html>"))


@plain
def test_a_rotated_token_is_read_again_after_a_401_and_tried_once(play: Play, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")

    async def rotating(talk: Talk) -> None:
        file.write_text("new")
        await refused(401, "Unauthorized")(talk)

    requests = play(reads("a"), rotating, saying(CHUNKED + chunk(A) + LAST), token=FileToken(file))
    assert ["Bearer old" in requests[0], "Bearer new" in requests[1], len(requests)] == [True, True, 2]
    assert len(play(raises(Unauthorized), refused(401, "Unauthorized"), token=FileToken(file))) == 2


@plain
def test_what_is_no_http_is_a_broken_connection(play: Play) -> None:
    play(raises(TransportError), saying(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"))
    play(raises(TransportError, after=None), saying(CHUNKED + chunk(A) + b"nonsense\r\n"))
    play(raises(TransportError), saying(b""))


@plain
def test_a_request_says_what_is_wanted_and_by_whom(play: Play) -> None:
    async def scenario(client: KubeClient) -> None:
        await read(client, label_selector="a in (b,c)", timeout=7)

    (request,) = play(scenario, saying(CHUNKED + LAST))
    first, *headers = request.rstrip().split("\r\n")
    assert first.startswith("GET /api/v1/namespaces/n/pods?")
    assert "timeoutSeconds=7" in first
    assert {"Authorization: Bearer secret", "User-Agent: me", "Accept: application/json", "Accept-Encoding: identity"} <= {
        *headers
    }


@every_way
def test_a_reader_that_is_slow_makes_the_server_wait_and_gets_everything(play: Play) -> None:
    text = b"".join(chunk(line("ADDED", str(number), note="x" * 10_000)) for number in range(600))

    async def scenario(client: KubeClient) -> None:
        seen = 0
        async with client.watch(PODS, "n", resource_version="5") as stream:
            async for event in stream:
                if seen % 200 == 0:
                    await asyncio.sleep(0.02)
                assert event.object["metadata"]["name"] == str(seen)
                seen += 1
        assert seen == 600

    play(scenario, saying(CHUNKED, text, LAST))


@every_way
def test_records_are_read_from_the_stream_as_dicts_are(play: Play) -> None:
    async def scenario(client: KubeClient) -> None:
        async with client.watch_as(POD_RECORDS, PODS, "n", resource_version="5") as stream:
            assert [event.object.key.name async for event in stream] == ["a", "b"]

    play(scenario, saying(CHUNKED + chunk(A) + chunk(b"{}\n" + B) + LAST))


@every_way
def test_a_watch_left_in_the_middle_leaves_nothing_open(play: Play) -> None:
    async def scenario(client: KubeClient) -> None:
        async with client.watch(PODS, "n", resource_version="5") as stream:
            await anext(stream)
        async with asyncio.timeout(5):
            await gone.wait()

    async def script(talk: Talk) -> None:
        await talk.say(CHUNKED + chunk(A))
        try:
            await talk.reader.read()
        finally:
            gone.set()

    gone = asyncio.Event()
    play(scenario, script)
