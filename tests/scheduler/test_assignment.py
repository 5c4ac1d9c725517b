"""How members are divided: examples, and what must hold for every division."""

from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstate.api.votes import survivals, vote_layout
from fedstate.scheduler.assignment import Assignment, Candidate, assign
from fedstate.scheduler.profile import default_profile


def candidate(name: str, room: int | None, current: int = 0, **changes: object) -> Candidate:
    return Candidate(name=name, current=current, room=room, score=50, **changes)  # type: ignore[arg-type]


def run(candidates: Iterable[Candidate], members: int, mode: str = "Uniform", arbiter: bool = False) -> Assignment:
    divide = default_profile().divide[mode]
    weighed = [one._replace(weight=divide.weight(None, one.capacity, members)) for one in candidates]
    return assign(weighed, members, arbiter=arbiter)


def divided(members: int, *candidates: Candidate, mode: str = "Uniform", arbiter: bool = False) -> dict[str, int]:
    result = run(candidates, members, mode, arbiter)
    assert result.complete
    return result.placement.members


def test_the_announcements_case_five_members_and_a_second_cluster_that_fits_one() -> None:
    assert divided(5, candidate("10-29-14-21", 20), candidate("10-29-14-25", 1)) == {"10-29-14-21": 4, "10-29-14-25": 1}


@pytest.mark.parametrize(
    ("members", "rooms", "counts"),
    [
        (3, [9, 9, 9], [1, 1, 1]),
        (5, [9, 9, 9], [2, 2, 1]),
        (7, [9, 9, 9], [3, 2, 2]),
        (5, [9, 9], [3, 2]),
        (1, [9, 9], [1, 0]),
        (5, [9, 1, 1], [3, 1, 1]),
        (5, [9, 2, 1], [2, 2, 1]),
        (4, [9, 9, 9], [2, 1, 1]),
        (50, [50, None, None], [17, 17, 16]),
    ],
)
def test_uniform_is_as_even_as_capacity_allows(members: int, rooms: list[int | None], counts: list[int]) -> None:
    result = divided(members, *(candidate(name, room) for name, room in zip("abc", rooms, strict=False)))
    assert [result.get(name, 0) for name, _ in zip("abc", rooms, strict=False)] == counts


@pytest.mark.parametrize(
    ("members", "rooms", "counts"),
    [
        (6, [20, 10], [4, 2]),
        (5, [30, 10, 10], [2, 2, 1]),
        (7, [30, 10, 10], [3, 2, 2]),
        (9, [100, 50, 50], [4, 3, 2]),
        (4, [3, 1], [3, 1]),
    ],
)
def test_weighting_is_in_proportion_to_capacity_below_the_vote_cap(members: int, rooms: list[int], counts: list[int]) -> None:
    result = divided(members, *(candidate(name, room) for name, room in zip("abc", rooms, strict=False)), mode="Weighting")
    assert [result[name] for name, _ in zip("abc", rooms, strict=False)] == counts


def test_growing_only_adds_and_shrinking_only_takes_away() -> None:
    assert divided(7, candidate("a", 9, 4), candidate("b", 0, 1), candidate("c", 9)) == {"a": 4, "b": 1, "c": 2}
    assert divided(3, candidate("a", 9, 4), candidate("b", 0, 1), candidate("c", 9)) == {"a": 2, "b": 1}


def test_shrinking_takes_from_a_lost_cluster_first() -> None:
    assert divided(3, candidate("a", 9, 2), candidate("b", 9, 2), candidate("c", 0, 1, ready=False)) == {"a": 2, "b": 1}


def test_an_evacuated_cluster_gives_everything_away() -> None:
    assert divided(3, candidate("a", 9, 1, evacuate=True), candidate("b", 9, 1), candidate("c", 9, 1), candidate("d", 9)) == {
        "b": 1,
        "c": 1,
        "d": 1,
    }


def test_equal_clusters_are_filled_by_region_then_score_then_name() -> None:
    near = [
        Candidate(name=name, current=0, room=9, score=50, domains=((region, 1),))
        for name, region in (("a", "x"), ("b", "x"), ("c", "y"))
    ]
    assert assign(near, 2, arbiter=False).placement.members == {"a": 1, "c": 1}
    scored = [Candidate(name="a", current=0, room=9, score=10), Candidate(name="b", current=0, room=9, score=90)]
    assert assign(scored, 1, arbiter=False).placement.members == {"b": 1}


def test_the_arbiter_goes_where_no_data_is_and_stays_there() -> None:
    three = [candidate("a", 9), candidate("b", 9), candidate("c", 9)]
    first = assign(three, 2, arbiter=True)
    assert (first.placement.members, first.placement.arbiter_cluster) == ({"a": 1, "b": 1, "c": 0}, "c")
    later = assign([candidate("a", 9, 1), candidate("b", 9, 1), candidate("c", 9)], 3, arbiter=True, current_arbiter="c")
    assert later.placement.arbiter_cluster == "c"


def test_an_arbiter_without_a_place_is_said() -> None:
    result = assign([candidate("a", 1), candidate("b", 1)], 2, arbiter=True)
    assert not result.complete
    assert result.arbiter_missing


def test_members_without_a_place_are_counted() -> None:
    result = assign([candidate("a", 1), candidate("b", 2)], 5, arbiter=False)
    assert (result.missing, result.complete) == (2, False)


ROOM = st.none() | st.integers(0, 8)
CANDIDATES = st.dictionaries(
    st.sampled_from("abcdefg"),
    st.tuples(ROOM, st.integers(0, 4), st.integers(0, 100), st.sampled_from(["", "x", "y"])),
    min_size=1,
).map(
    lambda clusters: [
        Candidate(name=name, room=room, current=current, score=score, domains=((region, 1),) if region else ())
        for name, (room, current, score, region) in clusters.items()
    ]
)
MODE = st.sampled_from(["Uniform", "Weighting"])


@given(CANDIDATES, st.integers(1, 20), MODE, st.booleans())
def test_no_cluster_gets_more_than_it_holds(candidates: list[Candidate], members: int, mode: str, arbiter: bool) -> None:
    result = run(candidates, members, mode, arbiter)
    placed = result.placement.members
    assert sum(placed.values()) + result.missing == members
    for one in candidates:
        extra = int(arbiter and result.placement.arbiter_cluster == one.name)
        assert one.capacity is None or placed.get(one.name, 0) + extra <= max(one.capacity, one.current)
    if result.missing:
        assert all(one.capacity is not None and placed.get(one.name, 0) >= one.capacity for one in candidates)


@given(CANDIDATES, st.integers(1, 20), MODE, st.randoms(use_true_random=False))
def test_the_order_of_clusters_is_irrelevant(candidates: list[Candidate], members: int, mode: str, random: Random) -> None:
    shuffled = list(candidates)
    random.shuffle(shuffled)
    assert run(shuffled, members, mode) == run(candidates, members, mode)


def settled(candidates: list[Candidate], placed: dict[str, int]) -> list[Candidate]:
    """The same clusters once those members run there."""
    return [
        Candidate(
            name=one.name,
            current=placed.get(one.name, 0),
            room=None if one.capacity is None else max(0, one.capacity - placed.get(one.name, 0)),
            score=100 - one.score,
            domains=one.domains,
        )
        for one in candidates
    ]


@given(CANDIDATES, st.integers(1, 20), MODE)
def test_what_is_placed_stays_whatever_capacity_appears(candidates: list[Candidate], members: int, mode: str) -> None:
    first = run(candidates, members, mode)
    if not first.complete:
        return
    later = [*settled(candidates, first.placement.members), Candidate(name="new", current=0, room=None, score=100)]
    assert {k: v for k, v in run(later, members, mode).placement.members.items() if v} == first.placement.members


@given(CANDIDATES, st.integers(1, 20), st.integers(1, 20), MODE)
def test_scaling_moves_nothing(candidates: list[Candidate], members: int, then: int, mode: str) -> None:
    first = run(candidates, members, mode)
    second = run(settled(candidates, first.placement.members), then, mode)
    if not (first.complete and second.complete):
        return
    before, after = first.placement.members, second.placement.members
    moved = [after.get(name, 0) - before.get(name, 0) for name in {*before, *after}]
    assert all(change >= 0 for change in moved) if then >= members else all(change <= 0 for change in moved)


@given(st.lists(ROOM.filter(lambda room: room != 0), min_size=3, max_size=7), st.integers(3, 20), MODE)
def test_of_three_clusters_none_can_take_the_majority_with_it(rooms: list[int | None], members: int, mode: str) -> None:
    result = run([candidate(name, room) for name, room in zip("abcdefg", rooms, strict=False)], members, mode)
    if not result.complete:
        return
    assert len(result.placement.members) >= 3
    votes = vote_layout(result.placement.members)
    assert all(2 * count < sum(votes.values()) for count in votes.values())
    assert all(survival.full for survival in survivals(votes).values())


@given(st.integers(1, 20), st.integers(1, 7))
def test_uniform_counts_differ_by_one_where_there_is_room(members: int, clusters: int) -> None:
    counts = [0] * clusters
    result = run([candidate(name, None) for name in "abcdefg"[:clusters]], members, "Uniform").placement.members
    for index, name in enumerate("abcdefg"[:clusters]):
        counts[index] = result.get(name, 0)
    assert max(counts) - min(counts) <= 1
