"""From a server's bytes to records: what is read of an object, and how it becomes one flat value.

An object that lacks a field, or has null in it, is read all the same.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from sys import intern
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct

from fedstate.kube import partial
from fedstate.kube.codec import Data
from fedstate.kube.decoding import OBJECTS, Page, WatchEvent
from fedstate.kube.objects import Key, cpu_millis, quantity_bytes
from fedstate.kube.records import (
    ClaimRecord,
    NodeRecord,
    PodRecord,
    Record,
    Requirement,
    StorageClassRecord,
    Taint,
    Terms,
    VolumeRecord,
)
from fedstate.kube.resources import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES, Resource

W = TypeVar("W")
R = TypeVar("R", bound=Record)


class _Event(Struct, Generic[W], gc=False):
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: W


class _ListMeta(Struct, gc=False):
    resourceVersion: str | None = None
    token: str | None = msgspec.field(default=None, name="continue")


class _List(Struct, Generic[W], gc=False):
    metadata: _ListMeta | None = None
    items: list[W] | None = None


class RecordKind(Generic[W, R]):
    """A Decoder of one resource into records of type R, by way of W, which names the fields that are read at all."""

    whole = False

    def __init__(self, resource: Resource, wire: type[W], record: Callable[[W], R]) -> None:
        self.resource = resource
        self._record = record
        events: Any = _Event
        lists: Any = _List
        self._event = msgspec.json.Decoder[_Event[W]](events[wire]).decode
        self._page = msgspec.json.Decoder[_List[W]](lists[wire]).decode

    def event(self, line: Data) -> WatchEvent[R]:
        try:
            event = self._event(line)
        except msgspec.MsgspecError as error:
            # An ERROR event carries a Status, which has little of the shape of anything else.
            OBJECTS.event(line)
            raise ValueError(f"an event of an unknown shape: {error}") from error
        kind = event.type
        if kind == "BOOKMARK" or kind == "ERROR":
            return WatchEvent(kind, self._record(event.object), OBJECTS.event(line).ends_initial_events)
        return WatchEvent(kind, self._record(event.object))

    def page(self, data: Data, resource: Resource) -> Page[R]:
        page = self._page(data)
        metadata = page.metadata or _ListMeta()
        items = list(map(self._record, page.items or ()))
        return Page(items, metadata.resourceVersion or "", metadata.token or "")

    def key(self, item: R) -> Key:
        return item.key

    def version(self, item: R) -> str:
        return item.resource_version


_NO_POD_META, _NO_META, _NO_NOTED_META, _NO_PHASE = partial.PodMeta(), partial.Meta(), partial.NotedMeta(), partial.Phase()
_NO_POD_SPEC, _NO_NODE_SPEC, _NO_CLAIM_SPEC, _NO_VOLUME_SPEC = (
    partial.PodSpec(),
    partial.NodeSpec(),
    partial.ClaimSpec(),
    partial.VolumeSpec(),
)
_NO_NODE_STATUS, _NO_SELECTOR = partial.NodeStatus(), partial.Selector()
_NO_AMOUNTS: partial.Amounts = {}


def _pod(wire: partial.Pod) -> PodRecord:
    meta, spec, status = wire.metadata or _NO_POD_META, wire.spec or _NO_POD_SPEC, wire.status or _NO_PHASE
    cpu, memory, storage = _pod_requests(spec)
    claims = ""
    for volume in spec.volumes or ():
        if volume.persistentVolumeClaim is not None:
            name = volume.persistentVolumeClaim.claimName
            claims = f"{claims} {name}" if claims else name
    return PodRecord(
        key=Key(intern(meta.namespace), meta.name),
        resource_version=meta.resourceVersion,
        node=intern(spec.nodeName or ""),
        phase=intern(status.phase or ""),
        cpu_millis=cpu,
        memory_bytes=memory,
        storage_bytes=storage,
        instance=intern(meta.labels.instance) if meta.labels is not None else "",
        claim_names=intern(claims),
        deleting=meta.deletionTimestamp is not None,
    )


def _pod_requests(spec: partial.PodSpec) -> tuple[int, int, int]:
    cpu = memory = storage = 0
    for container in spec.containers or ():
        amounts = container.resources.requests if container.resources is not None else None
        if amounts:
            cpu += millis_of(amounts.get("cpu", 0))
            memory += bytes_of(amounts.get("memory", 0))
            if "ephemeral-storage" in amounts:
                storage += bytes_of(amounts["ephemeral-storage"])
    total = (cpu, memory, storage)
    if not (spec.initContainers or spec.overhead or spec.resources):
        return total
    # A sidecar stays for the pod's life; what starts before it runs beside it, the other init containers one after another.
    beside, peak = (0, 0, 0), (0, 0, 0)
    for container in spec.initContainers or ():
        wanted = _sum((_requested(container.resources), beside))
        if container.restartPolicy == "Always":
            beside = wanted
        peak = _larger(peak, wanted)
    total = _larger(_sum((total, beside)), peak)
    if spec.resources is not None and spec.resources.requests:
        total = _instead(total, spec.resources.requests)
    return _sum((total, _amounts(spec.overhead))) if spec.overhead else total


def _instead(total: tuple[int, int, int], asked: partial.Amounts) -> tuple[int, int, int]:
    """What the pod asks for as a whole counts instead of the sum of its containers."""
    own = _amounts(asked)
    cpu, memory, storage = ("cpu" in asked, "memory" in asked, "ephemeral-storage" in asked)
    return own[0] if cpu else total[0], own[1] if memory else total[1], own[2] if storage else total[2]


def _requested(resources: partial.Requests | None) -> tuple[int, int, int]:
    return _amounts(resources.requests if resources is not None else None)


def _amounts(amounts: partial.Amounts | None) -> tuple[int, int, int]:
    if not amounts:
        return 0, 0, 0
    return (
        millis_of(amounts.get("cpu", 0)),
        bytes_of(amounts.get("memory", 0)),
        bytes_of(amounts.get("ephemeral-storage", 0)),
    )


def _sum(parts: Iterable[tuple[int, int, int]]) -> tuple[int, int, int]:
    cpu = memory = storage = 0
    for part in parts:
        cpu, memory, storage = cpu + part[0], memory + part[1], storage + part[2]
    return cpu, memory, storage


def _larger(one: tuple[int, int, int], other: tuple[int, int, int]) -> tuple[int, int, int]:
    return max(one[0], other[0]), max(one[1], other[1]), max(one[2], other[2])


def _node(wire: partial.Node) -> NodeRecord:
    meta, spec, status = wire.metadata or _NO_META, wire.spec or _NO_NODE_SPEC, wire.status or _NO_NODE_STATUS
    amounts = status.allocatable or _NO_AMOUNTS
    cpu, memory, storage = _amounts(amounts)
    return NodeRecord(
        key=Key("", meta.name),
        resource_version=meta.resourceVersion,
        cpu_millis=cpu,
        memory_bytes=memory,
        storage_bytes=storage,
        pods=bytes_of(amounts.get("pods", 0)),
        ready=any(one.type == "Ready" and one.status == "True" for one in status.conditions or ()),
        unschedulable=bool(spec.unschedulable),
        labels={intern(name): intern(value) for name, value in (meta.labels or {}).items()},
        taints=tuple(Taint(intern(one.key), intern(one.value or ""), intern(one.effect)) for one in spec.taints or ()),
    )


def _claim(wire: partial.Claim) -> ClaimRecord:
    meta, spec, status = wire.metadata or _NO_NOTED_META, wire.spec or _NO_CLAIM_SPEC, wire.status or _NO_PHASE
    requests = (spec.resources.requests if spec.resources is not None else None) or _NO_AMOUNTS
    return ClaimRecord(
        key=Key(intern(meta.namespace), meta.name),
        resource_version=meta.resourceVersion,
        storage_class=None if spec.storageClassName is None else intern(spec.storageClassName),
        volume=spec.volumeName or "",
        phase=intern(status.phase or ""),
        storage_bytes=bytes_of(requests.get("storage", 0)),
        selected_node=intern(meta.annotations.node) if meta.annotations is not None else "",
        deleting=meta.deletionTimestamp is not None,
    )


def _volume(wire: partial.Volume) -> VolumeRecord:
    meta, spec, status = wire.metadata or _NO_META, wire.spec or _NO_VOLUME_SPEC, wire.status or _NO_PHASE
    affinity = spec.nodeAffinity
    selector = affinity.required if affinity is not None else None
    return VolumeRecord(
        key=Key("", meta.name),
        resource_version=meta.resourceVersion,
        storage_class=intern(spec.storageClassName or ""),
        phase=intern(status.phase or ""),
        storage_bytes=bytes_of((spec.capacity or _NO_AMOUNTS).get("storage", 0)),
        claim=None if spec.claimRef is None else Key(intern(spec.claimRef.namespace), spec.claimRef.name),
        terms=_terms((selector or _NO_SELECTOR).nodeSelectorTerms),
    )


def _storage_class(wire: partial.StorageClass) -> StorageClassRecord:
    meta = wire.metadata or _NO_NOTED_META
    return StorageClassRecord(
        key=Key("", meta.name),
        resource_version=meta.resourceVersion,
        provisioner=intern(wire.provisioner or ""),
        default=meta.annotations is not None and meta.annotations.default == "true",
        waits_for_pod=wire.volumeBindingMode == "WaitForFirstConsumer",
        expandable=bool(wire.allowVolumeExpansion),
        terms=_terms(wire.allowedTopologies),
    )


def _terms(terms: list[partial.Term] | None) -> Terms:
    return tuple(
        tuple(
            Requirement(intern(one.key), intern(one.operator), tuple(map(intern, one.values or ())))
            for one in (*(term.matchExpressions or ()), *(term.matchLabelExpressions or ()))
        )
        for term in terms or ()
    )


@lru_cache(8192)
def millis_of(quantity: str | int | float) -> int:
    """As cpu_millis, and 0 for what is no quantity, which no server lets through."""
    try:
        return cpu_millis(quantity)
    except ValueError:
        return 0


@lru_cache(8192)
def bytes_of(quantity: str | int | float) -> int:
    """As quantity_bytes, and 0 for what is no quantity."""
    try:
        return quantity_bytes(quantity)
    except ValueError:
        return 0


POD_RECORDS = RecordKind(PODS, partial.Pod, _pod)
NODE_RECORDS = RecordKind(NODES, partial.Node, _node)
CLAIM_RECORDS = RecordKind(PERSISTENT_VOLUME_CLAIMS, partial.Claim, _claim)
VOLUME_RECORDS = RecordKind(PERSISTENT_VOLUMES, partial.Volume, _volume)
STORAGE_CLASS_RECORDS = RecordKind(STORAGE_CLASSES, partial.StorageClass, _storage_class)
