"""What holds in every test: no task is left behind, and nobody changes what lies in a cache."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator

import orjson
import pytest
import pytest_asyncio

from fedstate.kube import store
from fedstate.kube.objects import Key, KubeObject


def pytest_configure() -> None:
    # pytest-asyncio asks for the current loop before its first test; unless told that there is none, asyncio then makes one, and
    # nobody closes it: its ResourceWarning would fail whichever test the garbage collector runs in.
    asyncio.set_event_loop(None)


@pytest_asyncio.fixture
async def _task_count() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    # A task that was cancelled just now may need some turns of the loop to end.
    for _ in range(20):
        left = [task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()]
        if not left:
            return
        await asyncio.sleep(0)
    names = [f"{task.get_name()} ({task.get_coro()})" for task in left]
    pytest.fail(f"tasks left running: {names}")


@pytest.fixture(autouse=True)
def no_leaked_tasks(request: pytest.FixtureRequest) -> None:
    """Fails a test that leaves a task running: nobody would hear of its failure, and the next test would run beside it."""
    # Tests without a loop are spared one.
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_task_count")


@pytest.fixture(autouse=True)
def no_mutated_cache_objects(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails a test in which an object was changed after it went into a Store: all readers share it."""
    kept: list[tuple[KubeObject, bytes]] = []
    put = store.Store._put

    def remember(self: store.Store, key: Key, old: KubeObject | None, new: KubeObject | None) -> None:
        if isinstance(new, dict) and len(kept) < 10_000:
            kept.append((new, orjson.dumps(new)))
        put(self, key, old, new)

    monkeypatch.setattr(store.Store, "_put", remember)
    yield
    changed = [obj for obj, before in kept if orjson.dumps(obj) != before]
    assert not changed, f"objects changed in a cache: {[obj.get('metadata', {}).get('name') for obj in changed]}"
