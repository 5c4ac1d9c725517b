"""How long a container that ended waits before it is started again, as the kubelet does it. Pure; times come in."""

from __future__ import annotations

from dataclasses import dataclass

FIRST = 10.0
LONGEST = 300.0
FORGIVEN_AFTER = 600.0


@dataclass(slots=True)
class BackOff:
    """The first restart is at once; each later one waits twice as long, counted from the end of the last run."""

    delay: float = 0.0

    def left(self, ended: float, now: float) -> float:
        """Seconds still to wait for a container that ended at `ended`."""
        return max(0.0, ended + self.delay - now)

    def restarted(self) -> None:
        """Count a restart."""
        self.delay = min(self.delay * 2, LONGEST) if self.delay else FIRST

    def ran(self, seconds: float) -> None:
        """Forget earlier failures after a long run."""
        if seconds >= FORGIVEN_AFTER:
            self.delay = 0.0
