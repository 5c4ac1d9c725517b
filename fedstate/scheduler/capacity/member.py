"""One member cluster's caches, kept with the credentials of the hour: begun anew when those change, tried again when they fail.

Whatever goes wrong is a sentence here, and no exception. Knows no other member and no decision.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack, nullcontext, suppress
from datetime import datetime, timedelta
from typing import NamedTuple, NoReturn, TypeAlias

from fedstate.api.karmada import cluster_ready
from fedstate.errors import FedstateError
from fedstate.kube.backoff import Backoff
from fedstate.kube.client import KubeClient
from fedstate.kube.config import ClusterConfig
from fedstate.kube.errors import ApiError, TransportError, Unauthorized
from fedstate.kube.objects import KubeObject, name_of
from fedstate.scheduler.capacity.access import Access, NoAccess, access_to
from fedstate.scheduler.capacity.caches import MemberCaches, said
from fedstate.scheduler.capacity.rooms import Reading, Source

Connect: TypeAlias = Callable[[ClusterConfig], KubeClient]

SECRET_AGE = (240.0, 300.0)
"""Seconds after which a member's Secret is read again though nothing seems wrong: it is not watched."""

SECRET_AGE_IN_TROUBLE = 10.0

FILLING_SECONDS, CLASSES_SECONDS = 5.0, 1.0
"""A member that takes longer than this to be read first no longer holds up others."""

SUMS = "resourceSummary"

BROKEN_AFTER = 5.0
"""Seconds without a watch after which it is said; shorter breaks happen whenever a server or a network is restarted."""

SILENCE = 60.0
"""Seconds without a watch after which what was read before is no longer decided on."""


class Standing(NamedTuple):
    """Whether a member's caches are good enough to decide on, and what is to be said about them."""

    usable: bool
    note: str


class Member:
    """`on_change` is called, with its name, for every change that may show in `caches`, the last ones that were filled."""

    def __init__(
        self,
        cluster: KubeObject,
        control: KubeClient,
        connect: Connect,
        slots: asyncio.Semaphore,
        on_change: Callable[[str], None],
    ) -> None:
        self.name = name_of(cluster)
        self.caches: MemberCaches | None = None
        self.route = ""
        self._current_at = float("nan")
        self._broken_at: datetime | None = None
        self._cluster = cluster
        self._control = control
        self._connect = connect
        self._slots = slots
        self._on_change = on_change
        self._fresh: MemberCaches | None = None
        self._problem = ""
        self._secret_read_at = float("-inf")
        self._look_again = asyncio.Event()
        self._begin_anew = False

    @property
    def ready(self) -> bool:
        return cluster_ready(self._cluster)[0]

    @property
    def settled(self) -> bool:
        """Whether the member is read, or it is known why it is not."""
        return self.caches is not None or bool(self.obstacle)

    @property
    def following(self) -> bool:
        return self._fresh is not None and self._fresh is self.caches and self._fresh.following

    @property
    def obstacle(self) -> str:
        """What keeps the member from being read, in words; empty while nothing is known to."""
        if self._problem or self._fresh is None:
            return self._problem
        return self._fresh.obstacle(self.route)

    def change(self, cluster: KubeObject) -> None:
        """Takes in the Cluster as it is now."""
        before, self._cluster = self._cluster, cluster
        if cluster.get("spec") != before.get("spec"):
            self._look_again.set()
        if cluster_ready(cluster)[0] and not cluster_ready(before)[0] and not self.following and self.obstacle:
            # After many failures a cache asks but seldom.
            self._begin_anew = True
            self._look_again.set()

    def age(self, now: float) -> float:
        """Seconds since the caches were last seen to follow the member; not a number if they never were."""
        return now - self._current_at

    def look(self, now: float, today: datetime) -> None:
        """Takes in how the caches do; to be called now and then, with the loop's time and that of the day."""
        self._take_over(now)
        if self.following:
            self._current_at, self._broken_at = now, None
        elif self._broken_at is None and now - self._current_at > BROKEN_AFTER:
            self._broken_at = today - timedelta(seconds=now - self._current_at)
        error = self._fresh.last_error if self._fresh is not None else None
        if isinstance(error, Unauthorized | TransportError) and now - self._secret_read_at > SECRET_AGE_IN_TROUBLE:
            self._look_again.set()

    def standing(self, now: float) -> Standing:
        """How far the caches can be relied on."""
        if self.caches is None:
            return Standing(usable=False, note=f"its nodes are not read: {self.obstacle or 'not yet'}")
        why = f": {self.obstacle}" if self.obstacle else ""
        if self._broken_at is not None:
            since = self._broken_at.strftime("%H:%M:%S UTC")
            if now - self._current_at > SILENCE:
                return Standing(usable=False, note=f"nothing is heard of its nodes since {since}{why}")
            return Standing(usable=True, note=f"the watch of its nodes is broken since {since}{why}")
        if not self.caches.knows_classes:
            return Standing(usable=True, note=f"its storage classes are not read: {self.caches.classes_obstacle(self.route)}")
        return Standing(usable=True, note="")

    def reading(self, now: float, today: datetime) -> Reading:
        """What is known now, for decisions; where that is too old or nothing, only why the sums have to do."""
        standing = self.standing(now)
        if not standing.usable or self.caches is None:
            return Reading(source=Source(kind=SUMS, note=standing.note))
        since = today if self._broken_at is None else self._broken_at
        return self.caches.tally.reading(since=since, note=standing.note, knows_classes=self.caches.knows_classes)

    def _take_over(self, now: float) -> None:
        if self._fresh is not None and self._fresh.filled and self.caches is not self._fresh:
            self.caches, self._current_at, self._broken_at = self._fresh, now, None
            self._on_change(self.name)

    async def run(self) -> NoReturn:
        """Runs until cancelled; then nothing of it is open."""
        backoff = Backoff()
        while True:
            try:
                access = await self._access()
                self.route, self._problem = access.route, ""
                await self._keep(access)
            except FedstateError as error:
                self._set_problem(said(error, self.route))
                await self._pause(backoff.delay(asyncio.get_running_loop().time()))

    async def _access(self) -> Access:
        self._secret_read_at = asyncio.get_running_loop().time()
        return await access_to(self._cluster, self._control)

    async def _keep(self, access: Access) -> None:
        """Fills and keeps caches until the member is to be reached in another way."""
        async with AsyncExitStack() as stack:
            client = await self._opened(access, stack)
            caches = MemberCaches(client, self._changed)
            self._fresh, self._begin_anew = caches, False
            async with asyncio.TaskGroup() as group:
                keeping = group.create_task(self._fill_and_follow(caches), name=f"caches of {self.name}")
                await self._until_other(access)
                keeping.cancel()

    async def _fill_and_follow(self, caches: MemberCaches) -> None:
        async with asyncio.TaskGroup() as group:
            async with self._slots if self.ready else nullcontext():
                group.create_task(caches.run(), name=f"watches of {self.name}")
                await _filled(caches)
            self._take_over(asyncio.get_running_loop().time())

    async def _opened(self, access: Access, stack: AsyncExitStack) -> KubeClient:
        try:
            return await stack.enter_async_context(self._connect(access.config))
        except (OSError, ValueError) as error:
            raise NoAccess(f"{access.config.server} cannot be asked with {access.route}: {error}") from error

    async def _until_other(self, access: Access) -> None:
        while not self._begin_anew:
            await self._pause(random.uniform(*SECRET_AGE))  # noqa: S311 - spreads the reads
            try:
                if await self._access() != access:
                    return
            except (NoAccess, ApiError, TransportError) as error:
                # What is open goes on; if it does not, this is why.
                if not self.following:
                    self._set_problem(said(error, self.route))
            else:
                self._problem = ""

    async def _pause(self, seconds: float) -> None:
        """Until there is reason to look at the way to the member again, at most for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._look_again.wait()
        self._look_again.clear()

    def _set_problem(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            self._on_change(self.name)

    def _changed(self, caches: MemberCaches) -> None:
        if caches is self.caches:
            self._on_change(self.name)


async def _filled(caches: MemberCaches) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(FILLING_SECONDS) as deadline:
            await caches.nodes.synced.wait()
            await caches.pods.synced.wait()
            # They are few, and it may be that they cannot be read at all.
            deadline.reschedule(asyncio.get_running_loop().time() + CLASSES_SECONDS)
            await caches.storage_classes.synced.wait()
