"""The work queue under virtual time, and against a model with arbitrary sequences of calls."""

import asyncio
import random
from typing import Any

import looptime
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from fedstate.control.ratelimit import FailureBackoff, TokenBucket
from fedstate.control.workqueue import LOW_PRIORITY, QueueShutDown, WorkQueue
from fedstate.kube.objects import Key
from tests.fakes.running import Running, settle

pytestmark = pytest.mark.looptime

A, B, C = (Key("n", name) for name in "abc")


def now() -> float:
    return asyncio.get_running_loop().time()


async def taken(queue: WorkQueue) -> list[Key]:
    """Everything that is ready now, in order."""
    keys = []
    while True:
        try:
            async with asyncio.timeout(0):
                keys.append((await queue.get()).key)
        except TimeoutError:
            return keys
        queue.done(keys[-1])


async def test_a_key_added_twice_is_handed_out_once() -> None:
    queue = WorkQueue()
    queue.add(A)
    queue.add(A)
    assert await taken(queue) == [A]


async def test_first_ready_is_first_served_within_a_priority() -> None:
    queue = WorkQueue()
    queue.add(B, after=2)
    queue.add(A, after=1)
    await asyncio.sleep(3)
    queue.add(C)
    assert await taken(queue) == [A, B, C]


async def test_higher_priorities_go_first_and_a_raise_moves_a_key_up() -> None:
    queue = WorkQueue()
    queue.add(A, priority=LOW_PRIORITY)
    queue.add(B)
    queue.add(C, priority=LOW_PRIORITY)
    queue.add(C, priority=5)
    assert await taken(queue) == [C, B, A]


async def test_a_raised_key_keeps_its_place_among_those_of_its_new_priority() -> None:
    queue = WorkQueue()
    queue.add(A, priority=LOW_PRIORITY)
    queue.add(B)
    queue.add(A)
    assert await taken(queue) == [A, B]


async def test_an_add_of_a_waiting_key_makes_it_ready_now_and_the_delayed_copy_is_gone() -> None:
    queue = WorkQueue()
    queue.add(A, after=10)
    queue.add(A)
    assert await taken(queue) == [A]
    await asyncio.sleep(20)
    assert await taken(queue) == []


async def test_a_later_time_does_not_postpone_a_sooner_one() -> None:
    queue = WorkQueue()
    queue.add(A, after=5)
    queue.add(A, after=50)
    await queue.get()
    assert now() == pytest.approx(5)


async def test_a_sooner_time_brings_the_timer_forward() -> None:
    queue = WorkQueue()
    queue.add(A, after=50)
    queue.add(B, after=5)
    assert (await queue.get()).key == B
    assert now() == pytest.approx(5)


async def test_a_key_in_work_is_not_handed_out_again_before_done() -> None:
    queue = WorkQueue()
    queue.add(A)
    await queue.get()
    queue.add(A)
    assert await taken(queue) == []
    queue.done(A)
    assert await taken(queue) == [A]


async def test_a_delay_asked_for_while_in_work_counts_from_when_it_was_asked() -> None:
    queue = WorkQueue()
    queue.add(A)
    await queue.get()
    queue.add(A, after=10)
    await asyncio.sleep(4)
    queue.done(A)
    await queue.get()
    assert now() == pytest.approx(10)


async def test_a_getter_cancelled_after_it_was_woken_passes_the_wake_up_on() -> None:
    queue = WorkQueue()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(queue.get())
        second = group.create_task(queue.get())
        await settle()
        queue.add(A)
        first.cancel()
        assert (await second).key == A


async def test_failures_wait_longer_each_time_until_forgotten() -> None:
    queue = WorkQueue(backoff=FailureBackoff(first=1, cap=3))
    assert [queue.retry(A) for _ in range(4)] == [1, 2, 3, 3]
    assert queue.retry(B) == 1
    queue.forget(A)
    assert queue.retry(A) == 1
    assert queue.retry(A, after=60) == 60


async def test_shut_down_hands_out_nothing_more_and_wakes_everybody() -> None:
    queue = WorkQueue()
    ended = []

    async def work() -> None:
        try:
            await queue.get()
        except QueueShutDown:
            ended.append(True)

    queue.add(B, after=5)
    async with Running(work(), work()):
        await settle()
        queue.shut_down()
        queue.add(A)
        await settle()
        assert ended == [True, True]
        assert len(queue) == 0


async def test_idle_means_that_nobody_works_on_anything() -> None:
    queue = WorkQueue()
    await queue.wait_idle()
    queue.add(A)
    await queue.get()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await queue.wait_idle()
    queue.shut_down()
    queue.done(A)
    await queue.wait_idle()


async def test_many_workers_and_adders_never_hold_one_key_twice_and_lose_none() -> None:
    queue = WorkQueue()
    dice = random.Random(7)
    keys = [Key("n", str(number)) for number in range(50)]
    held: set[Key] = set()
    asked = dict.fromkeys(keys, 0.0)
    served = dict.fromkeys(keys, -1.0)

    async def work() -> None:
        while True:
            key = (await queue.get()).key
            assert key not in held
            held.add(key)
            served[key] = now()
            await asyncio.sleep(dice.random() * 0.01)
            held.remove(key)
            queue.done(key)

    async with Running(*(work() for _ in range(16))):
        for _ in range(5_000):
            key = dice.choice(keys)
            asked[key] = now()
            queue.add(key, priority=dice.randint(-1, 1), after=dice.choice((0, 0, 0.005)))
            if dice.random() < 0.05:
                await asyncio.sleep(0.001)
        await asyncio.sleep(5)
        assert all(served[key] >= asked[key] for key in keys)
        assert len(queue) == 0


STEPS = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 4), st.integers(-2, 2), st.sampled_from((0, 0, 1, 3))),
    st.tuples(st.just("take"), st.just(0), st.just(0), st.just(0)),
    st.tuples(st.just("done"), st.integers(0, 4), st.just(0), st.just(0)),
    st.tuples(st.just("sleep"), st.just(0), st.just(0), st.sampled_from((1, 2))),
)


class Model:
    """What the queue promises, said in the slowest way."""

    def __init__(self) -> None:
        self.entries: dict[Key, tuple[float, int]] = {}
        self.in_work: set[Key] = set()

    def add(self, key: Key, ready_at: float, priority: int) -> None:
        old = self.entries.get(key, (ready_at, priority))
        self.entries[key] = (min(ready_at, old[0]), max(priority, old[1]))

    def may_take(self, at: float) -> set[Key]:
        ready = {key: entry[1] for key, entry in self.entries.items() if entry[0] <= at and key not in self.in_work}
        return {key for key, priority in ready.items() if priority == max(ready.values())}


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_any_sequence_of_calls_keeps_the_promises(steps: list[tuple[str, int, int, int]]) -> None:
    async def play() -> None:
        queue, model = WorkQueue(), Model()
        for step, number, priority, seconds in steps:
            await play_step(queue, model, step, Key("n", str(number)), priority, seconds)
        queue.shut_down()

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        runner.run(play())


async def play_step(queue: WorkQueue, model: Model, step: str, key: Key, priority: int, seconds: int) -> None:
    if step == "add":
        queue.add(key, after=seconds, priority=priority)
        model.add(key, now() + seconds, priority)
    elif step == "sleep":
        # Off the beat, so that what is due at a full second is clearly before or after.
        await asyncio.sleep(seconds + 0.125)
    elif step == "done" and key in model.in_work:
        model.in_work.remove(key)
        queue.done(key)
    elif step == "take":
        expected = model.may_take(now())
        item = await take_now(queue)
        if item is None:
            assert not expected
            return
        assert item.key in expected
        assert item.priority == model.entries.pop(item.key)[1]
        model.in_work.add(item.key)


async def take_now(queue: WorkQueue) -> Any:
    try:
        async with asyncio.timeout(0):
            return await queue.get()
    except TimeoutError:
        return None


def test_a_token_bucket_gives_each_call_its_own_place() -> None:
    bucket = TokenBucket(rate=10, burst=2)
    assert [round(bucket.reserve(0.0), 3) for _ in range(4)] == [0, 0, 0.1, 0.2]
    assert bucket.reserve(10.0) == 0


def test_failure_delays_double_up_to_the_cap() -> None:
    backoff = FailureBackoff()
    delays = [backoff.delay(A) for _ in range(100)]
    assert delays[:4] == [0.005, 0.01, 0.02, 0.04]
    assert delays[-1] == 300
    assert backoff.failures(A) == 100


def test_times_closer_than_the_clock_of_uvloop_can_tell_apart() -> None:
    async def main() -> list[Key]:
        queue = WorkQueue()
        for key in (A, B, C):
            queue.add(key, after=0.0001)
        async with asyncio.timeout(5):
            return [(await queue.get()).key for _ in range(3)]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == [A, B, C]


def test_metrics_are_read_also_where_a_loop_has_ended_in_the_middle_of_work() -> None:
    async def taken() -> WorkQueue:
        queue = WorkQueue("cut-off")
        queue.add(Key("", "a"))
        await queue.get()
        return queue

    queue = asyncio.run(taken())
    labels = {"name": "cut-off", "controller": "cut-off"}
    found = REGISTRY.get_sample_value("workqueue_unfinished_work_seconds", labels)
    assert queue is not None
    assert found == 0
