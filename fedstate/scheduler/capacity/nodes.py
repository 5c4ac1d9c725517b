"""Room for members node by node: a member fits where one node has all that it asks for, and no sum helps where none has.

Pure. Knows nodes as they were at one moment, and nothing of where that knowledge comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

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

MOST_MASKS = 64

Flags = npt.NDArray[np.bool_]
_Question = tuple[object, ...]


class NodeSet:
    """The nodes and storage classes of a cluster, without what is free on them: shared by readings until one of them changes."""

    __slots__ = ("_masks", "classes", "nodes", "usable", "whole")

    def __init__(self, nodes: Iterable[NodeRecord], classes: Iterable[StorageClassRecord] = ()) -> None:
        self.nodes = tuple(sorted(nodes, key=lambda node: node.key.name))
        self.classes = {record.key.name: record for record in classes}
        self.usable: Flags = np.array([node.ready and not node.unschedulable for node in self.nodes], dtype=np.bool_)
        amounts = [(node.pods, node.cpu_millis, node.memory_bytes, node.storage_bytes) for node in self.nodes]
        self.whole: Ints = np.array(amounts, dtype=np.int64).reshape(-1, len(KNOWN)).T
        self._masks: dict[_Question, Flags] = {}

    def open_to(self, shape: MemberShape) -> Flags:
        """The nodes that may run such a member, whatever is free on them."""
        question = (shape.node_selector, shape.terms, shape.tolerations, shape.storage_class)
        mask = self._masks.get(question)
        if mask is None:
            if len(self._masks) >= MOST_MASKS:
                self._masks.clear()
            mask = self._masks[question] = self.usable & np.array(
                [self._takes(node, shape) for node in self.nodes], dtype=np.bool_
            )
        return mask

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


@dataclass(frozen=True, slots=True)
class Load:
    """`count` pods with these amounts each, by the rows of KNOWN, for the nodes of the mask."""

    amounts: tuple[int, ...]
    mask: Flags
    count: int

    def fits(self, free: Ints) -> Ints:
        """How many of these pods each node takes."""
        counts: Ints = free[0].copy()
        for row, amount in enumerate(self.amounts):
            if row and amount:
                np.minimum(counts, free[row] // amount, out=counts)
        np.maximum(counts, 0, out=counts)
        counts[~self.mask] = 0
        return counts

    def take(self, free: Ints, taken: Ints) -> None:
        free[0] -= taken
        for row, amount in enumerate(self.amounts):
            if row and amount:
                free[row] -= amount * taken


def spread(free: Ints, load: Load, way: Callable[[Ints, int], Ints] = evenly) -> int:
    """Takes what the load needs off `free`, as far as it fits; how many of its pods found a node."""
    fits = load.fits(free)
    count = min(load.count, int(fits.sum()))
    if count:
        load.take(free, way(fits, count))
    return count


class NodeRooms:
    """A Rooms over nodes, of which `free` is what is left on each, by the rows of KNOWN.

    Members that are booked take room on the nodes that take them, evenly, and as tightly as possible where that does not do.
    Those that no node of the reading takes are not there and take nothing. Where the others do not fit together there is no
    more room at all. So whatever is placed by `fits`, one after the other, fits the nodes together.
    """

    __slots__ = ("_clash", "free", "nodes")

    def __init__(self, nodes: NodeSet, free: Ints, *, clash: bool = False) -> None:
        self.nodes = nodes
        self.free = free
        self._clash = clash

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
        loads = [self._load(shape, count) for shape, count in _ordered(booked)]
        loads = [replace(load, count=min(load.count, int(load.fits(self.free).sum()))) for load in loads]
        loads = [load for load in loads if load.count]
        if not loads or self._clash:
            return self
        loads.sort(key=lambda load: int(load.mask.sum()))
        for way in (evenly, tightly):
            free = self.free.copy()
            if all(spread(free, load, way) == load.count for load in loads):
                return NodeRooms(self.nodes, free)
        return NodeRooms(self.nodes, self.free, clash=True)

    def fits(self, shape: MemberShape) -> int | None:
        if any(name not in KNOWN for name, _ in shape.request):
            return None
        if self._clash:
            return 0
        counts = self._load(shape).fits(self.free)
        return int(np.count_nonzero(counts)) if shape.alone else int(counts.sum())

    def why_not(self, shape: MemberShape) -> str:
        if self._clash:
            return "what is placed there already, and has no pods yet, does not fit its nodes together"
        return refusal_of(self.nodes.nodes, self.free, shape, self.nodes.class_of(shape))

    def _load(self, shape: MemberShape, count: int = 1) -> Load:
        request = dict(shape.request)
        return Load((1, *(request.get(name, 0) for name in KNOWN[1:])), self.nodes.open_to(shape), count)


def _ordered(booked: Mapping[MemberShape, int]) -> list[tuple[MemberShape, int]]:
    """The largest first, since the small ones find a place between them; in an order that no history changes."""
    given = [(shape, count) for shape, count in booked.items() if count > 0]
    if len(given) > 1:
        given.sort(key=lambda one: ([-dict(one[0].request).get(name, 0) for name in KNOWN[1:]], repr(one[0])))
    return given
