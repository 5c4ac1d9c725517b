"""Deadlines behave as asyncio.timeout does, under virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from fedstate.control.deadlines import Deadline, Deadlines

pytestmark = pytest.mark.looptime

Work = Callable[[Deadline], Awaitable[None]]


def now() -> float:
    return asyncio.get_running_loop().time()


async def ended(work: Work, deadlines: Deadlines) -> list[str]:
    """What came of `work` done three times by each of two tasks, the second of which begins a second later."""
    ends: list[str] = []

    async def worker(late: float) -> None:
        deadline = deadlines.for_this_task()
        await asyncio.sleep(late)
        for _ in range(3):
            try:
                with deadline:
                    await work(deadline)
            except TimeoutError:
                ends.append(f"{now():g} {'expired' if deadline.expired else 'own'}")
            else:
                ends.append(f"{now():g}")

    async with asyncio.TaskGroup() as group:
        for late in (0, 1):
            group.create_task(worker(late))
    deadlines.close()
    return ends


async def test_what_takes_too_long_ends_at_its_own_time_each_time() -> None:
    assert await ended(lambda _: asyncio.sleep(100), Deadlines(10)) == [f"{at} expired" for at in (10, 11, 20, 21, 30, 31)]


async def test_what_ends_in_time_is_left_alone() -> None:
    assert await ended(lambda _: asyncio.sleep(7), Deadlines(10)) == ["7", "8", "14", "15", "21", "22"]


async def test_a_timeout_inside_is_not_taken_for_the_deadline() -> None:
    async def work(_: Deadline) -> None:
        async with asyncio.timeout(3):
            await asyncio.sleep(100)

    assert await ended(work, Deadlines(10)) == [f"{at} own" for at in (3, 4, 6, 7, 9, 10)]


async def test_who_goes_on_all_the_same_is_not_cancelled_again_and_the_task_is_as_before() -> None:
    async def work(deadline: Deadline) -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            assert deadline.expired
            await asyncio.sleep(5)

    assert await ended(work, Deadlines(10)) == ["15", "16", "30", "31", "45", "46"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@pytest.mark.parametrize("at", [5, 10])
async def test_a_cancellation_by_somebody_else_goes_on_even_at_the_same_time(at: float) -> None:
    deadlines = Deadlines(10)

    async def work() -> None:
        with deadlines.for_this_task():
            await asyncio.sleep(100)

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_at(at, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    deadlines.close()
    assert now() == at
