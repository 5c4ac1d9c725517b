"""Resources that are given away, but that a cluster does not count yet: members placed there that have no pods so far.

Karmada sums up a cluster's pods every few seconds; between a decision and the sum that shows it, this is the memory.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from fedstate.kube.objects import Key
from fedstate.scheduler.amounts import PODS, Amounts
from fedstate.scheduler.capacity.rooms import MemberShape

COUNTED_AFTER = 30.0
"""Seconds after which a member that runs is surely in its cluster's sum; Karmada collects every 10."""

MOST_SHAPES = 4096
"""So many are kept as one object each."""

_NOBODY: Mapping[MemberShape, int] = {}


@dataclass(slots=True)
class _Holding:
    """One instance in one cluster: how many members are placed, run, and are surely in the cluster's sum.

    `booked` members of that shape are in the totals.
    """

    shape: MemberShape
    planned: int
    running: int
    counted: int
    running_since: float
    booked: int = 0

    def count(self, now: float) -> None:
        if now - self.running_since >= COUNTED_AFTER:
            self.counted = self.running


class Ledger:
    """What every instance holds in every cluster. `now` is a monotonic time in seconds.

    `on_change(cluster, shape, members)` is called for every booking: so many members of the shape more or less.
    `visible(cluster, key)` is how many members of an instance the cluster's numbers count already. Where it knows, nothing has
    to be waited for; None, and a member counts COUNTED_AFTER it has begun to run.
    """

    def __init__(self) -> None:
        self._instances: dict[Key, dict[str, _Holding]] = {}
        self._clusters: defaultdict[str, dict[Key, _Holding]] = defaultdict(dict)
        self._booked: defaultdict[str, dict[MemberShape, int]] = defaultdict(dict)
        self._shapes: dict[MemberShape, MemberShape] = {}
        self._due: list[tuple[float, str, Key]] = []
        self.on_change: Callable[[str, MemberShape, int], None] | None = None
        self.visible: Callable[[str, Key], int | None] | None = None

    def observe(self, key: Key, planned: Mapping[str, int], shape: MemberShape, running: Mapping[str, int], now: float) -> None:
        """Takes in what instance `key` holds now. Members that run when it is first seen count as counted."""
        shape = self._shared(shape)
        before = self._instances.get(key)
        if before:
            for cluster in before.keys() - planned.keys():
                self._leave(cluster, key)
        holdings: dict[str, _Holding] = {}
        for cluster, count in planned.items():
            up = min(count, running.get(cluster, 0)) if running else 0
            holding = before.get(cluster) if before else None
            if holding is None:
                holding = _Holding(shape, count, up, up if before is None else 0, now)
                self._clusters[cluster][key] = holding
            else:
                if up > holding.running:
                    holding.count(now)
                    holding.running_since = now
                if holding.shape is not shape:
                    self._book(cluster, holding, 0)
                holding.shape, holding.planned, holding.running = shape, count, up
            holdings[cluster] = holding
            self._book(cluster, holding, self._open(cluster, key, holding, now))
            if holding.counted < holding.running:
                heapq.heappush(self._due, (holding.running_since + COUNTED_AFTER, cluster, key))
        self._instances[key] = holdings

    def forget(self, key: Key) -> None:
        for cluster in self._instances.pop(key, {}):
            self._leave(cluster, key)

    def refresh(self, cluster: str, keys: Iterable[Key], now: float) -> None:
        """Books anew what these instances hold there, after `visible` began to say something else of them."""
        held = self._clusters.get(cluster, {})
        for key in keys:
            holding = held.get(key)
            if holding is not None:
                self._book(cluster, holding, self._open(cluster, key, holding, now))

    def carriers(self, cluster: str) -> tuple[Key, ...]:
        """The instances that have members placed in the cluster."""
        return tuple(self._clusters.get(cluster, ()))

    def settle(self, now: float) -> None:
        """Books off what by now is surely in the clusters' own sums."""
        while self._due and self._due[0][0] <= now:
            _, cluster, key = heapq.heappop(self._due)
            holding = self._clusters.get(cluster, {}).get(key)
            if holding is not None:
                self._book(cluster, holding, self._open(cluster, key, holding, now))

    def reserved(self, cluster: str, now: float) -> Amounts:
        """What has to be taken off the cluster's free resources."""
        self.settle(now)
        totals: dict[str, int] = {}
        for shape, members in self.booked(cluster).items():
            for name, amount in ((PODS, 1), *shape.request):
                totals[name] = totals.get(name, 0) + members * amount
        return totals

    def booked(self, cluster: str) -> Mapping[MemberShape, int]:
        """The same, as members by their shapes: as of the last `settle`, and only to be read."""
        return self._booked.get(cluster, _NOBODY)

    def _shared(self, shape: MemberShape) -> MemberShape:
        """The same object for equal shapes: to compare them is most of what a booking costs otherwise."""
        if len(self._shapes) >= MOST_SHAPES:
            self._shapes.clear()
        return self._shapes.setdefault(shape, shape)

    def _open(self, cluster: str, key: Key, holding: _Holding, now: float) -> int:
        """How many members the cluster's numbers do not count yet."""
        if holding.counted != holding.running:
            holding.count(now)
        seen = None if self.visible is None else self.visible(cluster, key)
        if seen is None:
            seen = holding.counted if holding.counted < holding.running else holding.running
        return holding.planned - seen if holding.planned > seen else 0

    def _leave(self, cluster: str, key: Key) -> None:
        holding = self._clusters[cluster].pop(key, None)
        if holding is not None:
            self._book(cluster, holding, 0)

    def _book(self, cluster: str, holding: _Holding, members: int) -> None:
        change = members - holding.booked
        if not change:
            return
        holding.booked = members
        shape, booked = holding.shape, self._booked[cluster]
        total = booked.get(shape, 0) + change
        if total:
            booked[shape] = total
        else:
            del booked[shape]
        if self.on_change is not None:
            self.on_change(cluster, shape, change)
