"""Ways to divide members over clusters: what a cluster weighs. Members are dealt in proportion to the weights."""

from collections.abc import Callable
from dataclasses import dataclass

from fedstate.scheduler.snapshot import ClusterSnapshot

LABEL_WEIGHT = "middleware.fedstate.io/weight"
HEAVIEST = 1 << 20
"""No cluster weighs more: quotients of such numbers are exact enough in floating point to tell any two of them apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Divide:
    """`weight` of a cluster that can hold `capacity` members (None: any number) of an instance of that many members.

    With `even` every weight is 1, and with `by_capacity` it is the capacity: these two need not be asked cluster by cluster.
    """

    name: str
    weight: Callable[[ClusterSnapshot | None, int | None, int], int]
    even: bool = False
    by_capacity: bool = False


def bounded(weight: int) -> int:
    return max(1, min(weight, HEAVIEST))


def capacity_weight(cluster: ClusterSnapshot | None, capacity: int | None, members: int) -> int:
    return bounded(members if capacity is None else capacity)


def label_weight(cluster: ClusterSnapshot | None, capacity: int | None, members: int) -> int:
    """The number on the Cluster's label, 1 without one."""
    text = cluster.labels.get(LABEL_WEIGHT, "") if cluster is not None else ""
    return bounded(int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else 1


UNIFORM = Divide(name="Uniform", weight=lambda cluster, capacity, members: 1, even=True)
WEIGHTING = Divide(name="Weighting", weight=capacity_weight, by_capacity=True)
CLUSTER_WEIGHTS = Divide(name="ClusterWeights", weight=label_weight)

DIVISIONS: tuple[Divide, ...] = (UNIFORM, WEIGHTING, CLUSTER_WEIGHTS)
