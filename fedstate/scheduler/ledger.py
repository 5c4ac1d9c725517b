"""Resources that are given away, but that a cluster does not count yet: members placed there that have no pods so far.

Karmada sums up a cluster's pods every few seconds; between a decision and the sum that shows it, this is the memory.
"""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fedstate.kube.objects import Key
from fedstate.scheduler.amounts import PODS, Amounts

COUNTED_AFTER = 30.0
"""Seconds after which a member that runs is surely in its cluster's sum; Karmada collects every 10."""


@dataclass(slots=True)
class _Holding:
    """One instance in one cluster: how many members are placed, run, and are surely in the cluster's sum.

    `booked` members with that request are in the totals.
    """

    request: Amounts
    planned: int
    running: int
    counted: int
    running_since: float
    booked: int = 0

    def open_at(self, now: float) -> int:
        if now - self.running_since >= COUNTED_AFTER:
            self.counted = self.running
        return max(0, self.planned - min(self.counted, self.running))


class Ledger:
    """What every instance holds in every cluster. `now` is a monotonic time in seconds.

    `on_change(cluster, request, members)` is called for every booking: so many members more or less with that request.
    """

    def __init__(self) -> None:
        self._instances: dict[Key, dict[str, _Holding]] = {}
        self._clusters: dict[str, dict[Key, _Holding]] = {}
        self._totals: dict[str, dict[str, int]] = {}
        self._due: list[tuple[float, str, Key]] = []
        self.on_change: Callable[[str, Amounts, int], None] | None = None

    def observe(self, key: Key, planned: Mapping[str, int], request: Amounts, running: Mapping[str, int], now: float) -> None:
        """Takes in what instance `key` holds now. Members that run when it is first seen count as counted."""
        before = self._instances.get(key)
        for cluster in set(before or ()) - set(planned):
            self._leave(cluster, key)
        holdings: dict[str, _Holding] = {}
        for cluster, count in planned.items():
            up = min(count, running.get(cluster, 0))
            holding = (before or {}).get(cluster)
            if holding is None:
                holding = _Holding(request, count, up, up if before is None else 0, now)
                self._clusters.setdefault(cluster, {})[key] = holding
            else:
                if up > holding.running:
                    holding.open_at(now)
                    holding.running_since = now
                if holding.request != request:
                    self._book(cluster, holding, 0)
                holding.request, holding.planned, holding.running = request, count, up
            holdings[cluster] = holding
            self._book(cluster, holding, holding.open_at(now))
            if holding.counted < holding.running:
                heapq.heappush(self._due, (holding.running_since + COUNTED_AFTER, cluster, key))
        self._instances[key] = holdings

    def forget(self, key: Key) -> None:
        for cluster in self._instances.pop(key, {}):
            self._leave(cluster, key)

    def carriers(self, cluster: str) -> tuple[Key, ...]:
        """The instances that have members placed in the cluster."""
        return tuple(self._clusters.get(cluster, ()))

    def settle(self, now: float) -> None:
        """Books off what by now is surely in the clusters' own sums."""
        while self._due and self._due[0][0] <= now:
            _, cluster, key = heapq.heappop(self._due)
            holding = self._clusters.get(cluster, {}).get(key)
            if holding is not None:
                self._book(cluster, holding, holding.open_at(now))

    def reserved(self, cluster: str, now: float) -> Amounts:
        """What has to be taken off the cluster's free resources."""
        self.settle(now)
        return dict(self._totals.get(cluster, ()))

    def _leave(self, cluster: str, key: Key) -> None:
        holding = self._clusters[cluster].pop(key, None)
        if holding is not None:
            self._book(cluster, holding, 0)

    def _book(self, cluster: str, holding: _Holding, members: int) -> None:
        change = members - holding.booked
        if not change:
            return
        holding.booked = members
        totals = self._totals.setdefault(cluster, {})
        for name, amount in ((PODS, 1), *holding.request.items()):
            total = totals.get(name, 0) + change * amount
            if total:
                totals[name] = total
            else:
                totals.pop(name, None)
        if self.on_change is not None:
            self.on_change(cluster, holding.request, change)
