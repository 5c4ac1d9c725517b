"""Room for members node by node: a member fits where one node has all that it asks for, and no sum helps where none has.

Pure. Knows nodes as they were at one moment, and nothing of where that knowledge comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fedstate.kube.objects import Key
from fedstate.kube.records import NodeRecord, StorageClassRecord, Terms
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
Homes = Mapping[Key, tuple[str, ...]]


class Load(NamedTuple):
    """A kind of pod, by what it takes off a node: amounts of the rows of KNOWN, on the nodes of the mask (None: on any).

    `single`: no two of these pods share a node. `known` is whether this is all that it takes; `order` is where it comes when
    several kinds are laid onto nodes.
    """

    needs: tuple[tuple[int, int], ...]
    mask: Flags | None
    single: bool = False
    known: bool = True
    order: tuple[object, ...] = ()

    def fits(self, free: Ints) -> Ints:
        """How many of these pods each node takes, of which nothing that is free is less than 0."""
        counts: Ints = free[0].copy()
        for row, amount in self.needs:
            np.minimum(counts, free[row] // amount, out=counts)
        if self.mask is not None:
            counts *= self.mask
        if self.single:
            np.minimum(counts, 1, out=counts)
        return counts

    def take(self, free: Ints, taken: Ints) -> None:
        free[0] -= taken
        for row, amount in self.needs:
            free[row] -= amount * taken


def needs_of(amounts: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """By row of KNOWN, of amounts in the order of its rows without the first one, pods, of which every pod takes one."""
    return tuple((row, amount) for row, amount in enumerate(amounts, 1) if amount > 0)


def spread(free: Ints, load: Load, count: int, way: Callable[[Ints, int], Ints] = evenly) -> Ints:
    """Takes what so many pods need off `free`, as far as they fit; how many are on each node."""
    fits = load.fits(free)
    taken = way(fits, min(count, int(fits.sum())))
    load.take(free, taken)
    return taken


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
                single=shape.alone,
                known=all(name in KNOWN for name in request),
                # Those that are welcome on few nodes before those that go anywhere, the large before the small.
                order=(int(mask.sum()), *(-amount for amount in amounts), repr(shape)),
            )
        return found

    def open_to(self, shape: MemberShape) -> Flags:
        """The nodes that may run such a member, whatever is free on them."""
        storage = self.class_of(shape)
        terms = storage.terms if storage is not None else ()
        return self.usable & np.array([_takes(node, shape, terms) for node in self.nodes], dtype=np.bool_)

    def class_of(self, shape: MemberShape) -> StorageClassRecord | None:
        """The storage class of the member's volume, where it is known."""
        if shape.storage_class is None:
            return None
        if shape.storage_class:
            return self.classes.get(shape.storage_class)
        defaults = [record for record in self.classes.values() if record.default]
        return defaults[0] if len(defaults) == 1 else None


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

    __slots__ = ("_clash", "_loads", "_most", "_steps", "free", "homes", "nodes")

    def __init__(self, nodes: NodeSet, free: Ints, *, homes: Homes, clash: bool = False) -> None:
        self.nodes = nodes
        self.free: Ints = np.maximum(free, 0)
        self.homes = homes
        self._clash = clash
        self._loads: dict[MemberShape, Load] = {}
        self._most: dict[MemberShape, int] = {}
        self._steps: list[tuple[MemberShape, int, Ints, Homes]] = []

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
        wanted = [(shape, min(count, self._room(shape))) for shape, count in booked.items()]
        wanted = [(shape, count) for shape, count in wanted if count > 0]
        if not wanted or self._clash:
            return self
        wanted.sort(key=lambda one: self._load(one[0]).order)
        return self._laid_evenly(wanted) or self._laid_tightly(wanted)

    def fits(self, shape: MemberShape) -> int | None:
        load = self._load(shape)
        if not load.known:
            return None
        return 0 if self._clash else int(load.fits(self.free).sum())

    def why_not(self, shape: MemberShape) -> str:
        if self._clash:
            return "what is placed there already, and has no pods yet, does not fit its nodes together"
        at_home = frozenset(self.homes.get(shape.instance, ())) if shape.instance is not None else frozenset()
        return refusal_of(self.nodes.nodes, self.free, shape, self.nodes.class_of(shape), at_home)

    def _laid_evenly(self, wanted: Sequence[tuple[MemberShape, int]]) -> NodeRooms | None:
        """What is left beside all of them, or None if they do not fit this way.

        Between two questions there is mostly one booking more, so the last answer is kept step by step.
        """
        steps, same = self._steps, 0
        for (shape, count), (before, number, _, _) in zip(wanted, steps, strict=False):
            if shape != before or count != number:
                break
            same += 1
        del steps[same:]
        free, homes = steps[-1][2:] if steps else (self.free, self.homes)
        keeps = self.free.nbytes * len(wanted) <= MOST_BYTES
        for shape, count in wanted[same:]:
            free = free.copy()
            taken = spread(free, self._load(shape), count)
            if int(taken.sum()) < count:
                return None
            homes = self._housed(homes, shape, taken)
            if keeps:
                steps.append((shape, count, free, homes))
        return NodeRooms(self.nodes, free, homes=homes)

    def _laid_tightly(self, wanted: Sequence[tuple[MemberShape, int]]) -> NodeRooms:
        free, homes = self.free.copy(), self.homes
        for shape, count in wanted:
            taken = spread(free, self._load(shape), count, tightly)
            if int(taken.sum()) < count:
                return NodeRooms(self.nodes, self.free, homes=self.homes, clash=True)
            homes = self._housed(homes, shape, taken)
        return NodeRooms(self.nodes, free, homes=homes)

    def _housed(self, homes: Homes, shape: MemberShape, taken: Ints) -> Homes:
        """Only those who refuse each other have to be known by their nodes."""
        if shape.instance is None:
            return homes
        new = [self.nodes.nodes[at].key.name for at in np.flatnonzero(taken).tolist()]
        return {**homes, shape.instance: (*homes.get(shape.instance, ()), *new)}

    def _load(self, shape: MemberShape) -> Load:
        load = self.nodes.load(shape)
        if shape.instance is None or shape.instance not in self.homes:
            return load
        own = self._loads.get(shape)
        if own is None:
            at_home = self.homes[shape.instance]
            strange = np.array([node.key.name not in at_home for node in self.nodes.nodes], dtype=np.bool_)
            own = self._loads[shape] = load._replace(mask=strange if load.mask is None else load.mask & strange)
        return own

    def _room(self, shape: MemberShape) -> int:
        """How many members of the shape these nodes hold if there are no others; asked for with every booking."""
        most = self._most.get(shape)
        if most is None:
            most = self._most[shape] = int(self._load(shape).fits(self.free).sum())
        return most
