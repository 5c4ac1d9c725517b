"""Room for members node by node: a member fits where one node has all that it asks for, and no sum helps where none has.

Pure. Knows nodes as they were at one moment, and nothing of where that knowledge comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fedstate.kube.records import NodeRecord, StorageClassRecord
from fedstate.scheduler.amounts import CPU, PODS
from fedstate.scheduler.capacity.arranging import Ints, evenly, tightly
from fedstate.scheduler.capacity.matching import repelling, selected, within_terms
from fedstate.scheduler.capacity.refusals import refusal_of
from fedstate.scheduler.capacity.rooms import MemberShape, Rooms

KNOWN = (PODS, CPU, "memory", "ephemeral-storage")
"""The resources of which a node's record tells; the rows of all tables of amounts here."""

MOST_SHAPES = 256
MOST_BYTES = 1 << 14
"""For the steps by which booked members were laid onto the nodes of one cluster."""

Flags = npt.NDArray[np.bool_]


class Load(NamedTuple):
    """A kind of pod, by what it takes off a node: amounts of the rows of KNOWN, on the nodes of the mask (None: on any).

    `known` is whether this is all that it takes; `order` is where it comes when several kinds are laid onto nodes.
    """

    needs: tuple[tuple[int, int], ...]
    mask: Flags | None
    known: bool = True
    order: tuple[object, ...] = ()

    def fits(self, free: Ints) -> Ints:
        """How many of these pods each node takes, of which nothing that is free is less than 0."""
        counts: Ints = free[0].copy()
        for row, amount in self.needs:
            np.minimum(counts, free[row] // amount, out=counts)
        if self.mask is not None:
            counts *= self.mask
        return counts

    def take(self, free: Ints, taken: Ints) -> None:
        free[0] -= taken
        for row, amount in self.needs:
            free[row] -= amount * taken


def needs_of(amounts: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """By row of KNOWN, of amounts in the order of its rows without the first one, pods, of which every pod takes one."""
    return tuple((row, amount) for row, amount in enumerate(amounts, 1) if amount > 0)


def spread(free: Ints, load: Load, count: int, way: Callable[[Ints, int], Ints] = evenly) -> int:
    """Takes what so many pods need off `free`, as far as they fit; how many found a node."""
    fits = load.fits(free)
    count = min(count, int(fits.sum()))
    if count:
        load.take(free, way(fits, count))
    return count


class NodeSet:
    """The nodes and storage classes of a cluster, without what is free on them: shared by readings until one of them changes."""

    __slots__ = ("_loads", "classes", "nodes", "usable", "whole")

    def __init__(self, nodes: Iterable[NodeRecord], classes: Iterable[StorageClassRecord] = ()) -> None:
        self.nodes = tuple(sorted(nodes, key=lambda node: node.key.name))
        self.classes = {record.key.name: record for record in classes}
        self.usable: Flags = np.array([node.ready and not node.unschedulable for node in self.nodes], dtype=np.bool_)
        amounts = [(node.pods, node.cpu_millis, node.memory_bytes, node.storage_bytes) for node in self.nodes]
        self.whole: Ints = np.array(amounts, dtype=np.int64).reshape(-1, len(KNOWN)).T
        self._loads: dict[MemberShape, Load] = {}

    def load(self, shape: MemberShape) -> Load:
        """What a member takes, and on which nodes it may run at all."""
        found = self._loads.get(shape)
        if found is None:
            if len(self._loads) >= MOST_SHAPES:
                self._loads.clear()
            request, mask = dict(shape.request), self.open_to(shape)
            amounts = [request.get(name, 0) for name in KNOWN[1:]]
            found = self._loads[shape] = Load(
                needs=needs_of(amounts),
                mask=None if mask.all() else mask,
                known=all(name in KNOWN for name in request),
                # Those that are welcome on few nodes before those that go anywhere, the large before the small.
                order=(int(mask.sum()), *(-amount for amount in amounts), repr(shape)),
            )
        return found

    def open_to(self, shape: MemberShape) -> Flags:
        """The nodes that may run such a member, whatever is free on them."""
        return self.usable & np.array([self._takes(node, shape) for node in self.nodes], dtype=np.bool_)

    def class_of(self, shape: MemberShape) -> StorageClassRecord | None:
        """The storage class of the member's volume, where it is known."""
        if shape.storage_class is None:
            return None
        if shape.storage_class:
            return self.classes.get(shape.storage_class)
        defaults = [record for record in self.classes.values() if record.default]
        return defaults[0] if len(defaults) == 1 else None

    def _takes(self, node: NodeRecord, shape: MemberShape) -> bool:
        storage = self.class_of(shape)
        return (
            repelling(node, shape.tolerations) is None
            and selected(node, shape.node_selector)
            and within_terms(node, shape.terms)
            and (storage is None or within_terms(node, storage.terms))
        )


class NodeRooms:
    """A Rooms over nodes, of which `free` is what is left on each, by the rows of KNOWN.

    Members that are booked take room on the nodes that take them, evenly, and as tightly as possible where that does not do.
    Those that no node of the reading takes are not there and take nothing. Where the others do not fit together there is no
    more room at all. So whatever is placed by `fits`, one after the other, fits the nodes together.
    """

    __slots__ = ("_clash", "_most", "_steps", "free", "nodes")

    def __init__(self, nodes: NodeSet, free: Ints, *, clash: bool = False) -> None:
        self.nodes = nodes
        self.free: Ints = np.maximum(free, 0)
        self._clash = clash
        self._most: dict[MemberShape, int] = {}
        self._steps: list[tuple[Load, int, Ints]] = []

    def __eq__(self, other: object) -> bool:
        """Whether both know the same nodes with the same free amounts, as readings between two changes do."""
        return (
            isinstance(other, NodeRooms)
            and self.nodes is other.nodes
            and self._clash == other._clash
            and np.array_equal(self.free, other.free)
        )

    __hash__ = None  # type: ignore[assignment]

    def beside(self, booked: Mapping[MemberShape, int]) -> Rooms:
        wanted = [(self.nodes.load(shape), min(count, self._room(shape))) for shape, count in booked.items()]
        wanted = [(load, count) for load, count in wanted if count > 0]
        if not wanted or self._clash:
            return self
        wanted.sort(key=lambda one: one[0].order)
        if (free := self._laid_evenly(wanted)) is not None:
            return NodeRooms(self.nodes, free)
        free = self.free.copy()
        fits = all(spread(free, load, count, tightly) == count for load, count in wanted)
        return NodeRooms(self.nodes, free if fits else self.free, clash=not fits)

    def fits(self, shape: MemberShape) -> int | None:
        load = self.nodes.load(shape)
        if not load.known:
            return None
        if self._clash:
            return 0
        counts = load.fits(self.free)
        return int(np.count_nonzero(counts)) if shape.alone else int(counts.sum())

    def why_not(self, shape: MemberShape) -> str:
        if self._clash:
            return "what is placed there already, and has no pods yet, does not fit its nodes together"
        return refusal_of(self.nodes.nodes, self.free, shape, self.nodes.class_of(shape))

    def _laid_evenly(self, wanted: Sequence[tuple[Load, int]]) -> Ints | None:
        """What is left beside all of them, or None if they do not fit this way.

        Between two questions there is mostly one booking more, so the last answer is kept step by step.
        """
        steps, same = self._steps, 0
        for (load, count), (before, number, _) in zip(wanted, steps, strict=False):
            if load is not before or count != number:
                break
            same += 1
        del steps[same:]
        free, keeps = steps[-1][2] if steps else self.free, self.free.nbytes * len(wanted) <= MOST_BYTES
        for load, count in wanted[same:]:
            free = free.copy()
            if spread(free, load, count) < count:
                return None
            if keeps:
                steps.append((load, count, free))
        return free

    def _room(self, shape: MemberShape) -> int:
        """How many members of the shape these nodes hold if there are no others; asked for with every booking."""
        most = self._most.get(shape)
        if most is None:
            most = self._most[shape] = int(self.nodes.load(shape).fits(self.free).sum())
        return most
