"""From a demand and the state of the clusters to a decision: judge every cluster, assign, or say why that is impossible.

Pure. Knows nothing of how the decision is written down or told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedstate.api.placement import Placement
from fedstate.kube.resources import Resource
from fedstate.scheduler.assignment import Assignment, Candidate, assign
from fedstate.scheduler.filters import Context, excluded, rejection
from fedstate.scheduler.middleware import Demand
from fedstate.scheduler.scores import free_share
from fedstate.scheduler.snapshot import Amounts, ClusterSnapshot, members_that_fit, shortage

ENOUGH_CLUSTERS = 3
"""With these, no cluster has to hold half of the votes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The clusters as one decision sees them: snapshots in the order of names, VIPs, what is reserved in each, and which
    have just joined and will report any moment.
    """

    clusters: tuple[ClusterSnapshot, ...]
    vip_owners: Mapping[str, tuple[str, ...]]
    reserved: Mapping[str, Amounts]
    expected: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One cluster as a home for members. `reason` says why it takes no more; `room` (None: no limit) how many it takes."""

    cluster: str
    current: int
    room: int | None
    score: int
    reason: str | None
    region: str
    ready: bool
    evacuate: bool

    @property
    def feasible(self) -> bool:
        return self.reason is None

    @property
    def capacity(self) -> int | None:
        return None if self.room is None else self.current + self.room


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`placement` is where members are to be: the new one, or with `missing` > 0 the current one, or None if there is none."""

    placement: Placement | None
    verdicts: tuple[Verdict, ...]
    missing: int
    stuck: tuple[str, ...] = ()
    """Clusters that the spec no longer allows, but whose members nobody else can take."""
    awaited: tuple[str, ...] = ()
    """Clusters that have just joined: a first placement waits for their first report, since members never move later."""

    @property
    def complete(self) -> bool:
        return self.missing == 0


def decide(demand: Demand, template: Resource, view: View) -> Decision:
    """All members placed, or nothing changed. What is placed stays where it is, whatever happened to its cluster since."""
    verdicts = _verdicts(demand, template, view)
    current = demand.current
    awaited = tuple(sorted(name for name in view.expected if excluded(name, demand.spread) is None))
    if current is None and awaited and sum(verdict.feasible for verdict in verdicts) < min(ENOUGH_CLUSTERS, demand.members):
        return Decision(placement=None, verdicts=verdicts, missing=demand.members, awaited=awaited)
    stuck: tuple[str, ...] = ()
    result = _assigned(demand, verdicts, evacuating=True)
    leaving = tuple(verdict.cluster for verdict in verdicts if verdict.evacuate)
    if not result.complete and leaving:
        stuck = leaving
        result = _assigned(demand, verdicts, evacuating=False)
    if not result.complete:
        return Decision(placement=current, verdicts=verdicts, missing=result.missing + int(result.arbiter_missing), stuck=stuck)
    if current is not None and _same(current, result.placement):
        return Decision(placement=current, verdicts=verdicts, missing=0, stuck=stuck)
    return Decision(placement=result.placement, verdicts=verdicts, missing=0, stuck=stuck)


def _assigned(demand: Demand, verdicts: Sequence[Verdict], *, evacuating: bool) -> Assignment:
    candidates = [
        Candidate(
            name=verdict.cluster,
            current=verdict.current,
            room=verdict.room if verdict.feasible else 0,
            score=verdict.score,
            region=verdict.region,
            ready=verdict.ready,
            evacuate=evacuating and verdict.evacuate,
        )
        for verdict in verdicts
    ]
    home = demand.current.arbiter_cluster if demand.current else None
    return assign(candidates, demand.members, mode=demand.mode, arbiter=demand.arbiter, current_arbiter=home)


def _same(one: Placement, other: Placement) -> bool:
    return set(one.clusters) == set(other.clusters)


def _verdicts(demand: Demand, template: Resource, view: View) -> tuple[Verdict, ...]:
    context = Context(demand=demand, template=template, vip_owners=view.vip_owners)
    current = demand.current.members if demand.current else {}
    verdicts = [_verdict(cluster, context, view, current.get(cluster.name, 0)) for cluster in view.clusters]
    known = {cluster.name for cluster in view.clusters}
    verdicts += [_gone(name, demand, current[name]) for name in sorted(set(current) - known)]
    return tuple(verdicts)


def _gone(name: str, demand: Demand, current: int) -> Verdict:
    """A cluster that carries members and is not in Karmada, for now or for good."""
    return Verdict(
        cluster=name,
        current=current,
        room=0,
        score=0,
        reason="no Cluster of this name in Karmada",
        region="",
        ready=False,
        evacuate=excluded(name, demand.spread) is not None,
    )


def _verdict(cluster: ClusterSnapshot, context: Context, view: View, current: int) -> Verdict:
    demand = context.demand
    reason = rejection(cluster, context)
    free = _free(cluster, view)
    room = None if free is None else members_that_fit(free, demand.request)
    if reason is None and room == 0 and free is not None:
        reason = f"fits {'no more' if current else '0'} members: {shortage(free, demand.request)} (spec.resource)"
    most = demand.spread.max_members_per_cluster
    if most is not None:
        room = max(0, most - current) if room is None else max(0, min(room, most - current))
        if reason is None and room == 0:
            reason = f"has {current} members, spec.spreadConstraints.maxMembersPerCluster is {most}"
    return Verdict(
        cluster=cluster.name,
        current=current,
        room=room,
        score=free_share(cluster.allocatable, free),
        reason=reason,
        region=cluster.region,
        ready=cluster.ready,
        evacuate=_carries(cluster.name, demand) and excluded(cluster.name, demand.spread) is not None,
    )


def _carries(name: str, demand: Demand) -> bool:
    return demand.current is not None and name in demand.current.members


def _free(cluster: ClusterSnapshot, view: View) -> Amounts | None:
    if cluster.free is None:
        return None
    reserved = view.reserved.get(cluster.name)
    if not reserved:
        return cluster.free
    return {name: amount - reserved.get(name, 0) for name, amount in cluster.free.items()}
