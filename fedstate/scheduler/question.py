"""One demand over the columns of a fleet: who gets its members, and what of that is worth telling.

Decides as `decision.decide` does, but asks no cluster that carries nothing of the instance for more than its key.
"""

from collections.abc import Sequence

import numpy as np

from fedstate.api.placement import ClusterMembers, Placement
from fedstate.scheduler.assignment import Assignment, Candidate, Division
from fedstate.scheduler.decision import (
    Decision,
    Left,
    Verdict,
    candidate_of,
    concluded,
    first_is_anew,
    gone,
    judged,
    unfit,
)
from fedstate.scheduler.divisions import HEAVIEST
from fedstate.scheduler.middleware import Demand
from fedstate.scheduler.quorum import ENOUGH_CLUSTERS
from fedstate.scheduler.scan import Scan
from fedstate.scheduler.slots import UNLIMITED, Column
from fedstate.scheduler.table import Shape, Table

TOLD, TOLD_OF_FAILURE = 12, 20
"""So many verdicts are told, if not more clusters than that carry or will carry members."""


class Question:
    """One demand over one table, of which nothing changes meanwhile."""

    __slots__ = ("_carriers", "_demand", "_keys", "_needs", "_shape", "_table")

    def __init__(self, table: Table, shape: Shape, demand: Demand) -> None:
        self._table = table
        self._shape = shape
        self._demand = demand
        self._needs = table.needs(demand.shape)
        self._keys = table.keys(shape, self._needs)
        self._carriers: list[Verdict] = []
        if demand.current is not None:
            current = demand.current.members
            self._carriers = [self._carrier(name, count) for name, count in sorted(current.items())]

    def answer(self, *, explain: bool) -> Decision:
        demand = self._demand
        decision = first_is_anew(demand, concluded(demand, self._table.profile, self._carriers, self._assigned))
        return self._told(decision) if explain else decision

    def room(self) -> int | None:
        """How many members like those of the demand all clusters together still take; None where there is no limit."""
        table, demand = self._table, self._demand
        most, carried = demand.spread.max_members_per_cluster, demand.current.members if demand.current is not None else {}
        rows, total = Scan(table, self._keys).open_rows(), 0
        for row, room in zip(rows, table.rooms(rows, self._needs, demand.shape), strict=True):
            if most is not None:
                left = max(0, most - carried.get(table.names[row], 0))
                room = left if room is None else min(room, left)
            if room is None:
                return None
            total += room
        return total

    def _scan(self) -> Scan:
        """The rows that carry nothing, by their keys."""
        scan = Scan(self._table, self._keys.copy())
        for verdict in self._carriers:
            if verdict.snapshot is not None:
                scan.close(self._table.rows[verdict.cluster])
        return scan

    def _assigned(self, leaving: frozenset[str]) -> Assignment:
        demand, table, scan = self._demand, self._table, self._scan()
        if self._carriers or not table.profile.divide[demand.mode].even:
            return self._dealt(scan, [], leaving)
        rows = scan.take(demand.members)
        if demand.arbiter:
            if len(rows) == demand.members:
                scan.crowd(rows[-1], 1)
            return self._dealt(scan, rows, leaving)
        rows.sort()
        if len(rows) < demand.members:
            return self._filled(rows)
        return Assignment(Placement(clusters=tuple([table.singles[row] for row in rows])), 0)

    def _filled(self, rows: Sequence[int]) -> Assignment:
        """One member for each of these rows, and all further ones for them too, as there are no others. Where all weigh the same,
        the least count is also furthest below its share and furthest from the limit of votes.
        """
        table, demand, keys = self._table, self._demand, self._keys
        if not rows:
            return Assignment(Placement(clusters=()), demand.members)
        most = [demand.members if room is None else room for room in self._rooms(rows)]
        if sum(most) < demand.members:
            return Assignment(Placement(clusters=()), demand.members - sum(most))
        counts, crowds = [1] * len(rows), dict[str, int]()
        for row in rows:
            for domain, weight in table.domains[row]:
                crowds[domain] = crowds.get(domain, 0) + weight
        for _ in range(demand.members - len(rows)):
            standings = [
                (counts[at], sum([crowds[domain] for domain, _ in table.domains[row]]), keys[row], at)
                for at, row in enumerate(rows)
                if counts[at] < most[at]
            ]
            taker = min(standings)[-1]
            counts[taker] += 1
            for domain, weight in table.domains[rows[taker]]:
                crowds[domain] += weight
        placed = [
            table.singles[row] if count == 1 else ClusterMembers(cluster=table.names[row], members=count)
            for row, count in zip(rows, counts, strict=True)
        ]
        return Assignment(Placement(clusters=tuple(placed)), 0)

    def _dealt(self, scan: Scan, rows: Sequence[int], leaving: frozenset[str]) -> Assignment:
        """Dealing in general, to clusters that carry members and to those that carry none; `rows` have got one each already, the
        scan knows.
        """
        demand, profile = self._demand, self._table.profile
        candidates = [candidate_of(verdict, demand, profile, leaving) for verdict in self._carriers]
        usable = sum([candidate.usable for candidate in candidates]) + len(rows) + scan.open_count()
        cap = demand.quorum.limit(demand.members + int(demand.arbiter)) if usable >= ENOUGH_CLUSTERS else None
        weights = self._weights(scan)
        division = Division(candidates, cap)
        division.shrink(demand.members)
        for candidate in candidates:
            row = self._table.rows.get(candidate.name)
            if row is not None and division.counts[candidate.name]:
                scan.crowd(row, division.counts[candidate.name])
        for row in rows:
            self._deal(row, 1, division)
        while division.total < demand.members:
            taker, best = division.next_taker(), scan.best()
            weight = 1 if weights is None or best is None else int(weights[best])
            if best is not None and (taker is None or self._goes_first(best, weight, taker, division)):
                self._deal(best, weight, division)
                scan.close(best)
                scan.crowd(best, 1)
            elif taker is not None:
                division.change(taker, 1)
                if taker in self._table.rows:
                    scan.crowd(self._table.rows[taker], 1)
            else:
                break
        home = self._arbiter_home(division, scan) if demand.arbiter else None
        counts = division.counts if home is None else {home: 0, **division.counts}
        return Assignment(
            placement=Placement.of(dict(sorted(counts.items())), home),
            missing=demand.members - division.total,
            arbiter_missing=demand.arbiter and home is None,
        )

    def _weights(self, scan: Scan) -> Column | None:
        """The weight of every row; the scan goes by them from now on. None where all weigh one."""
        table, demand = self._table, self._demand
        divide, most = table.profile.divide[demand.mode], demand.spread.max_members_per_cluster
        if divide.even:
            return None
        capacities, unlimited = table.capacities(self._needs, demand.shape), UNLIMITED if most is None else most
        weights: Column
        if divide.by_capacity and table.vector:
            limited = np.minimum(capacities, unlimited)
            weights = np.where(limited >= UNLIMITED, demand.members, limited).clip(1, HEAVIEST)
        else:
            values = [1] * len(table.names)
            for row in scan.open_rows():
                capacity = min(int(capacities[row]), unlimited)
                values[row] = divide.weight(table.snapshots[row], None if capacity >= UNLIMITED else capacity, demand.members)
            weights = table.column(values)
        scan.weigh(weights)
        return weights

    def _deal(self, row: int, weight: int, division: Division) -> None:
        candidate = self._newcomer(row, weight)
        division.add(candidate)
        division.change(candidate.name, 1)

    def _newcomer(self, row: int, weight: int) -> Candidate:
        table = self._table
        return Candidate(
            name=table.names[row],
            current=0,
            room=self._rooms((row,))[0],
            score=table.scored(row, self._shape.found(row, table)[1]),
            weight=weight,
            domains=table.domains[row],
            ready=table.snapshots[row].ready,
        )

    def _rooms(self, rows: Sequence[int]) -> list[int | None]:
        """How many members each of these rows takes, of which none carries any."""
        most = self._demand.spread.max_members_per_cluster
        rooms = self._table.rooms(rows, self._needs, self._demand.shape)
        return rooms if most is None else [most if room is None else min(room, most) for room in rooms]

    def _goes_first(self, row: int, weight: int, taker: str, division: Division) -> bool:
        if not weight > 1 and division.counts[taker] and division.candidates[taker].weight == 1:
            return True
        newcomer = self._newcomer(row, weight)
        return division.standing(newcomer, 0) < division.standing(division.candidates[taker], division.counts[taker])

    def _arbiter_home(self, division: Division, scan: Scan) -> str | None:
        current = self._demand.current.arbiter_cluster if self._demand.current is not None else None
        home = division.arbiter_home(current)
        row = scan.best(weighed=False)
        if row is None or (home is not None and home == current):
            return home
        newcomer = self._newcomer(row, 1)
        if home is None or division.arbiter_standing(newcomer) < division.arbiter_standing(division.candidates[home]):
            return newcomer.name
        return home

    def _carrier(self, name: str, count: int) -> Verdict:
        row = self._table.rows.get(name)
        return gone(name, self._demand, count) if row is None else self._verdict(row, count)

    def _verdict(self, row: int, carried: int | None) -> Verdict:
        return self._judged(row, carried, self._table.room(row, self._needs, self._demand.shape))

    def _judged(self, row: int, carried: int | None, room: int | None) -> Verdict:
        table, demand = self._table, self._demand
        refusal, liked = self._shape.found(row, table)
        if refusal is None and room == 0:
            refusal = unfit(carried, Left(table.free(row), table.slots.rooms(row)), demand)
        return judged(table.snapshots[row], demand, carried, (refusal, table.scored(row, liked), room), table.worth)

    def _told(self, decision: Decision) -> Decision:
        """With the verdicts on clusters that carry or will carry members, the first feasible ones and the first by name."""
        table, scan = self._table, self._scan()
        carried = {verdict.cluster for verdict in self._carriers}
        placed = decision.placement.clusters if decision.placement is not None else ()
        rows = {table.rows[entry.cluster] for entry in placed if entry.cluster in table.rows}
        if decision.complete:
            first, feasible = TOLD - len(rows), scan.open_count()
            rows.update([row for row in range(min(TOLD, len(table.names))) if row not in rows][: max(0, first)])
        else:
            open_rows = scan.open_rows()
            rows.update(range(min(TOLD_OF_FAILURE, len(table.names))), open_rows[:TOLD_OF_FAILURE])
            feasible = len(open_rows)
        told = [row for row in sorted(rows) if table.names[row] not in carried]
        rooms = table.rooms(told, self._needs, self._demand.shape)
        verdicts = [self._judged(row, None, room) for row, room in zip(told, rooms, strict=True)]
        return decision._replace(
            verdicts=(*verdicts, *self._carriers),
            total=len(table.names) + sum([verdict.snapshot is None for verdict in self._carriers]),
            feasible=feasible + sum([verdict.feasible for verdict in self._carriers]),
        )
