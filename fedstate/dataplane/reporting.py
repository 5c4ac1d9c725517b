"""Writes a MongoDB's status and tells of its changes: only when something changed, and as a heartbeat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from fedstate.api.conditions import Condition, ConditionType, MemberState, Reason, conditions_of, with_condition
from fedstate.control.reconciler import Result
from fedstate.dataplane.look import Look
from fedstate.dataplane.stance import Attitude
from fedstate.dataplane.status import state_of, status_of
from fedstate.dataplane.writer import Writer
from fedstate.errors import TerminalError
from fedstate.kube.events import EventRecorder
from fedstate.kube.objects import KubeObject, format_time, generation_of, parse_time

CONVERGING = 1.0
IDLE = 7.5
HEARTBEAT = 15.0

_REMARKS = ("ConfigIgnored", "MissingReference")
"""Problems that block nothing, and that do not pass by themselves either."""


class Reporter:
    """The last part of every reconcile."""

    def __init__(self, writer: Writer, events: EventRecorder, now: Callable[[], datetime]) -> None:
        self._writer = writer
        self._events = events
        self._now = now

    async def report(self, obj: KubeObject, look: Look) -> Result:
        """Write the status of a look; the result says when the next one is due."""
        now = self._now()
        status = status_of(look, now)
        if look.stance.attitude is Attitude.LEAVE:
            status = _leaving_status(status, look, now)
        self._tell_changes(obj, look, status)
        await self._write_status(obj, status, now)
        busy = look.acted or state_of(look) is MemberState.RECONCILING
        return Result(requeue_after=CONVERGING if busy else IDLE)

    async def _write_status(self, obj: KubeObject, status: dict[str, Any], now: datetime) -> None:
        """Write when something changed, or when the heartbeat is due."""
        before = dict(obj.get("status") or {})
        heartbeat = before.pop("heartbeatTime", None)
        age = (now - parse_time(heartbeat)).total_seconds() if heartbeat is not None else HEARTBEAT
        due = not 0 <= age < HEARTBEAT  # a heartbeat from the future: the clock was put back
        if due or before != status:
            await self._writer.write_status(obj, {**status, "heartbeatTime": format_time(now)})

    async def report_invalid(self, obj: KubeObject, error: TerminalError) -> Result:
        """Keep what was reported, and say which field has to change; the heartbeat goes on, since the operator is not silent."""
        now, before = self._now(), dict(obj.get("status") or {})
        conditions = conditions_of({"status": before})
        for kind, holds in ((ConditionType.READY, "False"), (ConditionType.STALLED, "True")):
            condition = Condition(
                type=kind, status=holds, reason=Reason.INVALID_SPEC, message=str(error), observed_generation=generation_of(obj)
            )
            conditions = with_condition(conditions, condition, now)
        status = {key: value for key, value in before.items() if key != "heartbeatTime"}
        status |= {"state": str(MemberState.ERROR), "conditions": [condition.to_object() for condition in conditions]}
        await self._write_status(obj, status, now)
        return Result(requeue_after=IDLE)

    def _tell_changes(self, obj: KubeObject, look: Look, status: Mapping[str, Any]) -> None:
        """Events for what changed by itself since the last report."""
        before = (look.previous.get("replicaSet") or {}).get("primary") or ""
        primary = status["replicaSet"]["primary"]
        if primary and before and primary != before:
            self._events.event(obj, "Normal", "PrimaryChanged", f"the primary is {primary}, before it was {before}")
        old = {condition.type: condition for condition in conditions_of({"status": look.previous})}
        for condition in conditions_of({"status": status}):
            was = old.get(condition.type)
            if condition.type == ConditionType.STALLED and condition.is_true and (was is None or was.reason != condition.reason):
                self._events.event(obj, "Warning", condition.reason, condition.message)
            for remark in look.problems if condition.type == ConditionType.READY else ():
                if remark.reason in _REMARKS and not remark.blocking and (was is None or remark.message not in was.message):
                    self._events.event(obj, "Warning", remark.reason, remark.message)
            if condition.type == ConditionType.READY and condition.is_true and (was is None or not was.is_true):
                self._events.event(obj, "Normal", "Ready", f"all members of {look.mongo.name} in this cluster serve")


def _leaving_status(status: dict[str, Any], look: Look, now: datetime) -> dict[str, Any]:
    gone = look.holdings.empty
    reason = Reason.DONE if gone else Reason.PENDING
    left = ", ".join(member.name for member in look.holdings.members)
    condition = Condition(
        type=ConditionType.DECOMMISSIONED,
        status="True" if gone else "False",
        reason=reason,
        message="" if gone else f"still here: {left}",
        observed_generation=look.mongo.generation,
    )
    kept = [c for c in conditions_of({"status": look.previous}) if c.type != ConditionType.STALLED]
    conditions = with_condition(kept, condition, now)
    ready = Condition(type=ConditionType.READY, status="False", reason=Reason.DELETING, observed_generation=look.mongo.generation)
    conditions = with_condition(conditions, ready, now)
    stamp = look.mongo.federation
    federation = dict(look.previous.get("federation") or {})
    if stamp is not None:
        federation |= {"cluster": stamp.cluster, "instanceUID": stamp.instance_uid}
        federation["planGeneration"] = stamp.plan_generation if gone else int(federation.get("planGeneration") or 0)
    result = status | {
        "state": str(MemberState.RECONCILING),
        "decommissioned": gone,
        "conditions": [entry.to_object() for entry in conditions],
    }
    return result | ({"federation": federation} if federation else {})
