"""How members are watched: by whose rights, what happens when they change or break, and what is said then. Under virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from fedstate.kube.resources import NODES, PODS, SECRETS, STORAGE_CLASSES
from fedstate.kube.transport import Request
from fedstate.scheduler.capacity.members import READ_EVERY
from tests.fakes.apiserver import refusal, verb_of
from tests.fakes.running import Running
from tests.scheduler.capacity.memberclusters import World, node, pod

pytestmark = pytest.mark.looptime

A_MOMENT = 3 * READ_EVERY


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    # Whatever a test did, nothing stays open.
    for member in world.members.values():
        assert (member.open_clients, member.watchers) == (0, [])


def watching(world: World) -> Running:
    return Running(world.clusters.run(), world.watching.run())


def of(plural: str) -> Any:
    def matches(request: Request) -> bool:
        return request.path.endswith(f"/{plural}")

    return matches


async def test_a_member_is_read_node_by_node_with_the_credentials_of_its_secret(world: World) -> None:
    member = world.join("a", nodes=2)
    member.seed(PODS, pod("p", "a-1", "3"), pod("done", "a-2", "4", phase="Succeeded"))
    async with watching(world):
        await world.watching.settled.wait()
        await asyncio.sleep(A_MOMENT)
        assert world.fits("a") == 5
        reading = world.readings["a"]
        assert (reading.source.kind, reading.source.note) == ("nodes", "")
        assert reading.storage_classes == frozenset({"fast"})
        assert [(config.server, config.token) for config in world.configs] == [("https://a", "t1")]


async def test_pods_that_come_and_go_show_at_once_but_many_of_them_in_one_reading(world: World) -> None:
    member = world.join("a")
    async with watching(world):
        await asyncio.sleep(2)
        world.reads.clear()
        member.seed(PODS, *(pod(f"p{number}", "a-1", "100m") for number in range(20)))
        await asyncio.sleep(A_MOMENT)
        assert world.fits("a") == 2
        member.remove(PODS, "p1", "shop")
        await asyncio.sleep(A_MOMENT)
        assert len(world.reads) <= 3
        assert world.readings["a"].free is not None
        assert world.readings["a"].free["cpu"] == 2100


async def test_news_of_a_pod_or_node_that_no_reading_shows_makes_none(world: World) -> None:
    member = world.join("a")
    member.seed(PODS, pod("p", "a-1"))
    async with watching(world):
        await asyncio.sleep(2)
        world.reads.clear()
        member.seed(NODES, node("a-1"))
        member.seed(PODS, pod("p", "a-1") | {"status": {"phase": "Running", "podIP": "10.0.0.1"}})
        await asyncio.sleep(2)
        assert world.reads == []


async def test_changed_credentials_are_used_when_the_old_ones_are_refused(world: World) -> None:
    member = world.join("a")
    async with watching(world):
        await asyncio.sleep(2)
        member.token = "t2"
        world.put_secret("a", "t2")
        member.cut_watches()
        member.seed(PODS, pod("p", "a-1", "3"))
        await asyncio.sleep(30)
        assert world.fits("a") == 1
        assert [config.token for config in world.configs] == ["t1", "t2"]
        assert member.open_clients == 1
        assert world.note("a") == ""


async def test_a_changed_endpoint_is_followed_at_once(world: World) -> None:
    world.join("a")
    async with watching(world):
        await asyncio.sleep(2)
        world.members["elsewhere"] = world.members["a"].__class__("t1")
        world.members["elsewhere"].seed(NODES, node("n", "1"))
        world.put_cluster("a", apiEndpoint="https://elsewhere")
        await asyncio.sleep(A_MOMENT)
        assert world.fits("a") == 1
        assert world.members["a"].open_clients == 0


@pytest.mark.parametrize("why", ["pull", "forbidden", "no secret"])
async def test_without_credentials_of_their_own_members_are_read_through_the_cluster_proxy(world: World, why: str) -> None:
    specs: dict[str, dict[str, Any]] = {"pull": {"syncMode": "Pull"}, "forbidden": {}, "no secret": {"secretRef": None}}
    world.join("a", **specs[why])
    if why == "forbidden":
        world.control.fail(of("secrets/a"), refusal(403, "Forbidden", "no"), None)
    async with watching(world):
        await asyncio.sleep(2)
        assert world.fits("a") == 4
        config = world.configs[0]
        assert config.server == "https://control/apis/cluster.karmada.io/v1alpha1/clusters/a/proxy"
        assert config.token == "control"


async def test_a_missing_right_is_named_and_the_member_left_to_its_sums(world: World) -> None:
    member = world.join("a")
    member.fail(of("pods"), refusal(403, "Forbidden", "no"), None)
    async with watching(world):
        await world.watching.settled.wait()
        await asyncio.sleep(2)
        assert world.fits("a") is None
        assert world.note("a") == (
            "its nodes are not read: the right to list and watch pods there is missing "
            "(the credentials in Secret karmada-cluster/a)"
        )


async def test_a_member_whose_storage_classes_may_not_be_read_is_read_without_them(world: World) -> None:
    member = world.join("a")
    member.fail(of("storageclasses"), refusal(403, "Forbidden", "no"), None)
    async with watching(world):
        await asyncio.sleep(4)
        assert world.fits("a") == 4
        assert world.readings["a"].storage_classes is None
        assert "the right to list and watch storageclasses.storage.k8s.io there is missing" in world.note("a")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "Secret karmada-cluster/a of its spec.secretRef does not exist"),
        ({"caBundle": ""}, "Secret karmada-cluster/a has no usable data.token"),
        ({"token": "%"}, "data.token of Secret karmada-cluster/a is no base64"),
    ],
)
async def test_credentials_that_are_none_are_said_and_used_as_soon_as_they_are_there(
    world: World, data: dict[str, str] | None, said: str
) -> None:
    world.join("a")
    if data is None:
        world.control.remove(SECRETS, "a", "karmada-cluster")
    else:
        world.control.seed(SECRETS, {"metadata": {"name": "a", "namespace": "karmada-cluster"}, "data": data})
    async with watching(world):
        await world.watching.settled.wait()
        await asyncio.sleep(A_MOMENT)
        assert world.note("a") == f"its nodes are not read: {said}"
        world.put_secret("a", "t1")
        await asyncio.sleep(15)
        assert world.fits("a") == 4


async def test_a_member_that_dies_is_decided_on_for_a_minute_then_left_to_its_sums_until_it_returns(world: World) -> None:
    member = world.join("a")
    async with watching(world):
        await asyncio.sleep(2)
        member.reachable = False
        member.cut_watches()
        await asyncio.sleep(4)
        assert world.note("a") == ""
        await asyncio.sleep(4)
        assert world.note("a").startswith("the watch of its nodes is broken since ")
        assert "cannot connect" in world.note("a")
        assert world.fits("a") == 4
        await asyncio.sleep(60)
        assert world.fits("a") is None
        assert world.note("a").startswith("nothing is heard of its nodes since ")
        member.reachable = True
        member.seed(PODS, pod("p", "a-1", "3"))
        # Karmada sees it first.
        world.put_cluster("a", ready=False)
        await asyncio.sleep(1)
        world.put_cluster("a", ready=True)
        await asyncio.sleep(A_MOMENT)
        assert (world.fits("a"), world.note("a")) == (1, "")


async def test_a_broken_member_does_not_hold_up_others_and_all_start_at_once(world: World) -> None:
    for number in range(50):
        member = world.join(f"m{number}")
        if number % 10 == 0:
            member.reachable = False
        if number % 10 == 1:
            member.fail(of("nodes"), refusal(500, "InternalError", "no"), None)
    async with watching(world):
        await asyncio.sleep(2)
        assert sum(world.fits(f"m{number}") == 4 for number in range(50)) == 40
        assert world.watching.settled.is_set()


async def test_a_silent_member_is_not_waited_for_by_those_after_it(world: World) -> None:
    for number in range(100):
        member = world.join(f"m{number}")
        if number < 40:
            member.latency = 1000.0
    async with watching(world):
        await asyncio.sleep(15)
        assert sum(world.fits(f"m{number}") == 4 for number in range(100)) == 60


async def test_a_member_that_leaves_is_watched_no_longer(world: World) -> None:
    member = world.join("a")
    world.join("b")
    async with watching(world):
        await asyncio.sleep(2)
        world.leave("a")
        await asyncio.sleep(1)
        assert member.open_clients == 0
        assert list(world.readings) == ["b"]
        world.put_cluster("a")
        await asyncio.sleep(2)
        assert world.fits("a") == 4


async def test_metrics_tell_how_members_do_and_forget_those_that_leave(world: World) -> None:
    world.join("a")
    world.join("b").reachable = False

    def sample(name: str, **labels: str) -> float | None:
        return REGISTRY.get_sample_value(f"fedstate_scheduler_{name}", labels)

    async with watching(world):
        await asyncio.sleep(2)
        assert (sample("members", state="watched"), sample("members", state="synced")) == (2, 1)
        age = sample("reading_age_seconds", cluster="a")
        assert age is not None
        assert age <= 1
        world.leave("a")
        await asyncio.sleep(1)
        assert sample("reading_age_seconds", cluster="a") is None


async def test_watches_ask_for_pods_that_take_room_only(world: World) -> None:
    member = world.join("a")
    async with watching(world):
        await asyncio.sleep(2)
        watched = {request.path: request.params for request in member.requests if verb_of(request) == "watch"}
        assert watched[PODS.path()]["fieldSelector"] == "status.phase!=Succeeded,status.phase!=Failed"
        assert set(watched) == {PODS.path(), NODES.path(), STORAGE_CLASSES.path()}


async def test_a_failure_of_the_control_plane_leaves_open_watches_alone(world: World) -> None:
    member = world.join("a")
    async with watching(world):
        await asyncio.sleep(2)
        world.control.fail(of("secrets/a"), refusal(503, "ServiceUnavailable", "no"), None)
        await asyncio.sleep(700)
        member.seed(PODS, pod("p", "a-1", "3"))
        await asyncio.sleep(A_MOMENT)
        assert (world.fits("a"), world.note("a")) == (1, "")
        assert len(world.configs) == 1
