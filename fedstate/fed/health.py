"""How well a replica set is, judged from the set itself: who is up, who votes, what it could lose. Pure.

Karmada's word on a cluster is never a reason to call a database well, nor its silence one to call it ill.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fedstate.api.conditions import InstanceState
from fedstate.api.placement import Placement
from fedstate.api.replset import PlanMember, ReplsetPlan, Survival, survivals
from fedstate.fed.observed import Observed
from fedstate.mongo.replica import majority, write_majority


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The verdict on one replica set at one moment. `lost` names the voters that do not serve."""

    state: InstanceState
    fresh: bool
    primary: PlanMember | None
    voters: int
    healthy_voters: int
    majority: int
    write_majority: int
    lost: tuple[PlanMember, ...]
    survivals: Mapping[str, Survival]
    differences: tuple[str, ...]

    @property
    def has_majority(self) -> bool:
        return self.voters > 0 and self.healthy_voters >= self.majority

    @property
    def survivable(self) -> int:
        """Single clusters whose loss neither stops elections nor majority writes."""
        return sum(survival.full for survival in self.survivals.values())


def health_of(observed: Observed, plan: ReplsetPlan | None, placement: Placement | None) -> Health:
    """The health of the set that `plan` describes and `placement` asks for."""
    members = [*plan.members, *_leaving(observed, plan)] if plan is not None else []
    voters = [member for member in members if _votes(observed, member)]
    serving = [member for member in voters if observed.serving(member.host, member.cluster)]
    data = sum(not member.arbiter_only for member in voters)
    primary_host = observed.primary_host
    primary = next((member for member in members if member.host == primary_host), None)
    fresh = _is_fresh(observed)
    differences = _differences(observed, plan, placement)
    need = majority(len(voters)) if voters else 0
    return Health(
        state=_state(fresh=fresh, led=primary is not None and len(serving) >= need, as_planned=not differences),
        fresh=fresh,
        primary=primary,
        voters=len(voters),
        healthy_voters=len(serving),
        majority=need,
        write_majority=write_majority(len(voters), data) if voters else 0,
        lost=tuple(member for member in voters if member not in serving),
        survivals=_survivals(voters),
        differences=differences,
    )


def _state(*, fresh: bool, led: bool, as_planned: bool) -> InstanceState:
    if not fresh:
        return InstanceState.UNKNOWN
    if not led:
        return InstanceState.UN_HEALTH
    return InstanceState.HEALTH if as_planned else InstanceState.SUB_HEALTH


def _leaving(observed: Observed, plan: ReplsetPlan) -> Iterator[PlanMember]:
    """Members that shall leave, as long as the set counts on them: they vote, and one of them may lead."""
    config = observed.view.config if observed.view is not None else None
    for gone in plan.retiring:
        live = config.by_host(gone.host) if config is not None else None
        if live is not None:
            yield PlanMember(
                id=live.id,
                host=gone.host,
                cluster=gone.cluster,
                member=gone.member,
                votes=live.votes,
                arbiter_only=live.arbiter_only,
            )
        elif gone.host == observed.primary_host:
            yield PlanMember(id=-1, host=gone.host, cluster=gone.cluster, member=gone.member, votes=0)


def _is_fresh(observed: Observed) -> bool:
    """Whether the set itself, or a data plane that is not silent, has told anything about it."""
    if observed.view is not None:
        return True
    reports = (observed.own_report(cluster) for cluster in observed.reports if observed.alive(cluster))
    return any(report is not None and (report.members or report.stalled is not None) for report in reports)


def _votes(observed: Observed, member: PlanMember) -> bool:
    """Whether the member votes now: by the live configuration where it is known, else by the plan."""
    config = observed.view.config if observed.view is not None else None
    if config is None:
        return member.votes > 0
    live = config.by_host(member.host)
    return live is not None and live.votes > 0


def _electable(observed: Observed, member: PlanMember) -> bool:
    """Whether the member may become the primary, by the live configuration where it is known, else by the plan."""
    config = observed.view.config if observed.view is not None else None
    live = config.by_host(member.host) if config is not None else None
    return config is None or (live is not None and live.priority > 0)


def _survivals(voters: list[PlanMember]) -> dict[str, Survival]:
    data: dict[str, int] = {}
    for member in voters:
        if not member.arbiter_only:
            data[member.cluster] = data.get(member.cluster, 0) + 1
    return survivals(data, next((member.cluster for member in voters if member.arbiter_only), None))


def _differences(observed: Observed, plan: ReplsetPlan | None, placement: Placement | None) -> tuple[str, ...]:
    """What is not as planned, in words."""
    if plan is None or placement is None:
        return ("there is no plan yet",)
    found = []
    for entry in placement.clusters:
        planned = [member for member in plan.members if member.cluster == entry.cluster and not member.arbiter_only]
        if len(planned) != entry.members:
            found.append(f"cluster {entry.cluster} has {len(planned)} of {entry.members} members")
        if entry.arbiter and not any(m.arbiter_only and m.cluster == entry.cluster for m in plan.members):
            found.append(f"cluster {entry.cluster} has no arbiter yet")
    for member in plan.members:
        role = observed.role_of(member.host, member.cluster)
        if role not in (("ARBITER",) if member.arbiter_only else ("PRIMARY", "SECONDARY")):
            found.append(f"member {member.cluster}/{member.member} is {role}")
        elif member.votes > 0 and not _votes(observed, member):
            found.append(f"member {member.cluster}/{member.member} has no vote yet")
        elif member.votes > 0 and member.priority > 0 and not _electable(observed, member):
            found.append(f"member {member.cluster}/{member.member} cannot be elected yet")
    found += [f"member {gone.cluster}/{gone.member} is leaving" for gone in plan.retiring if observed.in_live_config(gone.host)]
    if not found and observed.primary_host is not None and not observed.config_in_force:
        found.append("the last change of the configuration has yet to reach a majority of the voters")
    wanted = {entry.cluster for entry in placement.clusters}
    found += [f"cluster {cluster} still has members" for cluster in sorted({m.cluster for m in plan.members} - wanted)]
    return tuple(found)
