"""Which clusters are lost to an instance, so that its members may be placed elsewhere, and from which moment on.

Two have to agree: Karmada does not reach the cluster, and the instance's own set misses its members there. Time is that of this
process, counted from when it first saw both: no other clock is trusted, and a restart counts anew.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from fedstate.kube.objects import Key, parse_time
from fedstate.scheduler.middleware import Demand
from fedstate.scheduler.sight import NO_LOSSES, Losses, Sight
from fedstate.scheduler.snapshot import ClusterSnapshot

_GONE = "gone"


@dataclass(frozen=True, slots=True)
class _Absence:
    """`episode` is Karmada's own time of the loss, as a name for it: a cluster that came back in between has another one."""

    episode: str
    since: float


class Absences:
    """Remembers for every instance since when it has missed which clusters."""

    def __init__(self) -> None:
        self._seen: dict[Key, dict[str, _Absence]] = {}

    def losses(
        self, key: Key, demand: Demand, sight: Sight, cluster: Callable[[str], ClusterSnapshot | None], now: float
    ) -> tuple[Losses, float | None]:
        """What is lost at this moment, and in how many seconds more will be if nothing changes."""
        away = {
            entry.cluster: found
            for entry in (demand.current.clusters if demand.current is not None else ())
            if (found := cluster(entry.cluster)) is None or not found.ready
        }
        if not away:
            self._seen.pop(key, None)
            return NO_LOSSES if sight.led or demand.current is None else Losses(led=False), None
        before = self._seen.get(key, {})
        seen = self._seen[key] = {}
        spared: dict[str, str] = {}
        due = []
        for name, snapshot in away.items():
            absence = _absence(name, snapshot, before.get(name), sight, now)
            if absence is not None:
                seen[name] = absence
            reason = _hindrance(name, demand, sight)
            if reason:
                spared[name] = reason
            elif absence is not None and (left := absence.since + demand.toleration - now) > 0:
                spared[name] = f"nothing is moved before this has lasted {demand.toleration} s (spec.failover.tolerationSeconds)"
                due.append(left)
        return Losses(lost=frozenset(away) - spared.keys(), spared=spared, led=sight.led), min(due, default=None)

    def suppose(self, key: Key, ages: Mapping[str, tuple[str, float]]) -> None:
        """As if each absence, by Karmada's time of the loss, had begun so many seconds before the time 0."""
        self._seen[key] = {name: _Absence(episode, -age) for name, (episode, age) in ages.items()}

    def forget(self, key: Key) -> None:
        self._seen.pop(key, None)


def losses_told(demand: Demand, sight: Sight, cluster: Callable[[str], ClusterSnapshot | None], now: datetime) -> Losses:
    """What would be lost to one who has watched all the time, if Karmada's clock is right: for explanations, not for decisions."""
    absences, key = Absences(), Key("", "")
    absences.suppose(
        key, {entry.cluster: _age(cluster(entry.cluster), now) for entry in demand.current.clusters} if demand.current else {}
    )
    return absences.losses(key, demand, sight, cluster, 0.0)[0]


def _age(snapshot: ClusterSnapshot | None, now: datetime) -> tuple[str, float]:
    if snapshot is None:
        return _GONE, 0.0
    try:
        return snapshot.ready_since, (now - parse_time(snapshot.ready_since)).total_seconds()
    except ValueError:
        return snapshot.ready_since, 0.0


def _absence(name: str, snapshot: ClusterSnapshot | None, before: _Absence | None, sight: Sight, now: float) -> _Absence | None:
    """Begins when the set does not see the members either, and lasts until it sees them; not to know ends it no more than it begins it."""
    episode = _GONE if snapshot is None else snapshot.ready_since
    if name in sight.serving:
        return None
    known = before if before is not None and before.episode == episode else None
    if known is not None or name in sight.unknown:
        return known
    return _Absence(episode, now)


def _hindrance(name: str, demand: Demand, sight: Sight) -> str:
    """Why members there stay however long this lasts; empty if nothing but time keeps them."""
    if not demand.dynamic:
        return "spec.scheduler.allowDynamicScheduler is false"
    if name in sight.serving:
        return "the replica set still sees members there, so only Karmada has lost the cluster"
    if name in sight.unknown:
        return "nothing tells whether anybody serves there"
    if not sight.led:
        return "nothing is moved while there is no primary with a majority"
    return ""
