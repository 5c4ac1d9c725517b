"""Which one step takes a replica set from its live configuration towards its plan, and why none may be taken. Pure.

Owns the order expand, catch up, shrink, and every gate of a safe reconfiguration. Looks at one moment and remembers nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fedstate.api.replset import PlanMember, ReplsetPlan
from fedstate.dataplane.initiation import step_without_primary
from fedstate.dataplane.setview import Probe, SetView
from fedstate.dataplane.steps import (
    AddMember,
    ChangeHost,
    GrantVote,
    MemberTraits,
    RemoveMember,
    SetDefaultRWConcern,
    SetPriorities,
    Settled,
    Step,
    StepDown,
    TakeVote,
    Wait,
)
from fedstate.mongo.replica import (
    SECONDARY,
    MemberConfig,
    SetConfig,
    SetStatus,
    data_voters,
    has_majority,
    healthy_voters,
    majority,
    write_majority,
)

MAX_VOTERS = 7
MAX_LAG = 10.0


def next_step(view: SetView, plan: ReplsetPlan, own_cluster: str) -> Step:
    """The one step to take now. Only the operator next to the primary, or the initiator of a set not yet begun, gets to act."""
    if view.primary_host is None:
        return step_without_primary(view, plan, own_cluster)
    if not view.primary_is_own:
        return Wait(reason="Following", message=f"the operator next to the primary {view.primary_host} changes the configuration")
    if view.config is None or view.status is None:
        return Wait(reason="PrimaryUnreadable", message=f"the configuration of {view.primary_host} could not be read")
    return _Transition(view, view.config, view.status, plan).step()


@dataclass(frozen=True, slots=True)
class _Voters:
    """The arithmetic of one possible set of voters."""

    healthy: int
    total: int
    healthy_data: int
    data: int
    survivable: int

    @property
    def tolerance(self) -> int:
        return self.healthy - majority(self.total)

    @property
    def write_tolerance(self) -> int:
        return self.healthy_data - write_majority(self.total, self.data)


class _Transition:
    """One look at a live set that has a primary of our own."""

    def __init__(self, view: SetView, config: SetConfig, status: SetStatus, plan: ReplsetPlan) -> None:
        self._view = view
        self._config = config
        self._status = status
        self._plan = plan
        self._planned = _matched(config, plan)
        self._serving = frozenset(member.host for member in status.members if member.serving)
        self._clusters = {member.host: member.cluster for member in plan.members} | {m.host: m.cluster for m in plan.retiring}
        self._now = self._voters(config.members)

    def step(self) -> Step:
        return self._gate() or next(self._steps(), Settled())

    def _gate(self) -> Wait | None:
        config, status = self._config, self._status
        if not has_majority(config, status):
            healthy = len(healthy_voters(config, status))
            message = f"{healthy} of {len(config.voters)} voters serve, {majority(len(config.voters))} are needed"
            return Wait(reason="MajorityLost", message=message)
        if not self._view.committed:
            return Wait(reason="ConfigNotCommitted", message=f"configuration version {config.version} is not committed yet")
        installed = {m.host for m in status.members if (m.config_version, m.config_term) == (config.version, config.term)}
        if sum(voter.host in installed for voter in config.voters) < majority(len(config.voters)):
            return Wait(
                reason="ConfigNotInstalled", message=f"a majority has not installed configuration version {config.version}"
            )
        if any(member.newly_added for member in config.members):
            return Wait(reason="ServerAddsMember", message="the server gives a new member its vote when it has caught up")
        if config.set_name != self._plan.replset_name:
            message = f"the plan is for replica set {self._plan.replset_name}, the live one is {config.set_name}"
            return Wait(reason="PlanConflict", message=message)
        if self._plan.replica_set_id not in ("", config.replica_set_id):
            message = f"the plan is for the set with id {self._plan.replica_set_id}, the live one is {config.replica_set_id}"
            return Wait(reason="PlanConflict", message=message)
        return None

    def _steps(self) -> Iterator[Step]:
        """Every step that may be taken, best first; what blocks comes after what helps."""
        missing, pending = self._missing(), self._pending()
        blocked: list[Wait] = []
        yield from self._wiped_voters(blocked)
        yield from self._moves(missing, blocked)
        if any(member.arbiter_only for member in missing) and not self._view.default_rw_concern:
            yield SetDefaultRWConcern()
        arbiters = [member for member in missing if member.arbiter_only]
        yield from self._data_additions([member for member in missing if not member.arbiter_only], blocked)
        yield from self._trait_changes()
        yield from self._vote_changes(len(missing) > len(arbiters), pending, bool(arbiters), blocked)
        yield from self._arbiter_additions(arbiters, bool(pending), blocked)
        if missing or pending:
            yield from blocked
            names = ", ".join(sorted([m.host for m in missing] + [m.host for m in pending]))
            yield Wait(reason="CatchingUp", message=f"waiting for {names}")
        yield from self._removals(blocked)
        yield from self._handover()
        yield from blocked

    def _missing(self) -> list[PlanMember]:
        present = {member.id for member in self._planned.values()}
        return [member for member in self._plan.members if member.id not in present]

    def _pending(self) -> list[MemberConfig]:
        return [m for m in self._config.members if m.votes == 0 and m.host in self._planned and self._planned[m.host].votes > 0]

    def _wiped_voters(self, blocked: list[Wait]) -> Iterator[Step]:
        """A voter that has lost its data could elect a primary that lacks what it once acknowledged; it votes again when it has caught up."""
        for member in self._config.voters:
            state = self._status.by_host(member.host)
            if member.arbiter_only or state is None or not state.is_wiped:
                continue
            after = self._voters(_with_votes(self._config.members, member.host, 0))
            if self._is_safe(after):
                yield TakeVote(host=member.host)
            else:
                blocked.append(_too_few(member.host, after))

    def _moves(self, missing: list[PlanMember], blocked: list[Wait]) -> Iterator[Step]:
        """Members whose number is planned under another address, the primary last."""
        primary = self._config.by_host(self._view.primary_host or "")
        for member in sorted(missing, key=lambda member: primary is not None and member.id == primary.id):
            live = self._config.by_id(member.id)
            if live is None:
                continue
            missing.remove(member)
            if live.host in self._planned:
                message = f"the plan gives {member.host} the number {member.id}, which {live.host} has"
                blocked.append(Wait(reason="PlanConflict", message=message))
                continue
            probe = self._view.probes.get(member.host)
            alone = len(self._config.members) == 1
            if probe is Probe.SAME_SET and (alone or live.host != self._view.primary_host):
                yield ChangeHost(old=live.host, new=member.host)
            elif probe is Probe.SAME_SET and self._successor() is not None:
                yield StepDown(host=live.host, why=f"its address changes to {member.host}")
            else:
                blocked.append(
                    Wait(reason="MemberNotReachable", message=f"{member.host} (before: {live.host}) does not answer yet")
                )

    def _data_additions(self, missing: list[PlanMember], blocked: list[Wait]) -> Iterator[Step]:
        for member in missing:
            probe = self._view.probes.get(member.host, Probe.UNREACHABLE)
            if probe in (Probe.EMPTY, Probe.SAME_SET):
                yield AddMember(member=member)
            else:
                blocked.append(_cannot_add(member, probe))

    def _arbiter_additions(self, missing: list[PlanMember], votes_pending: bool, blocked: list[Wait]) -> Iterator[Step]:
        """An arbiter is a voter from its first moment, so it comes when the set can bear one that does not answer yet.

        The server refuses a second one: the old one goes when the new one answers, the data-bearing members being in.
        """
        former = next((m for m in self._config.members if m.arbiter_only and m.host not in self._planned), None)
        for member in missing:
            probe = self._view.probes.get(member.host, Probe.UNREACHABLE)
            bearable = self._now.healthy >= majority(self._now.total + 1) or not votes_pending
            if probe not in (Probe.EMPTY, Probe.SAME_SET):
                blocked.append(_cannot_add(member, probe))
            elif former is not None:
                after = self._voters([other for other in self._config.members if other is not former])
                if self._is_safe(after):
                    yield RemoveMember(host=former.host)
                else:
                    blocked.append(_too_few(former.host, after))
            elif bearable and self._now.total < MAX_VOTERS:
                yield AddMember(member=member)
            else:
                blocked.append(
                    Wait(reason="NoRoomForArbiter", message=f"arbiter {member.host} joins when the other voters serve")
                )

    def _vote_changes(self, missing: bool, pending: list[MemberConfig], arbiters: bool, blocked: list[Wait]) -> Iterator[Step]:
        """Grants and takes, the one that leaves most room for failures first.

        A vote that is about to be granted goes to the newcomer from a voter that is down: were it granted before, the set would
        lean on one more member than before.
        """
        ready = [member for member in pending if self._caught_up(member.host)]
        options: list[tuple[tuple[int, int, int], str, Step]] = []
        if self._now.total < MAX_VOTERS:
            for member in ready:
                after = self._voters(_with_votes(self._config.members, member.host, 1))
                options.append(
                    (_score(after, 1), member.host, GrantVote(host=member.host, priority=self._first_priority(member)))
                )
        makes_room = self._now.total >= MAX_VOTERS and (bool(ready) or arbiters)
        for member in self._to_disfranchise(missing, makes_room):
            after = self._voters(_with_votes(self._config.members, member.host, 0))
            handed_on = bool(ready) and member.host not in self._serving and after.tolerance == self._now.tolerance
            if (pending or arbiters) and not (makes_room or handed_on) and after.tolerance <= self._now.tolerance:
                continue
            if self._is_safe(after):
                step: Step = RemoveMember(host=member.host) if member.arbiter_only else TakeVote(host=member.host)
                options.append((_score(after, 2 if handed_on else 0), member.host, step))
            else:
                blocked.append(_too_few(member.host, after))
        for _, _, step in sorted(options, key=lambda option: (tuple(-part for part in option[0]), option[1])):
            yield step

    def _first_priority(self, member: MemberConfig) -> float:
        """The planned one, or 0 where the server refuses it together with the vote: beside an arbiter, and while hidden."""
        arbiter = any(other.arbiter_only for other in self._config.members)
        return 0.0 if arbiter or member.hidden else self._planned[member.host].priority

    def _to_disfranchise(self, missing: bool, makes_room: bool) -> list[MemberConfig]:
        """Voters that shall have no vote; those that leave the plan wait until everything planned is there.

        An arbiter cannot be without a vote: it goes as a whole, early only where its place is needed.
        """
        leaving = [m for m in self._config.voters if m.host != self._view.primary_host and (makes_room or not m.arbiter_only)]
        retired = [m for m in leaving if m.host not in self._planned and not missing]
        return [m for m in leaving if m.host in self._planned and self._planned[m.host].votes == 0] + retired

    def _trait_changes(self) -> Iterator[Step]:
        changes = []
        for member in self._config.members:
            planned = self._planned.get(member.host)
            if planned is None or member.arbiter_only:
                continue
            priority = _planned_priority(member, planned)
            raises = priority > 0 and member.priority == 0
            if member.host == self._view.primary_host and priority == 0:
                continue
            if raises and not self._caught_up(member.host):
                priority = member.priority
            hidden = planned.hidden and priority == 0
            if (priority, hidden, dict(planned.tags)) != (member.priority, member.hidden, dict(member.tags)):
                changes.append(MemberTraits(host=member.host, priority=priority, hidden=hidden, tags=dict(planned.tags)))
        if changes:
            yield SetPriorities(members=tuple(changes))

    def _removals(self, blocked: list[Wait]) -> Iterator[Step]:
        victims = [m for m in self._config.members if m.host not in self._planned and m.host != self._view.primary_host]
        for member in sorted(victims, key=lambda m: (m.host in self._serving, -m.id)):
            if member.votes == 0:
                yield RemoveMember(host=member.host)
            elif member.arbiter_only:
                after = self._voters([other for other in self._config.members if other is not member])
                if self._is_safe(after):
                    yield RemoveMember(host=member.host)
                else:
                    blocked.append(_too_few(member.host, after))

    def _handover(self) -> Iterator[Step]:
        primary = self._config.by_host(self._view.primary_host or "")
        if primary is None:
            return
        planned = self._planned.get(primary.host)
        if planned is not None and planned.votes > 0 and planned.priority > 0:
            return
        if self._successor() is not None:
            yield StepDown(host=primary.host, why="it shall not be the primary of the planned set")
        else:
            yield Wait(reason="NoSuccessor", message=f"no other planned member has caught up enough to replace {primary.host}")

    def _successor(self) -> MemberConfig | None:
        primary = self._view.primary_host
        fit = (
            m for m in self._config.members if m.host != primary and m.votes > 0 and m.priority > 0 and m.host in self._planned
        )
        return next((m for m in fit if self._planned[m.host].priority > 0 and self._caught_up(m.host)), None)

    def _caught_up(self, host: str) -> bool:
        member, lag = self._status.by_host(host), self._status.lag(host)
        if host == self._view.primary_host:
            return True
        return member is not None and member.healthy and member.state == SECONDARY and lag is not None and lag <= MAX_LAG

    def _is_safe(self, after: _Voters) -> bool:
        """A majority of what remains serves, and majority writes are no worse off than they can be or were."""
        return after.tolerance >= 0 and (after.write_tolerance >= 0 or after.write_tolerance >= self._now.write_tolerance)

    def _voters(self, members: Iterable[MemberConfig]) -> _Voters:
        voters = [member for member in members if member.votes > 0]
        serving = [member for member in voters if member.host in self._serving]
        by_cluster: dict[str, int] = {}
        for member in serving:
            cluster = self._clusters.get(member.host, member.host)
            by_cluster[cluster] = by_cluster.get(cluster, 0) + 1
        needed = majority(len(voters))
        return _Voters(
            healthy=len(serving),
            total=len(voters),
            healthy_data=data_voters(serving),
            data=data_voters(voters),
            survivable=sum(len(serving) - votes >= needed for votes in by_cluster.values()),
        )


def _matched(config: SetConfig, plan: ReplsetPlan) -> dict[str, PlanMember]:
    """The planned member behind each live address. The address decides; a live member's number is never questioned."""
    by_host = {member.host: member for member in plan.members}
    return {member.host: by_host[member.host] for member in config.members if member.host in by_host}


def _with_votes(members: Iterable[MemberConfig], host: str, votes: int) -> list[MemberConfig]:
    return [_revoted(member, votes) if member.host == host else member for member in members]


def _revoted(member: MemberConfig, votes: int) -> MemberConfig:
    return MemberConfig(id=member.id, host=member.host, votes=votes, priority=0, arbiter_only=member.arbiter_only)


def _planned_priority(member: MemberConfig, planned: PlanMember) -> float:
    return planned.priority if member.votes > 0 and planned.votes > 0 else 0.0


def _score(after: _Voters, expands: int) -> tuple[int, int, int]:
    return (after.tolerance, after.survivable, expands)


def _too_few(host: str, after: _Voters) -> Wait:
    message = f"without the vote of {host} only {after.healthy} of {after.total} voters would serve"
    return Wait(reason="WouldLoseMajority", message=message)


def _cannot_add(member: PlanMember, probe: Probe) -> Wait:
    match probe:
        case Probe.FOREIGN:
            return Wait(reason="ForeignMember", message=f"{member.host} belongs to another replica set and is not added")
        case Probe.REFUSED:
            return Wait(reason="SignInRefused", message=f"{member.host} does not accept the keyfile of this instance")
    return Wait(reason="MemberNotReachable", message=f"{member.host} does not answer yet")
