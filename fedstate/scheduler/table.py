"""The fleet in columns: what is free, what each cluster is worth, and what filters said of it, so that one pass over a few
arrays finds the best cluster.

Lists for small fleets, where they are faster, numpy from VECTOR_FROM clusters on; whole numbers in both, so that both say the
same. A key orders clusters that carry nothing of an instance: the least key is the best, CLOSED and more is no home.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from fedstate.api.placement import ClusterMembers
from fedstate.scheduler.amounts import PODS, Amounts
from fedstate.scheduler.capacity.rooms import MemberShape
from fedstate.scheduler.filters import Context
from fedstate.scheduler.profile import Profile
from fedstate.scheduler.scores import within
from fedstate.scheduler.slots import UNLIMITED, Column, Slots
from fedstate.scheduler.snapshot import ClusterSnapshot

VECTOR_FROM = 50

CROWD_SHIFT, WEIGHT_SHIFT = 14, 40
CLOSED = 1 << 62
MOST_POINTS = 10_000
MOST_KNOWN = 1 << 14
"""So many results are remembered before all of them are forgotten."""

Ints = npt.NDArray[np.int64]

Refusal = tuple[str, str] | None
Shares = tuple[int, ...]


PASSED = 255
ABSENT = -UNLIMITED
"""Free of a resource that the cluster does not have: whatever is booked or booked off, none of it is."""


Need = tuple[Column, int, Column]
"""A column, how much of it every member of a shape takes, and the column again for one row at a time: an array makes a number
object of its own for each that is read, and that costs more than the reading. A plain tuple is the quickest to take apart.
"""


class Shape:
    """What filters and cluster scores say of every row, for one set of an owner's wishes. Of a refusal only the filter is
    kept, and the rest from when somebody has asked for it.
    """

    __slots__ = ("_refused", "_refused_by", "constants", "context", "seen")

    def __init__(self, context: Context, table: "Table") -> None:
        self.context = context
        self._refused_by = bytearray(len(table.names))
        self._refused: dict[int, tuple[Refusal, int]] = {}
        self.constants: Column = table.column([0] * len(table.names))
        for row in range(len(table.names)):
            self._judge(row, table)
        self.seen = len(table.rejudged)

    def catch_up(self, table: "Table") -> None:
        """Judges anew the rows that have changed since."""
        for row in table.rejudged[self.seen :]:
            self._judge(row, table)
        self.seen = len(table.rejudged)

    def found(self, row: int, table: "Table") -> tuple[Refusal, int]:
        """Which filter refuses the row and why, and how much the owner's wishes like it."""
        if self._refused_by[row] == PASSED:
            return None, -int(self.constants[row])
        known = self._refused.get(row)
        if known is None:
            cluster, refusing = table.snapshots[row], table.profile.filters[self._refused_by[row]]
            words = refusing.rule(cluster, self.context) or ""
            known = self._refused[row] = (refusing.name, words), table.profile.liked(cluster, self.context)
        return known

    def _judge(self, row: int, table: "Table") -> None:
        cluster, profile = table.snapshots[row], table.profile
        index = next((at for at, each in enumerate(profile.filters) if each.rule(cluster, self.context) is not None), PASSED)
        self._refused_by[row] = index
        self._refused.pop(row, None)
        self.constants[row] = -profile.liked(cluster, self.context) if index == PASSED else CLOSED


class Table:
    """Rows in the order of the clusters' names. `reserved` tells what is to be taken off a cluster's free resources, and
    `booked` the same as members by their shapes.
    """

    def __init__(
        self,
        clusters: Sequence[ClusterSnapshot],
        reserved: Callable[[str], Amounts],
        booked: Callable[[str], Mapping[MemberShape, int]],
        profile: Profile,
        *,
        vector: bool | None = None,
    ) -> None:
        self.profile = profile
        self.vector = len(clusters) >= VECTOR_FROM if vector is None else vector
        self.snapshots = list(clusters)
        self.names = [cluster.name for cluster in clusters]
        self.rows = {name: row for row, name in enumerate(self.names)}
        self.rejudged: list[int] = []
        self.slots = Slots(lambda row: booked(self.names[row]), lambda: self.column([UNLIMITED] * len(clusters)))
        self.points: Column = self.column([0] * len(clusters))
        self._points = self.each(self.points)
        self._reserved = reserved
        self._scorers = [(score.score, weight) for score, weight in profile.resource_scores]
        self._known_points: dict[Shares, int] = {}
        self._unknown = profile.resourced(None)
        self.worth = profile.worth
        self._counted: list[list[tuple[Column, int]]] = [[] for _ in clusters]
        self.singles = [ClusterMembers(cluster=name, members=1) for name in self.names]
        self.columns: dict[str, tuple[Column, Column]] = {}
        self._needs: dict[tuple[tuple[str, int], ...], list[Need]] = {}
        self.boundless: set[int] = set()
        self.podless: set[int] = set()
        for name in (PODS, *profile.resources):
            self._need(name, 1)
        for row in range(len(clusters)):
            self._measure(row)
        self._map_domains()

    def column(self, values: list[int]) -> Column:
        return np.array(values, dtype=np.int64) if self.vector else values

    def each(self, column: Column) -> Column:
        """The same numbers, for those who read or write one at a time."""
        return memoryview(column) if self.vector else column

    def update(self, cluster: ClusterSnapshot, *, verdicts: bool) -> None:
        """A cluster has changed; with `verdicts` in something that filters, scores or topologies may read."""
        row = self.rows[cluster.name]
        self.snapshots[row] = cluster
        self._measure(row)
        if verdicts:
            self.rejudged.append(row)
            self._domains_moved |= self.profile.domains(cluster) != self.domains[row]

    def settle(self) -> None:
        """After the last of several updates."""
        if self._domains_moved:
            self._map_domains()

    def charge(self, name: str, shape: MemberShape, members: int) -> None:
        """So many members more (or less) are to be taken off what the cluster has free."""
        row = self.rows.get(name)
        if row is None:
            return
        if self.slots.finer:
            self.slots.touch(row)
        for _, amount, each in self._needs.get(shape.request) or self._sums(shape):
            each[row] -= amount * members
        counted = self._counted[row]
        if counted:
            self._score(row, counted)

    def needs(self, shape: MemberShape) -> list[Need]:
        """The columns that one more member is taken off, and how much of each; one of them counts members, if anybody does."""
        found = self._needs.get(shape.request) or self._sums(shape)
        slots = self.slots.column(shape) if self.slots.finer else None
        return found if slots is None else [*found, (slots, 1, self.each(slots))]

    def _sums(self, shape: MemberShape) -> list[Need]:
        """The needs that sums tell of, of a shape that is not among the remembered ones."""
        if len(self._needs) >= MOST_KNOWN:
            self._needs.clear()
        found = [self._need(PODS, 1)]
        found += [self._need(name, amount) for name, amount in shape.request]
        self._needs[shape.request] = found
        return found

    def _need(self, name: str, amount: int) -> Need:
        if name not in self.columns:
            column = self.column([UNLIMITED if row in self.boundless else ABSENT for row in range(len(self.names))])
            self.columns[name] = column, self.each(column)
        column, each = self.columns[name]
        return column, amount, each

    def keys(self, shape: Shape, needs: Sequence[Need]) -> Column:
        """The keys of all rows, as if no cluster carried anything: closed to those refused, and where one member does not fit."""
        if self.vector:
            keys = self.points + shape.constants
            for column, amount, _ in needs:
                np.putmask(keys, column < amount, CLOSED)
            return keys
        if len(needs) == 3:  # pods, cpu and memory, nearly always
            (one, some, _), (two, more, _), (three, most, _) = needs
            return [
                points + constant if first >= some and second >= more and third >= most else CLOSED
                for points, constant, first, second, third in zip(self.points, shape.constants, one, two, three, strict=True)
            ]
        listed = [points + constant for points, constant in zip(self.points, shape.constants, strict=True)]
        for column, amount, _ in needs:
            listed = [key if left >= amount else CLOSED for key, left in zip(listed, column, strict=True)]
        return listed

    def capacities(self, needs: Sequence[Need], shape: MemberShape) -> Column:
        """How many members each row can take in all, where it carries none; UNLIMITED where there is no limit."""
        first, each_takes, _ = needs[0]
        least: Column = first // each_takes if self.vector else [left // each_takes for left in first]
        for column, amount, _ in needs[1:]:
            if self.vector:
                least = np.minimum(least, column // amount)
            else:
                least = [min(one, left // amount) for one, left in zip(least, column, strict=True)]
        for row in self.limitless(shape):
            finer = self._finer_room(row, shape)
            least[row] = UNLIMITED if finer is None else finer
        return least

    def room(self, row: int, needs: Sequence[Need], shape: MemberShape) -> int | None:
        """How many members one row can take, where it carries none; None where there is no limit."""
        return self.rooms((row,), needs, shape)[0]

    def rooms(self, rows: Sequence[int], needs: Sequence[Need], shape: MemberShape) -> list[int | None]:
        """The same of a few rows, of which each then is looked at by itself."""
        least: list[int]
        if len(needs) == 3:
            (_, some, one), (_, more, two), (_, most, three) = needs
            least = [min(one[row] // some, two[row] // more, three[row] // most) for row in rows]
        else:
            least = [min([each[row] // amount for _, amount, each in needs]) for row in rows]
        limitless = self.limitless(shape)
        if not limitless:
            return [room if room > 0 else 0 for room in least]
        return [self._finer_room(row, shape) if row in limitless else max(0, room) for row, room in zip(rows, least, strict=True)]

    def limitless(self, shape: MemberShape) -> set[int]:
        """The rows of which sums do not limit how many members they take."""
        return self.boundless if shape.request else self.boundless | self.podless

    def free(self, row: int) -> Amounts | None:
        """What is left in the row, by resource."""
        known = self.snapshots[row].free
        return None if known is None else {name: self.columns[name][1][row] for name in known}

    def scored(self, row: int, liked: int) -> int:
        return MOST_POINTS - int(self._points[row]) + liked

    def _finer_room(self, row: int, shape: MemberShape) -> int | None:
        return self.slots.of(row, shape) if self.slots.finer else None

    def _measure(self, row: int) -> None:
        """Reads the row's free resources anew."""
        cluster = self.snapshots[row]
        free = cluster.free
        self.boundless.discard(row)
        self.podless.discard(row)
        if free is None:
            self.boundless.add(row)
        elif PODS not in free:
            self.podless.add(row)
        self.slots.put(row, cluster.rooms)
        for name in free or ():
            self._need(name, 1)
        taken = self._reserved(cluster.name) if free is not None else {}
        for name, (_, each) in self.columns.items():
            missing = UNLIMITED if name == PODS or free is None else ABSENT
            each[row] = missing if free is None or name not in free else free[name] - taken.get(name, 0)
        self._counted[row] = []
        if free is None or cluster.allocatable is None:
            self._points[row] = MOST_POINTS - self._unknown
        else:
            whole = cluster.allocatable
            counted = [(self.columns[name][1], whole[name]) for name in self.profile.resources if whole.get(name, 0) > 0]
            self._counted[row] = counted
            self._score(row, counted)

    def _score(self, row: int, counted: list[tuple[Column, int]]) -> None:
        """As `Profile.resourced` of `free_shares`, which this repeats because it is asked for with every member placed.

        Equal shares are worth the same, and there are not many of them.
        """
        shares: Shares
        if len(counted) == 2:  # cpu and memory, nearly always
            (one, whole), (two, total) = counted
            left, rest = one[row], two[row]
            shares = 100 * left // whole if left > 0 else 0, 100 * rest // total if rest > 0 else 0
        else:
            shares = tuple([100 * left // whole if (left := each[row]) > 0 else 0 for each, whole in counted])
        points = self._known_points.get(shares)
        if points is None:
            if len(self._known_points) >= MOST_KNOWN:
                self._known_points.clear()
            points = MOST_POINTS - sum([weight * within(score(shares)) for score, weight in self._scorers])
            self._known_points[shares] = points
        self._points[row] = points

    def _map_domains(self) -> None:
        """Which rows a member in a row makes less wanted: those in the same domain, unless that is the row alone or all."""
        self._domains_moved = False
        known: dict[tuple[str, int], tuple[str, int]] = {}
        self.domains = [tuple([known.setdefault(one, one) for one in self.profile.domains(each)]) for each in self.snapshots]
        members: dict[tuple[str, int], list[int]] = {}
        for row, domains in enumerate(self.domains):
            for domain in domains:
                members.setdefault(domain, []).append(row)
        crowds: dict[tuple[str, int], list[tuple[Column, int]]] = {}
        for domain, rows in members.items():
            if 1 < len(rows) < len(self.snapshots):
                where = [np.array(rows, dtype=np.intp)] if self.vector else rows
                crowds[domain] = [(each, domain[1] << CROWD_SHIFT) for each in where]
        self.crowds = [_together([crowds[domain] for domain in domains if domain in crowds]) for domains in self.domains]


def _together(crowds: Sequence[list[tuple[Column, int]]]) -> list[tuple[Column, int]]:
    """Where a member of a row is felt and how much: by arrays of rows, or by rows of which each is named once."""
    found = [one for crowd in crowds for one in crowd]
    if found and isinstance(found[0][0], int):
        steps: dict[int, int] = {}
        for row, step in found:
            steps[row] = steps.get(row, 0) + step
        return list(steps.items())
    return found
