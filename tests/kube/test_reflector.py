"""A reflector against a fake API server, under virtual time."""

import asyncio
from typing import Any

import pytest

from fedstate.kube.errors import TransportError, api_error_from
from fedstate.kube.informer import CacheSyncTimeout, Informer, InformerSet
from fedstate.kube.objects import Key, KubeObject, name_of
from fedstate.kube.resources import CONFIG_MAPS
from fedstate.kube.transport import Request
from tests.fakes.apiserver import FakeApiServer, refusal, status_object, verb_of
from tests.fakes.running import Running, settle

pytestmark = pytest.mark.looptime

A, B = Key("n", "a"), Key("n", "b")


def config_map(name: str, **data: str) -> KubeObject:
    return {"metadata": {"name": name, "namespace": "n"}, "data": data}


def server_with(*names: str) -> FakeApiServer:
    server = FakeApiServer()
    server.seed(CONFIG_MAPS, *(config_map(name) for name in names))
    return server


def is_watch(request: Request) -> bool:
    return verb_of(request) == "watch"


def is_list(request: Request) -> bool:
    return verb_of(request) == "list"


def params(server: FakeApiServer, verb: str) -> list[dict[str, str]]:
    return [dict(request.params) for request in server.requests if verb_of(request) == verb]


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_initial_events_fill_the_store_and_the_same_stream_is_followed() -> None:
    server = server_with("a")
    informer = Informer(server.client(), CONFIG_MAPS)
    async with Running(informer.run()):
        await informer.synced.wait()
        assert list(informer.store.keys()) == [A]
        assert informer.store.resource_version == str(server.version)
        server.seed(CONFIG_MAPS, config_map("b"))
        server.remove(CONFIG_MAPS, "a", "n")
        await settle()
        assert list(informer.store.keys()) == [B]
        assert informer.store.resource_version == str(server.version)
        assert server.verbs() == ["watch"]


async def test_a_refusal_of_initial_events_is_remembered() -> None:
    server = server_with("a")
    server.initial_events = False
    informer = Informer(server.client(), CONFIG_MAPS)
    async with Running(informer.run()):
        await informer.synced.wait()
        await settle()
        assert server.verbs() == ["watch", "list", "watch"]
        assert params(server, "list")[0] == {"limit": "500", "resourceVersion": "0"}
        server.send_error(500, "InternalError")
        await asyncio.sleep(2)
        assert server.verbs() == ["watch", "list", "watch", "list", "watch"]


async def test_initial_events_without_an_end_are_given_up_for_a_list() -> None:
    server = server_with("a")
    client = server.client()
    informer = Informer(client, CONFIG_MAPS)
    # An old server ignores the parameter and sends a watch like any other: no bookmark closes the initial events.
    ignoring = server._open_watch

    def open_watch(request: Request) -> Any:
        plain = {key: value for key, value in request.params.items() if key != "sendInitialEvents"}
        return ignoring(Request(method="GET", path=request.path, params=plain))

    server._open_watch = open_watch  # type: ignore[method-assign]
    async with Running(informer.run()):
        await informer.synced.wait()
        assert now() == pytest.approx(10, abs=0.1)
        assert server.verbs()[:2] == ["watch", "list"]
        assert A in informer.store


async def test_the_normal_end_of_a_watch_resumes_at_once_without_a_relist() -> None:
    server = server_with("a")
    informer = Informer(server.client(), CONFIG_MAPS)
    async with Running(informer.run()):
        await informer.synced.wait()
        await asyncio.sleep(5)
        server.end_watches()
        await settle()
        assert now() == 5
        assert server.verbs() == ["watch", "watch"]
        assert params(server, "watch")[1]["resourceVersion"] == informer.store.resource_version
        assert "sendInitialEvents" not in params(server, "watch")[1]
        assert len(server.watchers) == 1


async def test_changes_missed_between_two_watches_arrive_with_the_second() -> None:
    server = server_with("a")
    informer = Informer(server.client(), CONFIG_MAPS)
    async with Running(informer.run()):
        await informer.synced.wait()
        server.cut_watches()
        server.seed(CONFIG_MAPS, config_map("b"))
        server.remove(CONFIG_MAPS, "a", "n")
        await settle()
        assert list(informer.store.keys()) == [B]


async def test_an_unreachable_server_is_retried_with_backoff_from_the_same_version_and_no_relist() -> None:
    server = server_with("a")
    informer = Informer(server.client(), CONFIG_MAPS)
    async with Running(informer.run()):
        await informer.synced.wait()
        await asyncio.sleep(5)
        assert informer.following
        server.reachable = False
        server.end_watches()
        await asyncio.sleep(60)
        assert not informer.following
        assert isinstance(informer.last_error, TransportError)
        tries = server.verbs()
        assert set(tries) == {"watch"}
        assert 4 <= len(tries) <= 8
        server.reachable = True
        server.seed(CONFIG_MAPS, config_map("b"))
        await asyncio.sleep(60)
        assert B in informer.store
        assert informer.following
        assert informer.last_error is None
        assert set(server.verbs()) == {"watch"}


async def test_too_many_requests_waits_as_long_as_asked_and_does_not_relist() -> None:
    server = server_with("a")
    informer = Informer(server.client(), CONFIG_MAPS)
    async with Running(informer.run()):
        await informer.synced.wait()
        await asyncio.sleep(5)
        body = status_object(429, "TooManyRequests", "later")
        server.fail(is_watch, api_error_from(429, body, retry_after="40"))
        server.end_watches()
        await asyncio.sleep(39)
        assert server.verbs() == ["watch", "watch"]
        await asyncio.sleep(2)
        assert server.verbs() == ["watch", "watch", "watch"]


async def test_an_expired_watch_refills_at_the_last_seen_version_after_one_backoff() -> None:
    server = server_with("a", "b")
    server.initial_events = False
    informer = Informer(server.client(), CONFIG_MAPS)
    seen: list[tuple[str, str]] = []
    async with Running(informer.run()):
        await informer.synced.wait()
        informer.store.add_listener(lambda old, new: seen.append((name_of(old or {}), name_of(new or {}))))
        seen.clear()
        last = informer.store.resource_version
        await settle()
        for watcher in server.watchers:
            watcher.target = watcher.target._replace(collection="elsewhere")
        server.remove(CONFIG_MAPS, "a", "n")
        begun = now()
        server.send_error(410, "Expired", "too old resource version")
        await asyncio.sleep(0.7)
        assert len(params(server, "list")) == 1
        await asyncio.sleep(1)
        assert now() - begun < 2
        assert params(server, "list")[1] == {"resourceVersion": last}
        assert seen == [("a", "")]


async def test_a_list_at_a_version_that_is_gone_reads_the_newest_at_once() -> None:
    server = server_with("a")
    server.initial_events = False
    server.fail(is_list, refusal(410, "Expired", "gone"))
    informer = Informer(server.client(), CONFIG_MAPS)
    async with Running(informer.run()):
        await informer.synced.wait()
        assert now() == 0
        assert params(server, "list") == [{"limit": "500", "resourceVersion": "0"}, {"limit": "500"}]


async def test_a_version_the_server_has_not_seen_yet_is_asked_for_as_the_newest() -> None:
    server = server_with("a")
    server.initial_events = False
    body = status_object(504, "Timeout", "Too large resource version") | {
        "details": {"causes": [{"reason": "ResourceVersionTooLarge"}]}
    }
    server.fail(is_list, api_error_from(504, body))
    informer = Informer(server.client(), CONFIG_MAPS)
    async with Running(informer.run()):
        await informer.synced.wait()
        assert now() == 0
        assert params(server, "list")[1] == {"limit": "500"}


async def test_pages_that_expire_are_read_again_in_one_piece() -> None:
    server = server_with(*(f"m{number}" for number in range(1200)))
    server.initial_events = False
    server.fail(is_list, refusal(410, "Expired", "gone"))
    server.fail(lambda request: "continue" in request.params, refusal(410, "Expired", "continue token expired"))
    informer = Informer(server.client(), CONFIG_MAPS)
    async with Running(informer.run()):
        await informer.synced.wait()
        assert len(informer.store) == 1200
        assert [sorted(page) for page in params(server, "list")[1:]] == [["limit"], ["continue", "limit"], []]


async def test_a_bookmark_advances_the_version_and_nothing_else() -> None:
    server = server_with("a")
    informer = Informer(server.client(), CONFIG_MAPS)
    told: list[KubeObject | None] = []
    async with Running(informer.run()):
        await informer.synced.wait()
        informer.store.add_listener(lambda old, new: told.append(new))
        told.clear()
        server.version += 50
        server.bookmark()
        await settle()
        assert informer.store.resource_version == str(server.version)
        assert told == []


async def test_an_internal_error_in_a_watch_refills() -> None:
    server = server_with("a")
    informer = Informer(server.client(), CONFIG_MAPS)
    async with Running(informer.run()):
        await informer.synced.wait()
        server.send_error(500, "InternalError", "etcd")
        await asyncio.sleep(2)
        assert [request.get("sendInitialEvents") for request in params(server, "watch")] == ["true", "true"]


async def test_a_watch_that_ends_at_once_without_events_refills_after_a_backoff() -> None:
    server = server_with("a")
    server.initial_events = False
    informer = Informer(server.client(), CONFIG_MAPS)
    async with Running(informer.run()):
        await informer.synced.wait()
        await settle()
        server.end_watches()
        await settle()
        assert server.verbs() == ["watch", "list", "watch"]
        await asyncio.sleep(2)
        assert server.verbs() == ["watch", "list", "watch", "list", "watch"]


async def test_a_watch_from_any_version_does_not_resume_from_its_unordered_beginning() -> None:
    server = server_with("b", "a")
    server.initial_events = False
    listing = server._list
    # Some aggregated servers give lists no version.
    server._list = lambda request, target: listing(request, target) | {"metadata": {}}  # type: ignore[method-assign]
    informer = Informer(server.client(), CONFIG_MAPS)
    async with Running(informer.run()):
        await informer.synced.wait()
        await settle()
        assert informer.store.resource_version == ""
        server.seed(CONFIG_MAPS, config_map("a", x="1"))
        await settle()
        assert informer.store.resource_version == str(server.version)


async def test_a_forbidden_list_is_retried_and_says_why_in_the_sync_timeout() -> None:
    server = server_with("a")
    server.fail(lambda request: True, refusal(403, "Forbidden", "configmaps is forbidden"), times=None)
    informers = InformerSet(server.client())
    informers.informer(CONFIG_MAPS)
    async with Running(informers.run()):
        with pytest.raises(CacheSyncTimeout, match="configmaps: configmaps is forbidden"):
            await informers.wait_synced(20)
        server.faults.clear()
        await informers.wait_synced(60)


async def test_a_bug_in_a_transform_is_logged_and_retried(caplog: pytest.LogCaptureFixture) -> None:
    server = server_with("a")
    broken = [True]

    def transform(obj: KubeObject) -> KubeObject:
        if broken.pop() if broken else False:
            raise RuntimeError("bug")
        return obj

    informer = Informer(server.client(), CONFIG_MAPS, transform=transform)
    async with Running(informer.run()):
        async with asyncio.timeout(5):
            await informer.synced.wait()
    assert "a reflector failed unexpectedly" in caplog.text


async def test_a_broken_watch_before_anything_was_filled_is_tried_again() -> None:
    server = server_with("a")
    server.fail(is_watch, TransportError("reset"))
    informer = Informer(server.client(), CONFIG_MAPS)
    async with Running(informer.run()):
        async with asyncio.timeout(5):
            await informer.synced.wait()
        assert server.verbs() == ["watch", "watch"]


async def test_selectors_reach_the_server_and_informers_are_shared() -> None:
    server = server_with("a", "b")
    server.seed(CONFIG_MAPS, {"metadata": {"name": "c", "namespace": "n", "labels": {"x": "y"}}})
    informers = InformerSet(server.client())
    one = informers.informer(CONFIG_MAPS, "n", label_selector="x=y")
    assert informers.informer(CONFIG_MAPS, "n", label_selector="x=y") is one
    async with Running(informers.run()):
        await informers.wait_synced(5)
        late = informers.informer(CONFIG_MAPS, field_selector="metadata.name=b")
        await informers.wait_synced(5)
        assert [name_of(obj) for obj in one.store.list()] == ["c"]
        assert [name_of(obj) for obj in late.store.list()] == ["b"]


async def test_bookkeeping_of_others_is_not_kept() -> None:
    server = FakeApiServer()
    metadata = {
        "name": "a",
        "namespace": "n",
        "managedFields": [{"manager": "m"}],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
    }
    server.seed(CONFIG_MAPS, {"metadata": metadata})
    informer = Informer(server.client(), CONFIG_MAPS)
    async with Running(informer.run()):
        await informer.synced.wait()
        kept = informer.store.get(A)
        assert kept is not None
        assert not {"managedFields", "annotations"} & kept["metadata"].keys()
