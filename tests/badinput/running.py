# ruff: noqa: E501 - messages stand as they are read
"""What an instance that is placed, or runs, says of itself: where it is at risk, what does not answer, what clusters report."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fedstate.kube.objects import uid_of
from tests.badinput.conditions import Condition
from tests.badinput.members import STAMP, auth
from tests.dataplane.cell import Cell as DataPlane
from tests.dataplane.cell import mongodb
from tests.fed.world import World

HOSTILE = {"c1": "10.0.0.1", "c2": "10.0.0.10", "c3": "10.0.0.100"}


async def nothing(world: World) -> None:
    """As it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An instance comes up as placed, then something happens."""

    situation: str
    placement: Mapping[str, int]
    says: tuple[Condition, ...]
    arbiter: str | None = None
    then: Callable[[World], Awaitable[None]] = nothing
    clusters: Mapping[str, str] = field(default_factory=lambda: HOSTILE)


def lost(*clusters: str) -> Callable[[World], Awaitable[None]]:
    async def happen(world: World) -> None:
        for cluster in clusters:
            world.set_cluster(cluster, ready=False)

    return happen


async def one_member_down(world: World) -> None:
    """Its host does not answer; nobody restarts it."""
    host = next(process.host for process in world.cells["c3"].processes.values())
    world.cells["c3"].rolls = False
    world.replset.stop(host)


async def operator_gone(world: World) -> None:
    world.cells["c2"].operator = False


def reported_by(before: Callable[[DataPlane], None] = lambda cell: None, **spec: Any) -> Callable[[World], Awaitable[None]]:
    """The status of a real data plane, on a cluster and a template of its own, becomes that of cluster c1."""

    async def happen(world: World) -> None:
        stamp = {**STAMP, "instanceUID": uid_of(world.instance())}
        cell = DataPlane(mongodb(federation=stamp, **spec))
        auth()(cell)
        before(cell)
        await cell.looks(4)
        world.cells["c1"].status = lambda replset: cell.status  # type: ignore[method-assign]

    return happen


async def another_instance_there(world: World) -> None:
    """Cluster c1 runs members of an instance of the same name that the federation knows nothing of."""
    cell = DataPlane(mongodb(federation=STAMP))
    auth()(cell)
    await cell.looks(4)
    cell.change(federation={**STAMP, "instanceUID": uid_of(world.instance())})
    await cell.looks(4)
    world.cells["c1"].status = lambda replset: cell.status  # type: ignore[method-assign]


EVEN = {"c1": 1, "c2": 1, "c3": 1}

RUNNING: tuple[Running, ...] = (
    Running(
        situation="an odd number over three clusters",
        placement={"c1": 2, "c2": 2, "c3": 1},
        says=(("QuorumSafe", "True", "SurvivesAnyCluster", "The set goes on by itself after the loss of any one cluster"),),
    ),
    Running(
        situation="only two clusters",
        placement={"c1": 2, "c2": 1},
        says=(
            (
                "QuorumSafe",
                "False",
                "QuorumAtRisk",
                "The loss of c1 would leave no majority to elect a primary; members in 3 clusters would survive the loss of any one, "
                "and 3 clusters are ready: kubectl annotate mcm x -n db --overwrite middleware.fedstate.io/rebalance=TEXT "
                "has the members placed anew",
            ),
        ),
    ),
    Running(
        situation="one cluster",
        placement={"c1": 3},
        says=(
            (
                "QuorumSafe",
                "False",
                "QuorumAtRisk",
                "The loss of c1 would leave no majority to elect a primary; members in 3 clusters would survive the loss of any one, "
                "and 3 clusters are ready: kubectl annotate mcm x -n db --overwrite middleware.fedstate.io/rebalance=TEXT "
                "has the members placed anew",
            ),
        ),
    ),
    Running(
        situation="an even number of members",
        placement={"c1": 2, "c2": 1, "c3": 1},
        says=(
            (
                "QuorumSafe",
                "True",
                "SurvivesAnyCluster",
                "The set goes on by itself after the loss of any one cluster; c1/x-replset-1 has no vote, since an even number of votes survives no more than one less; make spec.replicaset odd",
            ),
        ),
    ),
    Running(
        situation="most members in one cluster",
        placement={"c1": 3, "c2": 1, "c3": 1},
        says=(
            (
                "QuorumSafe",
                "True",
                "SurvivesAnyCluster",
                "The set goes on by itself after the loss of any one cluster; c1/x-replset-1, c1/x-replset-2 have no vote, so that no cluster holds half of the votes",
            ),
        ),
    ),
    Running(
        situation="an arbiter beside an odd number of members",
        placement=EVEN,
        arbiter="c3",
        says=(
            (
                "QuorumSafe",
                "False",
                "QuorumAtRisk",
                "The loss of c1 would stop majority writes; the loss of c2 would stop majority writes; a data member in place of the arbiter (spec.config.arbiter) would prevent that; c3/x-replset-0 has no vote, since spec.config.arbiter would make their number even; set it to false, or make spec.replicaset even",
            ),
        ),
    ),
    Running(
        situation="an arbiter beside an even number of members",
        placement={"c1": 1, "c2": 1, "c3": 0},
        arbiter="c3",
        says=(
            (
                "QuorumSafe",
                "False",
                "QuorumAtRisk",
                "The loss of c1 would stop majority writes; the loss of c2 would stop majority writes; a data member in place of the arbiter (spec.config.arbiter) would prevent that",
            ),
        ),
    ),
    Running(
        situation="a member does not answer",
        placement=EVEN,
        then=one_member_down,
        says=(("Ready", "False", "MembersNotReady", "member c3/x-replset-0 is DOWN"),),
    ),
    Running(
        situation="a cluster is lost",
        placement=EVEN,
        then=lost("c2"),
        says=(
            ("Ready", "False", "MembersNotReady", "member c2/x-replset-0 is DOWN"),
            ("MajorityLost", "False", "MajorityPresent", "2 of 3 voters serve, 2 are needed"),
        ),
    ),
    Running(
        situation="the majority is lost",
        placement=EVEN,
        then=lost("c2", "c3"),
        says=(
            ("MajorityLost", "True", "MajorityLost", "1 of 3 voters serve, 2 are needed; lost: c2/x-replset-0, c3/x-replset-0"),
            (
                "RecoveryRequired",
                "True",
                "ApprovalRequired",
                "Bring back c2, c3: nothing is forced, and spec.failover.forceReconfig is not acted upon in this version; if they are lost for good, force a reconfiguration by hand on a member that is left, or restore a backup elsewhere",
            ),
        ),
    ),
    Running(
        situation="a cluster lacks the storage class",
        placement=EVEN,
        then=reported_by(persistence={"storageClassName": "fast"}),
        says=(
            (
                "Stalled",
                "True",
                "StorageClassMissing",
                "cluster c1: spec.storage.storageClass is fast, which the cluster does not have; create StorageClass fast there, or name one that it has: standard",
            ),
        ),
    ),
    Running(
        situation="a cluster holds members of another instance of this name",
        placement=EVEN,
        then=another_instance_there,
        says=(
            (
                "Stalled",
                "True",
                "ForeignInstance",
                "cluster c1: members of instance uid-1 run here under this name, and the spec is of instance uid-4; decommission that instance first, or give this one another name",
            ),
        ),
    ),
)
