"""Lists, selectors, pages, and watches that lose nothing: what reflectors rely on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from fedstate.kube.client import KubeClient
from fedstate.kube.errors import ApiError
from fedstate.kube.objects import KubeObject, resource_version_of
from fedstate.kube.resources import CONFIG_MAPS
from fedstate.kube.watch import WatchEvent, ends_initial_events
from tests.conformance.conftest import config_map


async def changes(events: AsyncIterator[WatchEvent[KubeObject]], count: int) -> list[tuple[str, str]]:
    """The next `count` events that are not bookmarks, as type and name."""
    seen: list[tuple[str, str]] = []
    async with asyncio.timeout(10):
        while len(seen) < count:
            event = await anext(events)
            if event.type != "BOOKMARK":
                seen.append((event.type, event.object["metadata"]["name"]))
    return seen


@pytest.fixture
async def five(client: KubeClient, namespace: str) -> str:
    """A namespace with five ConfigMaps, of which a and b are red, and c has a tier."""
    labels = {
        "a": {"color": "red"},
        "b": {"color": "red", "tier": "x"},
        "c": {"color": "blue", "tier": "y"},
        "d": {"color": "green"},
        "e": {},
    }
    for name, values in labels.items():
        await client.create(CONFIG_MAPS, config_map(name, namespace, labels=values))
    return namespace


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("color=red", "ab"),
        ("color==blue", "c"),
        ("color!=red", "cde"),
        ("color", "abcd"),
        ("!color", "e"),
        ("color in (red, green)", "abd"),
        ("color notin (red, green)", "ce"),
        ("color=red,tier=x", "b"),
        ("color=red,!tier", "a"),
        ("tier in (x,y),color notin (blue)", "b"),
        ("nothing=here", ""),
    ],
)
async def test_label_selector(client: KubeClient, five: str, selector: str, names: str) -> None:
    found = await client.list(CONFIG_MAPS, five, label_selector=selector)
    assert (
        "".join(sorted(item["metadata"]["name"] for item in found["items"] if item["metadata"]["name"] != "kube-root-ca.crt"))
        == names
    )


async def test_wrong_label_selector_is_a_bad_request(client: KubeClient, namespace: str) -> None:
    with pytest.raises(ApiError) as caught:
        await client.list(CONFIG_MAPS, namespace, label_selector="color in red")
    assert caught.value.status == 400


async def test_field_selector_finds_by_name(client: KubeClient, five: str) -> None:
    found = await client.list(CONFIG_MAPS, five, field_selector="metadata.name=c")
    assert [item["metadata"]["name"] for item in found["items"]] == ["c"]


async def test_unknown_field_selector_is_a_bad_request(client: KubeClient, namespace: str) -> None:
    with pytest.raises(ApiError) as caught:
        await client.list(CONFIG_MAPS, namespace, field_selector="data.k=v")
    assert caught.value.status == 400
    assert "is not a known field selector" in caught.value.message


async def test_list_is_sorted_by_namespace_and_name_and_its_items_carry_no_kind(client: KubeClient, five: str) -> None:
    found = await client.list(CONFIG_MAPS, five)
    names = [item["metadata"]["name"] for item in found["items"]]
    assert names == sorted(names)
    assert found["kind"] == "ConfigMapList"
    assert all("kind" not in item for item in found["items"])


async def test_pages_cover_everything_once(client: KubeClient, five: str) -> None:
    names: list[str] = []
    token = ""
    while True:
        page = await client.list(CONFIG_MAPS, five, label_selector="color", limit=2, continue_token=token)
        assert len(page["items"]) <= 2
        names += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert names == ["a", "b", "c", "d"]


async def test_pages_show_the_state_of_the_first_page(client: KubeClient, five: str) -> None:
    first = await client.list(CONFIG_MAPS, five, label_selector="color", limit=2)
    await client.delete(CONFIG_MAPS, "c", namespace=five)
    second = await client.list(CONFIG_MAPS, five, label_selector="color", limit=5, continue_token=first["metadata"]["continue"])
    assert [item["metadata"]["name"] for item in second["items"]] == ["c", "d"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_list_at_a_version_of_the_future_asks_for_patience(client: KubeClient, namespace: str) -> None:
    newest = int((await client.list(CONFIG_MAPS, namespace))["metadata"]["resourceVersion"])
    with pytest.raises(ApiError) as caught:
        await client.list(CONFIG_MAPS, namespace, resource_version=str(newest + 1_000_000), resource_version_match="NotOlderThan")
    assert caught.value.resource_version_too_large


async def test_watch_goes_on_exactly_after_the_list(client: KubeClient, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map("before", namespace))
    version = (await client.list(CONFIG_MAPS, namespace))["metadata"]["resourceVersion"]
    await client.create(CONFIG_MAPS, config_map("a", namespace))
    await client.merge_patch(CONFIG_MAPS, "a", {"data": {"k": "v"}}, namespace=namespace)
    await client.delete(CONFIG_MAPS, "a", namespace=namespace)
    async with client.watch(CONFIG_MAPS, namespace, resource_version=version, field_selector="metadata.name=a") as events:
        assert await changes(events, 3) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_watch_tells_changes_as_they_happen(client: KubeClient, namespace: str) -> None:
    version = (await client.list(CONFIG_MAPS, namespace))["metadata"]["resourceVersion"]
    async with client.watch(CONFIG_MAPS, namespace, resource_version=version, label_selector="w") as events:
        await client.create(CONFIG_MAPS, config_map("a", namespace, labels={"w": "1"}))
        assert await changes(events, 1) == [("ADDED", "a")]
        await client.delete(CONFIG_MAPS, "a", namespace=namespace)
        assert await changes(events, 1) == [("DELETED", "a")]


async def test_deleted_event_has_a_version_of_its_own(client: KubeClient, namespace: str) -> None:
    created = await client.create(CONFIG_MAPS, config_map("a", namespace))
    async with client.watch(
        CONFIG_MAPS, namespace, resource_version=resource_version_of(created), field_selector="metadata.name=a"
    ) as events:
        await client.delete(CONFIG_MAPS, "a", namespace=namespace)
        async with asyncio.timeout(5):
            event = await anext(events)
    assert event.type == "DELETED"
    assert int(event.object["metadata"]["resourceVersion"]) > int(created["metadata"]["resourceVersion"])


async def test_object_that_leaves_the_selector_is_deleted_for_the_watcher_and_added_when_it_enters(
    client: KubeClient, namespace: str
) -> None:
    await client.create(CONFIG_MAPS, config_map("a", namespace, labels={"w": "1"}))
    version = (await client.list(CONFIG_MAPS, namespace))["metadata"]["resourceVersion"]
    async with client.watch(CONFIG_MAPS, namespace, resource_version=version, label_selector="w=1") as events:
        await client.merge_patch(CONFIG_MAPS, "a", {"metadata": {"labels": {"w": "2"}}}, namespace=namespace)
        await client.merge_patch(CONFIG_MAPS, "a", {"metadata": {"labels": {"w": "1"}}}, namespace=namespace)
        assert await changes(events, 2) == [("DELETED", "a"), ("ADDED", "a")]


async def test_watch_without_a_version_begins_with_what_is_there(client: KubeClient, five: str) -> None:
    async with client.watch(CONFIG_MAPS, five, resource_version="", label_selector="color=red") as events:
        assert sorted(await changes(events, 2)) == [("ADDED", "a"), ("ADDED", "b")]


async def test_watch_from_zero_begins_with_what_is_there(client: KubeClient, five: str) -> None:
    async with client.watch(CONFIG_MAPS, five, resource_version="0", label_selector="color=red") as events:
        assert sorted(await changes(events, 2)) == [("ADDED", "a"), ("ADDED", "b")]


async def test_watch_list_sends_the_collection_and_then_a_closing_bookmark(client: KubeClient, five: str) -> None:
    seen: list[WatchEvent[KubeObject]] = []
    async with (
        client.watch(CONFIG_MAPS, five, resource_version="", label_selector="color", send_initial_events=True) as events,
        asyncio.timeout(10),
    ):
        while not seen or not ends_initial_events(seen[-1]):
            seen.append(await anext(events))
        assert sorted(event.object["metadata"]["name"] for event in seen[:-1]) == ["a", "b", "c", "d"]
        assert all(event.type == "ADDED" for event in seen[:-1])
        assert int(seen[-1].object["metadata"]["resourceVersion"]) > 0
        await client.delete(CONFIG_MAPS, "a", namespace=five)
        assert await changes(events, 1) == [("DELETED", "a")]


async def test_watch_ends_after_its_timeout(client: KubeClient, namespace: str) -> None:
    version = (await client.list(CONFIG_MAPS, namespace))["metadata"]["resourceVersion"]
    async with (
        asyncio.timeout(8),
        client.watch(CONFIG_MAPS, namespace, resource_version=version, label_selector="w", timeout=1) as events,
    ):
        assert [event async for event in events if event.type != "BOOKMARK"] == []


async def test_versions_only_grow_over_all_kinds_of_changes(client: KubeClient, namespace: str) -> None:
    versions = [
        int((await client.create(CONFIG_MAPS, config_map(name, namespace)))["metadata"]["resourceVersion"]) for name in "abc"
    ]
    assert versions == sorted(set(versions))
    assert int((await client.list(CONFIG_MAPS, namespace))["metadata"]["resourceVersion"]) >= versions[-1]


async def test_delete_collection_takes_what_the_selector_names(client: KubeClient, five: str) -> None:
    await client.request("DELETE", CONFIG_MAPS.path(five), params={"labelSelector": "color=red"})
    left = await client.list(CONFIG_MAPS, five, label_selector="color")
    assert [item["metadata"]["name"] for item in left["items"]] == ["c", "d"]
