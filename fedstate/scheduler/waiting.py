"""The instances that wait for a place, and which of them a change could help.

A set can be placed exactly if all clusters together take the members that it lacks, so instances with equal wishes are asked
about together: how many members more there is room for. Decides nothing.
"""

import asyncio
import contextlib
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field

from fedstate.control.workqueue import WorkQueue
from fedstate.kube.objects import Key
from fedstate.scheduler.decision import Decision
from fedstate.scheduler.middleware import Demand
from fedstate.scheduler.turns import WAITED

GATHER = 2.0
"""Seconds in which changes are gathered before anybody is asked about: what makes room comes to several clusters one after the
other, and who takes the first one puts all members there, for good.
"""
LOOK_ANYWAY = 10.0
"""Bookings also end by time alone, which nobody is told of."""
SHARE = 0.1
"""At most this part of the time goes into asking."""

Room = Callable[[Demand], int | None]
"""How many members like those of this demand all clusters together still take; None where there is no limit."""


@dataclass(slots=True)
class _Group:
    """Instances with equal wishes, and the members that each lacks. The demand of any of them stands for all."""

    demand: Demand
    lacking: dict[Key, int] = field(default_factory=dict)


class Waiting:
    """Who waits, in the order in which they began to."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._groups: dict[Hashable, _Group] = {}
        self._where: dict[Key, Hashable] = {}
        self._unless: dict[Key, None] = {}
        self._changed = asyncio.Event()
        self._clusters_changed = False

    def __iter__(self) -> Iterator[Key]:
        return iter((*self._where, *self._unless))

    def __len__(self) -> int:
        return len(self._where) + len(self._unless)

    def add(self, key: Key, demand: Demand, decision: Decision) -> None:
        """The instance has no place by this decision, or not all of it is where it should be."""
        waits_for_more = decision.held is not None or decision.awaited or decision.unmoved or decision.unmet is not None
        if waits_for_more or _shrinks(demand):
            self.discard(key)
            self._unless[key] = None
            return
        wishes = wishes_of(demand)
        if self._where.get(key, wishes) != wishes or key in self._unless:
            self.discard(key)
        self._where[key] = wishes
        group = self._groups.setdefault(wishes, _Group(demand))
        group.lacking[key] = members_lacking(demand, decision.stuck if decision.complete else ())

    def discard(self, key: Key) -> None:
        """The instance is placed, or gone."""
        self._unless.pop(key, None)
        if key not in self._where:
            return
        wishes = self._where.pop(key)
        group = self._groups[wishes]
        del group.lacking[key]
        if not group.lacking:
            del self._groups[wishes]

    def cluster_changed(self) -> None:
        """Something about a cluster has changed, whatever it is."""
        self._clusters_changed = True
        self.room_changed()

    def room_changed(self) -> None:
        """A booking is no more, or something else may have made room."""
        if len(self):
            self._changed.set()

    def helped(self) -> Iterator[list[Key]]:
        """Those who would be placed if they were decided upon one after the other, group by group."""
        if self._clusters_changed:
            self._clusters_changed = False
            yield list(self._unless)
        for wishes in tuple(self._groups):
            group = self._groups.get(wishes)
            if group is not None:
                yield _helped(group, self._room(group.demand))

    async def run(self, queue: WorkQueue) -> None:
        """Asks the queue for everyone who is helped, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_ANYWAY):
                    await self._changed.wait()
                    await asyncio.sleep(GATHER)
            self._changed.clear()
            busy = await self._ask(queue)
            await asyncio.sleep(busy * (1 - SHARE) / SHARE)

    async def _ask(self, queue: WorkQueue) -> float:
        """Group by group, others on the loop between them; gives the seconds that it took."""
        loop = asyncio.get_running_loop()
        busy, begun = 0.0, loop.time()
        for keys in self.helped():
            busy += loop.time() - begun
            for key in keys:
                queue.add(key, priority=WAITED)
            await asyncio.sleep(0)
            begun = loop.time()
        return busy


def _helped(group: _Group, room: int | None) -> list[Key]:
    if room is None:
        return list(group.lacking)
    helped = []
    for key, lacking in group.lacking.items():
        if lacking <= room:
            helped.append(key)
            room -= lacking
    return helped


def _shrinks(demand: Demand) -> bool:
    """Then what it needs may find room where its own members leave, which depends on which of them do."""
    return demand.current is not None and demand.current.total > demand.members


def members_lacking(demand: Demand, leaving: Iterable[str]) -> int:
    """How many members have to find room that are nowhere, or in clusters that they are to leave."""
    if demand.current is None:
        return demand.members + int(demand.arbiter)
    gone = frozenset(leaving)
    staying = sum(count for name, count in demand.current.members.items() if name not in gone)
    home = demand.current.arbiter_cluster
    return max(0, demand.members - staying) + int(demand.arbiter and (home is None or home in gone))


def wishes_of(demand: Demand) -> Hashable:
    """Equal for demands whose members find the same room everywhere."""
    spread = demand.spread
    carried = demand.current.clusters if demand.current is not None and spread.max_members_per_cluster is not None else ()
    return (
        tuple(sorted(spread.node_select.items())),
        spread.cluster_names,
        spread.exclude_cluster_names,
        spread.tolerations,
        spread.max_members_per_cluster,
        demand.shape,
        carried,
    )
