"""Which data planes have fallen silent: a heartbeat that does not change, by the clock of this process.

Clocks of other machines are compared with ours only where a heartbeat is seen for the first time, and then generously.
"""

from collections.abc import Mapping
from datetime import datetime

from fedstate.kube.objects import Key, parse_time

SILENT_AFTER = 60.0
"""Four missed heartbeats."""
_OLD_AT_FIRST_SIGHT = 300.0


class Heartbeats:
    """Remembers when each cluster's heartbeat was last seen to change; the caller says which are of interest."""

    def __init__(self) -> None:
        self._seen: dict[Key, dict[str, tuple[str, float]]] = {}

    def silent(
        self, key: Key, heartbeats: Mapping[str, str], *, clock: float, now: datetime
    ) -> tuple[frozenset[str], float | None]:
        """The clusters that have been silent too long, and in how many seconds the next one will be, if nothing comes."""
        before = self._seen.get(key, {})
        seen = {cluster: _seen(beat, before.get(cluster), clock, now) for cluster, beat in heartbeats.items()}
        self._seen[key] = seen
        ages = {cluster: clock - at for cluster, (_, at) in seen.items()}
        pending = [SILENT_AFTER - age for age in ages.values() if age < SILENT_AFTER]
        return frozenset(cluster for cluster, age in ages.items() if age >= SILENT_AFTER), min(pending, default=None)

    def forget(self, key: Key) -> None:
        self._seen.pop(key, None)


def _seen(beat: str, before: tuple[str, float] | None, clock: float, now: datetime) -> tuple[str, float]:
    if before is not None:
        return before if before[0] == beat else (beat, clock)
    try:
        old = bool(beat) and (now - parse_time(beat)).total_seconds() > _OLD_AT_FIRST_SIGHT
    except ValueError:
        old = False
    return beat, clock - SILENT_AFTER if old else clock
