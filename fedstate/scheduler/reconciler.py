"""Reads the caches, decides, and writes the decision: the annotation in one request, then what it was based on.

One per middleware. Writes nothing of the spec, and nothing at all for instances of another scheduler.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from fedstate.api.conditions import Condition, ConditionType, conditions_of, find_condition, with_condition
from fedstate.api.naming import ANNOTATION_SCHEDULER_RESULT, DEFAULT_SCHEDULER_NAME, FIELD_MANAGER_SCHEDULER
from fedstate.api.placement import Placement
from fedstate.control.reconciler import DONE, Result
from fedstate.errors import TerminalError
from fedstate.kube.client import KubeClient
from fedstate.kube.events import EventRecorder
from fedstate.kube.objects import Key, KubeObject, generation_of, key_of, name_of, namespace_of, resource_version_of, uid_of
from fedstate.kube.store import Store
from fedstate.scheduler.decision import Decision
from fedstate.scheduler.engine import Engine
from fedstate.scheduler.ledger import Ledger
from fedstate.scheduler.metrics import decided
from fedstate.scheduler.middleware import Demand, Middleware
from fedstate.scheduler.report import same_story, scheduled_condition, scheduling_status

_log = logging.getLogger(__name__)

LOOK_AGAIN = 30.0
"""Seconds until an instance without a place is tried again, should no change of a cluster have done so before."""

STALE_CACHE = 0.2
"""Seconds until the cache should have seen our own write."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class SchedulerReconciler:
    """Places instances of one middleware. The engine and the ledger may be shared with the reconcilers of others."""

    def __init__(
        self, client: KubeClient, events: EventRecorder, middleware: Middleware, instances: Store, engine: Engine, ledger: Ledger
    ) -> None:
        self._client = client
        self._events = events
        self._middleware = middleware
        self._instances = instances
        self._engine = engine
        self._ledger = ledger
        self._waiting: dict[Key, None] = {}
        self._written: dict[Key, int] = {}
        self._acquainted = False
        self.monotonic: Callable[[], float] = time.monotonic
        self.now: Callable[[], datetime] = _utc_now

    @property
    def waiting(self) -> Iterable[Key]:
        """The instances for which there was no place at their last look."""
        return tuple(self._waiting)

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
            self._waiting.pop(key, None)
            await self._refuse(obj, error)
            raise
        running = self._middleware.running_of(obj)
        if demand.deleting or demand.scheduler_name != DEFAULT_SCHEDULER_NAME:
            self._waiting.pop(key, None)
            self._observe(key, demand.current, demand, running)
            return DONE
        return await self._place(key, obj, demand, running)

    async def _place(self, key: Key, obj: KubeObject, demand: Demand, running: Mapping[str, int]) -> Result:
        self._observe(key, demand.current, demand, running)
        began = time.perf_counter()
        decision = self._engine.decide(demand, self._middleware.template, now=self.monotonic(), today=self.now(), explain=True)
        scheduling = scheduling_status(demand, decision)
        condition = scheduled_condition(demand, decision, scheduling["message"])
        decided(self._middleware.instances.plural, condition.reason, time.perf_counter() - began)
        if decision.placement is not None and decision.placement != demand.current:
            self._observe(key, decision.placement, demand, running)
            await self._write_placement(key, obj, decision.placement)
        await self._write_status(key, obj, decision, condition, scheduling)
        if decision.complete:
            self._waiting.pop(key, None)
            return DONE
        self._waiting[key] = None
        return Result(requeue_after=LOOK_AGAIN)

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
        self._ledger.observe(key, planned, demand.request, running, self.monotonic())

    def _forget(self, key: Key) -> None:
        self._ledger.forget(key)
        self._waiting.pop(key, None)
        self._written.pop(key, None)

    async def _write_placement(self, key: Key, obj: KubeObject, placement: Placement) -> None:
        """Bound to the uid: an instance of the same name that came in between is another one, and refused."""
        result = placement.to_annotation()
        intent = {"metadata": _identity(obj) | {"annotations": {ANNOTATION_SCHEDULER_RESULT: result}}}
        answer = await self._client.apply(self._middleware.instances, intent, field_manager=FIELD_MANAGER_SCHEDULER)
        self._written[key] = int(resource_version_of(answer))
        _log.info("placed", extra={"object": str(key), "placement": result})

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
        if decision.complete and before is not None and same_story(before, scheduling):
            scheduling = before
        await self._apply_status(key, obj, condition, scheduling)

    async def _apply_status(self, key: Key, obj: KubeObject, condition: Condition, scheduling: Mapping[str, Any] | None) -> None:
        """Writes only what differs from the cached status, and tells the owner when the verdict or its reason changes."""
        conditions = conditions_of(obj)
        before = find_condition(conditions, ConditionType.SCHEDULED)
        after = find_condition(with_condition(conditions, condition, self.now()), ConditionType.SCHEDULED)
        if after is None or (after == before and scheduling == (obj.get("status") or {}).get("scheduling")):
            return
        status: dict[str, Any] = {"conditions": [after.to_object()]}
        if scheduling is not None:
            status["scheduling"] = scheduling
        intent = {"metadata": _identity(obj), "status": status}
        answer = await self._client.apply(
            self._middleware.instances, intent, subresource="status", field_manager=FIELD_MANAGER_SCHEDULER
        )
        self._written[key] = int(resource_version_of(answer))
        if before is None or (before.status, before.reason) != (after.status, after.reason):
            self._tell(obj, after)

    def _tell(self, obj: KubeObject, condition: Condition) -> None:
        if condition.is_true:
            self._events.event(obj, "Normal", "Scheduled", condition.message, action="Schedule")
        else:
            self._events.event(obj, "Warning", "FailedScheduling", condition.message, action="Schedule")


def _identity(obj: KubeObject) -> dict[str, str]:
    return {"name": name_of(obj), "namespace": namespace_of(obj), "uid": uid_of(obj)}
