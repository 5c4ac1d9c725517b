"""Deadlines of reconciles: as `asyncio.timeout`, for workers that start one after another, with one timer for all of them.

Knows no keys and no queues.
"""

import asyncio
from types import TracebackType


class Deadlines:
    """What runs under one of these for longer than `limit` seconds is cancelled."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._all: list[Deadline] = []
        self._timer: asyncio.TimerHandle | None = None

    def for_this_task(self) -> "Deadline":
        """The deadline of what the current task does, one thing after another."""
        task = asyncio.current_task()
        assert task is not None
        made = Deadline(self, task)
        self._all.append(made)
        return made

    def close(self) -> None:
        """Watches no longer."""
        self._all.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def begun(self) -> float:
        """When what begins now has to be over. All have the same limit, so whatever the timer is set for comes sooner."""
        loop = asyncio.get_running_loop()
        at = loop.time() + self._limit
        if self._timer is None:
            self._timer = loop.call_at(at, self._look, at)
        return at

    def _look(self, due: float) -> None:
        loop = asyncio.get_running_loop()
        # A loop may call a timer one tick of its clock early.
        now = max(loop.time(), due)
        for one in self._all:
            if one.at is not None and one.at <= now:
                one.expire()
        waiting = [one.at for one in self._all if one.at is not None]
        self._timer = loop.call_at(min(waiting), self._look, min(waiting)) if waiting else None


class Deadline:
    """`with` it, what is awaited ends in time: with TimeoutError, and `expired`, if it has to be cancelled for that."""

    __slots__ = ("_among", "_cancelling", "_task", "at", "expired")

    def __init__(self, among: Deadlines, task: asyncio.Task[None]) -> None:
        self._among = among
        self._task = task
        self._cancelling = 0
        self.at: float | None = None
        self.expired = False

    def expire(self) -> None:
        """The time is over."""
        self.at = None
        self.expired = True
        self._task.cancel()

    def __enter__(self) -> None:
        self.expired = False
        self._cancelling = self._task.cancelling()
        self.at = self._among.begun()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.at = None
        # Somebody else's cancellation goes on, also when it came together with ours.
        if self.expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
