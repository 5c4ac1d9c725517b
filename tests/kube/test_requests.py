"""Requests over connections that are kept, byte by byte: what servers do right and wrong, on both loops, with and without TLS."""

import asyncio
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fedstate.kube import pool as pools
from fedstate.kube.client import KubeClient
from fedstate.kube.config import ClusterConfig, FileToken
from fedstate.kube.endpoint import Endpoint
from fedstate.kube.errors import Conflict, ServerError, TransportError
from fedstate.kube.pool import RequestPool
from fedstate.kube.resources import CONFIG_MAPS
from fedstate.kube.wire import Request
from tests.kube.talking import CHUNKED, LAST, Play, Scenario, Script, Talk, chunk, every_way, plain, saying, ways

own = ways({"raw": (False, False, True), "uvloop-raw": (True, False, True)})
own_tls = ways(
    {"raw": (False, False, True), "uvloop-raw": (True, False, True), "tls": (False, True, True), "uvloop-tls": (True, True, True)}
)


def sized(body: bytes | str, *headers: str, code: str = "200 OK") -> bytes:
    data = body.encode() if isinstance(body, str) else body
    return "\r\n".join((f"HTTP/1.1 {code}", *headers, f"Content-Length: {len(data)}", "", "")).encode() + data


def repeating(*answers: bytes) -> Script:
    """One answer per request on the connection; then it ends."""

    async def script(talk: Talk) -> None:
        for number, answer in enumerate(answers):
            if number:
                await talk.next()
            await talk.say(answer)

    return script


async def forever(talk: Talk) -> None:
    """Tells every request what it asked for."""
    while True:
        await talk.say(sized(json.dumps({"asked": talk.request.split()[1]})))
        await talk.next()


async def got(client: KubeClient, path: str = "/x") -> str:
    return await client.text(path)


def gets(*expected: str) -> Scenario:
    async def scenario(client: KubeClient) -> None:
        assert [await got(client) for _ in expected] == list(expected)

    return scenario


def loses(match: str, method: str = "GET") -> Scenario:
    async def scenario(client: KubeClient) -> None:
        with pytest.raises(TransportError, match=match):
            await client.request(method, "/x", timeout=3)

    return scenario


@plain
@pytest.mark.parametrize(
    "parts",
    [
        [sized("hello")],
        [sized("hello")[:20], sized("hello")[20:-2], b"lo"],
        [CHUNKED + chunk(b"he") + chunk(b"llo", b";a=b") + b"0\r\nTrailer: 1\r\n\r\n"],
        [b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n", sized("hello")],
        [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhel", b"lo"],
        [b"HTTP/1.0 200 OK\r\n\r\nhello"],
        [b"HTTP/1.1 200\r\nContent-Length:5\r\n\r\nhello"],
    ],
    ids=["length", "cut", "chunks", "interim", "close", "http/1.0", "no reason"],
)
def test_an_answer_is_read_whatever_frames_it(play: Play, parts: list[bytes]) -> None:
    play(gets("hello"), saying(*parts))


@plain
def test_an_answer_without_a_body_is_empty(play: Play) -> None:
    play(gets("", ""), repeating(b"HTTP/1.1 204 No Content\r\n\r\n", sized("")))


@own_tls
def test_one_connection_carries_one_request_after_another(play: Play) -> None:
    requests = play(gets("a", "b", "c"), repeating(sized("a"), CHUNKED + chunk(b"b") + LAST, sized("c")))
    assert len(requests) == 1


@own
def test_a_connection_that_the_server_wants_closed_is_not_asked_again(play: Play) -> None:
    for last in (sized("a", "Connection: keep-alive, Close"), b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na"):

        async def staying(talk: Talk, last: bytes = last) -> None:
            await talk.say(last)
            await talk.silence()

        assert len(play(gets("a", "b"), staying, saying(sized("b")))) == 2


@own
def test_what_follows_an_answer_is_no_part_of_the_next(play: Play) -> None:
    for first in (sized("a") + sized("not asked"), CHUNKED + chunk(b"a") + LAST + b"x"):

        async def more(talk: Talk, first: bytes = first) -> None:
            await talk.say(first)
            await talk.silence()

        assert len(play(gets("a", "b"), more, saying(sized("b")))) == 2


@own
def test_what_comes_without_having_been_asked_ends_the_connection(play: Play) -> None:
    async def talking(talk: Talk) -> None:
        await talk.say(sized("a"))
        await told.wait()
        await talk.say(sized("not asked"))
        assert await talk.reader.read() == b""
        gone.set()

    async def scenario(client: KubeClient) -> None:
        assert await got(client) == "a"
        told.set()
        await gone.wait()
        assert await got(client) == "b"

    told, gone = asyncio.Event(), asyncio.Event()
    assert len(play(scenario, talking, saying(sized("b")))) == 2


@every_way
@pytest.mark.parametrize(
    "framed", [sized, lambda body: CHUNKED + chunk(body[:7]) + chunk(body[7:]) + LAST], ids=["length", "chunks"]
)
def test_an_answer_of_three_megabytes_is_read(play: Play, framed: Any) -> None:
    body = json.dumps({"x": "y" * 3_000_000}).encode()

    async def scenario(client: KubeClient) -> None:
        assert await client.request("GET", "/x") == {"x": "y" * 3_000_000}

    play(scenario, saying(framed(body)))


@every_way
@pytest.mark.parametrize(
    ("parts", "match"),
    [
        ([b""], "broke"),
        ([b"HTTP/1.1 200 OK\r\nContent-Le"], "broke"),
        ([sized("hello")[:-1]], "broke"),
        ([CHUNKED + chunk(b"hello") + b"0\r\n"], "broke"),
        ([CHUNKED + b"5\r\nhel"], "broke"),
    ],
    ids=["nothing", "half a head", "within its length", "within its end", "within a chunk"],
)
def test_a_server_that_closes_too_early_gave_no_answer(play: Play, parts: list[bytes], match: str) -> None:
    assert len(play(loses(match, "PATCH"), saying(*parts))) == 1


@every_way
def test_a_reset_is_no_answer(play: Play) -> None:
    async def script(talk: Talk) -> None:
        await talk.say(CHUNKED + chunk(b"hello"))
        await asyncio.sleep(0.02)
        talk.reset()

    play(loses("broke", "POST"), script)


@own
@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        CHUNKED + b"nonsense\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\na",
        b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n",
    ],
    ids=["ssh", "upgrade", "two lengths", "no chunk", "compressed", "tls"],
)
def test_what_is_no_http_is_no_answer(play: Play, answer: bytes) -> None:
    async def script(talk: Talk) -> None:
        await talk.say(answer)
        await talk.silence()

    play(loses("cannot be read"), script)


@plain
def test_silence_is_given_up_at_the_deadline_and_its_late_answer_is_nobodys(play: Play) -> None:
    async def late(talk: Talk) -> None:
        await given_up.wait()
        await talk.say(sized('{"late": true}'))
        await talk.silence()

    async def scenario(client: KubeClient) -> None:
        with pytest.raises(TransportError, match="gave no answer in time"):
            await client.request("GET", "/x", timeout=0.1)
        given_up.set()
        assert await got(client) == "b"

    given_up = asyncio.Event()
    assert len(play(scenario, late, saying(sized("b")))) == 2


@own
def test_the_deadline_is_of_the_whole_answer(play: Play) -> None:
    async def dripping(talk: Talk) -> None:
        await talk.say(CHUNKED)
        while True:
            await talk.say(chunk(b"."))
            await asyncio.sleep(0.02)

    async def scenario(client: KubeClient) -> None:
        with pytest.raises(TransportError, match="gave no answer in time"):
            await client.request("GET", "/x", timeout=0.15)

    play(scenario, dripping)


@own
def test_a_sooner_deadline_is_not_kept_waiting_by_a_later_one(play: Play) -> None:
    async def scenario(client: KubeClient) -> None:
        async with asyncio.TaskGroup() as group:
            slow = group.create_task(client.request("GET", "/slow", timeout=20))
            await asyncio.sleep(0)
            with pytest.raises(TransportError, match="gave no answer in time"):
                await client.request("GET", "/fast", timeout=0.1)
            slow.cancel()

    play(scenario, Talk.silence)


@own_tls
def test_a_cancelled_request_ends_its_connection(play: Play) -> None:
    async def half(talk: Talk) -> None:
        await talk.say(CHUNKED + chunk(b"{"))
        asked.set()
        assert await talk.reader.read() == b""
        gone.set()

    async def scenario(client: KubeClient) -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(client.request("GET", "/x"))
            await asked.wait()
            task.cancel()
        async with asyncio.timeout(5):
            await gone.wait()
        assert await got(client) == "b"

    asked, gone = asyncio.Event(), asyncio.Event()
    assert len(play(scenario, half, saying(sized("b")))) == 2


def closing_when_asked_again(*said: bytes) -> Script:
    """As a server does whose patience with an idle connection ends just when a request is on its way."""

    async def script(talk: Talk) -> None:
        await talk.say(sized("a"))
        await talk.next()
        for part in said:
            await talk.say(part)

    return script


@own_tls
def test_a_read_that_crossed_the_end_of_an_idle_connection_is_asked_once_more(play: Play) -> None:
    assert len(play(gets("a", "b"), closing_when_asked_again(), saying(sized("b")))) == 2


@own_tls
def test_a_write_that_crossed_it_is_not_for_it_may_have_been_done(play: Play) -> None:
    async def scenario(client: KubeClient) -> None:
        assert await got(client) == "a"
        for method in ("PATCH", "POST", "PUT", "DELETE"):
            with pytest.raises(TransportError, match="closed it without an answer|broke"):
                await client.request(method, "/x", body={})
            assert await got(client) == "a"

    requests = play(scenario, closing_when_asked_again())
    assert [request.split()[0] for request in requests] == ["PATCH", "POST", "PUT", "DELETE", "GET"]


@own
def test_a_read_is_not_asked_again_where_it_was_heard_or_the_connection_was_new(play: Play) -> None:
    async def scenario(client: KubeClient) -> None:
        assert await got(client) == "a"
        with pytest.raises(TransportError):
            await got(client)

    assert len(play(scenario, closing_when_asked_again(b"H"), saying(sized("b")))) == 1
    assert len(play(loses("closed it without an answer"), saying(b""), saying(sized("b")))) == 1
    assert len(play(scenario, closing_when_asked_again(), saying(b""), saying(sized("b")))) == 2


@own_tls
def test_an_idle_connection_that_the_server_closed_is_replaced(play: Play) -> None:
    async def scenario(client: KubeClient) -> None:
        for _ in range(5):
            assert await client.request("PATCH", "/x", body={}) == {}
            # The end of the connection is noticed while nobody asks.
            await asyncio.sleep(0.05)

    assert len(play(scenario, saying(sized("{}")))) == 5


@own
def test_connections_are_not_kept_for_long_without_use(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "IDLE_TIMEOUT", 0.05)

    async def script(talk: Talk) -> None:
        await talk.say(sized("a"))
        assert await talk.reader.read() == b""
        gone.set()

    async def scenario(client: KubeClient) -> None:
        assert await got(client) == "a"
        async with asyncio.timeout(5):
            await gone.wait()
        assert await got(client) == "a"

    gone = asyncio.Event()
    assert len(play(scenario, script)) == 2


@plain
def test_a_refusal_leaves_the_connection_in_use(play: Play) -> None:
    said = json.dumps({"kind": "Status", "code": 409, "reason": "Conflict", "message": "changed"})

    async def scenario(client: KubeClient) -> None:
        with pytest.raises(Conflict, match="changed"):
            await client.request("PUT", "/x", body={})
        assert await got(client) == "b"

    assert len(play(scenario, repeating(sized(said, code="409 Conflict"), sized("b")))) == 1


@plain
def test_of_an_endless_refusal_no_more_is_read_than_anybody_needs(play: Play) -> None:
    async def endless(talk: Talk) -> None:
        await talk.say(b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await talk.say(chunk(b"x" * 100_000))

    async def scenario(client: KubeClient) -> None:
        with pytest.raises(ServerError):
            await client.request("GET", "/x")

    play(scenario, endless)


@plain
def test_a_rotated_token_is_tried_on_the_same_connection(play: Play, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")

    async def rotating(talk: Talk) -> None:
        assert "Bearer old" in talk.request
        file.write_text("new")
        await talk.say(sized("{}", code="401 Unauthorized"))
        assert "Bearer new" in await talk.next()
        await talk.say(sized("a"))

    assert len(play(gets("a"), rotating, token=FileToken(file))) == 1


@own
def test_a_request_says_what_is_wanted_and_by_whom(play: Play) -> None:
    async def scenario(client: KubeClient) -> None:
        await client.merge_patch(CONFIG_MAPS, "c", {"a": 1}, namespace="n")
        await client.text("/log", {"x": "y z"})
        await client.request("POST", "/x")

    requests: list[str] = []

    async def script(talk: Talk) -> None:
        while True:
            requests.append(talk.request)
            await talk.say(sized("{}"))
            await talk.next()

    play(scenario, script)
    heads = [request.partition("\r\n\r\n")[0].split("\r\n") for request in requests]
    assert [head[0] for head in heads] == [
        "PATCH /api/v1/namespaces/n/configmaps/c?fieldManager=fedstate HTTP/1.1",
        "GET /log?x=y+z HTTP/1.1",
        "POST /x HTTP/1.1",
    ]
    common = {"Authorization: Bearer secret", "User-Agent: me", "Accept-Encoding: identity"}
    assert {*heads[0][2:]} == common | {
        "Accept: application/json",
        "Content-Type: application/merge-patch+json",
        "Content-Length: 7",
    }
    assert {*heads[1][2:]} == common | {"Accept: */*"}
    assert {*heads[2][2:]} == common | {"Accept: application/json", "Content-Length: 0"}
    assert requests[0].endswith('\r\n\r\n{"a":1}')


def message(**options: Any) -> bytes:
    endpoint = Endpoint(ClusterConfig(server="https://[::1]:6443/base/"), "me", None)
    return endpoint.message(Request(**({"method": "GET", "path": "/x"} | options)), "Bearer t")


def test_a_line_break_cannot_make_two_requests_of_one() -> None:
    assert message().startswith(b"GET /base/x HTTP/1.1\r\nHost: [::1]:6443\r\n")
    wrong: list[dict[str, Any]] = [
        {"path": "/x HTTP/1.1\r\nA: b"},
        {"path": "/x\n"},
        {"method": "GET\r"},
        {"headers": {"A": "b\r\nC: d"}},
        {"headers": {"A\n": "b"}},
        {"path": "/\u2028"},
    ]
    for options in wrong:
        with pytest.raises(ValueError, match=r"line break|latin-1"):
            message(**options)


@own
def test_no_more_than_the_limit_are_on_their_way_and_the_others_wait_their_turn(play: Play) -> None:
    async def script(talk: Talk) -> None:
        while True:
            waiting.append(talk)
            await talk.next()

    async def scenario(client: KubeClient) -> None:
        pool = RequestPool(Endpoint(client.config, "me", None), limit=2)
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(pool.send(Request(method="GET", path=f"/{number}"))) for number in range(5)]
            late = group.create_task(expects_no_turn(pool))
            await late
            assert len(waiting) == 2
            asking[3].cancel()
            served = 0
            while not all(task.done() for task in asking):
                assert len(waiting) <= 2
                for talk in [*waiting]:
                    waiting.remove(talk)
                    served += 1
                    await talk.say(sized(talk.request.split()[1]))
                await asyncio.sleep(0.01)
        assert served == 4
        assert [task.cancelled() or task.result().decode() for task in asking] == ["/0", "/1", "/2", True, "/4"]
        await pool.close()

    async def expects_no_turn(pool: RequestPool) -> None:
        with pytest.raises(TransportError, match="gave no answer in time"):
            await pool.send(Request(method="GET", path="/late", timeout=0.1))

    waiting: list[Talk] = []
    assert len(play(scenario, script)) == 2


@own_tls
def test_closing_ends_what_is_on_its_way(play: Play) -> None:
    async def scenario(client: KubeClient) -> None:
        pool = client._transport._requests  # type: ignore[attr-defined]
        async with asyncio.TaskGroup() as group:
            group.create_task(expects_the_end(pool))
            await asked.wait()
            await pool.close()
        with pytest.raises(TransportError, match="are closed"):
            await pool.send(Request(method="GET", path="/x"))

    async def expects_the_end(pool: RequestPool) -> None:
        with pytest.raises(TransportError):
            await pool.send(Request(method="GET", path="/x"))

    async def script(talk: Talk) -> None:
        asked.set()
        await talk.silence()

    asked = asyncio.Event()
    play(scenario, script)


@own_tls
def test_a_connection_given_up_while_it_is_made_keeps_nobody_waiting(play: Play) -> None:
    async def scenario(client: KubeClient) -> None:
        for turns in range(20):
            for asking in (client.text("/x"), watched(client)):
                task = asyncio.ensure_future(asking)
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def watched(client: KubeClient) -> None:
        async with client.watch(CONFIG_MAPS, resource_version="1"):
            pass

    play(scenario, forever)


@own
def test_a_used_connection_that_falls_silent_is_not_asked_again(play: Play) -> None:
    async def script(talk: Talk) -> None:
        await talk.say(sized("a"))
        await talk.silence()

    async def scenario(client: KubeClient) -> None:
        assert await got(client) == "a"
        with pytest.raises(TransportError, match="gave no answer in time"):
            await client.request("GET", "/x", timeout=0.1)

    assert len(play(scenario, script)) == 1


@pytest.mark.timeout(90)
@own_tls
def test_of_a_thousand_requests_with_random_faults_none_is_lost_done_twice_or_mixed_up(play: Play) -> None:
    dice = random.Random(7)
    done: Counter[str] = Counter()

    async def script(talk: Talk) -> None:
        while True:
            path = talk.request.split()[1]
            if talk.request.startswith("PATCH"):
                assert json.loads(talk.request.partition("\r\n\r\n")[2]) == {"for": path}
                done[path] += 1
            if not await faulty(talk, path):
                return
            await talk.next()

    async def faulty(talk: Talk, path: str) -> bool:
        fault = dice.randrange(12)
        body = json.dumps({"asked": path, "padding": "x" * dice.choice((0, 100, 40_000))}).encode()
        answer = dice.choice((sized(body), CHUNKED + chunk(body[:9]) + chunk(body[9:]) + LAST))
        if fault == 0:
            talk.reset()
        elif fault == 1:
            await talk.say(answer[: dice.randrange(1, len(answer))])
        elif fault == 2:
            await talk.say(answer + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        elif fault == 3:
            await talk.say(answer)
        elif fault == 4:
            await talk.say(b"nonsense\r\n\r\n")
        elif fault == 5:
            await talk.say(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
        elif fault == 6:
            pass
        else:
            cut = dice.randrange(len(answer))
            await talk.say(answer[:cut])
            await asyncio.sleep(0)
            await talk.say(answer[cut:])
            return True
        return fault == 2

    async def ask(client: KubeClient, number: int) -> str:
        path = f"/{number}"
        try:
            if number % 2:
                answer = await client.request("PATCH", path, body={"for": path}, timeout=10)
            else:
                answer = await client.request("GET", path, timeout=10)
        except TransportError:
            return "failed"
        assert answer["asked"] == path
        return "answered"

    async def scenario(client: KubeClient) -> None:
        # A handshake for each fault takes its time.
        count = 1000 if client.server.startswith("http:") else 150
        numbers = iter(range(count))
        ended: list[str] = []

        async def worker() -> None:
            for number in numbers:
                task = asyncio.ensure_future(ask(client, number))
                if dice.randrange(20) == 0:
                    await asyncio.sleep(0)
                    task.cancel()
                (found,) = await asyncio.gather(task, return_exceptions=True)
                if isinstance(found, BaseException) and not isinstance(found, asyncio.CancelledError):
                    raise found
                ended.append(str(found))

        async with asyncio.TaskGroup() as group:
            for _ in range(64):
                group.create_task(worker())
        assert len(ended) == count
        assert ended.count("answered") > count // 3

    play(scenario, script)
    assert set(done.values()) == {1}
