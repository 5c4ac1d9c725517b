"""What an estimator's answers say of members, and what booked ones take from them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from fedstate.scheduler.capacity.estimator.rooms import Answer, EstimatedRooms, as_asked
from fedstate.scheduler.capacity.rooms import MemberShape, Rooms
from tests.scheduler.capacity.estimator.shapes import CHOOSY, GI, shape

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def rooms(answers: dict[MemberShape, int]) -> EstimatedRooms:
    return EstimatedRooms(answers={one: Answer(members=members, since=NOW) for one, members in answers.items()})


def test_a_shape_that_was_asked_has_a_number_and_another_has_none() -> None:
    reading: Rooms = rooms({shape(): 7})
    assert reading.fits(shape()) == 7
    assert reading.fits(shape(cpu=501)) is None
    assert reading.beside({shape(): 1}).fits(shape(cpu=501)) is None


def test_what_no_estimator_understands_makes_no_other_question() -> None:
    reading = rooms({as_asked(shape()): 7})
    assert reading.fits(replace(shape(), alone=True)) == 7
    assert reading.fits(replace(shape(), storage_class="fast")) == 7


def test_booked_members_of_the_shape_are_taken_off() -> None:
    reading = rooms({shape(): 7}).beside({shape(): 2})
    assert reading.fits(shape()) == 5
    assert reading.beside({replace(shape(), alone=True): 3}).fits(shape()) == 2
    assert reading.beside({shape(): 9}).fits(shape()) == 0


def test_booked_members_of_other_shapes_take_what_they_displace_at_most() -> None:
    reading = rooms({shape(cpu=500, memory=GI): 20})
    assert reading.beside({shape(cpu=2000, memory=GI): 1}).fits(shape()) == 16
    assert reading.beside({shape(cpu=500, memory=5 * GI): 2}).fits(shape()) == 10
    assert reading.beside({shape(cpu=501, memory=1): 1}).fits(shape()) == 18
    assert reading.beside({shape(cpu=0, memory=0): 3}).fits(shape()) == 17


def test_a_member_that_asks_for_nothing_loses_a_slot_to_every_booked_one() -> None:
    nothing = shape(cpu=0, memory=0)
    assert rooms({nothing: 110}).beside({shape(cpu=4000): 10}).fits(nothing) == 100


_SIZES = st.tuples(st.integers(0, 4), st.integers(0, 4))


@given(nodes=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=4), asked=_SIZES, data=st.data())
def test_there_is_never_more_room_than_wherever_the_booked_ones_are(
    nodes: list[tuple[int, int]], asked: tuple[int, int], data: st.DataObject
) -> None:
    """On nodes with 8 slots for pods, booked members are put on any node that takes them; the reading is from before."""
    room = [[cpu, memory, 8] for cpu, memory in nodes]

    def fit() -> int:
        needs = (*asked, 1)
        return sum(min(free // need for free, need in zip(node, needs, strict=True) if need) for node in room)

    reading: Rooms = rooms({shape(*asked): fit()})
    for cpu, memory in data.draw(st.lists(_SIZES, max_size=6)):
        able = [node for node in room if node[0] >= cpu and node[1] >= memory and node[2] >= 1]
        if able:
            node = data.draw(st.sampled_from(able))
            node[0], node[1], node[2] = node[0] - cpu, node[1] - memory, node[2] - 1
            reading = reading.beside({shape(cpu, memory): 1})
    left = reading.fits(shape(*asked))
    assert left is not None
    assert left <= fit()


def test_the_order_and_grouping_of_bookings_change_nothing() -> None:
    one, two = {shape(cpu=900): 2}, {shape(memory=3 * GI): 1}
    reading = rooms({shape(): 20})
    assert reading.beside({**one, **two}).fits(shape()) == reading.beside(two).beside(one).fits(shape()) == 13
    assert reading.beside({}) is reading


def test_why_not_names_the_amounts() -> None:
    assert rooms({shape(): 0}).why_not(shape()) == "no node has cpu 0.5 and memory 1Gi free, says its estimator"
    assert rooms({CHOOSY: 0}).why_not(CHOOSY) == (
        "no node has cpu 0.5 and memory 1Gi free among those that its node selector and affinity allow, says its estimator"
    )


def test_why_not_says_what_members_took_that_the_estimator_does_not_count_yet() -> None:
    assert rooms({shape(): 2}).beside({shape(cpu=1500): 1}).why_not(shape()) == (
        "nodes had room for 2 with cpu 0.5 and memory 1Gi, and members placed since then take that of 3"
    )
