"""The tally of a cluster, record by record, and the readings it gives."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.kube.objects import Key
from fedstate.kube.records import NodeRecord, PodRecord
from fedstate.scheduler.capacity.nodes import NodeRooms
from fedstate.scheduler.capacity.tally import NodeTally
from tests.scheduler.capacity.records import DEDICATED, GI, ZONE, node, pod, shape, some_node, storage_class, tally_of


def test_sums_are_of_the_nodes_that_take_pods_and_leave_out_what_waits() -> None:
    reading = tally_of(
        node("a", cpu=4000, taints=(DEDICATED,)),
        node("b", cpu=2000),
        node("c", ready=False),
        pod("p", "a", cpu=1000, memory=1),
        pod("q", "b", cpu=9000),
        pod("r", "c", cpu=1000),
        pod("s", "unknown", cpu=1000),
    ).reading(note="as told")
    assert reading.allocatable == {"pods": 220, "cpu": 6000, "memory": 32 * GI, "ephemeral-storage": 200 * GI}
    assert reading.free == {"pods": 218, "cpu": 3000, "memory": 31 * GI, "ephemeral-storage": 200 * GI}
    assert (reading.source.kind, reading.source.note) == ("nodes", "as told")


def test_pods_without_a_node_go_first_and_are_told_of() -> None:
    tally = tally_of(node("a", cpu=2000), pod("p", cpu=1500), pod("q", cpu=1500), pod("r", cpu=100))
    reading = tally.reading()
    assert (reading.free or {})["cpu"] == 400
    assert reading.source.note == "3 pods without a node, 2 counted where they may fit"


def test_a_reading_tells_zones_storage_classes_and_members() -> None:
    tally = tally_of(
        node("a", labels={ZONE: "y"}),
        node("b", labels={ZONE: "x"}),
        node("c"),
        storage_class("fast"),
        storage_class("plain", default=True),
        pod("m0", "a", instance="orders"),
        pod("m1", instance="orders"),
        pod("m2", "a", instance="orders", phase="Failed"),
        pod("other", "a"),
    )
    reading = tally.reading()
    assert reading.zones == ("x", "y")
    assert (reading.storage_classes, reading.default_storage_class) == (frozenset({"fast", "plain"}), True)
    assert reading.members == {Key("shop", "orders"): 2}
    assert (tally.members_of("shop", "orders"), tally.members_of("shop", "other")) == (2, 0)
    assert tally.reading(knows_classes=False).storage_classes is None


def test_a_node_that_says_nothing_new_changes_no_reading() -> None:
    tally = tally_of(node("a"))
    before = tally.reading().rooms
    tally.put_node(node("a", resource_version="9"))
    assert tally.reading().rooms == before
    tally.put_node(node("a", labels={"disk": "ssd"}))
    assert tally.reading().rooms != before


@settings(max_examples=60, deadline=None)
@given(random=st.integers(0, 1 << 40).map(Random))
def test_a_tally_that_has_lived_reads_like_one_that_begins_with_what_is_left(random: Random) -> None:
    lived = NodeTally()
    nodes: dict[str, NodeRecord] = {}
    pods: dict[str, PodRecord] = {}
    for _ in range(40):
        name, number = f"n{random.randint(0, 3)}", str(random.randint(0, 6))
        match random.randint(0, 4):
            case 0:
                nodes[name] = some_node(random, name)
                lived.put_node(nodes[name])
            case 1:
                nodes.pop(name, None)
                lived.remove_node(name)
            case 2:
                pods.pop(number, None)
                lived.remove_pod(Key("shop", number))
            case _:
                phase, where = random.choice(["Running", "Pending", "Failed"]), random.choice([name, ""])
                pods[number] = pod(number, where, random.choice([0, 300]), 1, phase=phase, instance=random.choice(["", "x"]))
                lived.put_pod(pods[number])
    fresh = tally_of(*nodes.values(), *pods.values())
    one, other = lived.reading(), fresh.reading()
    assert (one.free, one.allocatable, one.zones, one.members, one.source) == (
        other.free,
        other.allocatable,
        other.zones,
        other.members,
        other.source,
    )
    assert isinstance(one.rooms, NodeRooms)
    assert isinstance(other.rooms, NodeRooms)
    assert one.rooms.free.tolist() == other.rooms.free.tolist()
    assert one.rooms.fits(shape(cpu=500)) == other.rooms.fits(shape(cpu=500))
