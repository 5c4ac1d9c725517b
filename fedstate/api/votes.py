"""The arithmetic of votes over clusters: who votes, and which losses the replica set survives.

Counts only; knows no members, hosts or plans.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

MOST_VOTERS = 7
"""A replica set allows no more voting members."""

REMEMBERED = 4096
ELSEWHERE = -1
"""The place of an arbiter in a cluster without data members."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survival:
    """What is left when one cluster is lost: can a primary be elected, can it commit majority writes."""

    election: bool
    majority_write: bool

    @property
    def full(self) -> bool:
        return self.election and self.majority_write


def vote_layout(data: Mapping[str, int], arbiter_cluster: str | None = None) -> dict[str, int]:
    """How many of each cluster's data members vote, given `data` members per cluster.

    At most seven voters, an odd number, the arbiter (which always votes) counted. With three or more clusters, none
    holds half of the votes or more, even if some members go without a vote for that. The order of `data` is irrelevant.
    """
    names = sorted(data)
    votes = dict(zip(names, _layout(tuple([data[name] for name in names]), _place(arbiter_cluster, names)), strict=True))
    return {name: votes[name] for name in data}


def _place(arbiter_cluster: str | None, names: list[str]) -> int | None:
    if arbiter_cluster is None:
        return None
    return names.index(arbiter_cluster) if arbiter_cluster in names else ELSEWHERE


@lru_cache(maxsize=REMEMBERED)
def _layout(data: tuple[int, ...], arbiter_at: int | None) -> tuple[int, ...]:
    """By the places of clusters in the order of their names: there are few such questions, and they are asked again and again."""
    arbiter = 0 if arbiter_at is None else 1
    extra = [int(at == arbiter_at) for at in range(len(data))]
    spread = sum(1 for count, own in zip(data, extra, strict=True) if count or own) + int(arbiter_at == ELSEWHERE)
    for voters in (7, 5, 3, 1):
        cap = (voters - 1) // 2 if spread >= 3 else voters
        room = tuple([min(count, max(0, cap - own)) for count, own in zip(data, extra, strict=True)])
        able = sum(room) + arbiter
        if arbiter < voters == able:
            return room
        if arbiter < voters < able:
            return _dealt(room, voters - arbiter, extra)
    return _dealt(data, min(1, sum(data)), extra)


def _dealt(room: tuple[int, ...], votes: int, extra: list[int]) -> tuple[int, ...]:
    """`votes` dealt one by one, each to the cluster that holds fewest and has room, the roomiest first among equals."""
    dealt = [0] * len(room)
    for _ in range(votes):
        open_clusters = [at for at, most in enumerate(room) if dealt[at] < most]
        dealt[min(open_clusters, key=lambda at: (dealt[at] + extra[at], -room[at], at))] += 1
    return tuple(dealt)


def election_majority(voters: int) -> int:
    return voters // 2 + 1


def write_majority(voters: int, data_voters: int) -> int:
    """How many data-bearing voters must acknowledge a `w: majority` write."""
    return min(election_majority(voters), data_voters)


def survivals(data_votes: Mapping[str, int], arbiter_cluster: str | None = None) -> dict[str, Survival]:
    """For each cluster with a voter: what the set can still do once that cluster is lost."""
    names = sorted([name for name, votes in data_votes.items() if votes or name == arbiter_cluster])
    if arbiter_cluster is not None and arbiter_cluster not in names:
        names = sorted([*names, arbiter_cluster])
    votes = tuple([data_votes.get(name, 0) for name in names])
    return dict(zip(names, _survivals(votes, _place(arbiter_cluster, names)), strict=True))


@lru_cache(maxsize=REMEMBERED)
def _survivals(data_votes: tuple[int, ...], arbiter_at: int | None) -> tuple[Survival, ...]:
    total_data = sum(data_votes)
    voters = total_data + (0 if arbiter_at is None else 1)
    return tuple(
        Survival(
            election=voters - data - int(at == arbiter_at) >= election_majority(voters) and total_data - data > 0,
            majority_write=total_data - data >= write_majority(voters, total_data),
        )
        for at, data in enumerate(data_votes)
    )
