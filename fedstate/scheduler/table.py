"""The fleet in columns: what is free, what each cluster is worth, and what filters said of it, so that one pass over a few
arrays finds the best cluster.

Lists for small fleets, where they are faster, numpy from VECTOR_FROM clusters on; whole numbers in both, so that both say the
same. A key orders clusters that carry nothing of an instance: the least key is the best, CLOSED and more is no home.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import add

import numpy as np
import numpy.typing as npt

from fedstate.api.placement import ClusterMembers
from fedstate.scheduler.amounts import PODS, Amounts
from fedstate.scheduler.capacity.rooms import MemberShape
from fedstate.scheduler.divisions import HEAVIEST
from fedstate.scheduler.filters import Context
from fedstate.scheduler.profile import Profile
from fedstate.scheduler.scores import MOST, within
from fedstate.scheduler.slots import UNLIMITED, Column, Slots
from fedstate.scheduler.snapshot import ClusterSnapshot

VECTOR_FROM = 50

CROWD_SHIFT, WEIGHT_SHIFT = 14, 40
CLOSED = 1 << 62
MOST_POINTS = 10_000

Ints = npt.NDArray[np.int64]

Refusal = tuple[str, str] | None


PASSED = 255


class Shape:
    """What filters and cluster scores say of every row, for one set of an owner's wishes. Of a refusal only the filter is
    kept: its words are asked for anew when somebody wants to read them.
    """

    __slots__ = ("_refused_by", "constants", "context", "seen")

    def __init__(self, context: Context, table: "Table") -> None:
        self.context = context
        self._refused_by = bytearray(len(table.names))
        self.constants: Column = table.column([0] * len(table.names))
        for row in range(len(table.names)):
            self._judge(row, table)
        self.seen = len(table.rejudged)

    def catch_up(self, table: "Table") -> None:
        """Judges anew the rows that have changed since."""
        for row in table.rejudged[self.seen :]:
            self._judge(row, table)
        self.seen = len(table.rejudged)

    def refusal(self, row: int, table: "Table") -> Refusal:
        index = self._refused_by[row]
        if index == PASSED:
            return None
        refusing = table.profile.filters[index]
        return refusing.name, refusing.rule(table.snapshots[row], self.context) or ""

    def liked(self, row: int, table: "Table") -> int:
        if self._refused_by[row] == PASSED:
            return -int(self.constants[row])
        return table.profile.liked(table.snapshots[row], self.context)

    def _judge(self, row: int, table: "Table") -> None:
        cluster, profile = table.snapshots[row], table.profile
        index = next((at for at, each in enumerate(profile.filters) if each.rule(cluster, self.context) is not None), PASSED)
        self._refused_by[row] = index
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
        self.free: list[dict[str, int] | None] = [None] * len(clusters)
        self.points: Column = self.column([0] * len(clusters))
        self.columns: dict[str, Column] = {PODS: self.column([0] * len(clusters))}
        self._reserved = reserved
        self._scorers = [(score.score, weight) for score, weight in profile.resource_scores]
        self._unknown = profile.resourced(None)
        self.weight, self.bonus = profile.total_weight, profile.bonus
        self._counted: list[list[tuple[str, int]]] = [[] for _ in clusters]
        self.singles = [ClusterMembers(cluster=name, members=1) for name in self.names]
        for row in range(len(clusters)):
            self._measure(row)
        self._map_domains()

    def column(self, values: list[int]) -> Column:
        return np.array(values, dtype=np.int64) if self.vector else values

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
        self.slots.touch(row)
        free = self.free[row]
        if free is None:
            return
        columns = self.columns
        if PODS in free:
            columns[PODS][row] = free[PODS] = free[PODS] - members
        for resource, amount in shape.request:
            if resource in free and resource != PODS:
                left = free[resource] = free[resource] - amount * members
                column = columns.get(resource)
                if column is not None:
                    column[row] = left
        if self.snapshots[row].allocatable is not None:
            self._score(row, free)

    def needs(self, shape: MemberShape) -> list[tuple[Column, int]]:
        """The columns that one more member is taken off, and how much of each; one of them counts members, if anybody does."""
        found = [(self.columns[PODS], 1)]
        for name, amount in shape.request:
            column = self.columns.get(name)
            if column is None:
                free = ((UNLIMITED if row is None else row.get(name, 0)) for row in self.free)
                column = self.columns[name] = self.column(list(free))
            found.append((column, amount))
        slots = self.slots.column(shape)
        return found if slots is None else [*found, (slots, 1)]

    def keys(self, shape: Shape, needs: Sequence[tuple[Column, int]]) -> Column:
        """The keys of all rows, as if no cluster carried anything: closed to those refused, and where one member does not fit."""
        if self.vector:
            keys = self.points + shape.constants
            for column, amount in needs:
                np.putmask(keys, column < amount, CLOSED)
            return keys
        listed = list(map(add, self.points, shape.constants))
        if len(needs) == 3:  # pods, cpu and memory, nearly always
            (one, some), (two, more), (three, most) = needs
            return [
                key if first >= some and second >= more and third >= most else CLOSED
                for key, first, second, third in zip(listed, one, two, three, strict=True)
            ]
        for column, amount in needs:
            listed = [key if left >= amount else CLOSED for key, left in zip(listed, column, strict=True)]
        return listed

    def capacities(self, needs: Sequence[tuple[Column, int]], shape: MemberShape) -> list[int | None]:
        """How many members each row can take in all, where it carries none; None where there is no limit."""
        least: Column = needs[0][0] // needs[0][1] if self.vector else [left // needs[0][1] for left in needs[0][0]]
        for column, amount in needs[1:]:
            if self.vector:
                least = np.minimum(least, column // amount)
            else:
                least = [min(one, left // amount) for one, left in zip(least, column, strict=True)]
        values: list[int | None] = least.tolist() if self.vector else least
        slots = self.slots.column(shape)
        for row, free in enumerate(self.free):
            if free is None or (not shape.request and PODS not in free):
                values[row] = None if slots is None or slots[row] >= UNLIMITED else int(slots[row])
        return values

    def scored(self, row: int, shape: Shape) -> int:
        return MOST_POINTS - int(self.points[row]) + shape.liked(row, self)

    def _measure(self, row: int) -> None:
        """Reads the row's free resources anew."""
        cluster = self.snapshots[row]
        free = None
        if cluster.free is not None:
            taken = self._reserved(cluster.name)
            free = {name: amount - taken.get(name, 0) for name, amount in cluster.free.items()}
        self.free[row] = free
        self.slots.put(row, cluster.rooms)
        for name, column in self.columns.items():
            missing = UNLIMITED if name == PODS else 0
            column[row] = UNLIMITED if free is None else free.get(name, missing)
        if free is None or cluster.allocatable is None:
            self.points[row] = MOST_POINTS - self._unknown
        else:
            whole = cluster.allocatable
            self._counted[row] = [(name, whole[name]) for name in self.profile.resources if whole.get(name, 0) > 0]
            self._score(row, free)

    def _score(self, row: int, free: dict[str, int]) -> None:
        """As `Profile.resourced` of `free_shares`, which this repeats because it is asked for with every member placed."""
        shares = [100 * left // whole if (left := free.get(name, 0)) > 0 else 0 for name, whole in self._counted[row]]
        points = MOST_POINTS
        for score, weight in self._scorers:
            value = score(shares)
            points -= weight * (value if 0 <= value <= MOST else within(value))
        self.points[row] = points

    def _map_domains(self) -> None:
        """Which rows a member in a row makes less wanted: those in the same domain, unless that is the row alone or all."""
        self._domains_moved = False
        known: dict[tuple[str, int], tuple[str, int]] = {}
        self.domains = [tuple([known.setdefault(one, one) for one in self.profile.domains(each)]) for each in self.snapshots]
        members: dict[tuple[str, int], list[int]] = {}
        for row, domains in enumerate(self.domains):
            for domain in domains:
                members.setdefault(domain, []).append(row)
        crowds: dict[tuple[str, int], tuple[Column, int]] = {
            domain: (np.array(rows, dtype=np.intp) if self.vector else rows, domain[1] << CROWD_SHIFT)
            for domain, rows in members.items()
            if 1 < len(rows) < len(self.snapshots)
        }
        self.crowds = [tuple([crowds[domain] for domain in domains if domain in crowds]) for domains in self.domains]


class Scan:
    """The rows that carry nothing yet, the best one first, while members are dealt. Owns its keys."""

    __slots__ = ("_keys", "_table")

    def __init__(self, table: Table, keys: Column) -> None:
        self._table = table
        self._keys = keys

    def weigh(self, weights: Mapping[int, int]) -> None:
        """The heavier a row, the better, before anything else. Rows not named weigh nothing and are closed anyway."""
        if self._table.vector:
            rows = np.fromiter(weights.keys(), dtype=np.intp, count=len(weights))
            heavy = np.fromiter(weights.values(), dtype=np.int64, count=len(weights))
            self._keys[rows] += (HEAVIEST - heavy) << WEIGHT_SHIFT
        else:
            for row, weight in weights.items():
                self._keys[row] += (HEAVIEST - weight) << WEIGHT_SHIFT

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
        keys, vector = self._keys, self._table.vector
        for rows, step in self._table.crowds[row]:
            more = step * members
            if vector:
                keys[rows] += more
            else:
                for near in rows:
                    keys[near] += more

    def take(self, members: int) -> list[int]:
        """The best row, the best one after that, and so on, for one member each; fewer where no more rows are open."""
        rows: list[int] = []
        keys, vector = self._keys, self._table.vector
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
                self.crowd(row, 1)
        return rows
