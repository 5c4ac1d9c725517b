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
from fedstate.scheduler.anew import assign_anew
from fedstate.scheduler.assignment import Assignment, Candidate, assign
from fedstate.scheduler.capacity.rooms import MemberShape, Rooms
from fedstate.scheduler.filters import CLUSTER_EXISTS, MEMBERS_PER_CLUSTER, RESOURCES_FIT, Context, excluded, rejection
from fedstate.scheduler.middleware import Demand
from fedstate.scheduler.profile import Profile, default_profile
from fedstate.scheduler.quorum import ENOUGH_CLUSTERS
from fedstate.scheduler.scores import free_shares
from fedstate.scheduler.snapshot import ClusterSnapshot

NOBODY: frozenset[str] = frozenset()


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
    many it takes. `points` is the sum of all weighted scores but that for members that stay, `score` the mean of all of them.
    Members are to leave where the owner has ruled the cluster out (`evacuate`), or where it is given up as `lost`.
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
    lost: bool = False

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
    given_up: tuple[str, ...] = ()
    """Lost clusters whose members this placement has elsewhere."""
    unmoved: tuple[str, ...] = ()
    """Lost clusters whose members nobody else can take, or may, if a permit plugin says so in `forbidden`."""
    forbidden: str | None = None
    rebalanced: str = ""
    """The owner's request that this placement fulfils."""
    unmet: str | None = None
    """Why the request to place the members anew is not carried out; the rest of the decision is as if there were none."""

    @property
    def complete(self) -> bool:
        return self.missing == 0 and self.held is None


def decide(demand: Demand, template: Resource, view: View, profile: Profile | None = None) -> Decision:
    """All members placed, or nothing changed. What is placed stays where it is, unless its cluster is lost or its owner asks."""
    profile = profile or default_profile()
    verdicts = verdicts_of(demand, template, view, profile)
    feasible = sum(verdict.feasible for verdict in verdicts)
    awaited = awaited_of(demand, view.expected)
    if awaited and feasible < min(ENOUGH_CLUSTERS, demand.members):
        outcome = Decision(placement=None, missing=demand.members, awaited=awaited)
    else:
        anew = _anew(demand, verdicts, profile, view.expected) if demand.rebalance else None
        if anew is not None and anew.unmet is None:
            outcome = anew
        else:
            outcome = concluded(demand, profile, verdicts, lambda leaving: _assigned(demand, verdicts, profile, leaving))
            outcome = first_is_anew(demand, outcome) if anew is None else outcome._replace(unmet=anew.unmet)
    return outcome._replace(verdicts=verdicts, total=len(verdicts), feasible=feasible)


def first_is_anew(demand: Demand, decision: Decision) -> Decision:
    """A first placement also fulfils a request that was there before it."""
    return decision._replace(rebalanced=demand.rebalance) if demand.rebalance and decision.complete else decision


def _anew(demand: Demand, verdicts: Sequence[Verdict], profile: Profile, expected: frozenset[str]) -> Decision | None:
    """What the owner's request leads to: a placement that fulfils it, or why there is none; None where nothing is placed yet."""
    current = demand.current
    if current is None:
        return None
    awaited = sorted(name for name in expected if excluded(name, demand.spread) is None)
    unmet = None
    if not demand.dynamic:
        unmet = "spec.scheduler.allowDynamicScheduler is false"
    elif not demand.losses.led:
        unmet = "nothing is moved while there is no primary with a majority"
    elif awaited:
        unmet = f"waiting for the first report of {', '.join(awaited)}"
    if unmet is not None:
        return Decision(placement=current, missing=0, unmet=unmet)
    candidates = [_anew_candidate(verdict, demand, profile) for verdict in verdicts]
    result = assign_anew(
        candidates,
        demand.members,
        arbiter=demand.arbiter,
        current_arbiter=current.arbiter_cluster,
        limit=demand.quorum.limit,
    )
    unmet = _drawback(demand, result, profile)
    if unmet is not None:
        return Decision(placement=current, missing=0, unmet=unmet)
    same = set(current.clusters) == set(result.placement.clusters)
    return Decision(placement=current if same else result.placement, missing=0, rebalanced=demand.rebalance)


def _drawback(demand: Demand, result: Assignment, profile: Profile) -> str | None:
    """What speaks against an assignment that is made on request only."""
    if not result.complete:
        return f"{result.missing + int(result.arbiter_missing)} of the members would find no place"
    before = _fatal(demand, demand.current) if demand.current is not None else set()
    after = _fatal(demand, result.placement)
    if len(after) > len(before):
        return f"the set would not survive the loss of {' or '.join(sorted(after))} any more"
    refusals = ((permit.name, permit.check(demand, result.placement)) for permit in profile.permits)
    return next((f"the profile forbids it: {name}: {refusal}" for name, refusal in refusals if refusal is not None), None)


def _fatal(demand: Demand, placement: Placement) -> set[str]:
    """The clusters that the set cannot lose."""
    arbiter = placement.arbiter_cluster
    losses = demand.quorum.survivals(demand.quorum.votes(placement.members, arbiter), arbiter)
    return {name for name, survival in losses.items() if not survival.full}


def _anew_candidate(verdict: Verdict, demand: Demand, profile: Profile) -> Candidate:
    """Filters hold for what runs too, and so does the limit of members; a cluster that is full may stay full."""
    most = demand.spread.max_members_per_cluster
    refused = verdict.reason is not None and verdict.rule not in (RESOURCES_FIT, MEMBERS_PER_CLUSTER)
    pinned = not (verdict.ready or verdict.lost or verdict.evacuate)
    candidate = candidate_of(verdict, demand, profile, NOBODY)
    return candidate._replace(
        current=candidate.current if most is None or pinned else min(candidate.current, most),
        evacuate=refused and not pinned,
        held=verdict.current,
        bonus=profile.bonus,
    )


def awaited_of(demand: Demand, expected: frozenset[str]) -> tuple[str, ...]:
    """The clusters whose first report a first placement may have to wait for."""
    if demand.current is not None or not expected:
        return ()
    return tuple(sorted(name for name in expected if excluded(name, demand.spread) is None))


def concluded(
    demand: Demand, profile: Profile, carriers: Sequence[Verdict], assigned: Callable[[frozenset[str]], Assignment]
) -> Decision:
    """What follows from assignments: `assigned(leaving)` is one in which the clusters in `leaving` keep nothing.

    All that is to leave leaves, or if that cannot be what is lost, or what is ruled out, or nothing.
    """
    if not carriers:
        return _concluded(demand, profile, assigned(NOBODY))
    lost = frozenset([verdict.cluster for verdict in carriers if verdict.lost])
    ruled_out = frozenset([verdict.cluster for verdict in carriers if verdict.evacuate]) - lost
    if not lost and not ruled_out:
        return _concluded(demand, profile, assigned(NOBODY))
    forbidden = None
    for leaving in dict.fromkeys((lost | ruled_out, lost, ruled_out, NOBODY)):
        outcome = _concluded(demand, profile, assigned(leaving))
        unmoved = tuple(sorted(lost - leaving))
        moved = outcome.placement is not demand.current
        outcome = outcome._replace(
            stuck=tuple(sorted(ruled_out - leaving)),
            unmoved=unmoved,
            given_up=tuple(sorted(lost & leaving)) if moved else (),
            forbidden=forbidden if unmoved else None,
        )
        if outcome.complete or (outcome.held is not None and not leaving & lost):
            return outcome
        forbidden = forbidden or outcome.held
    return outcome  # even with everything where it is, members are missing


def _concluded(demand: Demand, profile: Profile, result: Assignment) -> Decision:
    current = demand.current
    if result.missing or result.arbiter_missing:
        return Decision(current, result.missing + int(result.arbiter_missing))
    if current is not None and set(current.clusters) == set(result.placement.clusters):
        return Decision(current, 0)
    for permit in profile.permits:
        refusal = permit.check(demand, result.placement)
        if refusal is not None:
            return Decision(placement=current, missing=0, held=f"{permit.name}: {refusal}")
    return Decision(result.placement, 0)


def _assigned(demand: Demand, verdicts: Sequence[Verdict], profile: Profile, leaving: frozenset[str]) -> Assignment:
    candidates = [candidate_of(verdict, demand, profile, leaving) for verdict in verdicts]
    home = demand.current.arbiter_cluster if demand.current else None
    return assign(candidates, demand.members, arbiter=demand.arbiter, current_arbiter=home, limit=demand.quorum.limit)


def candidate_of(verdict: Verdict, demand: Demand, profile: Profile, leaving: frozenset[str]) -> Candidate:
    room = verdict.room if verdict.feasible else 0
    most = demand.spread.max_members_per_cluster
    capacity = None if room is None else verdict.current + room
    if capacity is not None and most is not None:
        capacity = min(capacity, most)  # what it carries beyond that is no reason to give it more
    return Candidate(
        name=verdict.cluster,
        current=verdict.current,
        room=room,
        score=verdict.points,
        weight=profile.divide[demand.mode].weight(verdict.snapshot, capacity, demand.members),
        domains=profile.domains(verdict.snapshot) if verdict.snapshot else (),
        ready=verdict.ready,
        evacuate=verdict.cluster in leaving,
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
        carried, room = current.get(cluster.name), left.room(demand)
        points = profile.liked(cluster, context) + profile.resourced(shares)
        refusal = rejection(cluster, context, profile.filters)
        if refusal is None and room == 0:
            refusal = unfit(carried, left, demand)
        verdicts.append(judged(cluster, demand, carried, (refusal, points, room), profile.worth))
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
        lost=name in demand.losses.lost,
    )


def unfit(carried: int | None, left: Left, demand: Demand) -> tuple[str, str]:
    """The rule and the words by which a cluster is refused of which not enough is `left` for one more."""
    return RESOURCES_FIT, f"fits {'no more' if carried else '0'} members: {left.why_not(demand)}"


def judged(
    cluster: ClusterSnapshot,
    demand: Demand,
    carried: int | None,
    found: tuple[tuple[str, str] | None, int, int | None],
    worth: tuple[int, int],
) -> Verdict:
    """The verdict on a cluster that carries so many members (None: it is not in the placement), of which is `found` what refuses
    it, its points, and how many more its resources have room for. `worth`: of all scores, and of a member that may stay.
    """
    refusal, points, room = found
    current, most = carried or 0, demand.spread.max_members_per_cluster
    if most is not None:
        room = max(0, most - current) if room is None else max(0, min(room, most - current))
        if refusal is None and room == 0:
            limit = f"has {current} members, spec.spreadConstraints.maxMembersPerCluster is {most}"
            refusal = MEMBERS_PER_CLUSTER, limit
    rule, reason = refusal or (None, None)
    weights, bonus = worth
    score = (points + bonus if current else points) // weights if weights else 0
    evacuate = lost = False
    if carried is not None:
        evacuate, lost = excluded(cluster.name, demand.spread) is not None, cluster.name in demand.losses.lost
    # By position: there are a dozen of these in every decision that is told.
    return Verdict(cluster.name, current, room, points, score, reason, rule, cluster.ready, evacuate, cluster, lost)


def remaining(free: Amounts | None, reserved: Amounts | None) -> Amounts | None:
    if free is None or not reserved:
        return free
    return {name: amount - reserved.get(name, 0) for name, amount in free.items()}
