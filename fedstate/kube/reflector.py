"""Keeps a Store equal to one collection of the server: fill, follow, resume, fill again only when told to.

The order of things is client-go's reflector's. Knows nothing of who listens to the store.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import NoReturn, TypeAlias

from fedstate.errors import FedstateError
from fedstate.kube.backoff import Backoff
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import ApiError, Expired, TooManyRequests, TransportError
from fedstate.kube.listing import Lister, Selection, version_is_unavailable
from fedstate.kube.metrics import CACHED_OBJECTS, EVENTS_SEEN, LAST_EVENT_AGE, RELISTS
from fedstate.kube.objects import Key, KubeObject, key_of, resource_version_of
from fedstate.kube.store import Store
from fedstate.kube.watch import WatchEvent, WatchStream, ends_initial_events

_log = logging.getLogger(__name__)

Transform: TypeAlias = Callable[[KubeObject], KubeObject]

INITIAL_EVENTS_IDLE = 10.0
INITIAL_EVENTS_TOTAL = 60.0
SHORT_WATCH = 1.0
EVENTS_PER_TURN = 64


class _Refill(Exception):  # noqa: N818 - not an error: an order
    """Leave the watch, wait, and fill the store anew, because of `reason`."""

    def __init__(self, reason: str, error: FedstateError | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.error = error


class Reflector:
    """`run` never returns by itself. `on_filled` is called after each fill, when the listeners of the store have run."""

    def __init__(
        self, client: KubeClient, selection: Selection, store: Store, *, transform: Transform, on_filled: Callable[[], None]
    ) -> None:
        self._client = client
        self._selection = selection
        self._store = store
        self._transform = transform
        self._on_filled = on_filled
        self._lister = Lister(client, selection)
        self._backoff = Backoff()
        self._initial_events_refused = False
        self._in_order = True
        self._heard_at = time.monotonic()
        self._heard = 0
        self._labels = (client.server, str(selection.resource))
        self._counters = {kind: EVENTS_SEEN.labels(*self._labels, kind) for kind in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")}
        self.last_error: FedstateError | None = None

    async def run(self) -> NoReturn:
        LAST_EVENT_AGE.labels(*self._labels).set_function(lambda: time.monotonic() - self._heard_at)
        CACHED_OBJECTS.labels(*self._labels).set_function(lambda: len(self._store))
        reason = "initial"
        while True:
            RELISTS.labels(*self._labels, reason).inc()
            reason, wait = await self._cycle()
            await asyncio.sleep(wait)

    async def _cycle(self) -> tuple[str, float]:
        """Fills and follows until the store has to be filled anew; gives the reason, and how long to wait before."""
        try:
            await self._fill_and_follow()
        except _Refill as refill:
            return refill.reason, self._delay(refill.error)
        except FedstateError as error:
            self.last_error = error
            _log.warning("a cache cannot be filled, trying again", extra=self._extra(error))
            return "error", self._delay(error)
        except Exception:  # noqa: BLE001 - a cache must outlive any one bad answer
            _log.exception("a reflector failed unexpectedly, filling its cache anew", extra=self._extra())
            return "bug", self._delay(None)

    async def _fill_and_follow(self) -> NoReturn:
        filled = False
        if not self._initial_events_refused:
            filled = await self._follow(initial=True)
        if not filled:
            listed = await self._lister.read(self._store.resource_version)
            self._fill(listed.objects, listed.resource_version)
        while True:
            await self._follow(initial=False)

    async def _follow(self, *, initial: bool) -> bool:
        """Follows one watch to its end. With `initial` it fills the store first; False means that a list has to do that."""
        filled = not initial
        begun = asyncio.get_running_loop().time()
        self._heard = 0
        try:
            async with self._watch(initial=initial) as stream:
                if initial:
                    filled = await self._take_initial_events(stream)
                    if not filled:
                        return False
                await self._consume(stream)
        except ApiError as error:
            if not filled:
                return self._initial_events_failed(error)
            await self._watch_refused(error)
        except TransportError as error:
            if not filled:
                raise
            _log.debug("a watch broke, resuming it", extra=self._extra(error))
            if not self._heard:
                await asyncio.sleep(self._delay(error))
            return True
        if not self._heard and asyncio.get_running_loop().time() - begun < SHORT_WATCH:
            raise _Refill("short watch")
        return True

    def _watch(self, *, initial: bool) -> AbstractAsyncContextManager[WatchStream]:
        chosen = self._selection
        version = self._store.resource_version
        if initial and self._lister.version_unavailable:
            version = ""
        # A watch that starts anywhere first replays the collection in no order of versions: none of those may be resumed from
        # (kubernetes-client/python#819).
        self._in_order = version not in ("", "0")
        return self._client.watch(
            chosen.resource,
            chosen.namespace,
            resource_version=version,
            label_selector=chosen.label_selector,
            field_selector=chosen.field_selector,
            send_initial_events=initial,
        )

    async def _take_initial_events(self, stream: WatchStream) -> bool:
        objects: dict[Key, KubeObject] = {}
        now = asyncio.get_running_loop().time
        end = now() + INITIAL_EVENTS_TOTAL
        try:
            async with asyncio.timeout(None) as deadline:
                deadline.reschedule(min(now() + INITIAL_EVENTS_IDLE, end))
                async for event in stream:
                    deadline.reschedule(min(now() + INITIAL_EVENTS_IDLE, end))
                    await self._pace(event)
                    if ends_initial_events(event):
                        break
                    if event.type == "DELETED":
                        objects.pop(key_of(event.object), None)
                    elif event.type != "BOOKMARK":
                        objects[key_of(event.object)] = self._transform(event.object)
                else:
                    return False
        except TimeoutError:
            self._refuse_initial_events("the end of the initial events did not come")
            return False
        self._fill(list(objects.values()), resource_version_of(event.object))
        self._in_order = True
        return True

    def _initial_events_failed(self, error: ApiError) -> bool:
        """What to do about a server that did not give initial events: False to list, or the error raised again."""
        if isinstance(error, TooManyRequests):
            raise error
        if version_is_unavailable(error):
            self._lister.version_unavailable = True
        elif error.status in (400, 422):
            self._refuse_initial_events(error.message)
        return False

    def _refuse_initial_events(self, why: str) -> None:
        # Aggregated APIs and old servers refuse for ever: asking each time would double their load.
        _log.info("the server gives no initial events in watches, listing instead", extra=self._extra() | {"why": why})
        self._initial_events_refused = True

    async def _watch_refused(self, error: ApiError) -> None:
        if isinstance(error, TooManyRequests):
            await asyncio.sleep(self._delay(error))
            return
        if not isinstance(error, Expired):
            self.last_error = error
            _log.warning("a watch was refused, filling its cache anew", extra=self._extra(error))
        raise _Refill("expired" if isinstance(error, Expired) else "watch error", error)

    async def _consume(self, stream: WatchStream) -> None:
        async for event in stream:
            await self._pace(event)
            version = resource_version_of(event.object)
            if event.type == "DELETED":
                self._store.discard(self._transform(event.object))
            elif event.type != "BOOKMARK":
                self._store.set(self._transform(event.object))
            self._in_order = self._in_order or event.type != "ADDED"
            if self._in_order and version:
                self._store.resource_version = version

    async def _pace(self, event: WatchEvent) -> None:
        self._heard += 1
        self._heard_at = time.monotonic()
        self._counters[event.type].inc()
        if self._heard % EVENTS_PER_TURN == 0:
            await asyncio.sleep(0)

    def _fill(self, objects: list[KubeObject], version: str) -> None:
        self._store.replace(objects, version)
        self._lister.version_unavailable = False
        self._heard_at = time.monotonic()
        self.last_error = None
        self._on_filled()

    def _delay(self, error: FedstateError | None) -> float:
        wait = self._backoff.delay(asyncio.get_running_loop().time())
        asked = error.retry_after if error is not None else None
        return wait if asked is None else max(wait, asked)

    def _extra(self, error: FedstateError | None = None) -> dict[str, str]:
        said = {"server": self._labels[0], "resource": self._labels[1]}
        return said if error is None else said | {"error": str(error)}
