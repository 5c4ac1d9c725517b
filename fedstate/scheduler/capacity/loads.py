"""What pods take off nodes, and how many of them nodes take. Pure arithmetic over tables of amounts, a row for each of KNOWN."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fedstate.scheduler.amounts import CPU, PODS
from fedstate.scheduler.capacity.arranging import Ints

KNOWN = (PODS, CPU, "memory", "ephemeral-storage")
"""The resources of which a node's record tells; the rows of all tables of amounts here."""

_BEYOND = 1 << 40
"""More pods than any node takes."""

Flags = npt.NDArray[np.bool_]
Needs = tuple[tuple[int, int], ...]


class Load(NamedTuple):
    """A kind of pod, by what it takes off a node: amounts of the rows of KNOWN, on the nodes of the mask (None: on any).

    `single`: no two of these pods share a node. `known` is whether this is all that it takes; `order` is where it comes when
    several kinds are laid onto nodes. Made by `load_of`.
    """

    needs: Needs
    rows: slice | list[int]
    """Those of KNOWN that it takes any of; a slice where they are the first ones, since that copies nothing."""
    amounts: Ints
    mask: Flags | None
    single: bool
    known: bool
    order: tuple[object, ...]

    def fits(self, free: Ints) -> Ints:
        """How many of these pods each node takes, of which nothing that is free is less than 0."""
        return self._fits(free[self.rows])

    def spread(self, free: Ints, count: int, way: Callable[[Ints, int], tuple[Ints, int]]) -> tuple[Ints, int]:
        """Takes what so many pods need off `free`, as far as they fit; how many are on each node, and on all."""
        part = free[self.rows]
        taken, number = way(self._fits(part), count)
        part -= self.amounts * taken
        if isinstance(self.rows, list):
            free[self.rows] = part
        return taken, number

    def _fits(self, part: Ints) -> Ints:
        counts: Ints = np.minimum.reduce(part // self.amounts)
        if self.mask is not None:
            counts *= self.mask
        if self.single:
            np.minimum(counts, 1, out=counts)
        return counts


def needs_of(amounts: Iterable[int]) -> Needs:
    """By row of KNOWN, of amounts in the order of its rows without the first one, pods, of which every pod takes one."""
    return tuple((row, amount) for row, amount in enumerate(amounts, 1) if amount > 0)


def load_of(
    needs: Needs, mask: Flags | None, *, single: bool = False, known: bool = True, order: tuple[object, ...] = ()
) -> Load:
    rows, amounts = _table_of(needs)
    return Load(needs, rows, amounts, mask, single, known, order)


@lru_cache(1024)
def _table_of(needs: Needs) -> tuple[slice | list[int], Ints]:
    """The same for all clusters."""
    rows = [0, *(row for row, _ in needs)]
    amounts = np.array([[1], *([amount] for _, amount in needs)], dtype=np.int64)
    amounts.flags.writeable = False
    return slice(len(rows)) if rows == list(range(len(rows))) else rows, amounts


class Loads:
    """Several kinds of pods, of which `fits` is asked at once: each step for all of them costs about as much as for one."""

    __slots__ = ("_masks", "_most", "_needs")

    def __init__(self, loads: Sequence[Load]) -> None:
        asked = [dict(load.needs) for load in loads]
        self._most: Ints = np.array([[1 if load.single else _BEYOND] for load in loads], dtype=np.int64)
        # Of what a kind takes nothing of, it fits as often as anybody asks.
        self._needs: list[tuple[int, Ints, Ints]] = [
            (
                row,
                np.array([[amounts.get(row, 1)] for amounts in asked], dtype=np.int64),
                np.array([[0 if row in amounts else _BEYOND] for amounts in asked], dtype=np.int64),
            )
            for row in sorted({row for amounts in asked for row in amounts})
        ]
        masks = [load.mask for load in loads if load.mask is not None]
        self._masks: Flags | None = None
        if masks:
            everywhere = np.ones_like(masks[0])
            self._masks = np.array([everywhere if load.mask is None else load.mask for load in loads], dtype=np.bool_)

    def fits(self, free: Ints) -> list[int]:
        """How many pods of each kind all nodes together take, of that kind alone."""
        counts: Ints = np.minimum(free[0], self._most)
        for row, amounts, beyond in self._needs:
            np.minimum(counts, free[row] // amounts + beyond, out=counts)
        if self._masks is not None:
            counts *= self._masks
        found: list[int] = counts.sum(axis=1).tolist()
        return found
