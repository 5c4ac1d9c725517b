"""How long a failing key waits. Pure: the time comes in as an argument."""

from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class FailureBackoff:
    """`first` seconds doubled with each failure of the same key since it was forgotten, at most `cap`.

    client-go caps at 1000 s; that long without a try is an outage to the user of a database.
    """

    first: float = 0.005
    cap: float = 300.0
    _failures: dict[Hashable, int] = field(default_factory=dict, init=False)

    def delay(self, key: Hashable) -> float:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # 2.0 ** 1024 overflows; long before that the cap holds.
        return min(self.cap, self.first * 2.0 ** min(failures, 64))

    def failures(self, key: Hashable) -> int:
        return self._failures.get(key, 0)

    def forget(self, key: Hashable) -> None:
        self._failures.pop(key, None)


@dataclass(kw_only=True)
class TokenBucket:
    """Reservations: `rate` a second, `burst` at once; each call gets its own place, further out when it is crowded."""

    rate: float = 10.0
    burst: int = 100
    _tokens: float | None = field(default=None, init=False)
    _filled_at: float = field(default=0.0, init=False)

    def reserve(self, now: float) -> float:
        """How many seconds from `now` the caller's turn comes."""
        if self._tokens is None:
            self._tokens = float(self.burst)
        else:
            self._tokens = min(float(self.burst), self._tokens + (now - self._filled_at) * self.rate)
        self._filled_at = now
        self._tokens -= 1
        return max(0.0, -self._tokens / self.rate)
