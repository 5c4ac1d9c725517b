"""What several sources say of each cluster, the best of it laid over the fleet: estimators before nodes, nodes before sums.

Pure but for what it is given to change. What is counted and what is booked change in the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from fedstate.kube.objects import Key
from fedstate.scheduler.capacity.rooms import MemberShape, Reading, Rooms
from fedstate.scheduler.ledger import Ledger
from fedstate.scheduler.snapshot import Fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstThatKnows:
    """Rooms of two sources: the second one answers where the first cannot tell."""

    first: Rooms
    second: Rooms

    def beside(self, booked: Mapping[MemberShape, int]) -> Rooms:
        return FirstThatKnows(first=self.first.beside(booked), second=self.second.beside(booked))

    def fits(self, shape: MemberShape) -> int | None:
        found = self.first.fits(shape)
        return self.second.fits(shape) if found is None else found

    def why_not(self, shape: MemberShape) -> str:
        return (self.second if self.first.fits(shape) is None else self.first).why_not(shape)


def best_of(estimated: Reading | None, nodes: Reading | None) -> Reading | None:
    """The estimator's numbers with what only nodes can say; a source that has failed leaves a note.

    An estimator does not say which members it counts already.
    """
    if estimated is None or nodes is None:
        return estimated or nodes
    if estimated.rooms is None:
        notes = [note for note in (estimated.source.note, nodes.source.note) if note]
        return replace(nodes, source=replace(nodes.source, note="; ".join(notes)))
    rooms: Rooms = estimated.rooms
    if nodes.rooms is not None:
        rooms = FirstThatKnows(first=rooms, second=nodes.rooms)
    return replace(nodes, source=estimated.source, rooms=rooms, members=None)


class Layers:
    """`on_change` is called when anything has changed that decisions rest on, with whether it is more than amounts."""

    def __init__(self, fleet: Fleet, ledger: Ledger, on_change: Callable[[bool], None], monotonic: Callable[[], float]) -> None:
        self._fleet = fleet
        self._ledger = ledger
        self._on_change = on_change
        self._monotonic = monotonic
        self._estimated: dict[str, Reading] = {}
        self._nodes: dict[str, Reading] = {}
        self._laid: dict[str, Reading] = {}

    def estimate(self, cluster: str, reading: Reading | None) -> None:
        """What the estimator says from now on; None if there is none."""
        _put(self._estimated, cluster, reading)
        self._lay(cluster)

    def nodes(self, cluster: str, reading: Reading | None) -> None:
        """What the cluster's nodes say from now on; None if the cluster is gone."""
        _put(self._nodes, cluster, reading)
        self._lay(cluster)

    def _lay(self, cluster: str) -> None:
        before, after = self._laid.get(cluster), best_of(self._estimated.get(cluster), self._nodes.get(cluster))
        _put(self._laid, cluster, after)
        changed = self._fleet.read(cluster, after)
        recounted = _recounted(before, after)
        self._ledger.refresh(cluster, self._ledger.carriers(cluster) if recounted is None else recounted, self._monotonic())
        if changed:
            self._on_change(_kind_of(before) != _kind_of(after))


def _put(readings: dict[str, Reading], cluster: str, reading: Reading | None) -> None:
    if reading is None:
        readings.pop(cluster, None)
    else:
        readings[cluster] = reading


def _recounted(before: Reading | None, after: Reading | None) -> Iterable[Key] | None:
    """The instances of which another number of members is counted now; None if it may be any."""
    old, new = before.members if before else None, after.members if after else None
    if old is None and new is None:
        return ()
    if old is None or new is None:
        return None
    return [key for key in {**old, **new} if old.get(key) != new.get(key)]


def _kind_of(reading: Reading | None) -> tuple[object, ...]:
    if reading is None:
        return ()
    return reading.rooms is None, reading.zones, reading.storage_classes, reading.default_storage_class
