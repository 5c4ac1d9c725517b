"""What the store promises: one counter, nothing seen before it is durable, nothing lost, and a history that ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fedstate.kube.objects import Key, KubeObject
from fedstate.local.apiserver import store as store_module
from fedstate.local.apiserver.storage import Database
from fedstate.local.apiserver.store import Store


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Store]:
    database = Database(path)
    store = Store(database)
    store.load()
    writer = asyncio.create_task(database.run(store.publish))
    try:
        yield store
    finally:
        writer.cancel()
        await asyncio.wait([writer])
        database.close()


def thing(name: str, namespace: str = "n") -> KubeObject:
    return {"metadata": {"name": name, "namespace": namespace}}


async def test_revisions_grow_over_all_collections(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as store:
        first = store.put("a", thing("x"))
        second = store.put("b", thing("x"))
        gone = store.remove("a", Key("n", "x"))
        assert first.revision < second.revision < gone.revision
        assert gone.obj["metadata"]["resourceVersion"] == str(gone.revision)


async def test_changes_are_published_only_once_they_are_durable(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as store:
        entry = store.put("a", thing("x"))
        assert store.collection("a").since(1) == []
        await store.settled()
        assert [change.revision for change in store.collection("a").since(1) or []] == [entry.revision]


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as store:
        for number in range(50):
            store.put("a", thing(f"x{number:02}"))
        store.remove("a", Key("n", "x07"))
        await store.settled()
        revision = store.revision
    async with opened(tmp_path / "db") as store:
        assert store.revision == revision
        names = [key.name for key, _ in store.collection("a").entries()]
        assert names == [f"x{number:02}" for number in range(50) if number != 7]
        assert store.put("a", thing("new")).revision == revision + 1


async def test_writes_queued_at_the_end_are_kept(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as store:
        store.put("a", thing("last"))
    async with opened(tmp_path / "db") as store:
        assert store.collection("a").get(Key("n", "last")) is not None


async def test_history_forgets_the_oldest_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "HISTORY", 3)
    async with opened(tmp_path / "db") as store:
        for number in range(5):
            store.put("a", thing(f"x{number}"))
        await store.settled()
        kept = store.collection("a")
        assert kept.since(1) is None
        assert [change.revision for change in kept.since(store.revision - 2) or []] == [store.revision - 1, store.revision]
        assert kept.since(store.revision) == []


async def test_history_of_large_objects_is_shorter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "HISTORY_BYTES", 3000)
    async with opened(tmp_path / "db") as store:
        for number in range(5):
            store.put("a", {**thing(f"x{number}"), "data": "x" * 1000})
        await store.settled()
        assert len(store.collection("a").history) == 2
        assert store.collection("a").since(store.revision - 3) is None


async def test_entries_of_one_namespace_are_in_order_and_complete(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as store:
        for namespace, name in (("b", "z"), ("a", "y"), ("b", "a"), ("ba", "q"), ("a-b", "q")):
            store.put("c", thing(name, namespace))
        assert [str(key) for key, _ in store.collection("c").entries("b")] == ["b/a", "b/z"]
        assert len(list(store.collection("c").entries())) == 5


async def test_waiter_wakes_with_the_next_change(tmp_path: Path) -> None:
    async with opened(tmp_path / "db") as store:
        waiter = store.collection("a").changed()
        assert not waiter.done()
        store.put("a", thing("x"))
        await store.settled()
        assert waiter.done()
