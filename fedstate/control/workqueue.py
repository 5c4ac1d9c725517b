"""A queue of keys with priorities and times: each key at most once, never in two hands at the same time.

The semantics are controller-runtime's priority queue. Knows nothing of what the keys name.
"""

import asyncio
import heapq
from collections import deque
from dataclasses import dataclass, replace
from typing import NamedTuple

from fedstate.control import metrics
from fedstate.control.ratelimit import FailureBackoff
from fedstate.kube.objects import Key

LOW_PRIORITY = -100


class QueueShutDown(Exception):  # noqa: N818 - not an error: the end
    """The queue hands out nothing more."""


class Item(NamedTuple):
    """A key handed out, with the priority it had."""

    key: Key
    priority: int


@dataclass(slots=True)
class _Entry:
    ready_at: float
    priority: int
    # Set when it becomes ready; they keep its place in the line when its priority rises.
    ready_since: float | None = None
    serial: int = 0


class WorkQueue:
    """`add` from anywhere on the loop; `get` and `done` by workers.

    Adding a key that is there already keeps the sooner time and the higher priority. A key in somebody's hands is not handed out
    again before `done`; an add meanwhile is remembered. Within a priority, first ready is first served.
    """

    def __init__(self, name: str = "", *, backoff: FailureBackoff | None = None) -> None:
        self.name = name
        self._backoff = backoff or FailureBackoff()
        self._entries: dict[Key, _Entry] = {}
        self._processing: dict[Key, float] = {}
        # (order, serial, key, entry), those that came in order in a line, the others in a heap; waiting ones in a heap too.
        # An entry that is no longer the key's own, or has moved, is skipped when met.
        self._line: deque[tuple[int, int, Key, _Entry]] = deque()
        self._ready: list[tuple[int, int, Key, _Entry]] = []
        self._waiting: list[tuple[float, int, Key, _Entry]] = []
        self._serial = 0
        self._getters: deque[asyncio.Future[None]] = deque()
        # When it is due is kept beside it: uvloop gives a handle without a time for what is due at once.
        self._timer: asyncio.Handle | None = None
        self._timer_due = 0.0
        self._idle = asyncio.Event()
        self._idle.set()
        self._shut_down = False
        self._count = metrics.QueueMetrics(name, self._ages)

    def __len__(self) -> int:
        """Keys known to the queue that nobody works on: ready, waiting for their time, or added again while in work."""
        return len(self._entries)

    def add(self, key: Key, *, after: float = 0.0, priority: int = 0) -> None:
        """Asks for the key in `after` seconds, or sooner if that was asked already."""
        if self._shut_down:
            return
        now = asyncio.get_running_loop().time()
        self._count.adds.inc()
        ready_at = now + after if after > 0 else now
        entry = self._entries.get(key)
        if entry is None:
            entry = _Entry(ready_at, priority)
        elif priority > entry.priority or (entry.ready_since is None and ready_at < entry.ready_at):
            self._leave_line(entry)
            entry = replace(entry, ready_at=min(ready_at, entry.ready_at), priority=max(priority, entry.priority))
        else:
            return
        self._entries[key] = entry
        if key not in self._processing:
            self._line_up(key, entry, now)

    def retry(self, key: Key, *, priority: int = 0, after: float | None = None) -> float:
        """Adds a key that failed: later each time until `forget`, and not before `after`. Gives the delay."""
        self._count.retries.inc()
        delay = max(self._backoff.delay(key), after or 0.0)
        self.add(key, after=delay, priority=priority)
        return delay

    def forget(self, key: Key) -> None:
        """The key's failures so far no longer count."""
        self._backoff.forget(key)

    async def get(self) -> Item:
        """The next key that is ready, the highest priority first; the caller owes a `done`. QueueShutDown at the end."""
        while True:
            if self._shut_down:
                raise QueueShutDown
            item = self._take()
            if item is not None:
                return item
            getter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                # Woken and cancelled at once: the wake-up was for a key that is still here, so somebody else gets it.
                if getter.done() and not getter.cancelled():
                    self._wake_one()
                else:
                    getter.cancel()
                raise

    def done(self, key: Key) -> None:
        """The work on a key handed out is over; an add made meanwhile counts from now."""
        started = self._processing.pop(key)
        now = _now()
        self._count.worked.observe(now - started)
        entry = self._entries.get(key)
        if entry is not None and not self._shut_down:
            self._line_up(key, entry, now)
        if not self._processing:
            self._idle.set()

    def shut_down(self) -> None:
        """Hands out nothing from now on, and forgets what waits: whoever starts next reads everything anew."""
        self._shut_down = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for entry in self._entries.values():
            self._leave_line(entry)
        self._entries.clear()
        self._line.clear()
        self._ready.clear()
        self._waiting.clear()
        for getter in self._getters:
            if not getter.done():
                getter.set_result(None)
        self._getters.clear()

    async def wait_idle(self) -> None:
        """Returns when nobody works on anything."""
        await self._idle.wait()

    def _line_up(self, key: Key, entry: _Entry, now: float) -> None:
        self._serial += 1
        if entry.ready_since is None and entry.ready_at <= now:
            entry.ready_since, entry.serial = now, self._serial
        if entry.ready_since is not None:
            self._count.ready[entry.priority] += 1
            ready = (-entry.priority, entry.serial, key, entry)
            if not self._line or self._line[-1] < ready:
                self._line.append(ready)
            else:
                heapq.heappush(self._ready, ready)
            self._wake_one()
            return
        if len(self._waiting) > 2 * len(self._entries) + 64:
            self._waiting = [waiting for waiting in self._waiting if self._entries.get(waiting[2]) is waiting[3]]
            heapq.heapify(self._waiting)
        heapq.heappush(self._waiting, (entry.ready_at, self._serial, key, entry))
        self._set_timer()

    def _leave_line(self, entry: _Entry) -> None:
        if entry.ready_since is not None:
            self._count.ready[entry.priority] -= 1

    def _take(self) -> Item | None:
        entries, line, ready = self._entries, self._line, self._ready
        while line or ready:
            _, _, key, entry = line.popleft() if not ready or (line and line[0] < ready[0]) else heapq.heappop(ready)
            if entries.get(key) is not entry:
                continue
            del entries[key]
            now = asyncio.get_running_loop().time()
            self._leave_line(entry)
            self._count.waited.observe(now - (now if entry.ready_since is None else entry.ready_since))
            self._processing[key] = now
            self._idle.clear()
            return Item(key, entry.priority)
        return None

    def _set_timer(self) -> None:
        soonest = self._waiting[0][0]
        if self._timer is not None:
            if self._timer_due <= soonest:
                return
            self._timer.cancel()
        self._timer_due = soonest
        self._timer = asyncio.get_running_loop().call_at(soonest, self._promote, soonest)

    def _promote(self, due: float) -> None:
        self._timer = None
        # A loop may call a timer one tick of its clock early; what the timer was set for is due all the same.
        now = max(_now(), due)
        while self._waiting and self._waiting[0][0] <= now:
            _, _, key, entry = heapq.heappop(self._waiting)
            if self._entries.get(key) is entry:
                self._line_up(key, entry, now)
        if self._waiting:
            self._set_timer()

    def _wake_one(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _ages(self) -> list[float]:
        """How long each key has been in somebody's hands; outside the loop there are no hands any more."""
        if not self._processing:
            return []
        try:
            now = _now()
        except RuntimeError:
            return []
        return [now - started for started in self._processing.values()]


def _now() -> float:
    return asyncio.get_running_loop().time()
