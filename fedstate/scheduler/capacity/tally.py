"""A member cluster's nodes, pods and storage classes, taken in one by one, and read as one Reading.

Pure. A pod costs no more than its own arithmetic, a reading one pass over the nodes.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
from msgspec.structs import replace

from fedstate.kube.objects import Key
from fedstate.kube.records import NodeRecord, PodRecord, StorageClassRecord
from fedstate.scheduler.capacity.arranging import Ints, evenly
from fedstate.scheduler.capacity.loads import KNOWN, load_of, needs_of
from fedstate.scheduler.capacity.matching import repelling
from fedstate.scheduler.capacity.nodes import NodeRooms, NodeSet
from fedstate.scheduler.capacity.rooms import Reading, Source

MOST_WAITING_SHAPES = 100
"""Pods without a node are laid onto nodes by what they ask for; of more different requests the largest ones are."""

_ENDED = ("Succeeded", "Failed")
_NOTHING = [0] * len(KNOWN)


def waits(pod: PodRecord) -> bool:
    """Whether the pod is still to be given a node."""
    return not pod.node and not pod.deleting and pod.phase not in _ENDED


class NodeTally:
    """What is on the nodes of one cluster. The same record may be put again, in any order; unknown ones may be removed."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeRecord] = {}
        self._classes: dict[str, StorageClassRecord] = {}
        self._pods: dict[Key, PodRecord] = {}
        self._used: dict[str, list[int]] = {}
        self._waiting: dict[tuple[int, ...], int] = {}
        self._members: dict[Key, tuple[str, ...]] = {}
        self._set: NodeSet | None = None

    def put_node(self, node: NodeRecord) -> None:
        before = self._nodes.get(node.key.name)
        self._nodes[node.key.name] = node
        # A node writes its status every few minutes, and mostly nothing new in it.
        if before is None or replace(before, resource_version=node.resource_version) != node:
            self._set = None

    def remove_node(self, name: str) -> None:
        if self._nodes.pop(name, None) is not None:
            self._set = None

    def put_class(self, record: StorageClassRecord) -> None:
        self._classes[record.key.name] = record
        self._set = None

    def remove_class(self, name: str) -> None:
        if self._classes.pop(name, None) is not None:
            self._set = None

    def put_pod(self, pod: PodRecord) -> None:
        self.remove_pod(pod.key)
        if pod.counts or waits(pod):
            self._pods[pod.key] = pod
            self._count(pod, 1)

    def remove_pod(self, key: Key) -> None:
        before = self._pods.pop(key, None)
        if before is not None:
            self._count(before, -1)

    def members_of(self, namespace: str, instance: str) -> int:
        """The pods of the instance that take room or wait for a node."""
        return len(self._members.get(Key(namespace, instance), ()))

    def reading(self, *, since: datetime | None = None, note: str = "", knows_classes: bool = True) -> Reading:
        """The cluster at this moment. Sums are over the nodes that are ready and not cordoned, whatever their taints."""
        if self._set is None:
            self._set = NodeSet(self._nodes.values(), self._classes.values())
        nodes = self._set
        free = self._free(nodes)
        placed = self._settle(nodes, free)
        waiting = sum(self._waiting.values())
        notes = [note] if note else []
        if waiting:
            pods = f"{waiting} pod{'' if waiting == 1 else 's'}"
            notes.append(f"{pods} without a node, {placed} counted where they may fit")
        whole, left = nodes.whole[:, nodes.usable].sum(axis=1), free[:, nodes.usable].sum(axis=1)
        return Reading(
            source=Source(kind="nodes", since=since, note="; ".join(notes)),
            rooms=NodeRooms(nodes, free, homes=dict(self._members)),
            allocatable=dict(zip(KNOWN, whole.tolist(), strict=True)),
            free=dict(zip(KNOWN, left.tolist(), strict=True)),
            zones=tuple(sorted({node.zone for node in nodes.nodes if node.zone})) or None,
            storage_classes=frozenset(self._classes) if knows_classes else None,
            default_storage_class=any(record.default for record in self._classes.values()),
            members={instance: len(homes) for instance, homes in self._members.items()},
        )

    def _free(self, nodes: NodeSet) -> Ints:
        used = [self._used.get(node.key.name, _NOTHING) for node in nodes.nodes]
        taken: Ints = np.array(used, dtype=np.int64).reshape(-1, len(KNOWN)).T
        free: Ints = np.maximum(nodes.whole - taken, 0)
        return free

    def _settle(self, nodes: NodeSet, free: Ints) -> int:
        """Pods without a node go before members that are yet to come; how many found one."""
        if not self._waiting:
            return 0
        untainted = np.array([repelling(node, ()) is None for node in nodes.nodes], dtype=np.bool_)
        largest = sorted(self._waiting.items(), reverse=True)[:MOST_WAITING_SHAPES]
        mask = nodes.usable & untainted
        return sum(load_of(needs_of(amounts), mask).spread(free, count, evenly)[1] for amounts, count in largest)

    def _count(self, pod: PodRecord, sign: int) -> None:
        amounts = (pod.cpu_millis, pod.memory_bytes, pod.storage_bytes)
        if pod.node:
            used = self._used.setdefault(pod.node, list(_NOTHING))
            used[0] += sign
            for row, amount in enumerate(amounts, 1):
                used[row] += sign * amount
            if not used[0]:
                del self._used[pod.node]
        else:
            self._waiting[amounts] = self._waiting.get(amounts, 0) + sign
            if not self._waiting[amounts]:
                del self._waiting[amounts]
        if pod.instance:
            self._settle_home(Key(pod.key.namespace, pod.instance), pod.node, comes=sign > 0)

    def _settle_home(self, instance: Key, node: str, *, comes: bool) -> None:
        """On which nodes the pods of an instance are, one entry each, and an empty one for each that waits."""
        homes = self._members.get(instance, ())
        if comes:
            homes = (*homes, node)
        else:
            at = homes.index(node)
            homes = (*homes[:at], *homes[at + 1 :])
        if homes:
            self._members[instance] = homes
        else:
            del self._members[instance]
