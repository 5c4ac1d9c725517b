"""Watches over HTTP: where they begin, what they show, how they end; and that one event is encoded once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fedstate.kube.objects import Key, KubeObject
from fedstate.local.apiserver import store as store_module
from fedstate.local.apiserver.reads import ListOptions
from fedstate.local.apiserver.selectors import Selection, parse_labels
from fedstate.local.apiserver.store import Change, Collection, Entry
from fedstate.local.apiserver.watch import View, Watch, frame
from tests.local.apiserver.conftest import Running

MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str, **labels: str) -> KubeObject:
    return {"metadata": {"name": name, "labels": labels}}


def kinds(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


async def test_watch_begins_after_the_version_it_names(api: Running) -> None:
    first = await api.ask("POST", MAPS, config_map("a"))
    version = first.body["metadata"]["resourceVersion"]
    await api.ask("POST", MAPS, config_map("b"))
    await api.ask("DELETE", f"{MAPS}/a")
    events = await api.events(f"{MAPS}?watch=1&resourceVersion={version}", 2)
    assert kinds(events) == [("ADDED", "b"), ("DELETED", "a")]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(set(versions))


async def test_watch_without_a_version_begins_with_what_is_there(api: Running) -> None:
    await api.ask("POST", MAPS, config_map("a"))
    assert kinds(await api.events(f"{MAPS}?watch=1", 1)) == [("ADDED", "a")]


async def test_initial_events_end_with_a_marked_bookmark(api: Running) -> None:
    await api.ask("POST", MAPS, config_map("a"))
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    events = await api.events(f"{MAPS}?{query}", 2)
    assert [event["type"] for event in events] == ["ADDED", "BOOKMARK"]
    mark = events[1]["object"]
    assert mark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(mark["metadata"]["resourceVersion"]) >= int(events[0]["object"]["metadata"]["resourceVersion"])
    assert mark["kind"] == "ConfigMap"


async def test_initial_events_need_their_match(api: Running) -> None:
    answer = await api.ask("GET", f"{MAPS}?watch=1&sendInitialEvents=true")
    assert answer.code == 422
    assert answer.message.endswith("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")


async def test_watch_from_a_forgotten_version_is_told_so(api: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "HISTORY", 2)
    first = await api.ask("POST", MAPS, config_map("a"))
    for name in "bcde":
        await api.ask("POST", MAPS, config_map(name))
    answer = await api.ask("GET", f"{MAPS}?watch=1&resourceVersion={first.body['metadata']['resourceVersion']}")
    assert answer.code == 410
    assert answer.body["reason"] == "Expired"


async def test_watch_sees_objects_enter_and_leave_its_selector(api: Running) -> None:
    start = (await api.ask("GET", MAPS)).body["metadata"]["resourceVersion"]
    await api.ask("POST", MAPS, config_map("a", on="yes"))
    for value in ("no", "yes"):
        body = {"metadata": {"labels": {"on": value}}}
        await api.ask("PATCH", f"{MAPS}/a", body, Content_Type="application/merge-patch+json")
    events = await api.events(f"{MAPS}?watch=1&labelSelector=on%3Dyes&resourceVersion={start}", 3)
    assert kinds(events) == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "a")]
    assert events[1]["object"]["metadata"]["labels"] == {"on": "yes"}
    assert int(events[1]["object"]["metadata"]["resourceVersion"]) > int(events[0]["object"]["metadata"]["resourceVersion"])


async def test_watch_of_one_object_sees_that_object_alone(api: Running) -> None:
    await api.ask("POST", MAPS, config_map("a"))
    await api.ask("POST", MAPS, config_map("b"))
    assert kinds(await api.events(f"{MAPS}?watch=1&fieldSelector=metadata.name%3Db", 1)) == [("ADDED", "b")]


async def test_bookmark_comes_before_a_watch_ends(api: Running) -> None:
    version = (await api.ask("POST", MAPS, config_map("a"))).body["metadata"]["resourceVersion"]
    events = await api.events(f"{MAPS}?watch=1&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds=1", 1, ends=True)
    assert [event["type"] for event in events] == ["BOOKMARK"]
    assert events[0]["object"]["metadata"]["resourceVersion"] >= version


async def test_watch_as_a_table_sends_rows(api: Running) -> None:
    await api.ask("POST", MAPS, config_map("a"))
    (event,) = await api.events(f"{MAPS}?watch=1", 1, Accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    assert event["object"]["kind"] == "Table"
    assert event["object"]["rows"][0]["cells"][0] == "a"


async def test_stopping_the_server_ends_its_watches(api: Running) -> None:
    headers = {"Authorization": "Bearer admin-token"}
    async with api.session.get(f"{api.server.url}{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
                               "&allowWatchBookmarks=true", headers=headers) as answer:  # fmt: skip
        await answer.content.readline()
        async with asyncio.timeout(5):
            await api.server.stop()


async def test_watch_ends_when_its_client_leaves(api: Running) -> None:
    await api.ask("POST", MAPS, config_map("a"))
    await api.events(f"{MAPS}?watch=1", 1)
    collection = api.server._core.store.collection("configmaps")
    async with asyncio.timeout(5):
        while any(not waiter.done() for waiter in collection._waiters):
            await api.ask("GET", MAPS)


class Counted:
    """An encoder that counts how often it works."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, entry: Entry) -> bytes:
        self.calls += 1
        return entry.encoded()


def _collection(count: int) -> Collection:
    collection = Collection("c", floor=0)
    for number in range(1, count + 1):
        obj: KubeObject = {"metadata": {"name": f"x{number}", "namespace": "n", "labels": {"even": str(number % 2 == 0)}}}
        entry = Entry(obj, number)
        collection.put(Key("n", f"x{number}"), entry)
        collection.remember(Change(revision=number, type="ADDED", entry=entry, previous=None))
    return collection


async def test_event_is_encoded_once_for_all_who_watch_alike(api: Running) -> None:
    rtype = next(iter(api.server._core.registry))
    collection, encoder = _collection(20), Counted()
    view = View(name="v", encode=encoder, bookmark=lambda revision, initial: frame("BOOKMARK", b"{}"))
    for text in ("", "", "even=True"):
        options = ListOptions(selection=Selection(labels=parse_labels(text)), revision=0, send_initial_events=False)
        watch = Watch(rtype, collection, "", options, view)
        lines, behind = watch._advance(20)
        assert not behind
        assert lines.count(b"\n") == (10 if text else 20)
    assert encoder.calls == 20
