"""Clusters to place on and demands to place, made up but the same every time. Measures nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from random import Random

from fedstate.api.federated import SpreadConstraints
from fedstate.kube.objects import Key
from fedstate.kube.records import NodeRecord, PodRecord
from fedstate.scheduler.capacity.rooms import Reading
from fedstate.scheduler.capacity.tally import NodeTally
from fedstate.scheduler.middleware import Demand
from fedstate.scheduler.snapshot import ClusterSnapshot, Fleet

KINDS: Mapping[str, str] = {
    "plain": "clusters without a place, even division",
    "spread": "clusters lie in 20 regions, 3 providers and 4 zones, and members are spread over them",
    "booked": "as spread, beside a quarter as many placements that no cluster's numbers show yet; every placement goes through the ledger",
    "weighting": "as spread, divided by the room that clusters have",
    "arbiter": "as spread, an even number of members and an arbiter",
    "nodes": "as spread, by the nodes of every cluster instead of their sum",
}
LEAST_CPU = 8_000
NODE_CPU = 16_000
MOST_NODES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """So many clusters, and one of KINDS."""

    clusters: int
    kind: str

    @property
    def name(self) -> str:
        return f"{self.clusters:,} clusters, {self.kind}"


def fleet_of(case: Case, placements: int) -> Fleet:
    """Clusters of three sizes, an eighth of them tainted, a few not ready; a label that requests select by.

    As large as makes the fleet about 70 % full in the end, half of the memory, so that some demands meet full clusters; but each
    cluster takes the largest of members, and many clusters are never full.
    """
    random, fleet = Random(case.clusters), Fleet()
    unit = max(LEAST_CPU, placements * 4 * 1_310 // case.clusters * 10 // 12)
    for number in range(case.clusters):
        snapshot = _cluster(number, unit, random, placed=case.kind != "plain")
        fleet.put_snapshot(snapshot)
        if case.kind == "nodes":
            fleet.read(snapshot.name, _reading(snapshot))
    return fleet


def _cluster(number: int, unit: int, random: Random, *, placed: bool) -> ClusterSnapshot:
    size, used = random.choice((1, 2, 4)), random.randint(0, 30)
    amounts = {"cpu": unit * size, "memory": (unit * size * 4 << 30) // 1000, "pods": 110 * (1 + unit * size // 50_000)}
    name = f"cluster-{number:04}"
    return ClusterSnapshot(
        name=name,
        ready=random.random() > 0.02,
        ready_reason="",
        deleting=False,
        labels={"disk": random.choice(("ssd", "ssd", "hdd"))},
        taints=({"key": "edge", "effect": "NoSchedule"},) if random.random() < 0.125 else (),
        vip=f"{name}.example.com",
        vip_problem=None,
        kinds=frozenset(),
        kinds_complete=False,
        provider=f"p{number % 3}" if placed else "",
        region=f"r{number % 20}" if placed else "",
        zones=(str(number % 4),) if placed else (),
        allocatable=amounts,
        free={resource: amount - amount * used // 100 for resource, amount in amounts.items()},
        created=None,
    )


def _reading(snapshot: ClusterSnapshot) -> Reading:
    """The cluster by its nodes: equal ones, of which each is as full as the cluster."""
    whole, free = snapshot.allocatable or {}, snapshot.free or {}
    count = min(MOST_NODES, max(2, whole["cpu"] // NODE_CPU))
    tally = NodeTally()
    for number in range(count):
        name = f"node-{number:03}"
        cpu, memory = whole["cpu"] // count, whole["memory"] // count
        tally.put_node(
            NodeRecord(key=Key("", name), cpu_millis=cpu, memory_bytes=memory, storage_bytes=100 << 30, pods=110, ready=True)
        )
        used = {resource: (whole[resource] - free[resource]) // count for resource in ("cpu", "memory")}
        pod = PodRecord(key=Key("ns", name), node=name, phase="Running", cpu_millis=used["cpu"], memory_bytes=used["memory"])
        tally.put_pod(pod)
    return tally.reading()


def demands_of(case: Case, count: int, seed: int = 3) -> list[Demand]:
    """1 to 7 members (of those with an arbiter 2, 4 or 6), 24 request shapes, a third with a wish for labels."""
    random = Random(seed)
    shapes = [{"cpu": cpu, "memory": memory << 30} for cpu in (100, 250, 500, 1000, 2000, 4000) for memory in (1, 2, 4, 8)]
    plain = SpreadConstraints(
        node_select={}, cluster_names=(), exclude_cluster_names=(), tolerations=(), max_members_per_cluster=None
    )
    picky = replace(plain, node_select={"disk": "ssd"})
    arbiter = case.kind == "arbiter"
    return [
        Demand(
            members=random.choice((2, 4, 6)) if arbiter else random.randint(1, 7),
            arbiter=arbiter,
            mode="Weighting" if case.kind == "weighting" else "Uniform",
            request=random.choice(shapes),
            spread=random.choice((plain, plain, picky)),
            current=None,
            scheduler_name="",
            generation=1,
            deleting=False,
        )
        for _ in range(count)
    ]
