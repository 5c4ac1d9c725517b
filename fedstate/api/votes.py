"""The arithmetic of votes over clusters: who votes, and which losses the replica set survives.

Counts only; knows no members, hosts or plans.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MOST_VOTERS = 7
"""A replica set allows no more voting members."""


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
    arbiter = 1 if arbiter_cluster is not None else 0
    extra = {name: int(name == arbiter_cluster) for name in data}
    spread = len({name for name, count in data.items() if count} | ({arbiter_cluster} if arbiter_cluster else set()))
    for voters in (7, 5, 3, 1):
        cap = (voters - 1) // 2 if spread >= 3 else voters
        room = {name: min(count, max(0, cap - extra[name])) for name, count in data.items()}
        able = sum(room.values()) + arbiter
        if arbiter < voters == able:
            return room
        if arbiter < voters < able:
            return _dealt(room, voters - arbiter, extra)
    return _dealt(dict(data), min(1, sum(data.values())), extra)


def _dealt(room: Mapping[str, int], votes: int, extra: Mapping[str, int]) -> dict[str, int]:
    """`votes` dealt one by one, each to the cluster that holds fewest and has room, the roomiest first among equals."""
    dealt = dict.fromkeys(room, 0)
    for _ in range(votes):
        open_clusters = [name for name in room if dealt[name] < room[name]]
        name = min(open_clusters, key=lambda name: (dealt[name] + extra[name], -room[name], name))
        dealt[name] += 1
    return dealt


def election_majority(voters: int) -> int:
    return voters // 2 + 1


def write_majority(voters: int, data_voters: int) -> int:
    """How many data-bearing voters must acknowledge a `w: majority` write."""
    return min(election_majority(voters), data_voters)


def survivals(data_votes: Mapping[str, int], arbiter_cluster: str | None = None) -> dict[str, Survival]:
    """For each cluster with a voter: what the set can still do once that cluster is lost."""
    total_data = sum(data_votes.values())
    voters = total_data + (1 if arbiter_cluster is not None else 0)
    result: dict[str, Survival] = {}
    for name in sorted({name for name, votes in data_votes.items() if votes} | ({arbiter_cluster} if arbiter_cluster else set())):
        data = data_votes.get(name, 0)
        lost = data + int(name == arbiter_cluster)
        result[name] = Survival(
            election=voters - lost >= election_majority(voters) and total_data - data > 0,
            majority_write=total_data - data >= write_majority(voters, total_data),
        )
    return result
