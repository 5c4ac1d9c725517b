"""Every member cluster read by its own nodes, as far as it lets itself be read, and laid over what Karmada says of it.

Knows which members there are and when their readings are due; how one member is kept is the business of `member`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import NoReturn

from fedstate.kube.client import KubeClient, product
from fedstate.kube.config import ClusterConfig
from fedstate.kube.objects import KubeObject, deletion_timestamp_of, name_of
from fedstate.kube.store import Store
from fedstate.scheduler.capacity.member import Connect, Member, Standing
from fedstate.scheduler.capacity.rooms import Reading
from fedstate.scheduler.metrics import MEMBERS, READING_AGE

READ_EVERY = 0.3
"""Seconds between two readings of one member at least; pods come and go in bursts."""

LOOK_EVERY = 1.0

FILLING_AT_ONCE = 32
"""So many members are read for the first time together; more would only wait for each other."""

Lay = Callable[[str, Reading | None], None]


def connect(config: ClusterConfig) -> KubeClient:
    return KubeClient(config, user_agent=product("scheduler"))


def utc_now() -> datetime:
    return datetime.now(UTC)


class Members:
    """Follows the Clusters in `clusters`. `lay` gets the readings by cluster: a new one, or None for a cluster that is gone.

    `settled` is set once every member that is Ready has been read, or it is known why it cannot be.
    """

    name = "scheduler-members"

    def __init__(self, control: KubeClient, clusters: Store, lay: Lay, *, connect: Connect = connect) -> None:
        self.settled = asyncio.Event()
        self.today: Callable[[], datetime] = utc_now
        self._control = control
        self._clusters = clusters
        self._lay = lay
        self._connect = connect
        self._slots = asyncio.Semaphore(FILLING_AT_ONCE)
        self._members: dict[str, Member] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._standings: dict[str, Standing] = {}
        self._dirty: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        clusters.add_listener(self._cluster_changed)

    async def run(self) -> NoReturn:
        """Runs until cancelled; then no connection to any member is left."""
        MEMBERS.labels("watched").set_function(lambda: len(self._members))
        MEMBERS.labels("synced").set_function(lambda: sum(member.following for member in self._members.values()))
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for cluster in self._clusters.list():
                    self._cluster_changed(None, cluster)
                await self._read()
            finally:
                self._group = None
                for name in tuple(self._members):
                    self._end(name)

    def unsettled(self) -> list[str]:
        """The members that are Ready, and of which it is not known yet whether they can be read."""
        return [name for name, member in self._members.items() if member.ready and not member.settled]

    async def _read(self) -> NoReturn:
        now = asyncio.get_running_loop().time
        looked_at = float("-inf")
        while True:
            if now() - looked_at >= LOOK_EVERY:
                looked_at = now()
                self._look(looked_at)
            dirty, self._dirty = self._dirty, {}
            for name in dirty:
                self._lay_over(name, now())
                await asyncio.sleep(0)
            if not self.settled.is_set() and not self._dirty and not self.unsettled():
                self.settled.set()
            await asyncio.sleep(READ_EVERY)
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(0 if self._dirty else LOOK_EVERY - READ_EVERY):
                    await self._wake.wait()

    def _look(self, now: float) -> None:
        """Whatever time alone changes."""
        for name, member in self._members.items():
            member.look(now, self.today())
            standing = member.standing(now)
            if self._standings.get(name) != standing:
                self._standings[name] = standing
                self._dirty[name] = None

    def _lay_over(self, name: str, now: float) -> None:
        member = self._members.get(name)
        if member is not None:
            self._standings[name] = member.standing(now)
            self._lay(name, member.reading(now, self.today()))

    def _member_changed(self, name: str) -> None:
        self._dirty[name] = None
        self._wake.set()

    def _cluster_changed(self, old: KubeObject | None, new: KubeObject | None) -> None:
        name = name_of(new or old or {})
        if new is None or deletion_timestamp_of(new) is not None:
            self._end(name)
        elif name in self._members:
            self._members[name].change(new)
        elif self._group is not None:
            member = Member(new, self._control, self._connect, self._slots, self._member_changed)
            self._members[name] = member
            self._tasks[name] = self._group.create_task(member.run(), name=f"member cluster {name}")
            now = asyncio.get_running_loop().time
            READING_AGE.labels(name).set_function(lambda: member.age(now()))
            self._member_changed(name)

    def _end(self, name: str) -> None:
        if self._members.pop(name, None) is not None:
            self._tasks.pop(name).cancel()
            self._standings.pop(name, None)
            READING_AGE.remove(name)
            self._lay(name, None)
