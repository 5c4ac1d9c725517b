"""Whose turn it is: what goes before what in the scheduler's queue, and when a decision that is written is told.

The order is the constants below, and nowhere else. Knows no rule of placement.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from fedstate.api.naming import ANNOTATION_SCHEDULER_RESULT
from fedstate.control.workqueue import LOW_PRIORITY, WorkQueue
from fedstate.kube.objects import Key, KubeObject, annotations_of, deletion_timestamp_of, generation_of, labels_of

CHANGED = 20
"""What is placed and may have to move, or leaves: its owner changed it, or a cluster that carries it was lost or came back."""
WAITED = 10
"""What had no place and may have one now goes before what comes now."""
FRESH = 0
LEFT_OVER = -20
"""Not placed yet, and found at the start."""
STORY = -50
"""What is decided and written, and only has to be told. With nothing else to do that is at once."""
SETTLED = LOW_PRIORITY
"""Placed already and found at the start: there is nothing to do for nearly all of them."""

QUIET = 0.1
"""Seconds without a placement after which what there is to tell is told."""
MANY = 16
LULL = 1.0
"""The same after as many placements: an API server that takes a burst in may pause for longer than QUIET before the burst is over."""
PATIENCE = 10.0
"""No story waits longer for the end of a burst."""


def turn_of(old: KubeObject | None, new: KubeObject | None, *, synced: bool) -> int | None:
    """The priority of an instance that has changed; None if nothing has that its owner or its operators mean for a scheduler.

    `synced`: the cache has been filled once, so that what appears now is new.
    """
    if new is None:
        return CHANGED
    placed = ANNOTATION_SCHEDULER_RESULT in annotations_of(new)
    if old is None:
        if not synced:
            return SETTLED if placed else LEFT_OVER
        return FRESH
    if _intent(old) == _intent(new):
        return None
    return CHANGED if placed else FRESH


def only_placed(old: KubeObject | None, new: KubeObject | None, result: str | None) -> bool:
    """Whether all that has changed of an instance's intent is that it now carries this result."""
    if result is None or old is None or new is None or annotations_of(new).get(ANNOTATION_SCHEDULER_RESULT) != result:
        return False
    before, after = _intent(old), _intent(new)
    return before[:3] == after[:3] and {**before[3], ANNOTATION_SCHEDULER_RESULT: result} == after[3]


def _intent(obj: KubeObject) -> tuple[int, str | None, Mapping[str, str], Mapping[str, str]]:
    return generation_of(obj), deletion_timestamp_of(obj), labels_of(obj), annotations_of(obj)


class Stories:
    """The instances of which a decision is written and not told yet.

    They are told when no placement is on its way and none has gone out for a moment, so that in a burst every instance is placed
    before the first is told about; at the latest after PATIENCE.
    """

    def __init__(self) -> None:
        self._held: dict[Key, float] = {}
        self._writing = 0
        self._last = 0.0
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._held)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Around the request that writes a placement."""
        self._writing += 1
        try:
            yield
        finally:
            self._writing -= 1
            self._last = _now()

    def hold(self, key: Key) -> None:
        self._held.setdefault(key, _now())
        self._some.set()

    def drop(self, key: Key) -> None:
        self._held.pop(key, None)

    async def run(self, queue: WorkQueue) -> None:
        """Asks the queue for every story when its time has come, until cancelled."""
        while True:
            await self._some.wait()
            for key in self._due():
                del self._held[key]
                queue.add(key, priority=STORY)
            if self._held:
                await asyncio.sleep(QUIET if self._writing else max(0.001, self._last + self._quiet() - _now()))
            else:
                self._some.clear()

    def _quiet(self) -> float:
        return QUIET if len(self._held) < MANY else LULL

    def _due(self) -> list[Key]:
        now = _now()
        if not self._writing and now - self._last >= self._quiet():
            return list(self._held)
        due = []
        for key, since in self._held.items():  # the oldest first
            if now - since < PATIENCE:
                break
            due.append(key)
        return due


def _now() -> float:
    return asyncio.get_running_loop().time()
