"""Votes over clusters: examples worked out by hand, and what must hold for every division."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstate.api.votes import Survival, election_majority, survivals, vote_layout, write_majority

CLUSTERS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 9), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("data", "arbiter", "votes"),
    [
        ({"a": 1}, None, {"a": 1}),
        ({"a": 2}, None, {"a": 1}),
        ({"a": 9}, None, {"a": 7}),
        ({"a": 1, "b": 1, "c": 1}, None, {"a": 1, "b": 1, "c": 1}),
        ({"a": 2, "b": 2, "c": 1}, None, {"a": 2, "b": 2, "c": 1}),
        ({"a": 3, "b": 1, "c": 1}, None, {"a": 1, "b": 1, "c": 1}),
        ({"a": 3, "b": 3, "c": 1}, None, {"a": 3, "b": 3, "c": 1}),
        ({"a": 4, "b": 2, "c": 1}, None, {"a": 2, "b": 2, "c": 1}),
        ({"a": 4, "b": 1}, None, {"a": 4, "b": 1}),
        ({"a": 2, "b": 2}, None, {"a": 2, "b": 1}),
        ({"a": 2, "b": 2}, "c", {"a": 2, "b": 2}),
        ({"a": 2, "b": 2, "c": 0}, "c", {"a": 2, "b": 2, "c": 0}),
        ({"a": 1, "b": 1, "c": 1}, "a", {"a": 0, "b": 1, "c": 1}),
        ({"a": 3, "b": 3, "c": 2}, None, {"a": 3, "b": 2, "c": 2}),
        ({}, None, {}),
    ],
)
def test_vote_layout(data: dict[str, int], arbiter: str | None, votes: dict[str, int]) -> None:
    assert vote_layout(data, arbiter) == votes


@given(CLUSTERS, st.none() | st.sampled_from("abcxyz"))
def test_votes_are_few_odd_and_never_half_in_one_of_three_clusters(data: dict[str, int], arbiter: str | None) -> None:
    votes = vote_layout(data, arbiter)
    voters = sum(votes.values()) + (arbiter is not None)
    assert all(0 <= votes[name] <= data[name] for name in data)
    assert voters <= 7
    members = sum(data.values()) + (arbiter is not None)
    if members >= 3:
        assert voters % 2 == 1
    held = {name: votes.get(name, 0) + (name == arbiter) for name in {*data, *([arbiter] if arbiter else [])}}
    if sum(1 for name in held if data.get(name) or name == arbiter) >= 3:
        assert all(2 * count < voters for count in held.values())
        assert all(survival.election for survival in survivals(votes, arbiter).values())


@given(CLUSTERS, st.none() | st.sampled_from("abcxyz"), st.randoms(use_true_random=False))
def test_the_order_of_clusters_is_irrelevant(data: dict[str, int], arbiter: str | None, random: Random) -> None:
    items = list(data.items())
    random.shuffle(items)
    assert vote_layout(dict(items), arbiter) == vote_layout(data, arbiter)


def test_without_an_arbiter_what_survives_elections_survives_writes() -> None:
    assert survivals({"a": 2, "b": 2, "c": 1}) == dict.fromkeys("abc", Survival(election=True, majority_write=True))


def test_two_clusters_never_survive_the_loss_of_the_larger() -> None:
    outcome = survivals({"a": 4, "b": 1})
    assert not outcome["a"].election
    assert outcome["b"].full


def test_an_arbiter_keeps_elections_but_not_majority_writes() -> None:
    outcome = survivals({"a": 2, "b": 2}, "c")
    assert outcome["a"] == Survival(election=True, majority_write=False)
    assert outcome["c"].full


@pytest.mark.parametrize(("voters", "data", "majority", "writes"), [(3, 3, 2, 2), (5, 4, 3, 3), (3, 1, 2, 1), (7, 7, 4, 4)])
def test_majorities(voters: int, data: int, majority: int, writes: int) -> None:
    assert election_majority(voters) == majority
    assert write_majority(voters, data) == writes
