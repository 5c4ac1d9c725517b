"""Reads the caches, decides, and writes the decision: first the annotation, in one request; then, in a later pass, its story.

One per middleware. Writes nothing of the spec, and nothing at all for instances of another scheduler.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fedstate.api.conditions import Condition, ConditionType, Reason, conditions_of, find_condition, with_condition
from fedstate.api.naming import (
    ANNOTATION_REBALANCED,
    ANNOTATION_SCHEDULER_RESULT,
    DEFAULT_SCHEDULER_NAME,
    FIELD_MANAGER_SCHEDULER,
)
from fedstate.api.placement import Placement
from fedstate.control.reconciler import DONE, Result
from fedstate.errors import TerminalError
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import ApiError, ServerError
from fedstate.kube.events import EventRecorder
from fedstate.kube.objects import (
    Key,
    KubeObject,
    annotations_of,
    generation_of,
    key_of,
    name_of,
    namespace_of,
    resource_version_of,
    uid_of,
)
from fedstate.kube.store import Store
from fedstate.scheduler.decision import Decision
from fedstate.scheduler.engine import Engine
from fedstate.scheduler.ledger import Ledger
from fedstate.scheduler.losses import Absences
from fedstate.scheduler.metrics import decided
from fedstate.scheduler.middleware import Demand, Middleware
from fedstate.scheduler.report import moves, same_story, scheduled_condition, scheduling_status, unmet_sentence
from fedstate.scheduler.turns import Stories
from fedstate.scheduler.waiting import Waiting

_log = logging.getLogger(__name__)

LOOK_AGAIN = 30.0
"""Seconds until an instance without a place is looked at again, should no change have done so before: its story tells what is too
little by now, also where no change has helped.
"""

LOOK_AGAIN_AWAITED = 15.0
"""The same for one that waits for the first report of a cluster, since that wait ends by time alone."""

AFTER_DUE = 0.1
"""Seconds after the end of a toleration, so that it is surely over."""

STALE_CACHE = 0.2
"""Seconds until the cache should have seen our own write."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SchedulerReconciler:
    """Places instances of one middleware. The engine and the ledger may be shared with the reconcilers of others.

    `waiting` and `stories` are for whoever asks the queue for what they hold when its time has come.
    """

    def __init__(
        self, client: KubeClient, events: EventRecorder, middleware: Middleware, instances: Store, engine: Engine, ledger: Ledger
    ) -> None:
        self._client = client
        self._events = events
        self._middleware = middleware
        self._instances = instances
        self._engine = engine
        self._ledger = ledger
        self.waiting = Waiting(lambda demand: engine.room(demand, middleware.template, now=self.monotonic()))
        self.stories = Stories()
        self._absences = Absences()
        self._written: dict[Key, int] = {}
        self._sent: dict[Key, str] = {}
        self._told: dict[Key, Mapping[str, Any]] = {}
        self._unsure: set[Key] = set()
        self._acquainted = False
        self.prepare: Callable[[Demand, str], Awaitable[None]] | None = None
        """Awaited before a decision, so that what it rests on is there."""
        self.monotonic: Callable[[], float] = time.monotonic
        self.now: Callable[[], datetime] = _utc_now

    def sent(self, key: Key) -> str | None:
        """The result that this process has last written for an instance, or is about to."""
        return self._sent.get(key)

    def is_echo(self, key: Key, scheduling: object) -> bool:
        """Whether this `status.scheduling` is what this process has last written for the instance; said once for each write."""
        if key not in self._told or self._told[key] != scheduling:
            return False
        del self._told[key]
        return True

    async def reconcile(self, key: Key) -> Result:
        self._get_acquainted()
        obj = self._instances.get(key)
        if obj is None:
            self._forget(key)
            return DONE
        if self._written.get(key, 0) > int(resource_version_of(obj)):
            return Result(requeue_after=STALE_CACHE)
        self._written.pop(key, None)
        try:
            demand = self._middleware.demand_of(obj)
        except TerminalError as error:
            self.waiting.discard(key)
            await self._refuse(obj, error)
            raise
        running = self._middleware.running_of(obj)
        if demand.deleting or demand.scheduler_name != DEFAULT_SCHEDULER_NAME:
            self.waiting.discard(key)
            self._observe(key, demand.current, demand, running)
            return DONE
        if self.prepare is not None:
            await self.prepare(demand, key.namespace)
            if self._instances.get(key) is not obj:
                return await self.reconcile(key)
        losses, due = self._absences.losses(
            key, demand, self._middleware.sight_of(obj), self._engine.cluster, now=self.monotonic()
        )
        if losses is not demand.losses:
            demand = replace(demand, losses=losses)
        return _sooner(await self._place(key, obj, demand, running), due)

    async def _place(self, key: Key, obj: KubeObject, demand: Demand, running: Mapping[str, int]) -> Result:
        """A placement to write is all that this pass writes; its story is left to a later one."""
        self._observe(key, demand.current, demand, running)
        began = time.perf_counter()
        explained = demand.current is not None  # then there is nearly always nothing to place, and only something to tell
        decision = self._decide(demand, explain=explained)
        if decision.placement is not None and (decision.placement != demand.current or decision.rebalanced):
            self._observe(key, decision.placement, demand, running)
            decided(self._middleware.instances.plural, Reason.PLACED, time.perf_counter() - began)
            self.waiting.discard(key)
            await self._write_placement(key, obj, demand, decision)
            return DONE
        if not explained:
            decision = self._decide(demand, explain=True)
        scheduling = scheduling_status(demand, decision)
        condition = scheduled_condition(demand, decision, scheduling["message"])
        decided(self._middleware.instances.plural, condition.reason, time.perf_counter() - began)
        settled = decision.complete and not decision.stuck and not decision.unmoved and decision.unmet is None
        if settled:
            self.waiting.discard(key)
        else:
            self.waiting.add(key, demand, decision)
        await self._write_status(key, obj, decision, condition, scheduling)
        if settled:
            return DONE
        return Result(requeue_after=LOOK_AGAIN_AWAITED if decision.awaited else LOOK_AGAIN)

    def _decide(self, demand: Demand, *, explain: bool) -> Decision:
        return self._engine.decide(demand, self._middleware.template, now=self.monotonic(), today=self.now(), explain=explain)

    def _get_acquainted(self) -> None:
        """Before the first decision, everything that is placed already has to be in the ledger."""
        if self._acquainted:
            return
        self._acquainted = True
        for obj in self._instances.list():
            try:
                demand = self._middleware.demand_of(obj)
            except TerminalError:
                continue
            self._observe(key_of(obj), demand.current, demand, self._middleware.running_of(obj))

    def _observe(self, key: Key, placement: Placement | None, demand: Demand, running: Mapping[str, int]) -> None:
        """Nothing is awaited between a decision and this, so that no two decisions give the same resources away."""
        planned = {entry.cluster: entry.members + int(entry.arbiter) for entry in placement.clusters} if placement else {}
        self._ledger.observe(key, planned, demand.shape, running, self.monotonic())

    def _forget(self, key: Key) -> None:
        self._ledger.forget(key)
        self._absences.forget(key)
        self.waiting.discard(key)
        self.stories.drop(key)
        self._written.pop(key, None)
        self._sent.pop(key, None)
        self._told.pop(key, None)
        self._unsure.discard(key)

    async def _write_placement(self, key: Key, obj: KubeObject, demand: Demand, decision: Decision) -> None:
        """Bound to the uid: an instance of the same name that came in between is another one, and refused.

        After a request without an answer nobody knows which placement counts, so the next one is bound to what the cache holds.
        A placement that was refused is booked off again.
        """
        assert decision.placement is not None
        result, unsure = decision.placement.to_annotation(), key in self._unsure
        annotations = {ANNOTATION_SCHEDULER_RESULT: result}
        done = decision.rebalanced or annotations_of(obj).get(ANNOTATION_REBALANCED)
        if done:
            annotations[ANNOTATION_REBALANCED] = done  # what an apply leaves out is taken away
        intent: KubeObject = {"metadata": _identity(obj) | {"annotations": annotations}}
        if unsure:
            intent["metadata"]["resourceVersion"] = resource_version_of(obj)
        self._sent[key] = result
        self._unsure.add(key)
        try:
            with self.stories.writing():
                answer = await self._client.apply(self._middleware.instances, intent, field_manager=FIELD_MANAGER_SCHEDULER)
        except ApiError as error:
            if not unsure and not isinstance(error, ServerError):
                self._unsure.discard(key)
                self._observe(key, demand.current, demand, self._middleware.running_of(obj))
            raise
        self._unsure.discard(key)
        self._written[key] = int(resource_version_of(answer))
        self.stories.hold(key)
        _log.info("placed", extra={"object": str(key), "placement": result})
        for reason, note in moves(demand, decision):
            self._events.event(obj, "Normal", reason, note, action="Move")

    async def _refuse(self, obj: KubeObject, error: TerminalError) -> None:
        condition = Condition(
            type=ConditionType.SCHEDULED,
            status="False",
            reason=error.reason,
            message=error.message,
            observed_generation=generation_of(obj),
        )
        scheduling = (obj.get("status") or {}).get("scheduling")
        await self._apply_status(key_of(obj), obj, condition, scheduling)

    async def _write_status(
        self, key: Key, obj: KubeObject, decision: Decision, condition: Condition, scheduling: dict[str, Any]
    ) -> None:
        before = (obj.get("status") or {}).get("scheduling")
        settled = decision.complete or decision.held is not None or bool(decision.awaited)
        if settled and before is not None and same_story(before, scheduling):
            scheduling = before
        await self._apply_status(key, obj, condition, scheduling, unmet_sentence(decision))

    async def _apply_status(
        self, key: Key, obj: KubeObject, condition: Condition, scheduling: Mapping[str, Any] | None, unmet: str = ""
    ) -> None:
        """Writes only what differs from the cached status, and tells the owner when the verdict or its reason changes."""
        conditions = conditions_of(obj)
        before = find_condition(conditions, ConditionType.SCHEDULED)
        after = find_condition(with_condition(conditions, condition, self.now()), ConditionType.SCHEDULED)
        if after is None or (after == before and scheduling == (obj.get("status") or {}).get("scheduling")):
            return
        status: dict[str, Any] = {"conditions": [after.to_object()]}
        if scheduling is not None:
            status["scheduling"] = self._told[key] = scheduling
        intent = {"metadata": _identity(obj), "status": status}
        answer = await self._client.apply(
            self._middleware.instances, intent, subresource="status", field_manager=FIELD_MANAGER_SCHEDULER
        )
        self._written[key] = int(resource_version_of(answer))
        if before is None or (before.status, before.reason) != (after.status, after.reason):
            self._tell(obj, after)
        if unmet and (before is None or unmet not in before.message):
            self._events.event(obj, "Warning", "NotRebalanced", unmet, action="Move")

    def _tell(self, obj: KubeObject, condition: Condition) -> None:
        if condition.is_true:
            self._events.event(obj, "Normal", "Scheduled", condition.message, action="Schedule")
        else:
            self._events.event(obj, "Warning", "FailedScheduling", condition.message, action="Schedule")


def _sooner(result: Result, due: float | None) -> Result:
    """Looked at again when the time of a loss is over, if not before."""
    if due is None:
        return result
    pause = due + AFTER_DUE
    return replace(result, requeue_after=pause if result.requeue_after is None else min(pause, result.requeue_after))


def _identity(obj: KubeObject) -> dict[str, str]:
    return {"name": name_of(obj), "namespace": namespace_of(obj), "uid": uid_of(obj)}
