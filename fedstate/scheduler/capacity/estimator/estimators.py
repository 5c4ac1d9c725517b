"""Asks the estimators of many clusters at once, keeps what they answered, and hands each new reading on. Decides nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from fedstate.scheduler.capacity.estimator.client import TIMEOUT, Credentials, Estimator, NoAnswer
from fedstate.scheduler.capacity.estimator.codec import encode_request
from fedstate.scheduler.capacity.estimator.discovery import Address, AddressError, Directory
from fedstate.scheduler.capacity.estimator.rooms import Answer, EstimatedRooms, as_asked
from fedstate.scheduler.capacity.rooms import MemberShape, Source

KIND = "estimator"
_REMEMBERED = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds: `timeout` of one answer; `reuse`, in which an answer is not asked for again; `max_age`, after which it is worth nothing;
    `pause` after no answer, in which nothing is asked. `in_flight`: questions at once, over all estimators.
    """

    timeout: float = TIMEOUT
    reuse: float = 5.0
    max_age: float = 60.0
    pause: float = 10.0
    in_flight: int = 64


class OnReading(Protocol):
    """Takes what an estimator has to say of a cluster. `rooms` None: nothing, and `source.note` is why; empty if it has none."""

    def __call__(self, cluster: str, rooms: EstimatedRooms | None, source: Source) -> None: ...


class _Question(NamedTuple):
    shape: MemberShape
    namespace: str


class _Heard(NamedTuple):
    answer: Answer
    at: float


class _Trouble(NamedTuple):
    why: str
    until: float
    absent: bool = False


class _Asked(NamedTuple):
    clusters: tuple[str, ...]
    alone: bool


class _Settlement(NamedTuple):
    """A question that needs nothing until then, unless something is handed on meanwhile."""

    asked: _Asked
    until: float
    tellings: int


@dataclass(slots=True)
class _Desk:
    """One cluster's estimator, and everything that is known from it."""

    cluster: str
    estimator: Estimator | None = None
    heard: dict[_Question, _Heard] = field(default_factory=dict)
    waiting: dict[_Question, asyncio.Future[bool]] = field(default_factory=dict)
    trouble: _Trouble | None = None
    told: tuple[EstimatedRooms | None, Source] | None = None
    told_of: _Question | None = None

    def settled_until(self, question: _Question, reuse: float) -> float:
        """Until when there is nothing to ask: as long as the answer is young, or the estimator is left alone."""
        heard = self.heard.get(question)
        young = heard.at + reuse if heard is not None else -inf
        return max(young, self.trouble.until) if self.trouble is not None else young

    def point_at(self, address: Address, credentials: Credentials | None, timeout: float) -> None:
        """Has an estimator at that address; the one that it has, if it is there."""
        if self.estimator is None or self.estimator.address != address:
            self.close()
            self.estimator = Estimator(address, credentials, timeout=timeout)
            self.trouble = None

    def close(self) -> None:
        if self.estimator is not None:
            self.estimator.close()
            self.estimator = None


class Estimators:
    """The estimators of all clusters that have one. `async with` it: leaving closes the connections, and nobody is asked any more."""

    def __init__(
        self,
        directory: Directory,
        on_reading: OnReading,
        *,
        credentials: Credentials | None = None,
        timing: Timing | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._on_reading = on_reading
        self._credentials = credentials
        self._timing = timing or Timing()
        self._clock = clock
        self._slots = asyncio.Semaphore(self._timing.in_flight)
        self._desks: dict[str, _Desk] = {}
        self._settlements: dict[_Question, _Settlement] = {}
        self._tellings = 0
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closed = True
        for cluster in tuple(self._desks):
            self.forget(cluster)

    async def ask(self, shape: MemberShape, namespace: str, clusters: Sequence[str]) -> None:
        """Asks those of the clusters that have an estimator how many members of the shape fit, and fails for nothing they do.

        When it returns, and until the caller waits again, the readings handed on answer this very question, and are no older
        than Timing.reuse, or say why not. Who asks what is being asked already waits for that answer. To ask again while all
        answers are young costs next to nothing, least of all for the same tuple of clusters.
        """
        question = _Question(as_asked(shape), namespace)
        asked = _Asked(tuple(clusters), alone=shape.alone)
        if self._closed or self._settled(question, asked):
            return
        desks = [desk for cluster in asked.clusters if (desk := self._desk(cluster)) is not None]
        now = self._clock()
        open_desks = [desk for desk in desks if desk.settled_until(question, self._timing.reuse) <= now]
        if open_desks:
            async with asyncio.TaskGroup() as group:
                for desk in open_desks:
                    group.create_task(self._answer(desk, question), name=f"estimator of {desk.cluster}")
        for desk in desks:
            self._tell(desk, question, counts_alone=not shape.alone)
        # A Service that comes or changes is seen after the same time at most.
        until = min((now + self._timing.reuse, *(desk.settled_until(question, self._timing.reuse) for desk in desks)))
        self._settlements[question] = _Settlement(asked, until, self._tellings)

    def _settled(self, question: _Question, asked: _Asked) -> bool:
        """Whether nothing would be asked and nothing handed on."""
        now = self._clock()
        found = self._settlements.get(question)
        if found is not None and now < found.until and found.tellings == self._tellings and found.asked == asked:
            return True
        if len(self._settlements) > _REMEMBERED:
            self._settlements.clear()
        return False

    def forget(self, cluster: str) -> None:
        """The cluster is gone: its connection is closed, and nothing more is handed on."""
        desk = self._desks.pop(cluster, None)
        self._settlements.clear()
        if desk is not None:
            desk.close()

    def drop_stale(self) -> None:
        """Takes back readings that are too old by now. For times in which nobody asks."""
        now = self._clock()
        for desk in self._desks.values():
            heard = desk.heard.get(desk.told_of) if desk.told_of is not None else None
            if desk.told is not None and desk.told[0] is not None and (heard is None or self._stale(heard, now)):
                who = f"estimator at {desk.estimator.address}" if desk.estimator else "estimator"
                self._hand_on(
                    desk, None, Source(kind=KIND, note=f"{who} was last asked more than {self._timing.max_age:g} s ago")
                )

    def _desk(self, cluster: str) -> _Desk | None:
        """None if the cluster has no estimator, which is told if it had one."""
        desk = self._desks.get(cluster)
        try:
            address = self._directory.find(cluster)
        except AddressError as error:
            desk = desk or self._desks.setdefault(cluster, _Desk(cluster))
            desk.close()
            desk.trouble = _Trouble(str(error), self._clock() + self._timing.pause)
            return desk
        if address is None:
            if desk is not None:
                self.forget(cluster)
                self._hand_on(desk, None, Source(kind=KIND))
            return None
        desk = desk or self._desks.setdefault(cluster, _Desk(cluster))
        desk.point_at(address, self._credentials, self._timing.timeout)
        return desk

    async def _answer(self, desk: _Desk, question: _Question) -> None:
        """One question to one estimator; whoever has the same one meanwhile waits, and takes over if this one is cancelled."""
        while (waiting := desk.waiting.get(question)) is not None:
            await asyncio.wait((waiting,))
            if waiting.result():
                return
        done = desk.waiting[question] = asyncio.get_running_loop().create_future()
        answered = False
        try:
            await self._hear(desk, question)
            answered = True
        finally:
            del desk.waiting[question]
            done.set_result(answered)

    async def _hear(self, desk: _Desk, question: _Question) -> None:
        if desk.estimator is None:
            return
        try:
            members = await self._in_turn(desk.estimator, encode_request(desk.cluster, question.shape, question.namespace))
        except NoAnswer as error:
            pause = self._timing.max_age if error.absent else self._timing.pause
            desk.trouble = _Trouble(str(error), self._clock() + pause, error.absent)
            return
        now = self._clock()
        desk.trouble = None
        desk.heard = {asked: heard for asked, heard in desk.heard.items() if not self._stale(heard, now)}
        desk.heard[question] = _Heard(Answer(members=members, since=datetime.now(UTC)), now)

    async def _in_turn(self, estimator: Estimator, request: bytes) -> int:
        """Waits for a slot no longer than for an answer, so that however many estimators are silent, nobody waits for all of them."""
        try:
            async with asyncio.timeout(self._timing.timeout):
                await self._slots.acquire()
        except TimeoutError as error:
            raise NoAnswer(f"estimator at {estimator.address} was not asked: too many others have kept it waiting") from error
        try:
            return await estimator.ask(request)
        finally:
            self._slots.release()

    def _stale(self, heard: _Heard, now: float) -> bool:
        return now - heard.at > self._timing.max_age

    def _tell(self, desk: _Desk, question: _Question, *, counts_alone: bool) -> None:
        """Hands on what is known in answer to this question, unless it was handed on last, or the cluster is gone by now."""
        if self._desks.get(desk.cluster) is not desk:
            return
        now = self._clock()
        heard = desk.heard.get(question)
        trouble = desk.trouble
        notes = [trouble.why] if trouble is not None and not trouble.absent else []
        if heard is None or self._stale(heard, now):
            self._hand_on(desk, None, Source(kind=KIND, note="; ".join(notes)))
            return
        if notes:
            notes.append("its answer from before is used")
        if not counts_alone:
            notes.append("it counts members of one instance on the same node")
        note = "; ".join(notes)
        rooms, source = desk.told or (None, None)
        if rooms is not None and source is not None and rooms.answers.get(question.shape) is heard.answer and source.note == note:
            return
        answers = {asked.shape: other.answer for asked, other in desk.heard.items() if not self._stale(other, now)}
        answers[question.shape] = heard.answer
        desk.told_of = question
        self._hand_on(desk, EstimatedRooms(answers=answers), Source(kind=KIND, since=heard.answer.since, note=note))

    def _hand_on(self, desk: _Desk, rooms: EstimatedRooms | None, source: Source) -> None:
        if desk.told == (rooms, source) or (desk.told is None and rooms is None and not source.note):
            return
        desk.told = (rooms, source)
        self._tellings += 1
        self._on_reading(desk.cluster, rooms, source)
