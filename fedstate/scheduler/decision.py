"""From a demand and the state of the clusters to a decision: judge every cluster, assign, or say why that is impossible.

Pure. Knows nothing of how the decision is written down or told. `decide` is the plain form; `engine` decides the same, faster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fedstate.api.placement import Placement
from fedstate.kube.resources import Resource
from fedstate.scheduler.amounts import Amounts, members_that_fit, shortage
from fedstate.scheduler.assignment import Assignment, Candidate, assign
from fedstate.scheduler.capacity.rooms import MemberShape, Rooms
from fedstate.scheduler.filters import CLUSTER_EXISTS, MEMBERS_PER_CLUSTER, RESOURCES_FIT, Context, excluded, rejection
from fedstate.scheduler.middleware import Demand
from fedstate.scheduler.profile import Profile, default_profile
from fedstate.scheduler.quorum import ENOUGH_CLUSTERS
from fedstate.scheduler.scores import free_shares
from fedstate.scheduler.snapshot import ClusterSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The clusters as one decision sees them: snapshots in the order of names, VIPs, what is reserved in each (as amounts, and
    as members by their shapes), and which have just joined and will report any moment.
    """

    clusters: tuple[ClusterSnapshot, ...]
    vip_owners: Mapping[str, tuple[str, ...]]
    reserved: Mapping[str, Amounts]
    expected: frozenset[str] = frozenset()
    booked: Mapping[str, Mapping[MemberShape, int]] = field(default_factory=dict)

    def left(self, cluster: ClusterSnapshot) -> Left:
        rooms = cluster.rooms
        return Left(
            free=remaining(cluster.free, self.reserved.get(cluster.name)),
            rooms=None if rooms is None else rooms.beside(self.booked.get(cluster.name, {})),
        )


class Left(NamedTuple):
    """What is left of a cluster after all that is given away there: by its sums, and by its finer reading, where it has them."""

    free: Amounts | None
    rooms: Rooms | None = None

    def room(self, demand: Demand) -> int | None:
        """How many members more there is room for; None if nothing limits them."""
        sums = None if self.free is None else members_that_fit(self.free, demand.request)
        finer = None if self.rooms is None else self.rooms.fits(demand.shape)
        return finer if sums is None else sums if finer is None else min(sums, finer)

    def why_not(self, demand: Demand) -> str:
        """Why not even one, where `room` is 0."""
        if self.free is not None and members_that_fit(self.free, demand.request) == 0:
            return f"{shortage(self.free, demand.request)} (spec.resource)"
        return self.rooms.why_not(demand.shape) if self.rooms is not None else ""


class Verdict(NamedTuple):
    """One cluster as a home for members. `reason` says why it takes no more, by which `rule`; `room` (None: no limit) how
    many it takes. `points` is the sum of all weighted scores, `score` their mean.
    """

    cluster: str
    current: int
    room: int | None
    points: int
    score: int
    reason: str | None
    rule: str | None
    ready: bool
    evacuate: bool
    snapshot: ClusterSnapshot | None

    @property
    def feasible(self) -> bool:
        return self.reason is None

    @property
    def capacity(self) -> int | None:
        return None if self.room is None else self.current + self.room


class Decision(NamedTuple):
    """`placement` is where members are to be: the new one, or if that is not `complete` the current one, or None.

    `total` clusters were looked at, `feasible` could take a member; `verdicts` are of all of them or of those worth telling.
    """

    placement: Placement | None
    missing: int
    verdicts: tuple[Verdict, ...] = ()
    total: int = 0
    feasible: int = 0
    stuck: tuple[str, ...] = ()
    """Clusters that the spec no longer allows, but whose members nobody else can take."""
    awaited: tuple[str, ...] = ()
    """Clusters that have just joined: a first placement waits for their first report, since members never move later."""
    held: str | None = None
    """Why a permit plugin does not let the placement be written."""

    @property
    def complete(self) -> bool:
        return self.missing == 0 and self.held is None


def decide(demand: Demand, template: Resource, view: View, profile: Profile | None = None) -> Decision:
    """All members placed, or nothing changed. What is placed stays where it is, whatever happened to its cluster since."""
    profile = profile or default_profile()
    verdicts = verdicts_of(demand, template, view, profile)
    feasible = sum(verdict.feasible for verdict in verdicts)
    awaited = awaited_of(demand, view.expected)
    if awaited and feasible < min(ENOUGH_CLUSTERS, demand.members):
        outcome = Decision(placement=None, missing=demand.members, awaited=awaited)
    else:
        leaving = tuple(sorted(verdict.cluster for verdict in verdicts if verdict.evacuate))
        outcome = concluded(
            demand, profile, leaving, lambda evacuating: _assigned(demand, verdicts, profile, evacuating=evacuating)
        )
    return outcome._replace(verdicts=verdicts, total=len(verdicts), feasible=feasible)


def awaited_of(demand: Demand, expected: frozenset[str]) -> tuple[str, ...]:
    """The clusters whose first report a first placement may have to wait for."""
    if demand.current is not None or not expected:
        return ()
    return tuple(sorted(name for name in expected if excluded(name, demand.spread) is None))


def concluded(demand: Demand, profile: Profile, leaving: tuple[str, ...], assigned: Callable[[bool], Assignment]) -> Decision:
    """What follows from an assignment: `assigned(False)` is one in which the clusters that are `leaving` keep their members."""
    current = demand.current
    stuck: tuple[str, ...] = ()
    result = assigned(True)
    if not result.complete and leaving:
        stuck = leaving
        result = assigned(False)
    if not result.complete:
        return Decision(placement=current, missing=result.missing + int(result.arbiter_missing), stuck=stuck)
    if current is not None and set(current.clusters) == set(result.placement.clusters):
        return Decision(placement=current, missing=0, stuck=stuck)
    for permit in profile.permits:
        refusal = permit.check(demand, result.placement)
        if refusal is not None:
            return Decision(placement=current, missing=0, stuck=stuck, held=f"{permit.name}: {refusal}")
    return Decision(placement=result.placement, missing=0, stuck=stuck)


def _assigned(demand: Demand, verdicts: Sequence[Verdict], profile: Profile, *, evacuating: bool) -> Assignment:
    candidates = [candidate_of(verdict, demand, profile, evacuating=evacuating) for verdict in verdicts]
    home = demand.current.arbiter_cluster if demand.current else None
    return assign(candidates, demand.members, arbiter=demand.arbiter, current_arbiter=home, limit=demand.quorum.limit)


def candidate_of(verdict: Verdict, demand: Demand, profile: Profile, *, evacuating: bool) -> Candidate:
    room = verdict.room if verdict.feasible else 0
    capacity = None if room is None else verdict.current + room
    return Candidate(
        name=verdict.cluster,
        current=verdict.current,
        room=room,
        score=verdict.points,
        weight=profile.divide[demand.mode].weight(verdict.snapshot, capacity, demand.members),
        domains=profile.domains(verdict.snapshot) if verdict.snapshot else (),
        ready=verdict.ready,
        evacuate=evacuating and verdict.evacuate,
    )


def verdicts_of(demand: Demand, template: Resource, view: View, profile: Profile) -> tuple[Verdict, ...]:
    """Of every cluster in the order of names, and of those that are gone and still carry members."""
    context = context_of(demand, template, view.vip_owners)
    current = demand.current.members if demand.current else {}
    verdicts = []
    for cluster in view.clusters:
        left = view.left(cluster)
        free = left.free
        shares = (
            None if free is None or cluster.allocatable is None else free_shares(cluster.allocatable, free, profile.resources)
        )
        points = profile.liked(cluster, context) + profile.resourced(shares)
        refusal = rejection(cluster, context, profile.filters)
        verdicts.append(judged(cluster, demand, current.get(cluster.name), left, (refusal, points, profile.total_weight)))
    known = {cluster.name for cluster in view.clusters}
    verdicts += [gone(name, demand, current[name]) for name in sorted(set(current) - known)]
    return tuple(verdicts)


def context_of(demand: Demand, template: Resource, vip_owners: Mapping[str, tuple[str, ...]]) -> Context:
    return Context(spread=demand.spread, template=template, vip_owners=vip_owners, storage_class=demand.shape.storage_class)


def gone(name: str, demand: Demand, current: int) -> Verdict:
    """A cluster that carries members and is not in Karmada, for now or for good."""
    return Verdict(
        cluster=name,
        current=current,
        room=0,
        points=0,
        score=0,
        reason="no Cluster of this name in Karmada",
        rule=CLUSTER_EXISTS,
        ready=False,
        evacuate=excluded(name, demand.spread) is not None,
        snapshot=None,
    )


def judged(
    cluster: ClusterSnapshot,
    demand: Demand,
    carried: int | None,
    left: Left,
    found: tuple[tuple[str, str] | None, int, int],
) -> Verdict:
    """The verdict on a cluster that carries so many members (None: it is not in the placement), by what filters and scores
    have `found`: the refusal, the points, and the weight of all scores.
    """
    refusal, points, weights = found
    current, most = carried or 0, demand.spread.max_members_per_cluster
    room = left.room(demand)
    if refusal is None and room == 0:
        refusal = RESOURCES_FIT, f"fits {'no more' if current else '0'} members: {left.why_not(demand)}"
    if most is not None:
        room = max(0, most - current) if room is None else max(0, min(room, most - current))
        if refusal is None and room == 0:
            limit = f"has {current} members, spec.spreadConstraints.maxMembersPerCluster is {most}"
            refusal = MEMBERS_PER_CLUSTER, limit
    return Verdict(
        cluster=cluster.name,
        current=current,
        room=room,
        points=points,
        score=points // weights if weights else 0,
        reason=refusal[1] if refusal else None,
        rule=refusal[0] if refusal else None,
        ready=cluster.ready,
        evacuate=carried is not None and excluded(cluster.name, demand.spread) is not None,
        snapshot=cluster,
    )


def remaining(free: Amounts | None, reserved: Amounts | None) -> Amounts | None:
    if free is None or not reserved:
        return free
    return {name: amount - reserved.get(name, 0) for name, amount in free.items()}
