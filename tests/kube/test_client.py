"""The client and its watches against a real HTTP server, on the standard event loop and on uvloop."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import web

from fedstate.kube.client import KubeClient
from fedstate.kube.config import ClusterConfig, FileToken, cluster_config_from
from fedstate.kube.decoding import OBJECTS
from fedstate.kube.errors import Conflict, Expired, NotFound, ServerError, TooManyRequests, TransportError, Unauthorized
from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import CONFIG_MAPS, EVENTS, PODS
from fedstate.kube.watch import BOOKMARK_IDLE_LIMIT, WatchEvent, WatchStream, ends_initial_events

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Play = Callable[..., None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def play(request: pytest.FixtureRequest) -> Play:
    """Plays a scenario with a client of a server that answers everything as told, on one of the loops."""

    async def scene(answer: Answer, scenario: Callable[[KubeClient], Awaitable[None]], token: Any = "secret") -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        config = cluster_config_from(f"http://127.0.0.1:{runner.addresses[0][1]}", None, token)
        try:
            async with KubeClient(config, field_manager="me") as client:
                await scenario(client)
        finally:
            await runner.cleanup()

    def run(answer: Answer, scenario: Callable[[KubeClient], Awaitable[None]], **options: Any) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(scene(answer, scenario, **options))

    return run


def status(code: int, reason: str, message: str = "no", **headers: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message}
    return web.json_response(body, status=code, headers={key.replace("_", "-"): value for key, value in headers.items()})


def always(response: Callable[[], web.Response]) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return response()

    return answer


def line(kind: str, name: str, **metadata: Any) -> bytes:
    return json.dumps({"type": kind, "object": {"metadata": {"name": name, **metadata}}}).encode() + b"\n"


def streaming(*chunks: bytes | float, end: str = "close") -> Answer:
    """Sends the chunks, sleeping where there is a number; then ends, breaks, or falls silent."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for chunk in chunks:
            if isinstance(chunk, float):
                await asyncio.sleep(chunk)
            else:
                await response.write(chunk)
        if end == "reset":
            assert request.transport is not None
            request.transport.abort()
        elif end == "silence":
            await asyncio.sleep(30)
        return response

    return answer


async def read(client: KubeClient, **options: Any) -> list[WatchEvent[KubeObject]]:
    async with client.watch(PODS, "n", resource_version="5", **options) as stream:
        return [event async for event in stream]


def names(events: list[WatchEvent[KubeObject]]) -> list[str]:
    return [event.object["metadata"]["name"] for event in events]


def test_every_verb_sends_what_the_server_expects(play: Play) -> None:
    seen: list[tuple[str, str, dict[str, str], Any, str | None]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        seen.append((request.method, request.path, dict(request.query), body, request.headers.get("Content-Type")))
        assert request.headers["Authorization"] == "Bearer secret"
        assert request.headers["User-Agent"].startswith("fedstate/")
        return web.json_response({"kind": "Pod", "metadata": {"name": "p"}})

    async def scenario(client: KubeClient) -> None:
        pod = {"metadata": {"name": "p", "namespace": "n"}}
        await client.get(PODS, "p", "n")
        await client.create(PODS, pod, dry_run=True)
        await client.replace(PODS, pod, subresource="status")
        await client.apply(PODS, pod, field_manager="other", force=False)
        await client.merge_patch(PODS, "p", {"a": 1}, namespace="n")
        await client.json_patch(PODS, "p", [{"op": "remove", "path": "/a"}], namespace="n")
        await client.create_subresource(PODS, "p", "binding", {"target": {}}, namespace="n")
        await client.delete(PODS, "p", namespace="n", uid="u", grace_period=0)
        assert await client.text("/log", {"x": "y z"}) == '{"kind": "Pod", "metadata": {"name": "p"}}'

    play(answer, scenario)
    one, all_of = "/api/v1/namespaces/n/pods/p", "/api/v1/namespaces/n/pods"
    pod = {"metadata": {"name": "p", "namespace": "n"}}
    js, mine = "application/json", {"fieldManager": "me"}
    options = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": "u"},
        "gracePeriodSeconds": 0,
    }
    assert seen == [
        ("GET", one, {}, None, None),
        ("POST", all_of, mine | {"dryRun": "All"}, pod, js),
        ("PUT", one + "/status", mine, pod, js),
        ("PATCH", one, {"fieldManager": "other", "force": "false"}, {"apiVersion": "v1", "kind": "Pod", **pod}, "application/apply-patch+yaml"),
        ("PATCH", one, mine, {"a": 1}, "application/merge-patch+json"),
        ("PATCH", one, mine, [{"op": "remove", "path": "/a"}], "application/json-patch+json"),
        ("POST", one + "/binding", mine, {"target": {}}, js),
        ("DELETE", one, {}, options, js),
        ("GET", "/log", {"x": "y z"}, None, None),
    ]  # fmt: skip


def test_a_collection_is_read_page_by_page(play: Play) -> None:
    asked: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(dict(request.query))
        start = int(request.query.get("continue", 0))
        metadata = {"resourceVersion": "9"} | ({"continue": str(start + 1)} if start < 2 else {})
        return web.json_response({"metadata": metadata, "items": [{"metadata": {"name": str(start)}}]})

    async def scenario(client: KubeClient) -> None:
        found = await client.list_all(PODS, label_selector="a=b")
        assert [obj["metadata"]["name"] for obj in found] == ["0", "1", "2"]

    play(answer, scenario)
    assert asked[2] == {"labelSelector": "a=b", "limit": "500", "continue": "2"}


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (404, "NotFound", NotFound),
        (409, "Conflict", Conflict),
        (500, "InternalError", ServerError),
        (401, "Unauthorized", Unauthorized),
    ],
)
def test_a_refusal_becomes_its_error(play: Play, code: int, reason: str, kind: type[Exception]) -> None:
    async def scenario(client: KubeClient) -> None:
        with pytest.raises(kind, match=f"because {code}"):
            await client.get(PODS, "p", "n")

    play(always(lambda: status(code, reason, f"because {code}")), scenario)


def test_too_many_requests_says_how_long_to_wait_and_is_not_retried(play: Play) -> None:
    tries: list[int] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        tries.append(1)
        return status(429, "TooManyRequests", Retry_After="7")

    async def scenario(client: KubeClient) -> None:
        with pytest.raises(TooManyRequests) as raised:
            await client.get(PODS, "p", "n")
        assert raised.value.retry_after == 7

    play(answer, scenario)
    assert tries == [1]


def test_an_error_page_of_a_proxy_is_not_quoted(play: Play) -> None:
    async def scenario(client: KubeClient) -> None:
        with pytest.raises(ServerError) as raised:
            await client.get(PODS, "p", "n")
        assert "secret" not in str(raised.value)

    play(always(lambda: web.Response(status=502, text="<html>secret</html>")), scenario)


def test_an_answer_that_is_no_object_is_no_answer(play: Play) -> None:
    async def scenario(client: KubeClient) -> None:
        with pytest.raises(TransportError, match="not JSON"):
            await client.get(PODS, "p", "n")

    play(always(lambda: web.Response(text="hello")), scenario)


def test_a_rotated_token_is_read_again_after_a_401_and_tried_once(play: Play, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers["Authorization"])
        file.write_text("new")
        return web.json_response({"ok": True}) if seen[-1] == "Bearer new" else status(401, "Unauthorized")

    async def scenario(client: KubeClient) -> None:
        await client.get(PODS, "p", "n")

    play(answer, scenario, token=FileToken(file))
    assert seen == ["Bearer old", "Bearer new"]


def test_a_token_refused_twice_is_refused(play: Play, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    tries: list[int] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        tries.append(1)
        return status(401, "Unauthorized")

    async def scenario(client: KubeClient) -> None:
        with pytest.raises(Unauthorized):
            await client.get(PODS, "p", "n")

    play(answer, scenario, token=FileToken(file))
    assert len(tries) == 2


async def test_an_unreachable_server_is_named() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        server = f"http://127.0.0.1:{closed.getsockname()[1]}"
    async with KubeClient(ClusterConfig(server=server)) as client:
        with pytest.raises(TransportError, match=f"cannot connect to {server}"):
            await client.get(PODS, "p", "n")


def test_a_watch_gives_events_however_the_bytes_are_cut(play: Play) -> None:
    text = line("ADDED", "a") + line("MODIFIED", "b") + b"\n" + line("DELETED", "c")

    async def scenario(client: KubeClient) -> None:
        assert names(await read(client)) == ["a", "b", "c"]

    play(streaming(text[:10], 0.01, text[10:70], 0.01, text[70:]), scenario)


def test_a_watch_asks_for_bookmarks_a_jittered_end_and_its_version(play: Play) -> None:
    asked: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(dict(request.query))
        return web.Response(body=b"")

    async def scenario(client: KubeClient) -> None:
        await read(client)
        await read(client, send_initial_events=True, timeout=7, field_selector="x=y")

    play(answer, scenario)
    assert 300 <= int(asked[0].pop("timeoutSeconds")) <= 600
    assert asked == [
        {"watch": "1", "allowWatchBookmarks": "true", "resourceVersion": "5"},
        {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": "5",
            "fieldSelector": "x=y",
            "timeoutSeconds": "7",
            "sendInitialEvents": "true",
            "resourceVersionMatch": "NotOlderThan",
        },
    ]


def test_a_line_of_three_megabytes_is_read(play: Play) -> None:
    async def scenario(client: KubeClient) -> None:
        (event, after) = await read(client)
        assert len(event.object["metadata"]["note"]) == 3_000_000
        assert after.object["metadata"]["name"] == "b"

    play(streaming(line("ADDED", "a", note="x" * 3_000_000) + line("ADDED", "b")), scenario)


def test_half_a_line_at_the_end_is_a_broken_stream(play: Play) -> None:
    async def scenario(client: KubeClient) -> None:
        got: list[WatchEvent[KubeObject]] = []
        async with client.watch(PODS, "n", resource_version="5") as stream:
            got.append(await anext(stream))
            with pytest.raises(TransportError, match="within a line"):
                await anext(stream)
        assert names(got) == ["a"]

    play(streaming(line("ADDED", "a") + b'{"type":"ADD'), scenario)


def test_a_reset_is_a_broken_stream(play: Play) -> None:
    async def scenario(client: KubeClient) -> None:
        with pytest.raises(TransportError):
            await read(client)

    play(streaming(line("ADDED", "a"), 0.05, end="reset"), scenario)


def test_silence_beyond_the_servers_own_end_is_a_broken_stream(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedstate.kube.client.WATCH_GRACE", 0.2)

    async def scenario(client: KubeClient) -> None:
        with pytest.raises(TransportError, match=r"silent|no answer in time"):
            await read(client, timeout=0.1)

    play(streaming(line("ADDED", "a"), end="silence"), scenario)


def test_an_error_event_is_raised_as_what_it_means(play: Play) -> None:
    error = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}

    async def scenario(client: KubeClient) -> None:
        with pytest.raises(Expired, match="too old"):
            await read(client)

    play(streaming(line("ADDED", "a"), json.dumps(error).encode() + b"\n"), scenario)


def test_a_watch_that_is_refused_raises_before_the_first_event(play: Play) -> None:
    async def scenario(client: KubeClient) -> None:
        with pytest.raises(Expired):
            await read(client)

    play(always(lambda: status(410, "Gone")), scenario)


def test_lines_that_mean_nothing_are_skipped(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    odd = b'{not json\n[]\n{"type":"ODD","object":{"metadata":{}}}\n{"type":"ADDED","object":{"kind":"Table"}}\n'

    async def scenario(client: KubeClient) -> None:
        assert names(await read(client)) == ["a"]

    play(streaming(odd + line("ADDED", "a")), scenario)
    assert caplog.text.count("skipped something") == 4


def test_the_bookmark_that_ends_initial_events_is_known(play: Play) -> None:
    last = line("BOOKMARK", "", annotations={"k8s.io/initial-events-end": "true"})

    async def scenario(client: KubeClient) -> None:
        events = await read(client, send_initial_events=True)
        assert [ends_initial_events(event) for event in events] == [False, False, True]

    play(streaming(line("ADDED", "a"), line("BOOKMARK", ""), last), scenario)


def test_watches_do_not_keep_requests_waiting(play: Play) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.query.get("watch"):
            return await streaming(line("ADDED", "a"), end="silence")(request)
        return web.json_response({"kind": "Pod"})

    async def scenario(client: KubeClient) -> None:
        async with asyncio.TaskGroup() as group:
            reading = [group.create_task(read(client)) for _ in range(80)]
            await client.get(CONFIG_MAPS, "c", "n")
            await client.get(EVENTS, "e", "n")
            for task in reading:
                task.cancel()

    play(answer, scenario)


@pytest.mark.looptime
async def test_a_stream_that_showed_bookmarks_may_not_fall_silent_for_long() -> None:
    class Silent:
        def __init__(self) -> None:
            self.chunks = [line("BOOKMARK", ""), line("BOOKMARK", "")]

        async def readany(self) -> bytes:
            if self.chunks:
                return self.chunks.pop()
            await asyncio.sleep(10_000)
            return b""

    stream = WatchStream(Silent(), "pods", OBJECTS, idle_limit=600)
    with pytest.raises(TransportError, match="silent for 150 s"):
        async for _ in stream:
            pass
    assert asyncio.get_running_loop().time() == BOOKMARK_IDLE_LIMIT


async def test_a_client_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await KubeClient(ClusterConfig(server="http://127.0.0.1:1")).get(PODS, "p", "n")
