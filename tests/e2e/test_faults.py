"""An instance's life with every fault that it has to survive, under a writer, once in peace and once while operators are killed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fedstate.api.conditions import Condition, ConditionType, conditions_of, find_condition
from fedstate.kube.objects import KubeObject
from fedstate.local.demo import members_of, primary_of
from fedstate.local.writer import Writer, connection_string, writing
from tests.e2e.instance import Instance, comparing, instance
from tests.e2e.kills import operators_killed
from tests.e2e.system import System, dump
from tests.e2e.witness import Witness, witnessing

logger = logging.getLogger(__name__)
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.mongod,
    pytest.mark.kubectl,
    pytest.mark.timeout(300),
]

ELECTION = 25.0
"""A dead primary is noticed after 10 s; the rest is the machine's."""
HANDOVER = 12.0
FOLLOWS = 30.0
"""The longest that the status may be behind the set while nobody kills operators."""
LARGEST_STEP = 4
"""Configuration versions between two looks; a forced one jumps by at least 10 000."""


@pytest.mark.parametrize("shared_system", ["embedded"], indirect=True)
async def test_an_instance_survives_growth_faults_and_the_loss_of_its_primary_and_loses_no_acknowledged_write(
    shared_system: System,
) -> None:
    async with instance(shared_system, "faults") as orders:
        await live(orders, follows=FOLLOWS)


async def test_killing_operators_at_random_moments_changes_nothing_of_that(shared_system: System) -> None:
    async with instance(shared_system, "kills") as orders, operators_killed(shared_system):
        await live(orders, follows=2 * FOLLOWS)


async def live(orders: Instance, *, follows: float) -> None:
    """Create, scale out, kill the primary, lose its cluster and have it back, scale in with the primary as the victim.

    The status is never behind the set for longer than `follows` seconds.
    """
    with timed("create"):
        created = await orders.create(3)
    assert spread_of(created) == [1, 1, 1], dump(created["status"])
    password = await orders.password()
    addresses = created["status"]["externalAddr"]
    uri = connection_string(addresses, replica_set=orders.name, user="root", password=password)
    async with witnessing(addresses.split(","), user="root", password=password) as witness:
        async with writing(uri) as writer, comparing(orders, witness) as compared:
            with timed("scale out"):
                await scale_out(orders, writer, witness)
            with timed("kill primary"):
                await lose_primary(orders, writer, witness, follows)
            with timed("lose cluster"):
                await lose_cluster(orders, writer, witness)
            with timed("scale in"):
                await scale_in(orders, writer, witness)
            assert await writer.missing() == []
        assert compared.longest < follows, compared
        logger.info("%s, without a primary for %s s, %d writes", compared, witness.gaps(), len(writer.acknowledged))
        assert_nothing_was_forced(witness)


async def scale_out(orders: Instance, writer: Writer, witness: Witness) -> None:
    begun = time.monotonic()
    await orders.scale(5)
    grown = await orders.healthy(5)
    assert spread_of(grown) == [1, 2, 2], dump(grown["status"])
    assert len(witness.now.configuration.hosts if witness.now.configuration else ()) == 5
    assert witness.gaps(since=begun) == []
    await writer.wait_acknowledged(HANDOVER)


async def lose_primary(orders: Instance, writer: Writer, witness: Witness, follows: float) -> None:
    before = await orders.get()
    killed = time.monotonic()
    await orders.kill_primary()
    term = before["status"]["replicaSet"]["configTerm"]
    await witness.wait_term(term + 1, timeout=ELECTION)
    await orders.until(
        "showing the newly elected primary", lambda seen: shows(seen, witness.now.primary, term + 1), timeout=follows
    )
    await writer.wait_acknowledged(HANDOVER)
    await orders.healthy(5)
    assert len(witness.gaps(since=killed)) <= 1, witness.gaps(since=killed)


async def lose_cluster(orders: Instance, writer: Writer, witness: Witness) -> None:
    before = await orders.get()
    primary = primary_of(before)
    assert primary is not None, dump(before["status"])
    lost, term = primary.cluster, before["status"]["replicaSet"]["configTerm"]
    cut = time.monotonic()
    await orders.system.fedstate("chaos", "kill-cluster", lost)
    await witness.wait_term(term + 1, timeout=ELECTION)
    await writer.wait_acknowledged(HANDOVER)
    seen = await orders.until("naming the lost cluster", lambda seen: names_lost(seen, lost), timeout=60)
    assert not truth(seen, ConditionType.MAJORITY_LOST), dump(seen["status"])
    assert shows(seen, witness.now.primary, term + 1), dump(seen["status"])
    assert lost in await orders.system.kubectl("-n", orders.namespace, "describe", f"mcm/{orders.name}")
    assert lost_hosts(before, lost) <= set(witness.now.configuration.hosts if witness.now.configuration else ())
    await writer.wait_acknowledged(HANDOVER)
    await orders.system.fedstate("chaos", "restore-cluster", lost)
    await orders.healthy(5)
    await writer.wait_acknowledged(HANDOVER)
    assert len(witness.gaps(since=cut)) <= 1, witness.gaps(since=cut)


async def scale_in(orders: Instance, writer: Writer, witness: Witness) -> None:
    """The cluster of the primary is ruled out, so that the primary is among those that have to go."""
    before = await orders.get()
    victim = primary_of(before)
    assert victim is not None, dump(before["status"])
    begun = time.monotonic()
    await orders.patch({"replicaset": 3, "spreadConstraints": {"excludeClusterNames": [victim.cluster]}})
    shrunk = await orders.healthy(3)
    assert victim.cluster not in {member.cluster for member in members_of(shrunk)}, dump(shrunk["status"])
    assert witness.handed_over(victim.address, since=begun)
    assert witness.removed_as_primary() == set()
    assert [gap for gap in witness.gaps(since=begun) if gap > HANDOVER] == []
    assert len(witness.gaps(since=begun)) <= 1, witness.gaps(since=begun)
    await writer.wait_acknowledged(HANDOVER)
    await orders.nothing_left_in(victim.cluster, timeout=2 * FOLLOWS)


def assert_nothing_was_forced(witness: Witness) -> None:
    found = witness.configurations()
    assert all(configuration.term > 0 for configuration in found), found
    for before, after in zip(found, found[1:], strict=False):
        assert (before.term, before.version) < (after.term, after.version), found
        assert after.version - before.version <= LARGEST_STEP * (after.term - before.term + 1), found


def spread_of(seen: KubeObject) -> list[int]:
    """Members per cluster, the smallest first."""
    clusters = [member.cluster for member in members_of(seen)]
    return sorted(clusters.count(cluster) for cluster in set(clusters))


def shows(seen: KubeObject, primary: str | None, term: int) -> bool:
    """Whether the status shows this primary, and a configuration of this term or a later one."""
    shown = primary_of(seen)
    return shown is not None and shown.address == primary and seen["status"]["replicaSet"].get("configTerm", 0) >= term


def names_lost(seen: KubeObject, cluster: str) -> bool:
    """Whether the status says that it is not well, and that it is this cluster that is away."""
    status = seen["status"]
    result = next(entry for entry in status["result"] if entry["cluster"] == cluster)
    ready = condition_of(seen, ConditionType.READY)
    told = cluster in result.get("message", "") and ready is not None and cluster in ready.message and not ready.is_true
    return told and status["state"] == "SubHealth" and not result["reachable"]


def lost_hosts(seen: KubeObject, cluster: str) -> set[str]:
    return {member.address for member in members_of(seen) if member.cluster == cluster}


def condition_of(seen: KubeObject, type_: ConditionType) -> Condition | None:
    return find_condition(conditions_of(seen), type_)


def truth(seen: KubeObject, type_: ConditionType) -> bool:
    condition = condition_of(seen, type_)
    return condition is not None and condition.is_true


@contextmanager
def timed(what: str) -> Iterator[None]:
    """A failure says in which part of the life it happened, and how long that had taken."""
    begun = time.monotonic()
    try:
        yield
    except BaseException as error:
        error.add_note(f"during: {what}, after {time.monotonic() - begun:.1f} s")
        raise
    logger.info("%s took %.1f s", what, time.monotonic() - begun)
