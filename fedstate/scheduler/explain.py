"""One decision laid open: every cluster with its verdict, its score by plugin and the data behind it, and every loss.

Pure, from the objects of a control plane; decides as the scheduler does and writes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from fedstate.api.votes import Survival
from fedstate.errors import TerminalError
from fedstate.kube.objects import KubeObject, key_of
from fedstate.scheduler.amounts import Amounts, amount_text
from fedstate.scheduler.capacity.rooms import Reading, Source
from fedstate.scheduler.decision import Decision, Verdict, View, context_of, decide
from fedstate.scheduler.filters import Context
from fedstate.scheduler.ledger import Ledger
from fedstate.scheduler.losses import losses_told
from fedstate.scheduler.middleware import Demand, Middleware
from fedstate.scheduler.profile import Profile
from fedstate.scheduler.report import message_of, outlook
from fedstate.scheduler.scores import UNKNOWN, KeptScore, ResourceScore, free_shares, within
from fedstate.scheduler.snapshot import Fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterExplanation:
    """`verdict.rule` is the filter that rejects the cluster; `scores` by plugin, unweighted, of 100."""

    verdict: Verdict
    members: int
    votes: int
    arbiter: bool
    scores: Mapping[str, int]
    reserved: str
    source: str
    note: str
    """What is stale or missing in the data, or why no better source is used; empty if there is nothing to say."""
    age: float | None
    """Seconds since the data was read or last changed; None if that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """`losses`: what the set can still do without each cluster that votes."""

    decision: Decision
    message: str
    weights: Mapping[str, int]
    clusters: tuple[ClusterExplanation, ...]
    losses: Mapping[str, Survival]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """The objects of a control plane at the time `now`, without the instance in question, and what the members themselves or
    their estimators say, where they have been asked.
    """

    clusters: Sequence[KubeObject]
    others: Sequence[KubeObject]
    now: datetime
    readings: Mapping[str, Reading] = field(default_factory=dict)


def explained(instance: KubeObject, plane: ControlPlane, middleware: Middleware, profile: Profile) -> Explanation:
    """The decision that the scheduler would take now. TerminalError for an instance whose spec makes no sense."""
    fleet, ledger, now = Fleet(), Ledger(), plane.now
    for cluster in plane.clusters:
        fleet.put(cluster)
    for name, reading in plane.readings.items():
        fleet.read(name, reading)
    ledger.visible = fleet.visible
    for other in (*plane.others, instance):
        _book(other, ledger, middleware)
    demand = middleware.demand_of(instance)
    demand = replace(demand, losses=losses_told(demand, middleware.sight_of(instance), fleet.get, now))
    view = View(
        clusters=fleet.clusters,
        vip_owners=fleet.vip_owners,
        reserved={cluster.name: ledger.reserved(cluster.name, 0.0) for cluster in fleet.clusters},
        expected=fleet.expected(now),
        booked={cluster.name: ledger.booked(cluster.name) for cluster in fleet.clusters},
    )
    decision = decide(demand, middleware.template, view, profile)
    placement = decision.placement
    ahead = outlook(demand.quorum, placement)
    context = context_of(demand, middleware.template, fleet.vip_owners)
    rows = []
    for verdict in decision.verdicts:
        source = verdict.snapshot.source if verdict.snapshot is not None else Source(kind="none", note="not in Karmada")
        rows.append(
            ClusterExplanation(
                verdict=verdict,
                members=placement.members.get(verdict.cluster, 0) if placement else 0,
                votes=ahead.votes.get(verdict.cluster, 0),
                arbiter=placement is not None and placement.arbiter_cluster == verdict.cluster,
                scores=_scores(verdict, context, view, profile),
                reserved=_amounts(view.reserved.get(verdict.cluster, {})),
                source=source.kind,
                note=source.note,
                age=None if source.since is None else max(0.0, (now - source.since).total_seconds()),
            )
        )
    rows.sort(key=lambda row: (not (row.members or row.arbiter), not row.verdict.feasible, row.verdict.cluster))
    return Explanation(
        decision=decision,
        message=message_of(demand, decision),
        weights={score.name: weight for score, weight in profile.scores},
        clusters=tuple(rows),
        losses=ahead.losses,
    )


def _book(obj: KubeObject, ledger: Ledger, middleware: Middleware) -> None:
    """What the instance holds and no cluster counts yet."""
    try:
        demand: Demand = middleware.demand_of(obj)
    except TerminalError:
        return
    if demand.current is not None:
        planned = {entry.cluster: entry.members + int(entry.arbiter) for entry in demand.current.clusters}
        ledger.observe(key_of(obj), planned, demand.shape, middleware.running_of(obj), 0.0)


def _scores(verdict: Verdict, context: Context, view: View, profile: Profile) -> dict[str, int]:
    cluster = verdict.snapshot
    if cluster is None:
        return {}
    free = view.left(cluster).free
    shares = None if free is None or cluster.allocatable is None else free_shares(cluster.allocatable, free, profile.resources)
    found = {}
    for score, _ in profile.scores:
        if isinstance(score, ResourceScore):
            found[score.name] = UNKNOWN if shares is None else within(score.score(shares))
        elif isinstance(score, KeptScore):
            found[score.name] = within(score.score(verdict.current))
        else:
            found[score.name] = within(score.score(cluster, context))
    return found


def _amounts(amounts: Amounts) -> str:
    return ", ".join(f"{name} {amount_text(name, amount)}" for name, amount in sorted(amounts.items()))
