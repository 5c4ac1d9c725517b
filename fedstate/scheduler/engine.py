"""Decisions as the scheduler takes them: those of `decision.decide`, from columns that are kept up to date.

Everything about the clusters is counted anew in every decision, but a cluster that carries nothing of the instance costs one
entry of a few arrays; only those that carry members are looked at one by one.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from datetime import UTC, datetime

from fedstate.api.placement import Placement
from fedstate.kube.resources import Resource
from fedstate.scheduler.amounts import Amounts
from fedstate.scheduler.assignment import Assignment, Candidate, Division
from fedstate.scheduler.capacity.rooms import MemberShape
from fedstate.scheduler.decision import (
    Decision,
    Left,
    Verdict,
    View,
    awaited_of,
    candidate_of,
    concluded,
    context_of,
    decide,
    first_is_anew,
    gone,
    judged,
)
from fedstate.scheduler.ledger import Ledger
from fedstate.scheduler.middleware import Demand
from fedstate.scheduler.profile import Profile
from fedstate.scheduler.quorum import ENOUGH_CLUSTERS
from fedstate.scheduler.snapshot import ClusterSnapshot, Fleet
from fedstate.scheduler.table import Scan, Shape, Table

MOST_SHAPES = 64
MOST_REJUDGED = 20_000
_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)
TOLD, TOLD_OF_FAILURE = 12, 20
"""Verdicts on so many clusters are told, beside those on clusters that carry members."""


class Engine:
    """Decides over one fleet and its ledger, and hears of every change of both. `vector` is for tests."""

    def __init__(self, fleet: Fleet, ledger: Ledger, profile: Profile, *, vector: bool | None = None) -> None:
        self.profile = profile
        self._fleet = fleet
        self._ledger = ledger
        self._vector = vector
        self._now = 0.0
        self._shapes: OrderedDict[Hashable, Shape] = OrderedDict()
        self._table = Table((), self._reserved, ledger.booked, profile, vector=vector)
        self._begun = False
        ledger.on_change = self.charge

    def decide(
        self, demand: Demand, template: Resource, *, now: float, today: datetime | None = None, explain: bool = False
    ) -> Decision:
        """What `decision.decide` would decide at this moment; with `explain`, with the verdicts that are worth telling."""
        self._sync(now)
        if today is not None and (expected := self._fleet.expected(today)) and awaited_of(demand, expected):
            return decide(demand, template, self.view(now, today), self.profile)
        if demand.rebalance and demand.current is not None:
            # Seldom asked for, and every cluster counts.
            return decide(demand, template, self.view(now, today or _END_OF_TIME), self.profile)
        return _Question(self._table, self._shape(demand, template), demand).answer(explain=explain)

    def cluster(self, name: str) -> ClusterSnapshot | None:
        """The cluster as decisions see it now."""
        return self._fleet.get(name)

    def room(self, demand: Demand, template: Resource, *, now: float) -> int | None:
        """How many members like those of the demand all clusters together still take; None where there is no limit."""
        self._sync(now)
        return _Question(self._table, self._shape(demand, template), demand).room()

    def view(self, now: float, today: datetime) -> View:
        """All of what a decision rests on, for the plain form of it."""
        clusters = self._fleet.clusters
        return View(
            clusters=clusters,
            vip_owners=self._fleet.vip_owners,
            reserved={cluster.name: self._ledger.reserved(cluster.name, now) for cluster in clusters},
            expected=self._fleet.expected(today),
            booked={cluster.name: dict(self._ledger.booked(cluster.name)) for cluster in clusters},
        )

    def charge(self, cluster: str, shape: MemberShape, members: int) -> None:
        """So many members of the shape take their resources there; the ledger says so of every booking."""
        self._table.charge(cluster, shape, members)

    def _reserved(self, cluster: str) -> Amounts:
        return self._ledger.reserved(cluster, self._now)

    def _sync(self, now: float) -> None:
        self._now = now
        self._ledger.settle(now)
        change = self._fleet.take_changes()
        if change.members or not self._begun or len(self._table.rejudged) > MOST_REJUDGED:
            self._begun = True
            self._shapes.clear()
            self._table = Table(self._fleet.clusters, self._reserved, self._ledger.booked, self.profile, vector=self._vector)
            return
        for name in change.verdicts | change.resources:
            cluster = self._fleet.get(name)
            if cluster is not None:
                self._table.update(cluster, verdicts=name in change.verdicts)
        self._table.settle()

    def _shape(self, demand: Demand, template: Resource) -> Shape:
        spread = demand.spread
        key = (
            template.group,
            template.version,
            template.kind,
            tuple(sorted(spread.node_select.items())) if spread.node_select else (),
            spread.cluster_names,
            spread.exclude_cluster_names,
            spread.tolerations,
            spread.preferences,
            demand.shape.storage_class,
        )
        shape = self._shapes.get(key)
        if shape is None:
            if len(self._shapes) >= MOST_SHAPES:
                self._shapes.popitem(last=False)
            context = context_of(demand, template, self._fleet.vip_owners)
            shape = self._shapes[key] = Shape(context, self._table)
        else:
            self._shapes.move_to_end(key)
            if shape.seen < len(self._table.rejudged):
                shape.catch_up(self._table)
        return shape


class _Question:
    """One demand over one table."""

    __slots__ = ("_carriers", "_demand", "_needs", "_shape", "_table")

    def __init__(self, table: Table, shape: Shape, demand: Demand) -> None:
        self._table = table
        self._shape = shape
        self._demand = demand
        self._needs = table.needs(demand.shape)
        current = demand.current.members if demand.current is not None else {}
        self._carriers = [self._carrier(name, count) for name, count in sorted(current.items())]

    def answer(self, *, explain: bool) -> Decision:
        demand = self._demand
        decision = first_is_anew(demand, concluded(demand, self._table.profile, self._carriers, self._assigned))
        return self._told(decision) if explain else decision

    def room(self) -> int | None:
        table, demand = self._table, self._demand
        most, carried = demand.spread.max_members_per_cluster, demand.current.members if demand.current is not None else {}
        rooms = table.capacities(self._needs, demand.shape)
        total = 0
        for row in Scan(table, table.keys(self._shape, self._needs)).open_rows():
            room = rooms[row]
            if most is not None:
                left = max(0, most - carried.get(table.names[row], 0))
                room = left if room is None else min(room, left)
            if room is None:
                return None
            total += room
        return total

    def _scan(self) -> Scan:
        """The rows that carry nothing, by their keys."""
        scan = Scan(self._table, self._table.keys(self._shape, self._needs))
        for verdict in self._carriers:
            if verdict.snapshot is not None:
                scan.close(self._table.rows[verdict.cluster])
        return scan

    def _assigned(self, leaving: frozenset[str]) -> Assignment:
        demand, table = self._demand, self._table
        divide = table.profile.divide[demand.mode]
        scan = self._scan()
        if self._carriers or not divide.even:
            return self._dealt(scan, (), leaving)
        rows = scan.take(demand.members)
        if len(rows) < demand.members and not demand.arbiter:
            rooms = [self._room(row) for row in rows]
            most = sum(demand.members if room is None else room for room in rooms)
            if most < demand.members:
                return Assignment(placement=Placement(clusters=()), missing=demand.members - most)
        if len(rows) < demand.members or demand.arbiter:
            return self._dealt(self._scan(), rows, leaving)
        rows.sort()
        return Assignment(placement=Placement(clusters=tuple([table.singles[row] for row in rows])), missing=0)

    def _dealt(self, scan: Scan, rows: Iterable[int], leaving: frozenset[str]) -> Assignment:
        """Dealing in general, to clusters that carry members and to those that carry none; `rows` have got one each already."""
        demand, profile = self._demand, self._table.profile
        candidates = [candidate_of(verdict, demand, profile, leaving) for verdict in self._carriers]
        usable = sum(candidate.usable for candidate in candidates) + scan.open_count()
        cap = demand.quorum.limit(demand.members + int(demand.arbiter)) if usable >= ENOUGH_CLUSTERS else None
        weights = self._weights(scan)
        division = Division(candidates, cap)
        division.shrink(demand.members)
        for candidate in candidates:
            row = self._table.rows.get(candidate.name)
            if row is not None and division.counts[candidate.name]:
                scan.crowd(row, division.counts[candidate.name])
        for row in rows:
            self._deal(row, weights.get(row, 1), division, scan)
        while division.total < demand.members:
            taker, row = division.next_taker(), scan.best()
            if row is not None and (taker is None or self._goes_first(row, weights.get(row, 1), taker, division)):
                self._deal(row, weights.get(row, 1), division, scan)
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

    def _weights(self, scan: Scan) -> dict[int, int]:
        """The weight of every open row; the scan goes by them from now on. Where all weigh one, none are named."""
        divide = self._table.profile.divide[self._demand.mode]
        if divide.even:
            return {}
        most, members = self._demand.spread.max_members_per_cluster, self._demand.members
        capacities = self._table.capacities(self._needs, self._demand.shape)
        weights = {}
        for row in scan.open_rows():
            capacity = capacities[row]
            if most is not None:
                capacity = most if capacity is None else min(most, capacity)
            weights[row] = divide.weight(self._table.snapshots[row], capacity, members)
        scan.weigh(weights)
        return weights

    def _deal(self, row: int, weight: int, division: Division, scan: Scan) -> None:
        candidate = self._newcomer(row, weight)
        division.add(candidate)
        division.change(candidate.name, 1)
        scan.close(row)
        scan.crowd(row, 1)

    def _newcomer(self, row: int, weight: int) -> Candidate:
        table = self._table
        return Candidate(
            name=table.names[row],
            current=0,
            room=self._room(row),
            score=table.scored(row, self._shape),
            weight=weight,
            domains=table.domains[row],
            ready=table.snapshots[row].ready,
        )

    def _room(self, row: int) -> int | None:
        """How many members a row takes that carries none."""
        most = self._demand.spread.max_members_per_cluster
        room = self._left(row).room(self._demand)
        if most is None:
            return room
        return most if room is None else min(room, most)

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
        table, shape = self._table, self._shape
        found = shape.refusal(row, table), table.scored(row, shape), table.weight, table.bonus
        return judged(table.snapshots[row], self._demand, carried, self._left(row), found)

    def _left(self, row: int) -> Left:
        return Left(self._table.free[row], self._table.slots.rooms(row))

    def _told(self, decision: Decision) -> Decision:
        """With the verdicts on clusters that carry or will carry members, the first feasible ones and the first by name."""
        table, scan = self._table, self._scan()
        carried = {verdict.cluster: verdict for verdict in self._carriers}
        feasible = scan.open_rows()
        rows = set(range(min(TOLD if decision.complete else TOLD_OF_FAILURE, len(table.names))))
        if not decision.complete:
            rows.update(feasible[:TOLD_OF_FAILURE])
        if decision.placement is not None:
            rows.update(table.rows[entry.cluster] for entry in decision.placement.clusters if entry.cluster in table.rows)
        verdicts = [self._verdict(row, None) for row in sorted(rows) if table.names[row] not in carried]
        return decision._replace(
            verdicts=(*verdicts, *self._carriers),
            total=len(table.names) + sum(verdict.snapshot is None for verdict in self._carriers),
            feasible=len(feasible) + sum(verdict.feasible for verdict in self._carriers),
        )
