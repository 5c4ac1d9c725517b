"""Decisions as the scheduler takes them: those of `decision.decide`, from columns that are kept up to date.

Everything about the clusters is counted anew in every decision, but a cluster that carries nothing of the instance costs one
entry of a few arrays; only those that carry members are looked at one by one.
"""

from collections import OrderedDict
from collections.abc import Hashable
from datetime import UTC, datetime

from fedstate.kube.resources import Resource
from fedstate.scheduler.amounts import Amounts
from fedstate.scheduler.capacity.rooms import MemberShape
from fedstate.scheduler.decision import Decision, View, awaited_of, context_of, decide
from fedstate.scheduler.ledger import Ledger
from fedstate.scheduler.middleware import Demand
from fedstate.scheduler.profile import Profile
from fedstate.scheduler.question import Question
from fedstate.scheduler.snapshot import NO_CHANGE, ClusterSnapshot, Fleet
from fedstate.scheduler.table import Shape, Table

MOST_SHAPES = 64
MOST_REJUDGED = 20_000
_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)


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
        return Question(self._table, self._shape(demand, template), demand).answer(explain=explain)

    def cluster(self, name: str) -> ClusterSnapshot | None:
        """The cluster as decisions see it now."""
        return self._fleet.get(name)

    def room(self, demand: Demand, template: Resource, *, now: float) -> int | None:
        """How many members like those of the demand all clusters together still take; None where there is no limit."""
        self._sync(now)
        return Question(self._table, self._shape(demand, template), demand).room()

    def view(self, now: float, today: datetime) -> View:
        """All of what a decision rests on, for the plain form of it."""
        clusters = self._fleet.clusters
        return View(
            clusters=clusters,
            vip_owners=self._fleet.vip_owners,
            reserved={cluster.name: self._ledger.reserved(cluster.name, now) for cluster in clusters},
            expected=self._fleet.expected(today),
            booked={cluster.name: dict(self._ledger.booked(cluster.name)) for cluster in clusters if cluster.rooms is not None},
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
        if change is NO_CHANGE and self._begun:
            return
        if change.members or not self._begun or len(self._table.rejudged) > MOST_REJUDGED:
            self._begun = True
            self._shapes.clear()
            self._table = Table(self._fleet.clusters, self._reserved, self._ledger.booked, self.profile, vector=self._vector)
            self._ledger.on_change = self._table.charge
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
