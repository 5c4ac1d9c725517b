"""A cluster that is lost for longer than its owner tolerates: its members come up elsewhere, under a writer that loses nothing, and
what comes back with the cluster is cleared away.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fedstate.api.conditions import ConditionType
from fedstate.api.naming import ANNOTATION_REBALANCE, ANNOTATION_REBALANCED, LABEL_RETAINED
from fedstate.kube.objects import KubeObject, labels_of
from fedstate.kube.resources import PERSISTENT_VOLUME_CLAIMS
from fedstate.local.demo import members_of, primary_of
from fedstate.local.writer import connection_string, writing
from tests.e2e.instance import Instance, instance
from tests.e2e.system import System, dump, running_system
from tests.e2e.test_faults import HANDOVER, assert_nothing_was_forced, spread_of, timed, truth
from tests.e2e.witness import witnessing

logger = logging.getLogger(__name__)
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.mongod,
    pytest.mark.kubectl,
    pytest.mark.timeout(240),
]

TOLERATION = 20
"""In seconds; more than an election takes, so that it can be seen that the wait is for time and not for a primary."""
MOVED = 60.0
CLUSTERS = ("eu-1", "us-1", "ap-1", "spare-1")


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    """Three clusters of which each gets a member, and a fourth one."""
    arguments = [word for cluster in CLUSTERS for word in ("--cluster", cluster)]
    async with running_system(tmp_path, "--no-demo", *arguments) as running:
        yield running


async def test_members_of_a_lost_cluster_come_up_elsewhere_and_what_returns_is_cleared_away(system: System) -> None:
    async with instance(system, "moves") as orders:
        created = await orders.create(3, {"failover": {"tolerationSeconds": TOLERATION}})
        assert spread_of(created) == [1, 1, 1], dump(created["status"])
        password = await orders.password()
        addresses = created["status"]["externalAddr"]
        uri = connection_string(addresses, replica_set=orders.name, user="root", password=password)
        async with witnessing(addresses.split(","), user="root", password=password) as witness, writing(uri) as writer:
            lost = str(primary_of(created).cluster)  # type: ignore[union-attr]
            with timed("move"):
                moved = await lose(orders, lost)
            await writer.wait_acknowledged(HANDOVER)
            with timed("return"):
                await take_back(orders, lost, moved)
            await place_anew(orders)
            await writer.wait_acknowledged(HANDOVER)
            assert await writer.missing() == []
            assert len(witness.gaps()) <= 1, witness.gaps()
            assert_nothing_was_forced(witness)
            logger.info("without a primary for %s s, %d writes", witness.gaps(), len(writer.acknowledged))


async def lose(orders: Instance, lost: str) -> KubeObject:
    """Everything of the cluster dies; the set has all its members again without it, and not before the toleration is over."""
    cut = time.monotonic()
    await orders.system.fedstate("chaos", "kill-cluster", lost)
    told = await orders.until("saying that it waits", lambda seen: f"lasted {TOLERATION} s" in scheduling_of(seen), timeout=MOVED)
    assert lost in {member.cluster for member in members_of(told)}

    def moved_away(seen: KubeObject) -> bool:
        return healthy_without(seen, lost) and seen["status"].get("decommissioning") == [lost]

    moved = await orders.until("healthy without it, which has yet to be cleared", moved_away, timeout=MOVED)
    assert time.monotonic() - cut > TOLERATION
    return moved


def scheduling_of(seen: KubeObject) -> str:
    return str(seen["status"].get("scheduling", {}).get("message"))


def healthy_without(seen: KubeObject, lost: str) -> bool:
    members = members_of(seen)
    there = {member.cluster for member in members if member.role in ("PRIMARY", "SECONDARY")}
    return seen["status"]["state"] == "Health" and len(there) == 3 and lost not in there


async def take_back(orders: Instance, lost: str, moved: KubeObject) -> None:
    """The cluster returns with a stale member, which is stopped; its volume is kept, as the policy says; nobody moves back."""
    assert not truth(moved, ConditionType.MAJORITY_LOST)
    await orders.system.fedstate("chaos", "restore-cluster", lost)
    seen = await orders.until("done with the lost cluster", lambda seen: not seen["status"].get("decommissioning"), timeout=MOVED)
    await orders.nothing_left_in(lost, timeout=MOVED)
    assert {m.address for m in members_of(seen)} == {m.address for m in members_of(moved)}
    assert seen["status"]["state"] == "Health", dump(seen["status"])
    async with orders.system.member(lost) as client:
        claims = await client.list_all(PERSISTENT_VOLUME_CLAIMS, orders.namespace)
    assert [labels_of(claim).get(LABEL_RETAINED) for claim in claims] == ["true"]


async def place_anew(orders: Instance) -> None:
    """Its owner asks: nothing has to move, and that this has been looked at is all that is written."""
    before = await orders.get()
    placement = before["metadata"]["annotations"]["schedulerResult"]
    await orders.annotate(ANNOTATION_REBALANCE, "please")
    seen = await orders.until(
        "placed anew", lambda seen: seen["metadata"]["annotations"].get(ANNOTATION_REBALANCED) == "please", timeout=30
    )
    assert seen["metadata"]["annotations"]["schedulerResult"] == placement, "it is as good as any"
    assert {m.address for m in members_of(seen)} == {m.address for m in members_of(before)}
