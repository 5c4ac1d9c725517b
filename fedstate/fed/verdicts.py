"""The conditions of an instance: the announcement's five and the ones that tools and humans wait for. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from fedstate.api.conditions import Condition, ConditionType, InstanceState, MemberState, Reason, with_condition
from fedstate.api.naming import ANNOTATION_REBALANCE, ANNOTATION_SCHEDULER_RESULT, DEFAULT_SCHEDULER_NAME
from fedstate.api.placement import Placement
from fedstate.api.votes import MOST_VOTERS
from fedstate.fed.health import Health
from fedstate.fed.members import in_owners_terms
from fedstate.fed.observed import Observed
from fedstate.fed.outcome import FederationPlan, Stage
from fedstate.fed.recovery import keyfile_is_lost, plan_is_lost
from fedstate.kube.objects import annotations_of, generation_of

OWNED = (
    ConditionType.SERVER_READY,
    ConditionType.SERVER_CHECK,
    ConditionType.SERVER_SCHEDULED_RESULT,
    ConditionType.SERVER_INITIALIZED,
    ConditionType.SERVER_WAITING_SCALE_DOWN,
    ConditionType.READY,
    ConditionType.RECONCILING,
    ConditionType.STALLED,
    ConditionType.QUORUM_SAFE,
    ConditionType.MAJORITY_LOST,
    ConditionType.RECOVERY_REQUIRED,
)
"""The types that the federation writes; the scheduler writes `Scheduled`."""

ENOUGH_CLUSTERS = 3
"""With these, no cluster has to hold half of the votes."""

Verdict = tuple[ConditionType, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything a verdict is based on."""

    observed: Observed
    plan: FederationPlan
    health: Health
    placement: Placement | None


def conditions_for(case: Case) -> tuple[Condition, ...]:
    """The federation's conditions in the order of `OWNED`; transition times move only when a status does."""
    observed = case.observed
    generation = generation_of(observed.raw or {})
    conditions = tuple(condition for condition in observed.conditions if condition.type in OWNED)
    for type_, status, reason, message in _verdicts(case):
        condition = Condition(type=type_, status=status, reason=reason, message=message, observed_generation=generation)
        conditions = with_condition(conditions, condition, observed.now)
    order = {type_: index for index, type_ in enumerate(OWNED)}
    return tuple(sorted(conditions, key=lambda condition: order[ConditionType(condition.type)]))


def _verdicts(case: Case) -> Iterator[Verdict]:
    yield _server_ready(case)
    yield from _server_check(case)
    yield _server_scheduled(case)
    yield _server_initialized(case)
    yield _waiting_scale_down(case)
    yield _ready(case)
    yield _reconciling(case)
    yield _stalled(case)
    yield _quorum_safe(case)
    yield from _majority(case)


def _server_ready(case: Case) -> Verdict:
    if case.health.state in (InstanceState.HEALTH, InstanceState.SUB_HEALTH):
        message = "Service Dispatch Successful And Ready For External Service"
        return ConditionType.SERVER_READY, "True", Reason.SERVER_READY, message
    return ConditionType.SERVER_READY, "False", Reason.SERVER_NOT_READY, _why_not_ready(case)[1]


def _server_check(case: Case) -> Iterator[Verdict]:
    instance, placement = case.observed.instance, case.placement
    if instance is None or placement is None:
        return
    if placement.total == instance.replicaset:
        message = (
            "The number of member clusters is the same as the number of control plane copies, "
            f"check, SpecReplicaset: {instance.replicaset}"
        )
        yield ConditionType.SERVER_CHECK, "True", Reason.CHECK_SUCCESS, message
        return
    message = (
        f"The placement has {_count(placement.total, 'member')}, spec.replicaset is {instance.replicaset}; the placement is followed "
        f"as it is, until {instance.scheduler_name} changes the annotation {ANNOTATION_SCHEDULER_RESULT}"
    )
    yield ConditionType.SERVER_CHECK, "False", Reason.CHECK_FAIL, message


def _server_scheduled(case: Case) -> Verdict:
    observed = case.observed
    text = annotations_of(observed.raw or {}).get(ANNOTATION_SCHEDULER_RESULT)
    type_ = ConditionType.SERVER_SCHEDULED_RESULT
    problem = observed.placement_problem
    if problem is None and not _something_is_lost(observed):
        problem = next((p for p in case.plan.problems if p not in observed.references.problems), None)
    if not text:
        name = observed.instance.scheduler_name if observed.instance is not None else "the scheduler"
        message = f"Waiting for {name} to write the annotation {ANNOTATION_SCHEDULER_RESULT}"
        return type_, "False", Reason.GET_SCHEDULER_FAIL, message
    if problem is not None and observed.spec_problem is None:
        return type_, "False", Reason.GET_SCHEDULER_FAIL, problem
    where = f"{observed.namespace}/{observed.name}"
    message = f"Get Scheduler Result From MultiCloudMongoDB Annotations Success ({where}): {text}"
    return type_, "True", Reason.GET_SCHEDULER_SUCCESS, message


def _server_initialized(case: Case) -> Verdict:
    if case.observed.initialised:
        return ConditionType.SERVER_INITIALIZED, "True", Reason.SERVER_INIT, "The replica set has been initiated"
    return ConditionType.SERVER_INITIALIZED, "False", Reason.PENDING, "The replica set has not been initiated yet"


def _waiting_scale_down(case: Case) -> Verdict:
    type_ = ConditionType.SERVER_WAITING_SCALE_DOWN
    roster = case.plan.roster
    surplus = []
    if roster is not None and case.placement is not None and roster.plan is not None:
        wanted = case.placement.members
        for cluster in sorted({member.cluster for member in roster.plan.members}):
            count = sum(member.cluster == cluster and not member.arbiter_only for member in roster.plan.members)
            if count > wanted.get(cluster, 0):
                surplus.append(f"{cluster} from {count} to {wanted.get(cluster, 0)}")
        surplus += [f"{gone.cluster}/{gone.member}" for gone in roster.plan.retiring]
    if not surplus:
        return type_, "False", Reason.SETTLED, "No member has to leave"
    return type_, "True", Reason.SERVER_WAITING_SCALE_DOWN, f"Members have to leave: {', '.join(surplus)}"


def _why_not_ready(case: Case) -> tuple[Reason, str]:
    health = case.health
    if case.observed.deleting:
        return Reason.DELETING, "The instance is being deleted"
    if case.plan.stage is Stage.UNPLACED:
        return Reason.WAITING_FOR_CLUSTERS, f"The instance has not been placed yet; {_who_places(case)}"
    if case.plan.stage is Stage.BLOCKED:
        return Reason.FAILED, "; ".join(case.plan.problems)
    if health.state is InstanceState.UNKNOWN:
        return Reason.NOTHING_FRESH, "Neither a data plane nor the replica set has reported anything recent"
    if health.primary is None and case.observed.stalled:
        return Reason.FAILED, _clusters_say(case.observed)
    if health.primary is None:
        return Reason.NO_PRIMARY, "The replica set has no primary"
    if not health.has_majority:
        return Reason.NO_PRIMARY, f"Only {health.healthy_voters} of {health.voters} voters serve"
    return Reason.MEMBERS_NOT_READY, "; ".join(health.differences) or "; ".join(case.plan.waiting)


def _who_places(case: Case) -> str:
    name = case.observed.instance.scheduler_name if case.observed.instance is not None else DEFAULT_SCHEDULER_NAME
    if name == DEFAULT_SCHEDULER_NAME:
        return "the condition Scheduled says why"
    return f"spec.scheduler.schedulerName leaves that to {name}"


def _ready(case: Case) -> Verdict:
    if case.health.state is InstanceState.HEALTH and not case.observed.deleting:
        return ConditionType.READY, "True", Reason.REPLICA_SET_READY, "Every planned member serves in its role"
    reason, message = _why_not_ready(case)
    return ConditionType.READY, "False", reason, message


def _reconciling(case: Case) -> Verdict:
    type_ = ConditionType.RECONCILING
    if case.observed.deleting:
        return type_, "True", Reason.DELETING, _sentence("Waiting for", case.plan.waiting) or "The last objects are being deleted"
    differences = case.health.differences if case.plan.stage is Stage.RUNNING else ()
    if case.plan.waiting:
        return type_, "True", Reason.PROGRESSING, _sentence("Waiting for", case.plan.waiting)
    restless = _restless(case)
    if differences or restless:
        return type_, "True", Reason.PROGRESSING, "; ".join((*differences, *restless))
    return type_, "False", Reason.SETTLED, "Nothing is left to do"


def _restless(case: Case) -> list[str]:
    """Clusters that answer and have not yet done all that they were told."""
    found = []
    for cluster, task in sorted(case.plan.roster.tasks.items() if case.plan.roster is not None else ()):
        report = case.observed.own_report(cluster)
        if report is None or task.decommission or not case.observed.alive(cluster):
            continue
        if report.plan_generation < task.generation or report.state == MemberState.RECONCILING:
            found.append(f"cluster {cluster} is at work")
    return found


def _stalled(case: Case) -> Verdict:
    observed, type_ = case.observed, ConditionType.STALLED
    if not observed.deleting and observed.stalled and not (case.plan.problems or observed.spec_problem):
        return type_, "True", next(iter(observed.stalled.values())).reason, _clusters_say(observed)
    if observed.deleting or not (case.plan.problems or observed.spec_problem):
        return type_, "False", Reason.SETTLED, "Nothing needs a human"
    if observed.spec_problem is not None:
        return type_, "True", Reason.INVALID_SPEC, observed.spec_problem
    reason = Reason.PLACEMENT_INVALID
    if observed.references.problems:
        reason = Reason.MISSING_REFERENCE
    elif _something_is_lost(observed):
        reason = Reason.FAILED
    return type_, "True", reason, "; ".join(case.plan.problems)


def _something_is_lost(observed: Observed) -> bool:
    return plan_is_lost(observed) or keyfile_is_lost(observed) is not None


def _clusters_say(observed: Observed) -> str:
    """What keeps data planes from going on, once where several say the same."""
    by_message: dict[str, list[str]] = {}
    for cluster, condition in observed.stalled.items():
        by_message.setdefault(in_owners_terms(condition.message), []).append(cluster)
    return "; ".join(f"cluster {', '.join(clusters)}: {message}" for message, clusters in by_message.items())


def _quorum_safe(case: Case) -> Verdict:
    health, type_ = case.health, ConditionType.QUORUM_SAFE
    if not health.survivals:
        return type_, "Unknown", Reason.PENDING, "No member votes yet"
    elections = [cluster for cluster, survival in health.survivals.items() if not survival.election]
    writes = [cluster for cluster, survival in health.survivals.items() if survival.election and not survival.majority_write]
    if not elections and not writes:
        safe = "The set goes on by itself after the loss of any one cluster"
        return type_, "True", Reason.SURVIVES_ANY_CLUSTER, "; ".join((safe, *_without_vote(case)))
    parts = [f"the loss of {cluster} would leave no majority to elect a primary" for cluster in elections]
    parts += [f"the loss of {cluster} would stop majority writes" for cluster in writes]
    if writes and case.placement is not None and case.placement.arbiter_cluster is not None:
        parts.append("a data member in place of the arbiter (spec.config.arbiter) would prevent that")
    if elections and len(health.survivals) < ENOUGH_CLUSTERS:
        parts.append(f"members in {ENOUGH_CLUSTERS} clusters would survive the loss of any one{_how_to_spread(case)}")
    message = "; ".join((*parts, *_without_vote(case)))
    return type_, "False", Reason.QUORUM_AT_RISK, message[0].upper() + message[1:]


def _how_to_spread(case: Case) -> str:
    """What its owner may do where clusters are ready that were not, or had no room, when the members were placed."""
    observed, instance = case.observed, case.observed.instance
    ready = sum(facts.ready for facts in observed.clusters.values())
    if instance is None or ready < ENOUGH_CLUSTERS or instance.replicaset < ENOUGH_CLUSTERS:
        return ""
    if not instance.dynamic or instance.scheduler_name != DEFAULT_SCHEDULER_NAME:
        return ""
    command = f"kubectl annotate mcm {observed.name} -n {observed.namespace} --overwrite {ANNOTATION_REBALANCE}=TEXT"
    return f", and {ready} clusters are ready: {command} has the members placed anew"


def _without_vote(case: Case) -> Iterator[str]:
    """Members that only copy data, and what would give them a vote; more than seven can never vote."""
    plan = case.plan.roster.plan if case.plan.roster is not None else case.observed.plan
    # Those in clusters on their way out lose their votes to others, and need no advice.
    staying = case.placement.members if case.placement is not None else {}
    members = [member for member in (plan.members if plan is not None else ()) if member.cluster in staying]
    idle = [f"{member.cluster}/{member.member}" for member in members if not member.votes]
    if not idle or len(members) > MOST_VOTERS:
        return
    data = sum(not member.arbiter_only for member in members)
    names = f"{', '.join(idle)} {'has' if len(idle) == 1 else 'have'} no vote"
    if len(members) % 2:
        yield f"{names}, so that no cluster holds half of the votes"
    elif data < len(members):
        yield f"{names}, since spec.config.arbiter would make their number even; set it to false, or make spec.replicaset even"
    else:
        yield f"{names}, since an even number of votes survives no more than one less; make spec.replicaset odd"


def _majority(case: Case) -> Iterator[Verdict]:
    observed, health = case.observed, case.health
    lost, recovery = ConditionType.MAJORITY_LOST, ConditionType.RECOVERY_REQUIRED
    if not observed.initialised or not health.voters or not health.fresh:
        yield lost, "Unknown", Reason.NOTHING_FRESH, "Nothing recent tells whether a majority is there"
        yield recovery, "False", Reason.NOT_REQUIRED, "No majority is known to be lost"
        return
    if health.primary is not None or health.has_majority:
        message = f"{health.healthy_voters} of {health.voters} voters serve, {health.majority} are needed"
        yield lost, "False", Reason.MAJORITY_PRESENT, message
        yield recovery, "False", Reason.NOT_REQUIRED, "No majority is lost"
        return
    names = ", ".join(f"{member.cluster}/{member.member}" for member in health.lost)
    yield (
        lost,
        "True",
        Reason.MAJORITY_LOST,
        f"{health.healthy_voters} of {health.voters} voters serve, {health.majority} are needed; lost: {names}",
    )
    dead = sorted({member.cluster for member in health.lost if not observed.alive(member.cluster)})
    if dead:
        message = (
            f"Bring back {', '.join(dead)}: nothing is forced, and spec.failover.forceReconfig is not acted upon in this version; "
            "if they are lost for good, force a reconfiguration by hand on a member that is left, or restore a backup elsewhere"
        )
        yield recovery, "True", Reason.APPROVAL_REQUIRED, message
        return
    yield recovery, "False", Reason.NOT_REQUIRED, "The lost members are in clusters that answer; they are being restarted there"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _sentence(start: str, parts: tuple[str, ...]) -> str:
    return f"{start} {'; '.join(parts)}" if parts else ""
