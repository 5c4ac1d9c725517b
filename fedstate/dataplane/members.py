"""Which members this cluster should run, which are new, and which retired ones may stop. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from fedstate.api.mongodb import MongoDB
from fedstate.api.naming import member_name, replset_name
from fedstate.api.replset import ReplsetPlan, ReportedMember, compose_plan
from fedstate.dataplane.holdings import Holdings, OwnMember
from fedstate.dataplane.naming import STANDALONE_CLUSTER
from fedstate.dataplane.setview import Probe, SetReading


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """A member that should run."""

    ordinal: int
    arbiter: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """What to run now. `kept` exists or did exist, `fresh` has never been; `retiring` still runs, `leaving` may stop.

    `next_ordinal` is the first that nobody has had; the fresh seats start there.
    """

    kept: tuple[Seat, ...]
    fresh: tuple[Seat, ...]
    retiring: tuple[OwnMember, ...]
    leaving: tuple[OwnMember, ...]
    next_ordinal: int  # one above every number seen in use; a fresh seat counts once it has objects

    @property
    def complete(self) -> bool:
        return not self.fresh and not self.retiring


def roster_of(
    mongo: MongoDB, cluster: str, holdings: Holdings, plan: ReplsetPlan | None, reading: SetReading, next_ordinal: int
) -> Roster:
    """Members stay until the plan retires them, and run until the live configuration has let them go."""
    retired = {gone.member for gone in plan.retiring if gone.cluster == cluster} if plan is not None else set()
    seats = {member.ordinal: member.arbiter for member in holdings.members if member.name not in retired}
    seats |= _planned_seats(mongo.name, cluster, plan)
    first = max(holdings.next_ordinal, next_ordinal, max(seats, default=-1) + 1)
    fresh: list[Seat] = []
    data = sum(not arbiter for arbiter in seats.values())
    fresh += [Seat(ordinal=first + n, arbiter=False) for n in range(max(0, mongo.members - data))]
    if mongo.arbiter and not any(seats.values()):
        fresh.append(Seat(ordinal=first + len(fresh), arbiter=True))
    outgoing = [member for member in holdings.members if member.name in retired]
    leaving = [member for member in outgoing if may_stop(member, plan, reading)]
    return Roster(
        kept=tuple(Seat(ordinal=ordinal, arbiter=arbiter) for ordinal, arbiter in sorted(seats.items())),
        fresh=tuple(fresh),
        retiring=tuple(outgoing),
        leaving=tuple(leaving),
        next_ordinal=first,
    )


def may_stop(member: OwnMember, plan: ReplsetPlan | None, reading: SetReading) -> bool:
    """True once the primary's configuration lacks the member, or when it never was in one.

    A primary that was cut off may hold a configuration that never comes into force: only a committed one counts. And a
    member may stand in it under an address that it has no more: what it says of itself counts too.
    """
    hosts = {member.host} | {gone.host for gone in plan.retiring if gone.member == member.name} if plan else {member.host}
    config, own = reading.view.config, reading.of(member.host).status
    if config is not None:
        hosts |= {own.myself.host} if own is not None and own.myself is not None else set()
        same_set = plan is None or plan.replica_set_id in ("", config.replica_set_id)
        return reading.view.committed and same_set and all(config.by_host(host) is None for host in hosts if host)
    return reading.of(member.host).probe is Probe.EMPTY and not reading.view.initialized_before


def reported_members(cluster: str, holdings: Holdings, reading: SetReading) -> tuple[ReportedMember, ...]:
    """The members as they are told to whoever plans."""
    return tuple(
        ReportedMember(
            cluster=cluster,
            member=member.name,
            ordinal=member.ordinal,
            host=member.host,
            ready=reading.of(member.host).ready,
            role=reading.of(member.host).role,
            arbiter=member.arbiter,
        )
        for member in holdings.members
    )


def standalone_plan(mongo: MongoDB, holdings: Holdings, previous: ReplsetPlan | None, reading: SetReading) -> ReplsetPlan | None:
    """The plan of an instance that no federation plans for. It changes only when all that is wanted has an address.

    A plan made in between would move votes for the sake of a moment.
    """
    config = reading.view.config
    if previous is not None and not previous.replica_set_id and config is not None:
        previous = replace(previous, replica_set_id=config.replica_set_id)
    leaving = {gone.member for gone in previous.retiring} if previous is not None else set()
    addressed = [member for member in holdings.members if member.host and member.name not in leaving]
    arbiters = sum(member.arbiter for member in addressed)
    if len(addressed) - arbiters < mongo.members or arbiters < int(mongo.arbiter):
        return previous
    return compose_plan(
        previous=previous,
        replset_name=replset_name(mongo.name),
        wanted={STANDALONE_CLUSTER: mongo.members},
        arbiter_cluster=STANDALONE_CLUSTER if mongo.arbiter else None,
        reported=reported_members(STANDALONE_CLUSTER, holdings, reading),
        primary_host=reading.view.primary_host,
        initiator=STANDALONE_CLUSTER,
    )


def _planned_seats(instance: str, cluster: str, plan: ReplsetPlan | None) -> dict[int, bool]:
    own: Iterable[tuple[str, bool]] = (
        ((member.member, member.arbiter_only) for member in plan.members if member.cluster == cluster) if plan is not None else ()
    )
    prefix = member_name(instance, 0).removesuffix("0")
    seats = {}
    for name, arbiter in own:
        number = name.removeprefix(prefix)
        if name.startswith(prefix) and number.isdigit():
            seats[int(number)] = arbiter
    return seats
