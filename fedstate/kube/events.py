"""Kubernetes Events for users: recorded without waiting, repeated ones counted in a series, dropped rather than queued without end.

The series rules are client-go's (tools/events). Knows nothing of why something is worth an event.
"""

import asyncio
import logging
import random
import socket
import uuid
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from fedstate.kube.client import KubeClient
from fedstate.kube.errors import AlreadyExists, ApiError, NotFound, ServerError, TooManyRequests, TransportError
from fedstate.kube.metrics import EVENTS_DROPPED
from fedstate.kube.objects import KubeObject, format_micro_time, name_of, namespace_of, resource_version_of, uid_of
from fedstate.kube.resources import EVENTS

_log = logging.getLogger(__name__)

QUEUE_LIMIT = 1000
NOTE_LIMIT = 1024
TRIES = 12
RETRY_WAIT = 10.0
SERIES_IDLE = 6 * 60.0
SERIES_REFRESH = 30 * 60.0
MAINTENANCE = 60.0
SERIES_LIMIT = 4096
FLUSH_TIMEOUT = 2.0
SPAM_BURST = 25
SPAM_REFILL = 300.0


class _SeriesKey(NamedTuple):
    type: str
    action: str
    reason: str
    regarding: tuple[str, ...]


@dataclass(slots=True)
class _Series:
    event: KubeObject
    seen_at: float
    written_at: float
    count: int = 1
    written_count: int = 0


@dataclass(slots=True)
class _Allowance:
    tokens: float
    at: float


class EventRecorder:
    """`event` may be called from anywhere on the loop and returns at once; `run` sends until cancelled, then what is left, briefly."""

    def __init__(self, client: KubeClient, component: str, *, instance: str = "") -> None:
        self._client = client
        self._component = component
        self._instance = (instance or f"{component}-{socket.gethostname()}")[:128]
        self._queue: deque[_SeriesKey] = deque()
        self._wake = asyncio.Event()
        self._series: dict[_SeriesKey, _Series] = {}  # unseen for longest first
        self._allowances: OrderedDict[tuple[str, ...], _Allowance] = OrderedDict()

    def event(self, regarding_obj: KubeObject, type: str, reason: str, note: str, *, action: str = "") -> None:
        """Tells users of the object that something happened to it: on changes of state, not on every look."""
        now = asyncio.get_running_loop().time()
        regarding = _reference(regarding_obj)
        key = _SeriesKey(
            type, action or reason, reason, tuple(text for field, text in regarding.items() if field != "resourceVersion")
        )
        if not self._allowed((type, *key.regarding), now):
            EVENTS_DROPPED.labels("spam").inc()
            return
        series = self._series.get(key)
        if series is not None:
            series.count += 1
            series.seen_at = now
            self._series[key] = self._series.pop(key)
            if series.count == 2:
                self._enqueue(key)
            return
        if len(self._queue) >= QUEUE_LIMIT or not self._has_room():
            EVENTS_DROPPED.labels("queue full").inc()
            return
        self._series[key] = _Series(self._new(key, regarding, note), now, now)
        self._enqueue(key)

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send_queued(), name="events sender")
                group.create_task(self._maintain(), name="events series")
        finally:
            await self._flush()

    def _enqueue(self, key: _SeriesKey) -> None:
        if len(self._queue) >= QUEUE_LIMIT:
            EVENTS_DROPPED.labels("queue full").inc()
            return
        self._queue.append(key)
        self._wake.set()

    def _has_room(self) -> bool:
        """Whether one more series can be remembered: for its sake the one unseen for longest is forgotten that owes the server nothing."""
        if len(self._series) < SERIES_LIMIT:
            return True
        told = next((key for key, series in self._series.items() if series.count == series.written_count), None)
        if told is not None:
            del self._series[told]
        return told is not None

    def _allowed(self, source: tuple[str, ...], now: float) -> bool:
        allowance = self._allowances.get(source)
        if allowance is None:
            allowance = self._allowances[source] = _Allowance(SPAM_BURST, now)
            if len(self._allowances) > SERIES_LIMIT:
                self._allowances.popitem(last=False)
        self._allowances.move_to_end(source)
        allowance.tokens = min(SPAM_BURST, allowance.tokens + (now - allowance.at) / SPAM_REFILL)
        allowance.at = now
        if allowance.tokens < 1:
            return False
        allowance.tokens -= 1
        return True

    def _new(self, key: _SeriesKey, regarding: dict[str, str], note: str) -> KubeObject:
        name = f"{regarding['name'][:200]}.{uuid.uuid4().hex[:16]}"
        return {
            "apiVersion": EVENTS.api_version,
            "kind": EVENTS.kind,
            "metadata": {"name": name, "namespace": regarding.get("namespace") or "default"},
            "eventTime": _timestamp(),
            "type": key.type,
            "action": key.action[:128],
            "reason": key.reason[:128],
            "note": note if len(note) <= NOTE_LIMIT else note[: NOTE_LIMIT - 1] + "…",
            "regarding": regarding,
            "reportingController": self._component,
            "reportingInstance": self._instance,
        }

    async def _send_queued(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                key = self._queue[0]
                await self._send(key, TRIES)
                self._queue.popleft()

    async def _maintain(self) -> None:
        while True:
            await asyncio.sleep(MAINTENANCE)
            now = asyncio.get_running_loop().time()
            for key, series in tuple(self._series.items()):
                idle = now - series.seen_at >= SERIES_IDLE
                if series.count > series.written_count and (idle or now - series.written_at >= SERIES_REFRESH):
                    await self._send(key, 1)
                if idle:
                    self._series.pop(key, None)

    async def _flush(self) -> None:
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT):
                while self._queue:
                    await self._send(self._queue.popleft(), 1)
        except TimeoutError:
            EVENTS_DROPPED.labels("shutdown").inc(len(self._queue))

    async def _send(self, key: _SeriesKey, tries: int) -> None:
        series = self._series.get(key)
        if series is None:
            return
        for attempt in range(tries):
            if attempt:
                await asyncio.sleep(RETRY_WAIT * random.uniform(0.75, 1.25))
            try:
                await self._write(series)
            except (TransportError, TooManyRequests, ServerError) as error:
                _log.debug("an event was not sent, trying again", extra={"error": str(error)})
            except ApiError as error:
                # A namespace that ends, a right that is missing: nothing that another try would change.
                _log.debug("an event was refused", extra={"error": str(error)})
                EVENTS_DROPPED.labels("refused").inc()
                return
            except Exception:  # noqa: BLE001 - telling users must never stop the work told of
                _log.exception("an event could not be sent")
                EVENTS_DROPPED.labels("bug").inc()
                return
            else:
                return
        EVENTS_DROPPED.labels("unreachable").inc()

    async def _write(self, series: _Series) -> None:
        count = series.count
        if series.written_count and count > 1:
            await self._write_count(series, count)
        else:
            await self._create(series)
            # What was counted while the event had no name on the server goes there with the next write.
            count = 1
        series.written_count = count
        series.written_at = asyncio.get_running_loop().time()

    async def _create(self, series: _Series) -> None:
        try:
            series.event = await self._client.create(EVENTS, series.event)
        except AlreadyExists:
            # An earlier try arrived, though its answer did not.
            _log.debug("an event was there already", extra={"event": name_of(series.event)})

    async def _write_count(self, series: _Series, count: int) -> None:
        patch = {"series": {"count": count, "lastObservedTime": _timestamp()}}
        try:
            await self._client.merge_patch(EVENTS, name_of(series.event), patch, namespace=namespace_of(series.event))
        except NotFound:
            # Events expire on the server after an hour.
            metadata = {field: series.event["metadata"][field] for field in ("namespace", "name")}
            series.event = series.event | patch | {"metadata": metadata, "eventTime": _timestamp()}
            await self._create(series)


def _reference(obj: KubeObject) -> dict[str, str]:
    found: dict[str, Any] = {
        "apiVersion": obj.get("apiVersion"),
        "kind": obj.get("kind"),
        "namespace": namespace_of(obj),
        "name": name_of(obj),
        "uid": uid_of(obj),
        "resourceVersion": resource_version_of(obj),
    }
    return {field: str(value) for field, value in found.items() if value}


def _timestamp() -> str:
    return format_micro_time(datetime.now(UTC))
