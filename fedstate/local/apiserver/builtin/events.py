"""Events: one kind under two APIs. They are kept as v1 and shown as events.k8s.io/v1 under its names."""

from __future__ import annotations

from fedstate.kube.objects import KubeObject

_RENAMED = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}
_BACK = {new: old for old, new in _RENAMED.items()}


def event_from_storage(obj: KubeObject) -> KubeObject:
    """A kept event as events.k8s.io/v1."""
    return {**{_RENAMED.get(k, k): v for k, v in obj.items()}, "apiVersion": "events.k8s.io/v1"}


def event_to_storage(obj: KubeObject) -> KubeObject:
    """An events.k8s.io/v1 event as it is kept."""
    return {**{_BACK.get(k, k): v for k, v in obj.items()}, "apiVersion": "v1"}
