"""Room for members node by node: a member fits where one node has all that it asks for, and no sum helps where none has.

Pure. Knows nodes as they were at one moment, and nothing of where that knowledge comes from.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter

import numpy as np

from fedstate.kube.objects import Key
from fedstate.kube.records import NodeRecord, StorageClassRecord, Terms
from fedstate.scheduler.capacity.arranging import Ints, evenly, tightly
from fedstate.scheduler.capacity.loads import KNOWN, Flags, Load, Loads, load_of, needs_of
from fedstate.scheduler.capacity.matching import repelling, selected, within_terms
from fedstate.scheduler.capacity.refusals import refusal_of
from fedstate.scheduler.capacity.rooms import MemberShape, Rooms

MOST_SHAPES = 256
MOST_BYTES = 1 << 15
"""For the steps by which booked members were laid onto the nodes of one cluster."""

Homes = Mapping[Key, tuple[str, ...]]


class NodeSet:
    """The nodes and storage classes of a cluster, without what is free on them: shared by readings until one of them changes."""

    __slots__ = ("_loads", "_open", "_together", "classes", "nodes", "usable", "whole")

    def __init__(self, nodes: Iterable[NodeRecord], classes: Iterable[StorageClassRecord] = ()) -> None:
        self.nodes = tuple(sorted(nodes, key=lambda node: node.key.name))
        self.classes = {record.key.name: record for record in classes}
        self.usable: Flags = np.array([node.ready and not node.unschedulable for node in self.nodes], dtype=np.bool_)
        amounts = [(node.pods, node.cpu_millis, node.memory_bytes, node.storage_bytes) for node in self.nodes]
        self.whole: Ints = np.array(amounts, dtype=np.int64).reshape(-1, len(KNOWN)).T
        self._loads: dict[MemberShape, Load] = {}
        self._open: dict[Hashable, Flags] = {}
        self._together: tuple[Sequence[MemberShape], Loads, list[int]] | None = None

    def loads(self, shapes: Sequence[MemberShape]) -> tuple[Loads, list[int]]:
        """Of all the shapes, in this order, and the places of those of which it does not say everything.

        Nearly always asked for with the same sequence as the time before.
        """
        if self._together is None or self._together[0] is not shapes:
            loads = [self.load(shape) for shape in shapes]
            own = [at for at, shape in enumerate(shapes) if shape.instance is not None or not loads[at].known]
            self._together = shapes, Loads(loads), own
        return self._together[1:]

    def load(self, shape: MemberShape) -> Load:
        """What a member takes, and on which nodes it may run at all."""
        found = self._loads.get(shape)
        if found is None:
            if len(self._loads) >= MOST_SHAPES:
                self._loads.clear()
            request, mask = dict(shape.request), self.open_to(shape)
            size = int(mask.sum())
            amounts = [request.get(name, 0) for name in KNOWN[1:]]
            found = self._loads[shape] = load_of(
                needs_of(amounts),
                None if size == len(self.nodes) else mask,
                single=shape.alone,
                known=all([name in KNOWN for name in request]),
                # Those that are welcome on few nodes before those that go anywhere, the large before the small.
                order=(size, *[-amount for amount in amounts], _text_of(shape)),
            )
        return found

    def open_to(self, shape: MemberShape) -> Flags:
        """The nodes that may run such a member, whatever is free on them."""
        where = shape.node_selector, shape.terms, shape.tolerations, shape.storage_class
        found = self._open.get(where)
        if found is None:
            if len(self._open) >= MOST_SHAPES:
                self._open.clear()
            storage = self.class_of(shape)
            terms = storage.terms if storage is not None else ()
            takes = np.array([_takes(node, shape, terms) for node in self.nodes], dtype=np.bool_)
            found = self._open[where] = self.usable & takes
        return found

    def class_of(self, shape: MemberShape) -> StorageClassRecord | None:
        """The storage class of the member's volume, where it is known."""
        if shape.storage_class is None:
            return None
        if shape.storage_class:
            return self.classes.get(shape.storage_class)
        defaults = [record for record in self.classes.values() if record.default]
        return defaults[0] if len(defaults) == 1 else None


@lru_cache(MOST_SHAPES)
def _text_of(shape: MemberShape) -> str:
    """Once for all clusters."""
    return repr(shape)


def _takes(node: NodeRecord, shape: MemberShape, reached: Terms) -> bool:
    return (
        (not node.taints or repelling(node, shape.tolerations) is None)
        and (not shape.node_selector or selected(node, shape.node_selector))
        and within_terms(node, shape.terms)
        and within_terms(node, reached)
    )


class NodeRooms:
    """A Rooms over nodes, of which `free` is what is left on each, by the rows of KNOWN, and `homes` the names of the nodes
    where the members of each instance are.

    Members that are booked take room on the nodes that take them, evenly, and as tightly as possible where that does not do.
    Those that no node of the reading takes are not there and take nothing. Where the others do not fit together there is no
    more room at all. So whatever is placed by `fits`, one after the other, fits the nodes together.
    """

    __slots__ = ("_clash", "_kept", "_laid", "_steps", "free", "homes", "nodes")

    def __init__(self, nodes: NodeSet, free: Ints, *, homes: Homes, clash: bool = False) -> None:
        self.nodes = nodes
        self.free: Ints = np.maximum(free, 0)
        self.homes = homes
        self._clash = clash
        self._kept: dict[MemberShape, _Kept] = {}
        self._laid: Sequence[_Wanted] = ()
        self._steps: list[tuple[int, Ints, Homes]] = []

    def __eq__(self, other: object) -> bool:
        """Whether both know the same nodes with the same free amounts, as readings between two changes do."""
        return (
            isinstance(other, NodeRooms)
            and self.nodes is other.nodes
            and self._clash == other._clash
            and np.array_equal(self.free, other.free)
            and self.homes == other.homes
        )

    __hash__ = None  # type: ignore[assignment]

    def beside(self, booked: Mapping[MemberShape, int]) -> Rooms:
        wanted: list[_Wanted] = []
        for shape, count in booked.items():
            order, load, room = self._kept.get(shape) or self._keep(shape)
            if room and count > 0:
                wanted.append((order, shape, min(count, room), load))
        if not wanted or self._clash:
            return self
        wanted.sort(key=itemgetter(0))
        return self._laid_evenly(wanted) or self._laid_tightly(wanted)

    def fits(self, shape: MemberShape) -> int | None:
        load = self._load(shape)
        if not load.known:
            return None
        return 0 if self._clash else int(load.fits(self.free).sum())

    def fits_each(self, shapes: Sequence[MemberShape]) -> list[int | None]:
        """`fits` of each of the shapes."""
        if self._clash:
            return [self.fits(shape) for shape in shapes]
        loads, own = self.nodes.loads(shapes)
        found: list[int | None] = [*loads.fits(self.free)]
        for at in own:
            found[at] = self.fits(shapes[at])
        return found

    def why_not(self, shape: MemberShape) -> str:
        if self._clash:
            return "what is placed there already, and has no pods yet, does not fit its nodes together"
        at_home = frozenset(self.homes.get(shape.instance, ())) if shape.instance is not None else frozenset()
        return refusal_of(self.nodes.nodes, self.free, shape, self.nodes.class_of(shape), at_home)

    def _laid_evenly(self, wanted: Sequence[_Wanted]) -> NodeRooms | None:
        """What is left beside all of them, or None if they do not fit this way.

        Between two questions there is mostly one booking more, so the last answer is kept, as many steps of it as may be.
        """
        same = 0
        for (_, shape, count, _), (_, before, number, _) in zip(wanted, self._laid, strict=False):
            if count != number or (shape is not before and shape != before):
                break
            same += 1
        self._laid, steps = wanted, self._steps
        while steps and steps[-1][0] > same:
            steps.pop()
        begun, free, homes = steps[-1] if steps else (0, self.free, self.homes)
        free, every = free.copy(), 1 + self.free.nbytes * len(wanted) // MOST_BYTES
        for at, (_, shape, count, load) in enumerate(wanted[begun:], begun + 1):
            taken, number = load.spread(free, count, evenly)
            if number < count:
                return None
            if shape.instance is not None:
                homes = self._housed(homes, shape.instance, taken)
            if not at % every:
                steps.append((at, free.copy(), homes))
        return NodeRooms(self.nodes, free, homes=homes)

    def _laid_tightly(self, wanted: Sequence[_Wanted]) -> NodeRooms:
        free, homes = self.free.copy(), self.homes
        for _, shape, count, load in wanted:
            taken, number = load.spread(free, count, tightly)
            if number < count:
                return NodeRooms(self.nodes, self.free, homes=self.homes, clash=True)
            if shape.instance is not None:
                homes = self._housed(homes, shape.instance, taken)
        return NodeRooms(self.nodes, free, homes=homes)

    def _housed(self, homes: Homes, instance: Key, taken: Ints) -> Homes:
        """Only those who refuse each other have to be known by their nodes."""
        new = [self.nodes.nodes[at].key.name for at in np.flatnonzero(taken).tolist()]
        return {**homes, instance: (*homes.get(instance, ()), *new)}

    def _load(self, shape: MemberShape) -> Load:
        load = self.nodes.load(shape)
        if shape.instance is None or shape.instance not in self.homes:
            return load
        at_home = self.homes[shape.instance]
        strange = np.array([node.key.name not in at_home for node in self.nodes.nodes], dtype=np.bool_)
        return load._replace(mask=strange if load.mask is None else load.mask & strange)

    def _keep(self, shape: MemberShape) -> _Kept:
        """Once for all questions: the same bookings come again and again."""
        load = self._load(shape)
        kept = self._kept[shape] = load.order, load, int(load.fits(self.free).sum())
        return kept


_Kept = tuple[tuple[object, ...], Load, int]
"""The order of a shape, its load, and how many of its members these nodes hold if there are no others."""

_Wanted = tuple[tuple[object, ...], MemberShape, int, Load]
"""Members of a shape that are to be laid onto nodes: its order, the shape, how many, its load."""
