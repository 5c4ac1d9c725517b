"""What a middleware demands of a division so that it outlives the loss of a cluster.

MongoDB's answers come from the arithmetic of its votes; another middleware brings its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fedstate.api.votes import Survival, survivals, vote_layout

ENOUGH_CLUSTERS = 3
"""With these, no cluster has to hold half of the votes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quorum:
    """`limit`: the most members, of so many voters, that one cluster may have while ENOUGH_CLUSTERS can carry some.

    `votes` deals votes over the members of a division, `survivals` says what is left after the loss of each cluster; both get
    the cluster of the arbiter, which always votes.
    """

    limit: Callable[[int], int]
    votes: Callable[[Mapping[str, int], str | None], Mapping[str, int]]
    survivals: Callable[[Mapping[str, int], str | None], Mapping[str, Survival]]


def less_than_half(voters: int) -> int:
    return max(1, (voters - 1) // 2)


MONGODB_QUORUM = Quorum(limit=less_than_half, votes=vote_layout, survivals=survivals)
