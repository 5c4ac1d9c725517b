"""The clusters that carry nothing of an instance yet, the best one first, while its members are dealt.

Knows keys and which rows a member makes less wanted, and nothing of what either is made of.
"""

import numpy as np

from fedstate.scheduler.divisions import HEAVIEST
from fedstate.scheduler.slots import Column
from fedstate.scheduler.table import CLOSED, WEIGHT_SHIFT, Table


class Scan:
    """The rows that carry nothing yet, the best one first, while members are dealt. Owns its keys."""

    __slots__ = ("_keys", "_table")

    def __init__(self, table: Table, keys: Column) -> None:
        self._table = table
        self._keys = keys

    def weigh(self, weights: Column) -> None:
        """The heavier a row, the better, before anything else. Closed ones stay closed, whatever they weigh."""
        if self._table.vector:
            self._keys += (HEAVIEST - weights) << WEIGHT_SHIFT
        else:
            self._keys = [key + ((HEAVIEST - weight) << WEIGHT_SHIFT) for key, weight in zip(self._keys, weights, strict=True)]

    def open_rows(self) -> list[int]:
        if self._table.vector:
            rows: list[int] = np.flatnonzero(self._keys < CLOSED).tolist()
            return rows
        return [row for row, key in enumerate(self._keys) if key < CLOSED]

    def open_count(self) -> int:
        return int(np.count_nonzero(self._keys < CLOSED)) if self._table.vector else sum(key < CLOSED for key in self._keys)

    def best(self, *, weighed: bool = True) -> int | None:
        """The best open row, or None; without `weighed` by everything but the weights."""
        keys = self._keys
        if not self._table.names:
            return None
        if self._table.vector:
            if not weighed:
                keys = np.where(keys < CLOSED, keys & ((1 << WEIGHT_SHIFT) - 1), CLOSED)
            row = int(keys.argmin())
            return row if keys[row] < CLOSED else None
        if not weighed:
            keys = [key & ((1 << WEIGHT_SHIFT) - 1) if key < CLOSED else CLOSED for key in keys]
        least = min(keys)
        return keys.index(least) if least < CLOSED else None

    def close(self, row: int) -> None:
        self._keys[row] = CLOSED

    def crowd(self, row: int, members: int) -> None:
        """So many members more in this row make its failure domains less wanted."""
        keys = self._keys
        for where, step in self._table.crowds[row]:
            keys[where] += step * members

    def take(self, members: int) -> list[int]:
        """The best row, the best one after that, and so on, for one member each; fewer where no more rows are open.

        The last of so many has not made its failure domains less wanted yet: mostly nobody is dealt anything after it.
        """
        rows: list[int] = []
        keys, vector, crowds = self._keys, self._table.vector, self._table.crowds
        for _ in range(members if self._table.names else 0):
            if vector:
                row = int(keys.argmin())
                if keys.item(row) >= CLOSED:
                    break
            else:
                least = min(keys)
                if least >= CLOSED:
                    break
                row = keys.index(least)
            rows.append(row)
            keys[row] = CLOSED
            if len(rows) < members:
                for where, step in crowds[row]:
                    keys[where] += step
        return rows
