"""One decision laid open: every cluster with its verdict, its score by plugin and the data behind it, and every loss.

Pure, from the objects of a control plane; decides as the scheduler does and writes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fedstate.api import karmada
from fedstate.api.votes import Survival
from fedstate.errors import TerminalError
from fedstate.kube.objects import KubeObject, key_of, name_of
from fedstate.scheduler.amounts import Amounts, amount_text
from fedstate.scheduler.decision import Decision, Verdict, View, decide, remaining
from fedstate.scheduler.filters import Context
from fedstate.scheduler.ledger import Ledger
from fedstate.scheduler.middleware import Demand, Middleware
from fedstate.scheduler.profile import Profile
from fedstate.scheduler.report import message_of, outlook
from fedstate.scheduler.scores import UNKNOWN, ResourceScore, free_shares, within
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
    age: float | None
    """Seconds since the data last changed; None if that is not known."""


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
    """The objects of a control plane at the time `now`, without the instance in question."""

    clusters: Sequence[KubeObject]
    others: Sequence[KubeObject]
    now: datetime


def explained(instance: KubeObject, plane: ControlPlane, middleware: Middleware, profile: Profile) -> Explanation:
    """The decision that the scheduler would take now. TerminalError for an instance whose spec makes no sense."""
    fleet, ledger, now = Fleet(), Ledger(), plane.now
    for cluster in plane.clusters:
        fleet.put(cluster)
    for other in (*plane.others, instance):
        _book(other, ledger, middleware)
    demand = middleware.demand_of(instance)
    view = View(
        clusters=fleet.clusters,
        vip_owners=fleet.vip_owners,
        reserved={cluster.name: ledger.reserved(cluster.name, 0.0) for cluster in fleet.clusters},
        expected=fleet.expected(now),
    )
    decision = decide(demand, middleware.template, view, profile)
    placement = decision.placement
    ahead = outlook(demand.quorum, placement)
    context = Context(spread=demand.spread, template=middleware.template, vip_owners=fleet.vip_owners)
    objects = {name_of(cluster): cluster for cluster in plane.clusters}
    rows = []
    for verdict in decision.verdicts:
        source, age = _source(objects.get(verdict.cluster), now)
        rows.append(
            ClusterExplanation(
                verdict=verdict,
                members=placement.members.get(verdict.cluster, 0) if placement else 0,
                votes=ahead.votes.get(verdict.cluster, 0),
                arbiter=placement is not None and placement.arbiter_cluster == verdict.cluster,
                scores=_scores(verdict, context, view, profile),
                reserved=_amounts(view.reserved.get(verdict.cluster, {})),
                source=source,
                age=age,
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
    free = remaining(cluster.free, view.reserved.get(cluster.name))
    shares = None if free is None or cluster.allocatable is None else free_shares(cluster.allocatable, free, profile.resources)
    found = {}
    for score, _ in profile.scores:
        if isinstance(score, ResourceScore):
            found[score.name] = UNKNOWN if shares is None else within(score.score(shares))
        else:
            found[score.name] = within(score.score(cluster, context))
    return found


def _amounts(amounts: Amounts) -> str:
    return ", ".join(f"{name} {amount_text(name, amount)}" for name, amount in sorted(amounts.items()))


def _source(cluster: KubeObject | None, now: datetime) -> tuple[str, float | None]:
    """Where the numbers on free resources come from, in words, and how long ago they last changed."""
    if cluster is None:
        return "none: not in Karmada", None
    changed = karmada.status_changed(cluster)
    age = max(0.0, (now - changed).total_seconds()) if changed is not None else None
    if karmada.resource_summary_of(cluster) is None:
        return "none: Karmada collects no resources of it", age
    if not karmada.cluster_ready(cluster)[0]:
        return "resourceSummary, stale: not collected while the cluster is not Ready", age
    return "resourceSummary", age
