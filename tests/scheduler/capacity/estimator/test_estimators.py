"""Many clusters' estimators: who is asked, when, and what is handed on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from fedstate.kube.objects import Key, KubeObject
from fedstate.scheduler.capacity.estimator import Address, Directory, EstimatedRooms, Estimators, Timing
from fedstate.scheduler.capacity.rooms import Source
from tests.scheduler.capacity.estimator.server import EstimatorServer, no_such_name
from tests.scheduler.capacity.estimator.shapes import GI, shape

FREE = {"cpu": 4000, "memory": 64 * GI}


@dataclass(slots=True)
class Told:
    """What is handed on, and the clock by which answers age."""

    readings: list[tuple[str, EstimatedRooms | None, Source]] = field(default_factory=list)
    now: float = 100.0

    def __call__(self, cluster: str, rooms: EstimatedRooms | None, source: Source) -> None:
        self.readings.append((cluster, rooms, source))

    def fits(self, cluster: str, cpu: int = 500) -> int | None:
        rooms = self.last(cluster)[0]
        return None if rooms is None else rooms.fits(shape(cpu))

    def note(self, cluster: str) -> str:
        return self.last(cluster)[1].note

    def last(self, cluster: str) -> tuple[EstimatedRooms | None, Source]:
        return next((rooms, source) for name, rooms, source in reversed(self.readings) if name == cluster)


@asynccontextmanager
async def estimators_of(told: Told, *servers: EstimatorServer, **timing: Any) -> AsyncIterator[Estimators]:
    """Servers must run."""
    table = {server.cluster: Address(host="127.0.0.1", port=server.port) for server in servers}
    directory = Directory(service=lambda key: None, table=table)
    async with Estimators(directory, told, timing=Timing(**timing), clock=lambda: told.now) as estimators:
        yield estimators


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def one() -> AsyncIterator[EstimatorServer]:
    async with EstimatorServer("c1", FREE) as server:
        yield server


async def test_every_cluster_that_has_an_estimator_is_asked_and_its_answer_handed_on(told: Told, one: EstimatorServer) -> None:
    async with EstimatorServer("c2", {"cpu": 900, "memory": 64 * GI}) as two, estimators_of(told, one, two) as estimators:
        await estimators.ask(shape(), "shop", ["c1", "c2", "c3"])
        assert (told.fits("c1"), told.fits("c2")) == (8, 1)
        assert {cluster for cluster, _, _ in told.readings} == {"c1", "c2"}
        source = told.last("c1")[1]
        assert source.kind == "estimator"
        assert source.since is not None
        assert source.note == ""


async def test_a_young_answer_is_not_asked_for_again_and_an_old_one_is(told: Told, one: EstimatorServer) -> None:
    async with estimators_of(told, one, reuse=5) as estimators:
        await estimators.ask(shape(), "shop", ["c1"])
        one.free = {"cpu": 1000, "memory": 64 * GI}
        told.now += 4.9
        await estimators.ask(replace(shape(), storage_class="fast"), "shop", ["c1"])
        assert (len(one.asked), told.fits("c1"), len(told.readings)) == (1, 8, 1)
        told.now += 0.2
        await estimators.ask(shape(), "shop", ["c1"])
        assert (len(one.asked), told.fits("c1"), len(told.readings)) == (2, 2, 2)


async def test_the_same_question_at_once_is_one(told: Told, one: EstimatorServer) -> None:
    async with estimators_of(told, one) as estimators:
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(estimators.ask(shape(), "shop", ["c1"]))
            group.create_task(estimators.ask(shape(cpu=1000), "shop", ["c1"]))
        assert len(one.asked) == 2
        assert (told.fits("c1"), told.fits("c1", cpu=1000)) == (8, 4)


async def test_who_waited_with_one_that_was_cancelled_asks_himself(told: Told, one: EstimatorServer) -> None:
    one.stuck = True
    async with estimators_of(told, one) as estimators, asyncio.TaskGroup() as group:
        first = group.create_task(estimators.ask(shape(), "shop", ["c1"]))
        await one.reached.wait()
        second = group.create_task(estimators.ask(shape(), "shop", ["c1"]))
        await asyncio.sleep(0)
        one.stuck = False
        first.cancel()
        await second
        assert told.fits("c1") == 8


async def test_the_last_reading_answers_the_question_that_was_asked_last(told: Told, one: EstimatorServer) -> None:
    """A quota makes the same shape fit in one namespace and not in another."""
    one.answer = lambda: 3 if one.asked[-1].namespace == "rich" else 0
    async with estimators_of(told, one) as estimators:
        for namespace, expected in (("rich", 3), ("poor", 0), ("rich", 3), ("poor", 0)):
            await estimators.ask(shape(), namespace, ["c1"])
            assert told.fits("c1") == expected
        assert len(one.asked) == 2


async def test_answers_to_other_questions_stay_in_the_reading_until_they_are_old(told: Told, one: EstimatorServer) -> None:
    async with estimators_of(told, one, max_age=60) as estimators:
        await estimators.ask(shape(), "shop", ["c1"])
        told.now += 50
        await estimators.ask(shape(cpu=1000), "shop", ["c1"])
        assert (told.fits("c1"), told.fits("c1", cpu=1000)) == (8, 4)
        told.now += 11
        await estimators.ask(shape(cpu=2000), "shop", ["c1"])
        assert (told.fits("c1"), told.fits("c1", cpu=1000), told.fits("c1", cpu=2000)) == (None, 4, 2)


async def test_an_estimator_that_gives_no_answer_has_a_reason_and_is_left_alone_for_a_while(
    told: Told, one: EstimatorServer
) -> None:
    one.stuck = True
    async with estimators_of(told, one, timeout=0.1, pause=10) as estimators:
        await estimators.ask(shape(), "shop", ["c1"])
        assert told.last("c1") == (
            None,
            Source(kind="estimator", note=f"estimator at 127.0.0.1:{one.port} gave no answer in 0.1 s"),
        )
        one.stuck = False
        told.now += 9
        await estimators.ask(shape(), "shop", ["c1"])
        assert (len(one.asked), len(told.readings)) == (1, 1)
        told.now += 2
        await estimators.ask(shape(), "shop", ["c1"])
        assert (told.fits("c1"), told.note("c1")) == (8, "")


async def test_a_failing_estimator_does_not_hold_up_the_others(told: Told, one: EstimatorServer) -> None:
    async with EstimatorServer("c2", FREE, answer=lambda: -1) as two, EstimatorServer("c3", FREE) as three:
        async with estimators_of(told, one, two, three) as estimators:
            await three.kill()
            await estimators.ask(shape(), "shop", ["c1", "c2", "c3"])
        assert told.fits("c1") == 8
        assert told.note("c2").endswith("does not know how much room there is: it answered -1")
        assert told.note("c3").endswith("cannot be reached: Connection refused")


async def test_an_answer_from_before_is_used_and_called_so_until_it_is_too_old(told: Told, one: EstimatorServer) -> None:
    async with estimators_of(told, one, reuse=5, max_age=60) as estimators:
        await estimators.ask(shape(), "shop", ["c1"])
        since = told.last("c1")[1].since
        await one.kill()
        told.now += 10
        await estimators.ask(shape(), "shop", ["c1"])
        assert told.fits("c1") == 8
        assert told.last("c1")[1].since == since
        assert told.note("c1").endswith("cannot be reached: Connection refused; its answer from before is used")
        told.now += 51
        await estimators.ask(shape(), "shop", ["c1"])
        assert told.last("c1")[0] is None
        assert told.note("c1").endswith("Connection refused")


async def test_readings_that_nobody_renews_are_taken_back(told: Told, one: EstimatorServer) -> None:
    async with estimators_of(told, one, max_age=60) as estimators:
        await estimators.ask(shape(), "shop", ["c1"])
        told.now += 60
        estimators.drop_stale()
        assert len(told.readings) == 1
        told.now += 1
        estimators.drop_stale()
        estimators.drop_stale()
        assert len(told.readings) == 2
        expected = f"estimator at 127.0.0.1:{one.port} was last asked more than 60 s ago"
        assert told.last("c1") == (None, Source(kind="estimator", note=expected))


async def test_no_more_than_so_many_are_asked_at_once(told: Told, one: EstimatorServer) -> None:
    one.stuck = True
    async with EstimatorServer("c2", FREE) as two, estimators_of(told, one, two, in_flight=1, timeout=0.1) as estimators:
        await estimators.ask(shape(), "shop", ["c1", "c2"])
        assert "gave no answer in 0.1 s" in told.note("c1")
        assert told.fits("c2") == 8 or "too many others have kept it waiting" in told.note("c2")


async def test_a_member_that_wants_a_node_alone_is_told_what_the_number_counts(told: Told, one: EstimatorServer) -> None:
    async with estimators_of(told, one) as estimators:
        await estimators.ask(replace(shape(), alone=True), "shop", ["c1"])
        assert told.note("c1") == "it counts members of one instance on the same node"


async def test_a_service_that_comes_changes_or_goes_is_followed(told: Told, one: EstimatorServer) -> None:
    services: dict[Key, KubeObject] = {}
    key = Key("karmada-system", "karmada-scheduler-estimator-c1")

    def point_at(port: object) -> None:
        ports = [{"port": 10352, "targetPort": port}]
        services[key] = {"spec": {"type": "ExternalName", "externalName": "127.0.0.1", "ports": ports}}

    directory = Directory(service=services.get)
    async with (
        EstimatorServer("c1", {"cpu": 500, "memory": GI}) as moved,
        Estimators(directory, told, timing=Timing(reuse=0, max_age=0), clock=lambda: told.now) as estimators,
    ):
        await estimators.ask(shape(), "shop", ["c1"])
        assert told.readings == []
        point_at(one.port)
        await estimators.ask(shape(), "shop", ["c1"])
        assert told.fits("c1") == 8
        point_at(moved.port)
        await estimators.ask(shape(), "shop", ["c1"])
        assert told.fits("c1") == 1
        point_at("grpc")
        told.now += 1
        await estimators.ask(shape(), "shop", ["c1"])
        assert "names its targetPort 'grpc'" in told.note("c1")
        del services[key]
        await estimators.ask(shape(), "shop", ["c1"])
        assert told.last("c1") == (None, Source(kind="estimator"))


async def test_a_guessed_name_that_leads_nowhere_is_no_estimator_and_nothing_to_say(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    async with Estimators(Directory(service=lambda key: None, by_name=True), told) as estimators:
        await estimators.ask(shape(), "shop", ["c1"])
    assert told.readings == []


async def test_a_cluster_that_is_forgotten_while_it_is_asked_hands_nothing_on(told: Told, one: EstimatorServer) -> None:
    one.stuck = True
    async with estimators_of(told, one) as estimators, asyncio.TaskGroup() as group:
        group.create_task(estimators.ask(shape(), "shop", ["c1"]))
        await one.reached.wait()
        estimators.forget("c1")
    assert told.readings == []


async def test_nobody_is_asked_after_the_end(told: Told, one: EstimatorServer) -> None:
    async with estimators_of(told, one) as estimators:
        await estimators.ask(shape(), "shop", ["c1"])
    await estimators.ask(shape(cpu=1000), "shop", ["c1"])
    assert (len(one.asked), len(told.readings)) == (1, 1)


async def test_questions_by_turns_are_handed_on_once(told: Told, one: EstimatorServer) -> None:
    async with estimators_of(told, one) as estimators:
        for _ in range(3):
            await estimators.ask(shape(), "shop", ["c1"])
            await estimators.ask(shape(cpu=1000), "shop", ["c1"])
        assert (len(one.asked), len(told.readings)) == (2, 2)
