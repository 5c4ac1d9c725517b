"""Nodes, pods and storage classes of one member cluster, kept and counted over one connection to it; and what keeps them from it.

Knows no credentials; what is counted how, the tally knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from fedstate.errors import FedstateError
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import ApiError, Forbidden, Unauthorized
from fedstate.kube.informer import CacheInformer, RecordInformer
from fedstate.kube.recordkinds import NODE_RECORDS, POD_RECORDS, STORAGE_CLASS_RECORDS
from fedstate.kube.records import NodeRecord, PodRecord, StorageClassRecord
from fedstate.kube.resources import Resource
from fedstate.scheduler.capacity.tally import NodeTally

LIVE_PODS = "status.phase!=Succeeded,status.phase!=Failed"
"""Pods that have ended take no room, and a cluster may have very many of them."""


class MemberCaches:
    """Without its storage classes a member is read all the same; without its nodes or its pods it is not.

    `on_change` is called for every change that a reading of the tally shows, while the caches are first filled, too.
    """

    def __init__(self, client: KubeClient, on_change: Callable[[MemberCaches], None]) -> None:
        self.tally = NodeTally()
        self._on_change = on_change
        self.nodes = RecordInformer(client, NODE_RECORDS)
        self.pods = RecordInformer(client, POD_RECORDS, field_selector=LIVE_PODS)
        self.storage_classes = RecordInformer(client, STORAGE_CLASS_RECORDS)
        self._needed: Sequence[CacheInformer[Any]] = (self.nodes, self.pods)
        self._all: Sequence[CacheInformer[Any]] = (*self._needed, self.storage_classes)
        self.nodes.store.add_listener(self._node_changed)
        self.pods.store.add_listener(self._pod_changed)
        self.storage_classes.store.add_listener(self._class_changed)

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            for one in self._all:
                group.create_task(one.run(), name=f"{one.resource} of {one.store.name}")

    @property
    def filled(self) -> bool:
        """Whether all is read that can be."""
        classes = self.storage_classes
        return all(one.synced.is_set() for one in self._needed) and (classes.synced.is_set() or refused(classes))

    @property
    def knows_classes(self) -> bool:
        return self.storage_classes.synced.is_set()

    @property
    def following(self) -> bool:
        return all(one.following for one in self._needed)

    @property
    def last_error(self) -> FedstateError | None:
        """Why nodes or pods are not read, if they are not."""
        return next((one.last_error for one in self._needed if one.last_error is not None), None)

    def obstacle(self, route: str) -> str:
        """What keeps nodes or pods from being read, in words for those who can change it; empty if nothing does."""
        forbidden = [one.resource for one in self._needed if isinstance(one.last_error, Forbidden)]
        if forbidden:
            return missing_rights(forbidden, route)
        error = self.last_error
        return "" if error is None else said(error, route)

    def classes_obstacle(self, route: str) -> str:
        """What keeps the storage classes from being read."""
        error = self.storage_classes.last_error
        if isinstance(error, Forbidden):
            return missing_rights([self.storage_classes.resource], route)
        return said(error, route) if error is not None else "not yet"

    def _node_changed(self, old: NodeRecord | None, new: NodeRecord | None) -> None:
        if new is None:
            self.tally.remove_node(old.key.name if old else "")
        elif old is None or _room(old) != _room(new):
            self.tally.put_node(new)
        else:
            return
        self._on_change(self)

    def _pod_changed(self, old: PodRecord | None, new: PodRecord | None) -> None:
        if new is None:
            if old is not None:
                self.tally.remove_pod(old.key)
        elif old is None or _load(old) != _load(new):
            self.tally.put_pod(new)
        else:
            return
        self._on_change(self)

    def _class_changed(self, old: StorageClassRecord | None, new: StorageClassRecord | None) -> None:
        if new is None:
            self.tally.remove_class(old.key.name if old else "")
        else:
            self.tally.put_class(new)
        self._on_change(self)


def _room(node: NodeRecord) -> tuple[object, ...]:
    """What of a node a reading may show; the rest of it is news every few seconds."""
    amounts = node.cpu_millis, node.memory_bytes, node.storage_bytes, node.pods
    return (*amounts, node.ready, node.unschedulable, node.labels, node.taints)


def _load(pod: PodRecord) -> tuple[object, ...]:
    return (
        pod.node,
        pod.cpu_millis,
        pod.memory_bytes,
        pod.storage_bytes,
        pod.instance,
        pod.deleting,
        pod.phase in ("Succeeded", "Failed"),
    )


def refused(informer: CacheInformer[Any]) -> bool:
    """Whether the server will not give the collection, so that waiting for it is useless."""
    return isinstance(informer.last_error, ApiError) and informer.last_error.status in (403, 404)


def missing_rights(resources: Sequence[Resource], route: str) -> str:
    named = " and ".join(f"{one.plural}.{one.group}" if one.group else one.plural for one in resources)
    return f"the right to list and watch {named} there is missing ({route})"


def said(error: Exception, route: str) -> str:
    """An error as part of a sentence."""
    if isinstance(error, Unauthorized):
        return f"the member does not accept {route}"
    return str(error).rstrip(".") or type(error).__name__
