"""The rows of a table of which there is a finer reading than sums: how many members each takes beside what is booked there.

By shape of member one column, kept up to date where something moved. A table without any such reading pays nothing for it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from fedstate.scheduler.capacity.rooms import MemberShape, Rooms

UNLIMITED = 1 << 60
MOST_COLUMNS = 64
MOST_MOVED = 20_000

Column = Any
"""list[int] or an array of int64, alike throughout a table."""


class Slots:
    """`booked` tells what is booked in a row; `blank` makes a column of UNLIMITED; `finer` are the readings, by their rows."""

    __slots__ = ("_beside", "_blank", "_booked", "_columns", "_moved", "finer")

    def __init__(self, booked: Callable[[int], Mapping[MemberShape, int]], blank: Callable[[], Column]) -> None:
        self._booked = booked
        self._blank = blank
        self.finer: dict[int, Rooms] = {}
        self._beside: dict[int, Rooms] = {}
        self._columns: OrderedDict[MemberShape, tuple[Column, int]] = OrderedDict()
        self._moved: list[int] = []

    def put(self, row: int, rooms: Rooms | None) -> None:
        """The row is read anew; None if sums are all that is known of it."""
        self.touch(row)
        if rooms is not None:
            self.finer[row] = rooms
            self.touch(row)
        else:
            self.finer.pop(row, None)

    def touch(self, row: int) -> None:
        """Something else is booked in the row."""
        if row in self.finer:
            self._beside.pop(row, None)
            self._moved.append(row)

    def rooms(self, row: int) -> Rooms | None:
        """What is left in the row."""
        left = self._beside.get(row)
        if left is None and row in self.finer:
            left = self._beside[row] = self.finer[row].beside(self._booked(row))
        return left

    def of(self, row: int, shape: MemberShape) -> int | None:
        """How many members of the shape the row takes; None if its sums have to say."""
        rooms = self.rooms(row)
        return None if rooms is None else rooms.fits(shape)

    def column(self, shape: MemberShape) -> Column | None:
        """The same of all rows, UNLIMITED where sums have to say; None if they have to everywhere."""
        if not self.finer:
            return None
        if len(self._moved) > MOST_MOVED:
            self._columns.clear()
            self._moved.clear()
        known = self._columns.get(shape)
        if known is None:
            if len(self._columns) >= MOST_COLUMNS:
                self._columns.popitem(last=False)
            column = self._blank()
            self._fill(column, self.finer, shape)
        else:
            column, seen = known
            self._columns.move_to_end(shape)
            if seen < len(self._moved):
                self._fill(column, dict.fromkeys(self._moved[seen:]), shape)
        self._columns[shape] = column, len(self._moved)
        return column

    def _fill(self, column: Column, rows: Mapping[int, object], shape: MemberShape) -> None:
        for row in rows:
            fits = self.of(row, shape)
            column[row] = UNLIMITED if fits is None else min(fits, UNLIMITED)
