"""Room for members on the nodes of one cluster: what fits, beside what, and why nothing does."""

from dataclasses import replace
from itertools import permutations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.api.federated import Toleration
from fedstate.kube.objects import Key
from fedstate.kube.records import NodeRecord, PodRecord, Requirement, StorageClassRecord
from fedstate.scheduler.capacity.loads import KNOWN
from fedstate.scheduler.capacity.matching import meets, repelling, selected, within_terms
from fedstate.scheduler.capacity.nodes import NodeRooms
from fedstate.scheduler.capacity.rooms import MemberShape, Rooms
from tests.scheduler.capacity.records import (
    DEDICATED,
    FOR_DEDICATED,
    GI,
    ZONE,
    node,
    packs,
    pod,
    shape,
    some_shape,
    some_tally,
    storage_class,
    tally_of,
)

SEEDS = st.integers(0, 1 << 40).map(Random)
ONE = shape(cpu=1000, memory=2)
ORDERS = Key("shop", "orders")
ALONE = shape(cpu=1000, alone=True, instance=ORDERS)
Records = tuple[NodeRecord | PodRecord | StorageClassRecord, ...]


def rooms(*records: NodeRecord | PodRecord | StorageClassRecord) -> NodeRooms:
    found = tally_of(*records).reading().rooms
    assert isinstance(found, NodeRooms)
    return found


@pytest.mark.parametrize(
    ("records", "one", "fits"),
    [
        ((), ONE, 0),
        ((node("a"), node("b", cpu=1900)), ONE, 5),
        ((node("a", cpu=900), node("b", cpu=900)), ONE, 0),
        ((node("a", memory=3),), ONE, 1),
        ((node("a", pods=2),), shape(), 2),
        ((node("a", storage_bytes=3 * GI),), shape(cpu=100, other={"ephemeral-storage": 2 * GI}), 1),
        ((node("a"),), shape(cpu=100, other={"nvidia.com/gpu": 1}), None),
        ((node("a"), node("b")), shape(cpu=1000, alone=True), 2),
        ((node("a"), node("b"), pod("m", "a", instance="orders")), ALONE, 1),
        ((node("a"), node("b"), pod("m", "a", instance="others")), ALONE, 2),
        ((node("a", ready=False), node("b", unschedulable=True)), ONE, 0),
        ((node("a", taints=(DEDICATED,)),), ONE, 0),
        ((node("a", taints=(DEDICATED,)),), shape(cpu=1000, tolerations=(FOR_DEDICATED,)), 4),
        ((node("a", labels={"disk": "ssd"}), node("b")), shape(cpu=1000, node_selector=(("disk", "ssd"),)), 4),
        ((node("a"), node("b")), shape(cpu=1000, terms=((Requirement("metadata.name", "In", ("b",)),),)), 4),
        ((node("a"), pod("p", "a", cpu=1500)), ONE, 2),
        ((node("a"), pod("p", "a", cpu=1500, phase="Succeeded")), ONE, 4),
        ((node("a"), pod("p", "a", cpu=9000)), shape(), 109),
        ((node("a"), pod("p", "a", cpu=9000)), ONE, 0),
        ((node("a"), node("b"), pod("p", cpu=3500)), ONE, 4),
        ((node("a"), pod("p", cpu=9000)), ONE, 4),
        ((node("a"), pod("p", cpu=3500, deleting=True)), ONE, 4),
        ((node("a"), node("b"), storage_class("s", "z")), shape(cpu=1000, storage_class="s"), 0),
        ((node("a"), node("b", labels={ZONE: "z"}), storage_class("s", "z")), shape(cpu=1000, storage_class="s"), 4),
        ((node("a"), storage_class("s", "z", default=True)), shape(cpu=1000, storage_class=""), 0),
        ((node("a"), storage_class("s", "z", default=True)), shape(cpu=1000), 4),
    ],
)
def test_so_many_members_fit(records: Records, one: MemberShape, fits: int | None) -> None:
    assert rooms(*records).fits(one) == fits


@pytest.mark.parametrize(
    ("operator", "values", "with_label", "without"),
    [
        ("In", ("5", "6"), True, False),
        ("", ("5",), True, False),
        ("NotIn", ("5",), False, True),
        ("Exists", (), True, False),
        ("DoesNotExist", (), False, True),
        ("Gt", ("4",), True, False),
        ("Lt", ("4",), False, False),
        ("Lt", ("x",), False, False),
        ("Gt", (), False, False),
        ("Like", ("5",), False, False),
    ],
)
def test_a_requirement_is_judged_as_kubernetes_does(
    operator: str, values: tuple[str, ...], with_label: bool, without: bool
) -> None:
    requirement = Requirement("size", operator, values)
    assert meets(node("a", labels={"size": "5"}), requirement) is with_label
    assert meets(node("a"), requirement) is without


NEEDS = "(spec.resource)"


@pytest.mark.parametrize(
    ("records", "one", "reason"),
    [
        ((), ONE, "it has no nodes"),
        ((node("a", ready=False),), ONE, "no node is ready"),
        ((node("a", unschedulable=True), node("b", ready=False)), ONE, "every ready node is cordoned; of 2 nodes, 1 not ready"),
        (
            (node("a", cpu=2500), node("b", cpu=1000)),
            shape(cpu=4000),
            f"no node has cpu 4 free: the most is 2.5 on a {NEEDS}",
        ),
        ((node("a", pods=0),), ONE, "no node has a place for one more pod"),
        ((node("a", cpu=0),), ONE, f"no node has cpu 1 free: none has any {NEEDS}"),
        (
            (node("a", cpu=9000, memory=1), node("b", cpu=1000), node("c", ready=False), node("d", taints=(DEDICATED,))),
            shape(cpu=2000, memory=4),
            f"no node has cpu 2 and memory 4Gi free together {NEEDS}; of 4 nodes, 1 not ready, 1 tainted",
        ),
        (
            (node("a", taints=(DEDICATED,)),),
            ONE,
            "no node is without a taint that is not tolerated: dedicated=db:NoSchedule (spec.member.podSpec.tolerations)",
        ),
        (
            (node("a"),),
            shape(cpu=1, node_selector=(("disk", "ssd"),)),
            "no node matches nodeSelector disk=ssd (spec.member.podSpec.nodeSelector)",
        ),
        (
            (node("a"),),
            shape(cpu=1, terms=((Requirement("arch", "In", ("arm64", "x")), Requirement("gpu", "Exists")),)),
            "no node matches the required node affinity arch In arm64,x and gpu Exists (spec.member.podSpec.affinity)",
        ),
        (
            (node("a"), node("b", ready=False), pod("m", "a", instance="orders")),
            ALONE,
            "every node has a member of the instance already, and none shares its node (spec.member.podSpec.affinity); "
            "of 2 nodes, 1 not ready",
        ),
        (
            (node("a"), storage_class("s", "z")),
            shape(cpu=1, storage_class="s"),
            "no node is served by StorageClass s (spec.storage.storageClass)",
        ),
    ],
)
def test_the_reason_names_what_is_missing_and_the_field_that_asks_for_it(records: Records, one: MemberShape, reason: str) -> None:
    found = rooms(*records)
    assert found.fits(one) == 0
    assert found.why_not(one) == reason


def test_booked_members_are_spread_and_those_that_no_node_takes_take_nothing() -> None:
    found = rooms(node("a", cpu=4000), node("b", cpu=3000))
    half = shape(cpu=2000)
    assert found.beside({half: 2}).fits(shape(cpu=1500)) == 1
    assert found.beside({shape(cpu=9000): 3}).fits(half) == 3
    assert found.beside({half: 9}).fits(half) == 0
    assert found.beside({half: 9}).fits(shape(cpu=1000)) == 1


def test_members_that_refuse_each_other_are_booked_on_nodes_of_their_own() -> None:
    found = rooms(node("a"), node("b"), node("c"), pod("m", "a", instance="orders"))
    other = shape(cpu=1000, alone=True, instance=Key("shop", "others"))
    left = found.beside({ALONE: 1, other: 2})
    assert (found.fits(ALONE), left.fits(ALONE), left.fits(other), left.fits(shape(cpu=1000))) == (2, 1, 1, 9)
    assert found.beside({ALONE: 5}).fits(ALONE) == 0


def test_members_that_do_not_fit_together_leave_no_room_for_others() -> None:
    crowded = rooms(node("a", cpu=4000)).beside({shape(cpu=3000): 1, shape(cpu=2000): 1})
    assert crowded.fits(shape(cpu=1)) == 0
    assert "does not fit its nodes together" in crowded.why_not(shape(cpu=1))


def fits_by_hand(found: NodeRooms, one: MemberShape) -> int | None:
    """Node by node, without arrays."""
    if any(name not in KNOWN for name, _ in one.request):
        return None
    storage, total = found.nodes.class_of(one), 0
    for at, each in enumerate(found.nodes.nodes):
        usable = each.ready and not each.unschedulable and repelling(each, one.tolerations) is None
        terms = storage is None or within_terms(each, storage.terms)
        if usable and selected(each, one.node_selector) and within_terms(each, one.terms) and terms:
            needs = {"pods": 1, **dict(one.request)}
            free = dict(zip(KNOWN, found.free[:, at].tolist(), strict=True))
            count = max(0, min(free[name] // amount for name, amount in needs.items()))
            if one.alone:
                count = min(count, int(one.instance is None or each.key.name not in found.homes.get(one.instance, ())))
            total += count
    return total


@settings(max_examples=150, deadline=None)
@given(random=SEEDS)
def test_what_fits_is_what_fits_node_by_node_and_there_is_a_reason_if_nothing_does(random: Random) -> None:
    found, one = some_tally(random).reading().rooms, some_shape(random)
    assert isinstance(found, NodeRooms)
    fits = found.fits(one)
    assert fits == fits_by_hand(found, one)
    if fits == 0:
        assert found.why_not(one)


@settings(max_examples=60, deadline=None)
@given(random=SEEDS)
def test_what_is_left_depends_on_what_is_booked_and_not_on_the_order_in_which_it_was(random: Random) -> None:
    found = some_tally(random).reading().rooms
    assert found is not None
    booked, one = {some_shape(random): random.randint(1, 3) for _ in range(3)}, some_shape(random)
    answers = {found.beside(dict(order)).fits(one) for order in permutations(booked.items())}
    assert len(answers) == 1
    assert found.fits(one) == found.beside({}).fits(one)


@settings(max_examples=60, deadline=None)
@given(random=SEEDS)
def test_what_was_asked_before_changes_no_answer(random: Random) -> None:
    asked = some_tally(random).reading().rooms
    assert isinstance(asked, NodeRooms)
    shapes = [some_shape(random) for _ in range(4)]
    for _ in range(8):
        booked = {one: random.randint(0, 2) for one in shapes}
        fresh = NodeRooms(asked.nodes, asked.free, homes=asked.homes)
        assert asked.beside(booked) == fresh.beside(booked)


@settings(max_examples=150, deadline=None)
@given(random=SEEDS)
def test_whatever_is_placed_one_after_the_other_fits_the_nodes_together(random: Random) -> None:
    found = some_tally(random).reading().rooms
    assert isinstance(found, NodeRooms)
    free = found.free.T.tolist()
    shapes = [replace(some_shape(random), alone=False, instance=None) for _ in range(2)]
    shapes = [one for one in (*shapes, replace(shapes[0], alone=True, instance=ORDERS)) if found.fits(one) is not None]
    homes = [at for at, each in enumerate(found.nodes.nodes) if each.key.name in found.homes.get(ORDERS, ())]
    booked: dict[MemberShape, int] = {}
    for _ in range(6):
        one = random.choice(shapes) if shapes else None
        left: Rooms = found.beside(booked)
        if one is not None and left.fits(one):
            booked[one] = booked.get(one, 0) + 1
    members = [(one, found.nodes.open_to(one).nonzero()[0].tolist()) for one, count in booked.items() for _ in range(count)]
    assert packs(free, members, frozenset(homes))


def test_a_toleration_for_everything_goes_everywhere() -> None:
    everything = Toleration(key="", operator="Exists", value="", effect="")
    assert rooms(node("a", taints=(DEDICATED,))).fits(shape(cpu=1000, tolerations=(everything,))) == 4
