"""The status of a MongoDB, computed from one look at it. Pure; says nothing of when it is written."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from fedstate.api.conditions import Condition, ConditionType, MemberState, Reason, conditions_of, with_condition
from fedstate.api.naming import replset_name, short_member_name
from fedstate.api.versions import shown_versions
from fedstate.dataplane.holdings import OwnMember, exporter_problem
from fedstate.dataplane.look import Look, Problem
from fedstate.dataplane.rollout import outdated
from fedstate.dataplane.specs import pods_selector
from fedstate.dataplane.stance import Attitude
from fedstate.dataplane.steps import Settled, Wait
from fedstate.mongo.replica import SetStatus

LAG_GRAIN = 10.0
"""Lag is told in steps of so many seconds: a figure that never rests would make every look a write."""

ALARMS = {"MajorityLost": ConditionType.MAJORITY_LOST, "RecoveryRequired": ConditionType.RECOVERY_REQUIRED}
_CALM = frozenset({"Following", "NotInitiator"})
FOR_HUMANS = frozenset({*ALARMS, "PlanConflict"})
"""Reasons to wait that no amount of waiting removes."""


def status_of(look: Look, now: datetime) -> dict[str, Any]:
    """The whole status but its heartbeat; equal looks give equal statuses, transition times included."""
    previous = look.previous
    status: dict[str, Any] = {
        "state": str(state_of(look)),
        "observedGeneration": look.mongo.generation,
        "readyMembers": sum(_serves(look, member) for member in look.holdings.members if not member.arbiter),
        "selector": pods_selector(look.mongo.name),
        "nextOrdinal": max(look.roster.next_ordinal if look.roster else 0, int(previous.get("nextOrdinal") or 0)),
        "members": [_member(look, member) for member in look.holdings.members],
        "replset": _replset(look.reading.status),
        "replicaSet": _replica_set(look),
        "decommissioned": False,
        "currentInfo": _current_info(look),
        "conditions": [condition.to_object() for condition in _conditions(look, now)],
    }
    federation = _federation(look)
    if federation:
        status["federation"] = federation
    revision = look.revision if look.revision and not _rolling(look) else previous.get("currentRevision")
    if revision:
        status["currentRevision"] = revision
    version = _version(look)
    if version:
        status["version"] = version
    return status


def _version(look: Look) -> str:
    """What own members say they run; while none of them answers, what they said last."""
    if not look.holdings.members:
        return ""
    told = shown_versions(look.reading.of(member.host).version for member in look.holdings.members if member.host)
    return told or str(look.previous.get("version") or "")


def state_of(look: Look) -> MemberState:
    """One word for the whole: Error where a human is needed, Running only where nothing is left to do."""
    if any(problem.blocking for problem in look.problems) or (isinstance(look.step, Wait) and look.step.reason in FOR_HUMANS):
        return MemberState.ERROR
    if look.stance.attitude is Attitude.WATCH and not look.holdings.members:
        return MemberState.UNKNOWN
    return MemberState.RUNNING if _is_settled(look) else MemberState.RECONCILING


def initialized(look: Look) -> bool:
    """True when the set is known to have been initiated, now or ever."""
    if look.reading.view.config is not None or look.reading.status is not None:
        return True
    if look.plan is not None and look.plan.replica_set_id:
        return True
    return bool((look.previous.get("replicaSet") or {}).get("id"))


def _is_settled(look: Look) -> bool:
    members = look.holdings.members
    calm = isinstance(look.step, Settled) or (isinstance(look.step, Wait) and look.step.reason in _CALM)
    if look.stance.attitude is Attitude.WATCH:
        calm = True
    complete = look.roster is None or (look.roster.complete and len(members) >= len(look.roster.kept))
    serving = all(_serves(look, member) for member in members)
    return (
        calm
        and complete
        and serving
        and bool(members or not look.mongo.members)
        and not _rolling(look)
        and look.users_current is not False
    )


def _rolling(look: Look) -> bool:
    return bool(look.revision) and bool(outdated(look.holdings.members, look.revision))


def _serves(look: Look, member: OwnMember) -> bool:
    status = look.reading.of(member.host).status
    myself = status.myself if status is not None else None
    return myself is not None and myself.serving


def _member(look: Look, member: OwnMember) -> dict[str, Any]:
    reading = look.reading.of(member.host)
    config = look.reading.view.config
    retiring = look.roster is not None and any(gone.ordinal == member.ordinal for gone in look.roster.retiring)
    known = config.by_host(member.host) is not None if config is not None else reading.status is not None
    entry: dict[str, Any] = {
        "name": member.name,
        "ordinal": member.ordinal,
        "ready": reading.ready and member.running,
        "role": reading.role,
        "arbiter": member.arbiter,
        "configured": known,
        "retiring": retiring,
        "revision": member.revision,
        "image": member.image,
    }
    if member.host:
        entry["host"] = member.host
    if member.pod is not None:
        entry["pod"] = member.pod["metadata"]["name"]
    lag = look.reading.status.lag(member.host) if look.reading.status is not None else None
    if lag is not None and lag >= LAG_GRAIN:
        entry["lagSeconds"] = lag // LAG_GRAIN * LAG_GRAIN
    if reading.detail and member.running:
        entry["message"] = reading.detail
    return entry


def _replset(status: SetStatus | None) -> list[dict[str, Any]]:
    return [
        {
            "_id": member.id,
            "name": member.host,
            "health": int(member.healthy),
            "state": member.state,
            "stateStr": member.state_name,
            "syncSourceHost": member.sync_source,
            "syncingTo": member.sync_source,
        }
        for member in (status.members if status is not None else ())
    ]


def _replica_set(look: Look) -> dict[str, Any]:
    """What lasts is kept from before while nobody answers: that the set exists must never be forgotten."""
    before = look.previous.get("replicaSet") or {}
    view, status = look.reading.view, look.reading.status
    result: dict[str, Any] = {"name": replset_name(look.mongo.name), "primary": view.primary_host or ""}
    if not result["primary"] and status is not None and status.primary is not None:
        result["primary"] = status.primary.host
    if view.config is None:
        kept = ("id", "configVersion", "configTerm", "setSize")
        return result | {key: before[key] for key in kept if key in before}
    config = view.config
    result |= {
        "id": config.replica_set_id,
        "configVersion": config.version,
        "configTerm": config.term,
        "setSize": len(config.members),
    }
    if view.primary_is_own:
        result["committed"] = view.committed
    return result


def _current_info(look: Look) -> dict[str, Any]:
    if look.stance.attitude is Attitude.WATCH or look.roster is None:
        return dict(look.previous.get("currentInfo") or {})
    mongo = look.mongo
    return {"members": mongo.members, "resources": mongo.resources, "image": mongo.image, "storage": mongo.storage.size}


def _federation(look: Look) -> dict[str, Any]:
    before = dict(look.previous.get("federation") or {})
    stamp = look.mongo.federation
    if stamp is None or look.stance.reason in ("ForeignCluster", "ForeignInstance"):
        return before
    followed = int(before.get("planGeneration") or 0) if before.get("instanceUID") == stamp.instance_uid else 0
    if _has_followed(look):
        followed = stamp.plan_generation
    result = {"cluster": stamp.cluster, "instanceUID": stamp.instance_uid, "planGeneration": followed}
    if look.plan is not None:
        had = int(before.get("hostconfGeneration") or 0) if before.get("instanceUID") == stamp.instance_uid else 0
        result["hostconfGeneration"] = max(look.plan.generation, had)
    return result


def _has_followed(look: Look) -> bool:
    """The spec's members exist as it wants them, with an address, and those that are planned stand in the live configuration."""
    stamp, roster, plan = look.mongo.federation, look.roster, look.plan
    if stamp is None or roster is None or look.stance.attitude is not Attitude.ACT or not roster.complete or _rolling(look):
        return False
    if any(not member.host for member in look.holdings.members) or len(look.holdings.members) < len(roster.kept):
        return False
    if plan is None or plan.generation < stamp.plan_generation:
        return False
    config = look.reading.view.config
    own = [member for member in plan.members if member.cluster == stamp.cluster]
    return config is not None and all(config.by_host(member.host) is not None for member in own)


def _conditions(look: Look, now: datetime) -> tuple[Condition, ...]:
    conditions = conditions_of({"status": look.previous})
    for condition in (*_user_conditions(look), *_summary(look), *_alarms(look), *_parts(look)):
        conditions = with_condition(conditions, condition, now)
    return conditions


def _condition(look: Look, kind: ConditionType, holds: bool, reason: str, message: str = "") -> Condition:
    status = "True" if holds else "False"
    return Condition(type=kind, status=status, reason=reason, message=message, observed_generation=look.mongo.generation)


def _user_conditions(look: Look) -> list[Condition]:
    """The announcement's conditions; where the users are not known from here, what was known stays."""
    first = short_member_name(min((member.ordinal for member in look.holdings.members), default=0))
    if not initialized(look):
        return [_condition(look, ConditionType.RS_INIT, False, Reason.PENDING, _waiting_for(look))]
    result = [_condition(look, ConditionType.RS_INIT, True, Reason.DONE, first)]
    if look.users_current is not None:
        reason = Reason.DONE if look.users_current else Reason.PENDING
        kinds = (ConditionType.USER_ROOT, ConditionType.USER_CLUSTER_ADMIN, ConditionType.USER_CLUSTER_MONITOR)
        result += [_condition(look, kind, look.users_current, reason, first) for kind in kinds]
    return result


def _summary(look: Look) -> list[Condition]:
    state = state_of(look)
    ready = state is MemberState.RUNNING
    blocking = [problem for problem in look.problems if problem.blocking]
    waiting = _waiting_for(look)
    stalled, reason, message = False, str(Reason.SETTLED if ready else Reason.PROGRESSING), ""
    if look.stance.attitude is Attitude.WATCH:
        stalled, reason, message = True, look.stance.reason, look.stance.message
    elif blocking:
        stalled, reason, message = True, blocking[0].reason, _all_of(blocking)
    elif isinstance(look.step, Wait) and look.step.reason in FOR_HUMANS:
        stalled, reason, message = True, look.step.reason, look.step.message
    return [
        _condition(
            look, ConditionType.READY, ready, Reason.REPLICA_SET_READY if ready else Reason.MEMBERS_NOT_READY, message or waiting
        ),
        _condition(
            look, ConditionType.RECONCILING, not ready and not stalled, Reason.SETTLED if ready else Reason.PROGRESSING, waiting
        ),
        _condition(look, ConditionType.STALLED, stalled, reason, message),
    ]


def _alarms(look: Look) -> list[Condition]:
    """Alarms appear when they are raised first, and stay to say that they are over."""
    raised = look.step.reason if isinstance(look.step, Wait) else ""
    before = {condition.type for condition in conditions_of({"status": look.previous})}
    result = []
    for reason, kind in ALARMS.items():
        if raised == reason and isinstance(look.step, Wait):
            result.append(_condition(look, kind, True, reason, look.step.message))
        elif kind in before:
            result.append(_condition(look, kind, False, Reason.NOT_REQUIRED))
    return result


def _parts(look: Look) -> list[Condition]:
    result = []
    storage = next((problem for problem in look.problems if problem.storage), None)
    bound = [((member.claim or {}).get("status") or {}).get("phase") == "Bound" for member in look.holdings.members]
    if storage is not None:
        result.append(_condition(look, ConditionType.STORAGE_READY, False, storage.reason, storage.message))
    elif bound:
        message = "" if all(bound) else f"{bound.count(False)} of {len(bound)} volumes are not bound yet"
        result.append(
            _condition(look, ConditionType.STORAGE_READY, all(bound), Reason.DONE if all(bound) else Reason.PENDING, message)
        )
    if look.mongo.metrics_enabled and look.holdings.members:
        problem = next((found for found in map(exporter_problem, look.holdings.members) if found), "")
        running = all(member.running for member in look.holdings.members)
        reason = Reason.FAILED if problem else Reason.DONE if running else Reason.PENDING
        result.append(_condition(look, ConditionType.METRICS_EXPORTER, running and not problem, reason, problem))
    return result


def _all_of(problems: Iterable[Problem]) -> str:
    return "; ".join(dict.fromkeys(problem.message for problem in problems))


def _waiting_for(look: Look) -> str:
    """The most telling thing that is still being waited for."""
    if isinstance(look.step, Wait) and look.step.reason not in _CALM:
        return look.step.message
    if look.problems:
        return _all_of(look.problems)
    behind = [member.name for member in look.holdings.members if not _serves(look, member)]
    return f"waiting for {', '.join(behind)}" if behind else ""
