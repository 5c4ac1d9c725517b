"""Whose turn it is: the priorities of changes, and which of them are only our own writes coming back."""

import asyncio
from typing import Any

import pytest

from fedstate.control.workqueue import WorkQueue
from fedstate.kube.objects import Key, KubeObject
from fedstate.scheduler.turns import (
    CHANGED,
    FRESH,
    LEFT_OVER,
    PATIENCE,
    QUIET,
    SETTLED,
    STORY,
    WAITED,
    Stories,
    only_placed,
    turn_of,
)
from tests.api.objects import instance
from tests.fakes.running import Running, settle

PLACED = {"annotations": {"schedulerResult": "somewhere"}}
A, B = Key("n", "a"), Key("n", "b")


def changed(obj: KubeObject, **metadata: Any) -> KubeObject:
    return {**obj, "metadata": {**obj["metadata"], **metadata}}


@pytest.mark.parametrize(
    ("old", "new", "synced", "turn"),
    [
        (None, instance(), True, FRESH),
        (None, instance(), False, LEFT_OVER),
        (None, instance(**PLACED), False, SETTLED),
        (None, instance(**PLACED), True, FRESH),
        (instance(), None, True, CHANGED),
        (instance(**PLACED), instance(**PLACED, generation=4), True, CHANGED),
        (instance(), instance(generation=4), True, FRESH),
        (instance(), instance(**PLACED), True, CHANGED),
        (instance(**PLACED), instance(), True, FRESH),
        (instance(**PLACED), instance(**PLACED, deletionTimestamp="2026-01-01T00:00:00Z"), True, CHANGED),
        (instance(), instance(labels={"team": "a"}), True, FRESH),
        (instance(), instance(finalizers=["somebody"]), True, None),
        (instance(), instance() | {"status": {"state": "Running"}}, True, None),
    ],
)
def test_the_turn_of_a_change(old: KubeObject | None, new: KubeObject | None, synced: bool, turn: int | None) -> None:
    assert turn_of(old, new, synced=synced) == turn


def test_turns_are_in_the_order_that_is_documented() -> None:
    assert CHANGED > WAITED > FRESH > LEFT_OVER > STORY > SETTLED


@pytest.mark.parametrize(
    ("new", "only"),
    [
        (instance(**PLACED), True),
        (instance(**PLACED, resourceVersion="8", finalizers=["somebody"]), True),
        (instance(**PLACED, generation=4), False),
        (instance(annotations={"schedulerResult": "elsewhere"}), False),
        (instance(annotations={"schedulerResult": "somewhere", "note": "by its owner"}), False),
        (instance(**PLACED, labels={"team": "a"}), False),
        (None, False),
    ],
)
def test_our_own_placement_is_known_when_it_comes_back(new: KubeObject | None, only: bool) -> None:
    assert only_placed(instance(), new, "somewhere") is only
    assert not only_placed(instance(), new, None)


@pytest.mark.looptime
class TestStories:
    async def test_a_story_is_told_a_moment_after_the_last_placement(self) -> None:
        stories, queue = Stories(), WorkQueue()
        async with Running(stories.run(queue)):
            with stories.writing():
                stories.hold(A)
                await asyncio.sleep(1)
                assert len(queue) == 0
            await asyncio.sleep(QUIET * 0.9)
            assert len(queue) == 0
            await asyncio.sleep(QUIET * 0.2)
            assert await queue.get() == (A, STORY)

    async def test_after_patience_only_the_old_ones_are_told(self) -> None:
        stories, queue = Stories(), WorkQueue()
        async with Running(stories.run(queue)):
            with stories.writing():
                stories.hold(A)
                await asyncio.sleep(PATIENCE / 2)
                stories.hold(B)
                await asyncio.sleep(PATIENCE / 2 + 2 * QUIET)
                assert (len(queue), len(stories)) == (1, 1)
                assert (await queue.get()).key == A

    async def test_a_story_of_an_instance_that_is_gone_is_not_told(self) -> None:
        stories, queue = Stories(), WorkQueue()
        stories.hold(A)
        stories.drop(A)
        async with Running(stories.run(queue)):
            await asyncio.sleep(1)
            await settle()
            assert len(queue) == 0
