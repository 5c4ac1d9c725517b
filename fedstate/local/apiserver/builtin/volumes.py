"""Volumes and claims: the phase that both start in. Binding is a controller's work."""

from __future__ import annotations

from fedstate.kube.objects import KubeObject
from fedstate.local.apiserver.strategy import Strategy, Write


class ClaimStrategy(Strategy):
    """A claim starts Pending, in the default storage class unless it names one."""

    returns_deleted = True

    def prepare_create(self, obj: KubeObject, write: Write) -> None:
        obj["status"] = {"phase": "Pending"}
        _protect(obj, "kubernetes.io/pvc-protection")
        spec = obj.get("spec")
        if isinstance(spec, dict) and spec.get("storageClassName") is None and not _annotated_class(obj):
            default = _default_class(write)
            if default:
                spec["storageClassName"] = default


def _protect(obj: KubeObject, finalizer: str) -> None:
    """Let a controller hold the object back from ending while it is in use."""
    finalizers = obj["metadata"].get("finalizers") or []
    if finalizer not in finalizers:
        obj["metadata"]["finalizers"] = [*finalizers, finalizer]


def _annotated_class(obj: KubeObject) -> bool:
    return "volume.beta.kubernetes.io/storage-class" in (obj["metadata"].get("annotations") or {})


def _default_class(write: Write) -> str:
    """The newest of the classes marked as default."""
    found = ""
    newest = ""
    for key, entry in write.core.store.collection("storage.k8s.io/storageclasses").entries():
        metadata = entry.obj["metadata"]
        marked = (metadata.get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class") == "true"
        if marked and metadata["creationTimestamp"] >= newest:
            found, newest = key.name, metadata["creationTimestamp"]
    return found


class VolumeStrategy(Strategy):
    """A volume starts Pending."""

    returns_deleted = True

    def prepare_create(self, obj: KubeObject, write: Write) -> None:
        obj["status"] = {"phase": "Pending"}
        _protect(obj, "kubernetes.io/pv-protection")
