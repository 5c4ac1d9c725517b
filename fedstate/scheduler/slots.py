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


class _Kept:
    """The column of a shape, how much of what has moved it has seen, and its place among the shapes that are asked for together."""

    __slots__ = ("at", "column", "seen")

    def __init__(self, column: Column) -> None:
        self.column = column
        self.seen = 0
        self.at: int | None = None


class Slots:
    """`booked` tells what is booked in a row; `blank` makes a column of UNLIMITED; `finer` are the readings, by their rows."""

    __slots__ = ("_answers", "_beside", "_blank", "_booked", "_kept", "_moved", "_together", "finer")

    def __init__(self, booked: Callable[[int], Mapping[MemberShape, int]], blank: Callable[[], Column]) -> None:
        self._booked = booked
        self._blank = blank
        self.finer: dict[int, Rooms] = {}
        self._beside: dict[int, Rooms] = {}
        self._answers: dict[int, list[int | None]] = {}
        self._kept: OrderedDict[MemberShape, _Kept] = OrderedDict()
        self._together: tuple[MemberShape, ...] = ()
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
            self._answers.pop(row, None)
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
            self._kept.clear()
            self._moved.clear()
        kept = self._kept.get(shape)
        if kept is None:
            if len(self._kept) >= MOST_COLUMNS:
                self._kept.popitem(last=False)
            kept = self._kept[shape] = _Kept(self._blank())
            self._fill(kept, self.finer, shape)
        elif kept.seen < len(self._moved):
            if kept.at is None and shape.instance is None:
                self._ask_together()
            self._fill(kept, dict.fromkeys(self._moved[kept.seen :]), shape)
        self._kept.move_to_end(shape)
        kept.seen = len(self._moved)
        return kept.column

    def _ask_together(self) -> None:
        """Once one is asked for a second time, others will be too, and a row that has moved is asked for all of these at once.

        Not so the shapes that are one instance's own.
        """
        known = [(shape, kept) for shape, kept in self._kept.items() if shape.instance is None]
        for at, (_, kept) in enumerate(known):
            kept.at = at
        self._together = tuple([shape for shape, _ in known])
        self._answers.clear()

    def _fill(self, kept: _Kept, rows: Mapping[int, object], shape: MemberShape) -> None:
        column, at = kept.column, kept.at
        for row in rows:
            answers = None if at is None else self._answered(row)
            fits = self.of(row, shape) if answers is None or at is None else answers[at]
            column[row] = UNLIMITED if fits is None else min(fits, UNLIMITED)

    def _answered(self, row: int) -> list[int | None] | None:
        """By the places of shapes; None of a row that has to be asked for one after the other."""
        answers = self._answers.get(row)
        if answers is None:
            each = getattr(self.rooms(row), "fits_each", None)
            if each is not None:
                answers = self._answers[row] = each(self._together)
        return answers
