"""Nodes, pods and shapes of members for tests of capacity."""

from random import Random
from typing import Any

from fedstate.api.federated import Toleration
from fedstate.kube.objects import Key
from fedstate.kube.records import NodeRecord, PodRecord, Requirement, StorageClassRecord, Taint
from fedstate.scheduler.capacity.loads import KNOWN
from fedstate.scheduler.capacity.rooms import MemberShape
from fedstate.scheduler.capacity.tally import NodeTally

GI = 1 << 30
ZONE = "topology.kubernetes.io/zone"
DEDICATED = Taint("dedicated", "db", "NoSchedule")
FOR_DEDICATED = Toleration(key="dedicated", operator="Equal", value="db", effect="")


def node(name: str, cpu: int = 4000, memory: int = 16, **changes: Any) -> NodeRecord:
    """A ready node; memory in Gi."""
    fields = {"storage_bytes": 100 * GI, "pods": 110, "ready": True} | changes
    return NodeRecord(key=Key("", name), cpu_millis=cpu, memory_bytes=memory * GI, **fields)


def pod(name: str, at: str = "", cpu: int = 0, memory: int = 0, **changes: Any) -> PodRecord:
    fields = {"phase": "Running" if at else "Pending"} | changes
    return PodRecord(key=Key("shop", name), node=at, cpu_millis=cpu, memory_bytes=memory * GI, **fields)


def storage_class(name: str, *zones: str, default: bool = False) -> StorageClassRecord:
    terms = ((Requirement(key=ZONE, values=zones),),) if zones else ()
    return StorageClassRecord(key=Key("", name), default=default, terms=terms)


def shape(cpu: int = 0, memory: int = 0, other: dict[str, int] | None = None, **changes: Any) -> MemberShape:
    amounts = {"cpu": cpu, "memory": memory * GI, **(other or {})}
    return MemberShape(request=tuple(sorted((name, amount) for name, amount in amounts.items() if amount)), **changes)


def tally_of(*records: NodeRecord | PodRecord | StorageClassRecord) -> NodeTally:
    tally = NodeTally()
    for record in records:
        if isinstance(record, NodeRecord):
            tally.put_node(record)
        elif isinstance(record, PodRecord):
            tally.put_pod(record)
        else:
            tally.put_class(record)
    return tally


def some_node(random: Random, name: str) -> NodeRecord:
    return node(
        name,
        cpu=random.choice([0, 1000, 2500, 4000]),
        memory=random.choice([1, 4, 9]),
        pods=random.choice([0, 2, 5, 110]),
        ready=random.random() < 0.9,
        unschedulable=random.random() < 0.1,
        labels={"disk": random.choice(["ssd", "hdd"]), ZONE: random.choice("ab")},
        taints=(DEDICATED,) if random.random() < 0.2 else (),
    )


def some_shape(random: Random) -> MemberShape:
    return shape(
        cpu=random.choice([0, 250, 1000, 1500]),
        memory=random.choice([0, 1, 2, 4]),
        other={"gpu": 1} if random.random() < 0.05 else None,
        node_selector=random.choice([(), (), (("disk", "ssd"),)]),
        tolerations=random.choice([(), (FOR_DEDICATED,)]),
        storage_class=random.choice([None, "", "local"]),
        **({"alone": True, "instance": Key("shop", "orders")} if random.random() < 0.1 else {}),
    )


def some_tally(random: Random) -> NodeTally:
    names = [f"n{number}" for number in range(random.randint(0, 4))]
    pods = [
        pod(
            str(number),
            random.choice([*names, "", "gone"]),
            random.choice([0, 200, 900]),
            random.choice([0, 1]),
            instance=random.choice(["", "orders"]),
        )
        for number in range(random.randint(0, 5))
    ]
    classes = [storage_class("local", "a"), storage_class("net", default=random.random() < 0.5)]
    return tally_of(*(some_node(random, name) for name in names), *pods, *classes[: random.randint(0, 2)])


def packs(free: list[list[int]], members: list[tuple[MemberShape, list[int]]], lonely: frozenset[int] = frozenset()) -> bool:
    """Whether all members find a node of theirs, tried in every way; `free` by node, `lonely` those with one that is alone.

    Members that are alone are all of one instance.
    """
    if not members:
        return True
    (one, nodes), rest = members[0], members[1:]
    needs = [1, *(dict(one.request).get(name, 0) for name in KNOWN[1:])]
    for at in nodes:
        left = [have - need for have, need in zip(free[at], needs, strict=True)]
        enough = all(have >= 0 or not need for have, need in zip(left, needs, strict=True))
        if enough and not (one.alone and at in lonely):
            taken = lonely | {at} if one.alone else lonely
            if packs([*free[:at], left, *free[at + 1 :]], rest, taken):
                return True
    return False
