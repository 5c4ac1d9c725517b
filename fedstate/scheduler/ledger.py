"""Resources that are given away, but that a cluster does not count yet: members placed there that have no pods so far.

Karmada sums up a cluster's pods every few seconds; between a decision and the sum that shows it, this is the memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fedstate.kube.objects import Key
from fedstate.scheduler.snapshot import PODS, Amounts

COUNTED_AFTER = 30.0
"""Seconds after which a member that runs is surely in its cluster's sum; Karmada collects every 10."""


@dataclass(slots=True)
class _Holding:
    """One instance in one cluster: how many members are placed, run, and are surely in the cluster's sum."""

    request: Amounts
    planned: int
    running: int
    counted: int
    running_since: float

    def open_at(self, now: float) -> int:
        if now - self.running_since >= COUNTED_AFTER:
            self.counted = self.running
        return max(0, self.planned - min(self.counted, self.running))


class Ledger:
    """What every instance holds in every cluster. `now` is a monotonic time in seconds."""

    def __init__(self) -> None:
        self._instances: dict[Key, dict[str, _Holding]] = {}
        self._clusters: dict[str, dict[Key, _Holding]] = {}

    def observe(self, key: Key, planned: Mapping[str, int], request: Amounts, running: Mapping[str, int], now: float) -> None:
        """Takes in what instance `key` holds now. Members that run when it is first seen count as counted."""
        before = self._instances.get(key)
        for cluster in set(before or ()) - set(planned):
            self._clusters[cluster].pop(key, None)
        holdings: dict[str, _Holding] = {}
        for cluster, count in planned.items():
            up = min(count, running.get(cluster, 0))
            holding = (before or {}).get(cluster)
            if holding is None:
                holding = _Holding(
                    request=request, planned=count, running=up, counted=up if before is None else 0, running_since=now
                )
            elif up > holding.running:
                holding.open_at(now)
                holding.running_since = now
            holding.request, holding.planned, holding.running = request, count, up
            holdings[cluster] = holding
            self._clusters.setdefault(cluster, {})[key] = holding
        self._instances[key] = holdings

    def forget(self, key: Key) -> None:
        for cluster in self._instances.pop(key, {}):
            self._clusters[cluster].pop(key, None)

    def carriers(self, cluster: str) -> tuple[Key, ...]:
        """The instances that have members placed in the cluster."""
        return tuple(self._clusters.get(cluster, ()))

    def reserved(self, cluster: str, now: float) -> Amounts:
        """What has to be taken off the cluster's free resources."""
        total: dict[str, int] = {}
        for holding in self._clusters.get(cluster, {}).values():
            count = holding.open_at(now)
            if count:
                total[PODS] = total.get(PODS, 0) + count
                for name, amount in holding.request.items():
                    total[name] = total.get(name, 0) + count * amount
        return total
