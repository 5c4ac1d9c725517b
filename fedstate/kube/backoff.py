"""How long to wait before speaking to a server again: exponential, jittered, forgotten after quiet. Pure but for the dice."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class Backoff:
    """`delay(now)` gives the next wait in seconds: d to 2 d, d doubling from `first` to `cap`, starting over after `reset_after`."""

    first: float = 0.8
    factor: float = 2.0
    cap: float = 30.0
    jitter: float = 1.0
    reset_after: float = 120.0
    dice: Callable[[], float] = random.random
    _next: float = field(default=0.0, init=False)
    _used_at: float = field(default=float("-inf"), init=False)

    def delay(self, now: float) -> float:
        if now - self._used_at > self.reset_after or self._next == 0.0:
            self._next = self.first
        base = self._next
        self._next = min(self.cap, base * self.factor)
        wait = base + base * self.jitter * self.dice()
        # The wait itself is no quiet time: what counts is how long after it nothing went wrong.
        self._used_at = now + wait
        return wait
