"""What a reconciler is to a controller. The prose here is the contract."""

from dataclasses import dataclass
from typing import Protocol

from fedstate.kube.objects import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a reconcile ended: done until something changes, or to be looked at again in `requeue_after` seconds.

    `priority` for that next look; by default the key keeps the one it had.
    """

    requeue_after: float | None = None
    priority: int | None = None


DONE = Result()


class Reconciler(Protocol):
    """Brings the world to what one object says.

    The key says that something may have changed, never what: read the object from the cache, and return DONE if it is gone.
    One key is never reconciled twice at the same time. Whatever is raised makes the result not matter: the key is tried again,
    later with each failure; except that a TerminalError is counted and the key left alone until its object changes.
    A run is cancelled when it takes too long or the process stops; every step has to be safe to repeat.
    """

    async def reconcile(self, key: Key) -> Result: ...
