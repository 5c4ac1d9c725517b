"""Many instances at once, on an API server that is slow, answers out of order, refuses, or does not answer at all."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable

import pytest

from fedstate.api.naming import MULTI_CLOUD_MONGODBS
from fedstate.kube.errors import TransportError
from fedstate.kube.wire import Request
from fedstate.scheduler import IN_FLIGHT
from fedstate.scheduler.reconciler import LOOK_AGAIN
from tests.fakes.apiserver import refusal, target_of
from tests.scheduler.clusters import LOST, cluster
from tests.scheduler.plane import SlowServer, running_scheduler, until, wanted

pytestmark = pytest.mark.looptime


def members_in(server: SlowServer) -> Counter[str]:
    found: Counter[str] = Counter()
    for result in server.placed().values():
        for entry in json.loads(result)["ClusterWithReplicaset"]:
            found[entry["cluster"]] += entry["replicaset"]
    return found


def names(count: int) -> list[str]:
    return [f"db-{number:03}" for number in range(count)]


async def test_every_placement_of_a_burst_is_one_request_and_none_waits_for_a_story() -> None:
    server = SlowServer(slowest=0.3)
    async with running_scheduler(server, *(cluster(name, cpu="500") for name in "abcd")) as plane:
        plane.create(*(wanted(name, {"replicaset": 1}) for name in names(200)))
        await until(lambda: len(server.placed()) == 200)
        assert (len(server.placements), server.stories) == (200, [])
        assert server.most_in_flight == IN_FLIGHT
        await until(lambda: len(set(server.stories)) == 200)
        await asyncio.sleep(5)
        assert (len(server.placements), len(server.stories)) == (200, 200)


async def test_in_quiet_times_the_story_follows_at_once() -> None:
    server = SlowServer(slowest=0.01)
    async with running_scheduler(server, *map(cluster, "abc")) as plane:
        plane.create(wanted("orders"))
        await until(lambda: server.condition("orders").get("status") == "True", within=0.2)


async def test_a_pause_of_the_server_within_a_burst_is_not_taken_for_its_end() -> None:
    server = SlowServer(slowest=0.01)
    async with running_scheduler(server, *(cluster(name, cpu="5000") for name in "abc")) as plane:
        plane.create(*(wanted(name, {"replicaset": 1}) for name in names(50)))
        await until(lambda: len(server.placed()) == 50)
        await asyncio.sleep(0.6)
        plane.create(*(wanted(f"more-{name}", {"replicaset": 1}) for name in names(50)))
        await until(lambda: len(server.placed()) == 100)
        assert server.stories == []
        await until(lambda: len(set(server.stories)) == 100)


async def test_stories_do_not_wait_for_ever_for_the_end_of_a_burst() -> None:
    server = SlowServer(slowest=0.01)
    async with running_scheduler(server, *(cluster(name, cpu="5000", labels={}) for name in "abc")) as plane:
        for name in names(600):
            plane.create(wanted(name, {"replicaset": 1}))
            await asyncio.sleep(0.03)
            if server.stories:
                break
        assert server.stories


async def test_answers_in_any_order_never_give_the_same_room_away_twice() -> None:
    server = SlowServer(slowest=2.0, seed=7)
    async with running_scheduler(server, *(cluster(name, cpu="50") for name in "abc")) as plane:
        plane.create(*(wanted(name) for name in names(60)))
        await until(lambda: len(server.placed()) == 50)
        await asyncio.sleep(20)
        assert members_in(server) == {"a": 50, "b": 50, "c": 50}
        assert len(server.placements) == 50
        refused = [server.condition(name).get("reason") for name in names(60) if name not in server.placed()]
        assert refused == ["NoFeasibleCluster"] * 10


async def test_a_placement_without_an_answer_is_not_overwritten_by_another_one() -> None:
    server = SlowServer(slowest=0.2)
    async with running_scheduler(server, *(cluster(name, cpu="30") for name in "abc")) as plane:
        server.lost_answers = 5
        plane.create(*(wanted(name) for name in names(10)))
        await until(lambda: len(server.placed()) == 10)
        await asyncio.sleep(30)
        assert {name: result for name, result in server.placements} == server.placed()
        assert len(server.placements) == 10
        assert members_in(server) == {"a": 10, "b": 10, "c": 10}


async def test_a_lost_answer_while_the_cache_is_behind_does_not_move_what_was_placed() -> None:
    server = SlowServer()
    async with running_scheduler(server, cluster("a", cpu="30"), cluster("b", cpu="30", used="20")) as plane:
        plane.create(wanted("orders", {"replicaset": 1}))
        server.lost_answers, server.silent = 1, True
        await until(lambda: server.placements)
        plane.put(cluster("a", cpu="30", used="29"))
        await asyncio.sleep(1)
        server.silent = False
        server.cut_watches()
        await until(lambda: server.condition("orders").get("status") == "True")
        assert server.placed() == dict(server.placements)
        assert len(server.placements) == 1
        assert members_in(server) == {"a": 1}


def writes_of(name: str) -> Callable[[Request], bool]:
    def matches(request: Request) -> bool:
        return request.method == "PATCH" and target_of(request.path).name == name

    return matches


@pytest.mark.parametrize(
    "error",
    [
        refusal(422, "Invalid", "refused by a webhook"),
        refusal(403, "Forbidden", "no"),
        refusal(409, "Conflict", "over and over"),
        refusal(500, "InternalError", "the server is not well"),
        TransportError("nobody there"),
        RuntimeError("a bug"),
    ],
)
async def test_one_bad_instance_never_blocks_the_others(error: Exception) -> None:
    server = SlowServer(slowest=0.05)
    async with running_scheduler(server, cluster("a", cpu="20"), cluster("b", cpu="20"), cluster("c", cpu="20")) as plane:
        server.fail(writes_of("bad"), error, times=None)
        plane.create(wanted("bad"), wanted("invalid", {"replicaset": 0}), *(wanted(name) for name in names(16)))
        await until(lambda: len(server.placed()) == 16, within=5)
        await until(lambda: set(names(16)) <= set(server.stories), within=5)
        await asyncio.sleep(20)
        assert len(server.placements) == 16
        assert server.condition("invalid")["reason"] == "InvalidSpec"


async def test_what_a_refused_instance_had_booked_is_free_for_others() -> None:
    server = SlowServer()
    async with running_scheduler(server, cluster("a", cpu="3")) as plane:
        server.fail(writes_of("bad"), refusal(422, "Invalid", "refused by a webhook"), times=None)
        plane.create(wanted("bad"))
        await asyncio.sleep(1)
        plane.create(wanted("good"))
        await until(lambda: "good" in server.placed(), within=2)


async def test_what_changes_goes_before_what_is_fresh_and_that_before_what_was_left_over() -> None:
    server = SlowServer(slowest=1.0)
    server.seed(MULTI_CLOUD_MONGODBS, *(wanted(f"left-{name}", {"replicaset": 1}) for name in names(100)))
    async with running_scheduler(server, *(cluster(name, cpu="900") for name in "abcdefghij")) as plane:
        await until(lambda: server.in_flight == IN_FLIGHT)
        plane.create(wanted("fresh", {"replicaset": 1}))
        await until(lambda: len(server.placed()) == 101)
        assert [name for name, _ in server.placements].index("fresh") < 90
        await until(lambda: len(server.stories) == 101)
        server.placements.clear()
        plane.create(*(wanted(name, {"replicaset": 1}) for name in names(50)), *(wanted(f"x{n}") for n in names(100)))
        await until(lambda: server.in_flight == IN_FLIGHT)
        plane.change("fresh", {"replicaset": 2})
        await until(lambda: "fresh" in dict(server.placements))
        assert len(server.placements) < 140


async def test_those_in_a_lost_cluster_are_told_so_before_a_burst_is_over() -> None:
    server = SlowServer()
    async with running_scheduler(server, *map(cluster, "abcdefghij")) as plane:
        plane.create(wanted("orders", {"replicaset": 10}))
        await until(lambda: server.stories)
        server.slowest = 1.0
        plane.create(*(wanted(name, {"replicaset": 1}) for name in names(130)))
        await until(lambda: server.in_flight == IN_FLIGHT)
        plane.put(cluster("a", conditions=[LOST]))
        await until(lambda: len(server.stories) == 2)
        assert len(server.placed()) < 131


async def test_nothing_is_in_flight_when_a_stop_has_drained() -> None:
    server = SlowServer(slowest=0.5)
    async with running_scheduler(server, *map(cluster, "abc")) as plane:
        plane.create(*(wanted(name, {"replicaset": 1}) for name in names(30)))
        await until(lambda: server.in_flight == 30)
    assert server.in_flight == 0
    assert len(server.placed()) == 30


async def test_a_process_that_has_lost_its_lease_stops_in_the_middle() -> None:
    server = SlowServer(slowest=5.0)
    async with running_scheduler(server, *map(cluster, "abc")) as plane:
        plane.create(*(wanted(name, {"replicaset": 1}) for name in names(30)))
        await until(lambda: server.in_flight == 30)
        plane.controller.abandon()
        before = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - before < 0.1
    assert server.in_flight == 0


async def test_the_safety_net_is_as_rare_as_it_is_meant_to_be() -> None:
    server = SlowServer()
    async with running_scheduler(server, cluster("a", cpu="2")) as plane:
        plane.create(wanted("orders"))
        await until(lambda: server.stories)
        requests = len(server.requests)
        await asyncio.sleep(LOOK_AGAIN - 10)
        assert [request for request in server.requests[requests:] if request.method == "PATCH"] == []
