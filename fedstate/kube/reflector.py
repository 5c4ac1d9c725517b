"""Keeps a Store equal to one collection of the server: fill, follow, resume, fill again only when told to.

The order of things is client-go's reflector's. Knows nothing of who listens to the store.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, NoReturn, TypeAlias, TypeVar

from fedstate.errors import FedstateError
from fedstate.kube.backoff import Backoff
from fedstate.kube.client import KubeClient
from fedstate.kube.decoding import Decoder
from fedstate.kube.errors import ApiError, Expired, TooManyRequests, TransportError
from fedstate.kube.listing import Lister, Selection, version_is_unavailable
from fedstate.kube.metrics import CACHED_OBJECTS, EVENTS_SEEN, LAST_EVENT_AGE, RELISTS
from fedstate.kube.objects import Key
from fedstate.kube.store import Cache
from fedstate.kube.watch import WatchEvent, WatchStream

_log = logging.getLogger(__name__)

T = TypeVar("T")
Transform: TypeAlias = Callable[[T], T]

INITIAL_EVENTS_IDLE = 10.0
INITIAL_EVENTS_TOTAL = 60.0
# Of a great many objects; over a slow line they may take this long.
INITIAL_EVENTS_TOTAL_MANY = 900.0
SHORT_WATCH = 1.0
EVENTS_PER_TURN = 64


class _Refill(Exception):  # noqa: N818 - not an error: an order
    """Leave the watch, wait, and fill the store anew, because of `reason`."""

    def __init__(self, reason: str, error: FedstateError | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.error = error


class Reflector(Generic[T]):
    """`run` never returns by itself. `on_filled` is called after each fill, when the listeners of the store have run."""

    def __init__(
        self,
        client: KubeClient,
        selection: Selection,
        store: Cache[T],
        decoder: Decoder[T],
        *,
        transform: Transform[T],
        on_filled: Callable[[], None],
    ) -> None:
        self._client = client
        self._selection = selection
        self._store = store
        self._decoder = decoder
        self._transform = transform
        self._on_filled = on_filled
        self._lister = Lister(client, selection, decoder, transform=transform)
        self._backoff = Backoff()
        self._initial_events_refused = False
        self._in_order = True
        self._heard_at = time.monotonic()
        self._heard = 0
        self._labels = (client.server, str(selection.resource))
        self._counters = {kind: EVENTS_SEEN.labels(*self._labels, kind) for kind in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")}
        self.last_error: FedstateError | None = None
        self.following = False

    async def run(self) -> NoReturn:
        LAST_EVENT_AGE.labels(*self._labels).set_function(lambda: time.monotonic() - self._heard_at)
        CACHED_OBJECTS.labels(*self._labels).set_function(lambda: len(self._store))
        reason = "initial"
        try:
            while True:
                RELISTS.labels(*self._labels, reason).inc()
                reason, wait = await self._cycle()
                await asyncio.sleep(wait)
        finally:
            # Otherwise the metric keeps the cache, long after whoever wanted it.
            for gauge in (LAST_EVENT_AGE, CACHED_OBJECTS):
                gauge.remove(*self._labels)

    async def _cycle(self) -> tuple[str, float]:
        """Fills and follows until the store has to be filled anew; gives the reason, and how long to wait before."""
        try:
            await self._fill_and_follow()
        except _Refill as refill:
            return refill.reason, self._delay(refill.error)
        except FedstateError as error:
            self._lost(error)
            _log.warning("a cache cannot be filled, trying again", extra=self._extra(error))
            return "error", self._delay(error)
        except Exception:  # noqa: BLE001 - a cache must outlive any one bad answer
            self.following = False
            _log.exception("a reflector failed unexpectedly, filling its cache anew", extra=self._extra())
            return "bug", self._delay(None)

    async def _fill_and_follow(self) -> NoReturn:
        filled = False
        if not self._initial_events_refused:
            filled = await self._follow(initial=True)
        if not filled:
            found: dict[Key, T] = {}
            version = await self._lister.read(self._store.resource_version, found)
            await self._fill(found, version)
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
                self.following, self.last_error = True, None
                await self._consume(stream)
        except ApiError as error:
            if not filled:
                return self._initial_events_failed(error)
            await self._watch_refused(error)
        except TransportError as error:
            if not filled:
                raise
            _log.debug("a watch broke, resuming it", extra=self._extra(error))
            self._lost(error)
            if not self._heard:
                await asyncio.sleep(self._delay(error))
            return True
        if not self._heard and asyncio.get_running_loop().time() - begun < SHORT_WATCH:
            raise _Refill("short watch")
        return True

    def _watch(self, *, initial: bool) -> AbstractAsyncContextManager[WatchStream[T]]:
        chosen = self._selection
        version = self._store.resource_version
        if initial and self._lister.version_unavailable:
            version = ""
        # A watch that starts anywhere first replays the collection in no order of versions: none of those may be resumed from
        # (kubernetes-client/python#819).
        self._in_order = version not in ("", "0")
        return self._client.watch_as(
            self._decoder,
            chosen.resource,
            chosen.namespace,
            resource_version=version,
            label_selector=chosen.label_selector,
            field_selector=chosen.field_selector,
            send_initial_events=initial,
        )

    async def _take_initial_events(self, stream: WatchStream[T]) -> bool:
        """Fills the store from the beginning of a watch, and applies what came with the end of that."""
        found: dict[Key, T] = {}
        now = asyncio.get_running_loop().time
        end = now() + (INITIAL_EVENTS_TOTAL if self._decoder.whole else INITIAL_EVENTS_TOTAL_MANY)
        try:
            async with asyncio.timeout(None) as deadline:
                while True:
                    deadline.reschedule(min(now() + INITIAL_EVENTS_IDLE, end))
                    batch = await stream.batch()
                    if not batch:
                        return False
                    await self._pace(batch)
                    rest = self._collect(batch, found)
                    if rest is not None:
                        break
        except TimeoutError:
            self._refuse_initial_events("the end of the initial events did not come")
            return False
        await self._fill(found, self._store.version(batch[-len(rest) - 1].object))
        self._in_order = True
        self._apply(rest)
        return True

    def _collect(self, batch: list[WatchEvent[T]], found: dict[Key, T]) -> list[WatchEvent[T]] | None:
        """Takes initial events; once their end has come, gives what follows it."""
        key, transform = self._store.key, self._transform
        for number, event in enumerate(batch):
            if event.ends_initial_events:
                return batch[number + 1 :]
            if event.type == "DELETED":
                found.pop(key(event.object), None)
            elif event.type != "BOOKMARK":
                found[key(event.object)] = transform(event.object)
        return None

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
        if not isinstance(error, Expired):
            self._lost(error)
        if isinstance(error, TooManyRequests):
            await asyncio.sleep(self._delay(error))
            return
        if not isinstance(error, Expired):
            _log.warning("a watch was refused, filling its cache anew", extra=self._extra(error))
        raise _Refill("expired" if isinstance(error, Expired) else "watch error", error)

    async def _consume(self, stream: WatchStream[T]) -> None:
        while batch := await stream.batch():
            await self._pace(batch)
            self._apply(batch)

    def _apply(self, batch: list[WatchEvent[T]]) -> None:
        store, transform = self._store, self._transform
        for kind, obj, _ in batch:
            if kind == "DELETED":
                store.discard(transform(obj))
            elif kind != "BOOKMARK":
                store.set(transform(obj))
            if self._in_order or kind != "ADDED":
                self._in_order = True
                version = store.version(obj)
                if version:
                    store.resource_version = version

    async def _pace(self, batch: list[WatchEvent[T]]) -> None:
        self._heard_at = time.monotonic()
        for kind, count in Counter([event[0] for event in batch]).items():
            self._counters[kind].inc(count)
        before = self._heard // EVENTS_PER_TURN
        self._heard += len(batch)
        if self._heard // EVENTS_PER_TURN != before:
            await asyncio.sleep(0)

    async def _fill(self, found: dict[Key, T], version: str) -> None:
        if self._decoder.whole:
            self._store.replace(found.values(), version)
        else:
            for _ in self._store.replacing(found, version):
                await asyncio.sleep(0)
        self._lister.version_unavailable = False
        self._heard_at = time.monotonic()
        self.last_error = None
        self._on_filled()

    def _lost(self, error: FedstateError) -> None:
        self.following, self.last_error = False, error

    def _delay(self, error: FedstateError | None) -> float:
        wait = self._backoff.delay(asyncio.get_running_loop().time())
        asked = error.retry_after if error is not None else None
        return wait if asked is None else max(wait, asked)

    def _extra(self, error: FedstateError | None = None) -> dict[str, str]:
        said = {"server": self._labels[0], "resource": self._labels[1]}
        return said if error is None else said | {"error": str(error)}
