"""The scheduler as a whole over members that it reads itself, under virtual time; and which of several sources counts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from fedstate import scheduler
from fedstate.api.naming import ANNOTATION_SCHEDULER_RESULT, MULTI_CLOUD_MONGODBS
from fedstate.api.placement import Placement
from fedstate.control.component import CapacitySettings, ComponentContext, ComponentSettings
from fedstate.errors import FedstateError
from fedstate.kube.events import EventRecorder
from fedstate.kube.informer import InformerSet
from fedstate.kube.objects import Key, KubeObject, annotations_of
from fedstate.kube.resources import NODES, PODS
from fedstate.scheduler.capacity.layers import FirstThatKnows, Layers, best_of
from fedstate.scheduler.capacity.once import read_members
from fedstate.scheduler.capacity.rooms import MemberShape, Reading, Rooms, Source
from fedstate.scheduler.capacity.sources import FIRST_DECISION_WITHIN
from fedstate.scheduler.ledger import Ledger
from fedstate.scheduler.snapshot import Fleet
from tests.api.objects import instance
from tests.fakes.apiserver import refusal
from tests.fakes.running import Running
from tests.scheduler.capacity.memberclusters import ONE_CPU, World, node, pod
from tests.scheduler.clusters import cluster
from tests.scheduler.plane import Silent

pytestmark = pytest.mark.looptime

NAMESPACE = "shop"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Scheduler:
    """What a user sees of a running one."""

    def __init__(self, world: World) -> None:
        self.world = world

    def want(self, name: str, cpu: str, members: int = 1) -> None:
        obj = instance({"replicaset": members, "resource": {"requests": {"cpu": cpu}}}, name=name, namespace=NAMESPACE, uid=name)
        self.world.control.seed(MULTI_CLOUD_MONGODBS, obj)

    def get(self, name: str) -> KubeObject:
        return self.world.control.get(MULTI_CLOUD_MONGODBS, name, NAMESPACE) or {}

    def placed(self, name: str) -> dict[str, int] | None:
        result = annotations_of(self.get(name)).get(ANNOTATION_SCHEDULER_RESULT)
        return dict(Placement.from_annotation(result).members) if result else None

    def said(self, name: str) -> str:
        return str((self.get(name)["status"].get("scheduling") or {}).get("message"))


@asynccontextmanager
async def scheduling(world: World, **capacity: Any) -> AsyncIterator[Scheduler]:
    informers = InformerSet(world.client)
    settings = ComponentSettings(capacity=CapacitySettings(**capacity))
    context = ComponentContext(client=world.client, informers=informers, events=cast(EventRecorder, Silent()), settings=settings)
    runnables = scheduler.build(context, connect=world.connect)
    async with Running(informers.run()):
        await informers.wait_synced()
        async with Running(*(runnable.run() for runnable in runnables)):
            yield Scheduler(world)


async def test_two_half_full_nodes_take_no_member_and_one_that_is_freed_takes_who_waits() -> None:
    world = World()
    member = world.join("a", nodes=2)
    member.seed(PODS, pod("p1", "a-1", "2"), pod("p2", "a-2", "2"))
    async with scheduling(world) as running:
        running.want("orders", "3")
        await asyncio.sleep(2)
        assert running.placed("orders") is None
        assert "a: fits 0 members: no node has cpu 3 free: the most is 2 on a-1" in running.said("orders")
        member.remove(PODS, "p1", "shop")
        await asyncio.sleep(4)
        assert running.placed("orders") == {"a": 1}


async def test_a_start_waits_for_the_members_nodes_and_decides_on_nothing_coarser() -> None:
    world = World()
    world.join("a").seed(NODES, node("a-1", "1"))
    world.join("b")
    for member in world.members.values():
        member.latency = 2.0
    async with scheduling(world) as running:
        running.want("orders", "3")
        await asyncio.sleep(1)
        assert running.placed("orders") is None
        await asyncio.sleep(5)
        assert running.placed("orders") == {"b": 1}


async def test_a_start_waits_for_a_silent_member_only_so_long() -> None:
    world = World()
    world.join("a").latency = 1000.0
    async with scheduling(world) as running:
        running.want("orders", "3")
        await asyncio.sleep(FIRST_DECISION_WITHIN - 1)
        assert running.placed("orders") is None
        await asyncio.sleep(3)
        assert running.placed("orders") == {"a": 1}
        await asyncio.sleep(1)
        entry = running.get("orders")["status"]["scheduling"]["clusters"][0]
        assert entry["source"] == "resourceSummary"


async def test_without_nodes_among_the_sources_no_member_is_spoken_to() -> None:
    world = World()
    world.join("a").seed(NODES, node("a-1", "1"))
    async with scheduling(world, sources=("summary",)) as running:
        running.want("orders", "3")
        await asyncio.sleep(2)
        assert running.placed("orders") == {"a": 1}
        assert world.configs == []


async def test_members_that_are_placed_are_taken_off_until_their_pods_are_and_never_twice() -> None:
    world = World()
    member = world.join("a")
    async with scheduling(world) as running:
        running.want("first", "3")
        await asyncio.sleep(1)
        assert running.placed("first") == {"a": 1}
        running.want("second", "1")
        await asyncio.sleep(1)
        assert running.placed("second") == {"a": 1}
        running.want("third", "500m")
        await asyncio.sleep(1)
        assert running.placed("third") is None
        # Their pods come: what was booked becomes what is counted.
        member.seed(PODS, pod("first-replset-0-0", "a-1", "3", instance="first"))
        member.seed(PODS, pod("second-replset-0-0", "a-1", "1", instance="second"))
        await asyncio.sleep(2)
        assert running.placed("third") is None
        member.seed(NODES, node("a-2", "500m"))
        await asyncio.sleep(4)
        assert running.placed("third") == {"a": 1}


async def test_a_bad_table_of_estimators_is_named_at_the_start() -> None:
    world = World()
    with pytest.raises(FedstateError, match=re.escape("--estimator-addresses: 'a' does not say where an estimator is")):
        async with scheduling(world, sources=("estimator", "summary"), estimator_addresses="a"):
            pass


async def test_members_are_read_once_as_they_are_watched_and_what_fails_is_said() -> None:
    world = World()
    world.join("a", nodes=2).seed(PODS, pod("p", "a-1", "3"), pod("done", "a-2", "4", phase="Failed"))
    world.join("silent").latency = 1000.0
    world.join("dead").reachable = False
    world.join("strange").token = "t2"
    world.join("closed").fail(lambda request: request.path.endswith("/pods"), refusal(403, "Forbidden", "no"), None)
    world.join("classless").fail(lambda request: "storage" in request.path, refusal(403, "Forbidden", "no"), None)
    clusters = await world.client.list_all(world.clusters.resource)
    found = await read_members(world.client, clusters, connect=world.connect)
    assert found["a"].rooms is not None
    assert found["a"].rooms.fits(ONE_CPU) == 5
    assert (found["a"].storage_classes, found["a"].source.kind, found["a"].source.note) == (frozenset({"fast"}), "nodes", "")
    assert found["classless"].rooms is not None
    assert found["classless"].storage_classes is None
    notes = {name: reading.source.note for name, reading in found.items() if reading.rooms is None}
    assert notes == {
        "silent": "its nodes are not read: no answer within 5 s",
        "dead": "its nodes are not read: cannot connect to https://fake",
        "strange": "its nodes are not read: the member does not accept the credentials of its Cluster",
        "closed": "its nodes are not read: the right to list and watch pods there is missing"
        " (the credentials in Secret karmada-cluster/closed)",
    }
    assert all(member.open_clients == 0 for member in world.members.values())


class Fixed:
    """Rooms of a number, or of none."""

    def __init__(self, number: int | None, name: str = "") -> None:
        self.number = number
        self.name = name

    def beside(self, booked: Any) -> Rooms:
        return Fixed(None if self.number is None else self.number - sum(booked.values()), self.name)

    def fits(self, shape: MemberShape) -> int | None:
        return self.number

    def why_not(self, shape: MemberShape) -> str:
        return self.name


def reading(kind: str, rooms: Rooms | None, note: str = "", **changes: Any) -> Reading:
    return Reading(source=Source(kind=kind, note=note), rooms=rooms, **changes)


def test_the_estimator_answers_before_the_nodes_and_they_where_it_cannot() -> None:
    nodes = reading("nodes", Fixed(4, "nodes"), storage_classes=frozenset("x"), members={Key("shop", "a"): 1})
    both = best_of(reading("estimator", Fixed(2, "estimator")), nodes)
    assert both is not None
    assert both.rooms is not None
    assert (both.rooms.fits(ONE_CPU), both.rooms.beside({ONE_CPU: 2}).fits(ONE_CPU)) == (2, 0)
    assert (both.source.kind, both.storage_classes, both.members) == ("estimator", frozenset("x"), None)
    silent = FirstThatKnows(first=Fixed(None, "estimator"), second=Fixed(0, "nodes"))
    assert (silent.fits(ONE_CPU), silent.why_not(ONE_CPU)) == (0, "nodes")


def test_an_estimator_that_fails_leaves_its_note_to_the_nodes() -> None:
    nodes = reading("nodes", Fixed(4), "broken", members={})
    found = best_of(reading("estimator", None, "refused"), nodes)
    assert found is not None
    assert (found.rooms, found.source.kind, found.source.note, found.members) == (nodes.rooms, "nodes", "refused; broken", {})
    assert best_of(None, nodes) is nodes
    assert best_of(None, None) is None


def test_what_is_counted_is_booked_off_in_the_same_moment() -> None:
    fleet, ledger = Fleet(), Ledger()
    ledger.visible = fleet.visible
    changes: list[bool] = []
    layers = Layers(fleet, ledger, changes.append, lambda: 0.0)
    fleet.put(cluster("a"))
    key = Key("shop", "orders")
    ledger.observe(key, {"a": 2}, ONE_CPU, {}, 0.0)
    assert ledger.reserved("a", 0.0)["cpu"] == 2000
    layers.nodes("a", reading("nodes", Fixed(3), members={key: 1}))
    assert (ledger.reserved("a", 0.0)["cpu"], changes) == (1000, [True])
    layers.nodes("a", reading("nodes", Fixed(2), members={key: 2}))
    assert (ledger.reserved("a", 0.0), changes) == ({}, [True, False])
    layers.estimate("a", reading("estimator", Fixed(5)))
    assert ledger.reserved("a", 0.0)["cpu"] == 2000
    layers.estimate("a", None)
    layers.nodes("a", None)
    assert ledger.reserved("a", 0.0)["cpu"] == 2000
