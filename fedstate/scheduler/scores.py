"""How good a cluster is for one more member, 0 to 100 by each plugin, in whole numbers so that no order of additions
changes a tie.

A resource score reads what share of each counted resource is free; a cluster score reads what seldom changes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedstate.scheduler.amounts import Amounts
from fedstate.scheduler.filters import Context
from fedstate.scheduler.snapshot import ClusterSnapshot

UNKNOWN = 50
"""Of a cluster whose resources are not known."""

MOST = 100


def within(score: int) -> int:
    """A score that a plugin may have got wrong."""
    return score if 0 <= score <= MOST else (0 if score < 0 else MOST)


Shares = Sequence[int]
"""Free percent of each counted resource that the cluster has at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceScore:
    """A score by free resources; asked again whenever these change."""

    name: str
    score: Callable[[Shares], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterScore:
    """A score by the cluster and the owner's wishes, resources aside; remembered until one of these changes."""

    name: str
    score: Callable[[ClusterSnapshot, Context], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptScore:
    """A score by how many members of the instance the cluster carries; 0 where it carries none. It goes to members that run there
    already and not to further ones, so it counts only where members may move.
    """

    name: str
    score: Callable[[int], int]


Score = ResourceScore | ClusterScore | KeptScore


def free_shares(allocatable: Amounts, free: Amounts, counted: Sequence[str]) -> list[int]:
    return [100 * max(0, free.get(name, 0)) // allocatable[name] for name in counted if allocatable.get(name, 0) > 0]


def least_allocated(shares: Shares) -> int:
    """The free share of the scarcest resource."""
    return min(shares) if shares else 0


def most_allocated(shares: Shares) -> int:
    """Fills clusters one after the other, so that others can be left empty."""
    return MOST - min(shares) if shares else 0


def balanced_allocation(shares: Shares) -> int:
    """The more evenly the resources are used, the better: what is left of one is of no use without the others."""
    return MOST - (max(shares) - min(shares)) if shares else 0


def preferred(cluster: ClusterSnapshot, context: Context) -> int:
    """Every PreferNoSchedule taint that is not tolerated halves the score."""
    disliked = sum(
        taint.get("effect") == "PreferNoSchedule" and not any(item.tolerates(taint) for item in context.spread.tolerations)
        for taint in cluster.taints
    )
    return MOST >> disliked


def reporting(cluster: ClusterSnapshot, context: Context) -> int:
    """A cluster whose resources are known before one whose resources have to be guessed."""
    return 0 if cluster.free is None else MOST


def affinity(cluster: ClusterSnapshot, context: Context) -> int:
    """The share of its owner's preferences, by their weights, that the cluster matches; all of it where there are none."""
    preferences = context.spread.preferences
    whole = sum(preference.weight for preference in preferences)
    met = sum(
        preference.weight
        for preference in preferences
        if all(cluster.labels.get(key) == value for key, value in preference.node_select)
    )
    return MOST * met // whole if whole else MOST


def stickiness(carried: int) -> int:
    """What runs there better stays there."""
    return MOST if carried else 0


SCORES: tuple[Score, ...] = (
    ResourceScore(name="ResourcesLeastAllocated", score=least_allocated),
    ResourceScore(name="ResourcesMostAllocated", score=most_allocated),
    ResourceScore(name="ResourcesBalancedAllocation", score=balanced_allocation),
    ClusterScore(name="TaintToleration", score=preferred),
    ClusterScore(name="ResourcesReported", score=reporting),
    ClusterScore(name="ClusterAffinity", score=affinity),
    KeptScore(name="Stickiness", score=stickiness),
)
