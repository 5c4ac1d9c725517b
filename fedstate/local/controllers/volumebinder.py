"""The volume binder of the embedded engine: joins claims and volumes, protects claims in use, and says why a claim waits."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from fedstate.control.controller import Controller
from fedstate.control.reconciler import DONE, Result
from fedstate.control.triggers import watch_mapped, watch_self
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import NotFound
from fedstate.kube.events import EventRecorder
from fedstate.kube.informer import InformerSet
from fedstate.kube.objects import (
    Key,
    KubeObject,
    annotations_of,
    deletion_timestamp_of,
    finalizers_of,
    key_of,
    name_of,
    namespace_of,
    parse_time,
    quantity_bytes,
    uid_of,
)
from fedstate.kube.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES

PROTECTION = "kubernetes.io/pvc-protection"
VOLUME_PROTECTION = "kubernetes.io/pv-protection"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
DEFAULT_CLASS_MARK = "storageclass.kubernetes.io/is-default-class"
_PATIENCE = timedelta(seconds=2)


def claimed_by(volume: KubeObject, claim: KubeObject) -> bool:
    """Whether a volume is reserved for exactly this claim."""
    reference = volume["spec"].get("claimRef") or {}
    same_name = (reference.get("namespace"), reference.get("name")) == (namespace_of(claim), name_of(claim))
    return same_name and reference.get("uid") in (None, "", uid_of(claim))


def fits(volume: KubeObject, claim: KubeObject) -> bool:
    """Whether a free volume has what a claim asks for."""
    spec, wanted = volume["spec"], claim["spec"]
    size = quantity_bytes(((wanted.get("resources") or {}).get("requests") or {}).get("storage", 0))
    selector = (wanted.get("selector") or {}).get("matchLabels") or {}
    labels = volume["metadata"].get("labels") or {}
    return (
        not spec.get("claimRef")
        and (spec.get("storageClassName") or "") == (wanted.get("storageClassName") or "")
        and quantity_bytes(spec["capacity"]["storage"]) >= size
        and set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ())
        and all(labels.get(key) == value for key, value in selector.items())
        and deletion_timestamp_of(volume) is None
    )


def uses(pod: KubeObject, claim_name: str) -> bool:
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return False
    return any((v.get("persistentVolumeClaim") or {}).get("claimName") == claim_name for v in pod["spec"].get("volumes") or ())


class ClaimBinder:
    """Reconciles claims."""

    def __init__(self, client: KubeClient, informers: InformerSet, events: EventRecorder) -> None:
        self._client = client
        self._events = events
        self._claims = informers.informer(PERSISTENT_VOLUME_CLAIMS).store
        self._volumes = informers.informer(PERSISTENT_VOLUMES).store
        self._classes = informers.informer(STORAGE_CLASSES).store
        self._pods = informers.informer(PODS).store

    def controller(self, informers: InformerSet) -> Controller:
        controller = Controller("volume-binder", self, workers=1)
        watch_self(informers.informer(PERSISTENT_VOLUME_CLAIMS), controller)
        watch_mapped(informers.informer(PERSISTENT_VOLUMES), controller, self._claims_for)
        watch_mapped(informers.informer(STORAGE_CLASSES), controller, self._claims_for)
        watch_mapped(informers.informer(PODS), controller, _claims_of_pod)
        return controller

    def _claims_for(self, obj: KubeObject) -> Iterable[Key]:
        reference = (obj.get("spec") or {}).get("claimRef")
        if reference:
            return [Key(reference["namespace"], reference["name"])]
        return [key_of(claim) for claim in self._claims.list() if _phase(claim) != "Bound"]

    async def reconcile(self, key: Key) -> Result:
        claim = self._claims.get(key)
        if claim is None:
            return DONE
        if deletion_timestamp_of(claim) is not None:
            await self._release(claim)
            return DONE
        if PROTECTION not in finalizers_of(claim):
            await self._patch(claim, {"metadata": {"finalizers": [*finalizers_of(claim), PROTECTION]}})
            return DONE  # the change brings the claim back
        if claim["spec"].get("volumeName"):
            await self._complete(claim)
            return DONE
        return await self._find_volume(claim)

    async def _release(self, claim: KubeObject) -> None:
        used = any(uses(pod, name_of(claim)) for pod in self._pods.list(namespace_of(claim)))
        if PROTECTION in finalizers_of(claim) and not used:
            left = [finalizer for finalizer in finalizers_of(claim) if finalizer != PROTECTION]
            await self._patch(claim, {"metadata": {"finalizers": left}})

    async def _complete(self, claim: KubeObject) -> None:
        volume = self._volumes.get(Key("", claim["spec"]["volumeName"]))
        if volume is None:
            if _phase(claim) == "Bound":
                await self._patch(claim, {"status": {"phase": "Lost"}}, subresource="status")
            return
        if not claimed_by(volume, claim):
            if volume["spec"].get("claimRef"):
                return
            volume = await self._reserve(volume, claim)
        if _phase(claim) == "Bound":
            return
        status = {"phase": "Bound", "accessModes": volume["spec"].get("accessModes"), "capacity": volume["spec"]["capacity"]}
        await self._patch(claim, {"status": status}, subresource="status")

    async def _reserve(self, volume: KubeObject, claim: KubeObject) -> KubeObject:
        reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **key_of(claim)._asdict(), "uid": uid_of(claim)}
        patch = {"metadata": {"resourceVersion": volume["metadata"]["resourceVersion"]}, "spec": {"claimRef": reference}}
        return await self._client.merge_patch(PERSISTENT_VOLUMES, name_of(volume), patch)

    async def _find_volume(self, claim: KubeObject) -> Result:
        if claim["spec"].get("storageClassName") is None and await self._set_default_class(claim):
            return DONE
        reserved = [v for v in self._volumes.list() if v["spec"].get("claimRef") and claimed_by(v, claim)]
        free = sorted(
            (v for v in self._volumes.list() if fits(v, claim)), key=lambda v: quantity_bytes(v["spec"]["capacity"]["storage"])
        )
        for volume in [*reserved, *free][:1]:
            if not volume["spec"].get("claimRef", {}).get("uid"):
                await self._reserve(volume, claim)
            annotations = {BIND_COMPLETED: "yes"}
            await self._patch(claim, {"metadata": {"annotations": annotations}, "spec": {"volumeName": name_of(volume)}})
            return DONE
        if _phase(claim) != "Pending":
            await self._patch(claim, {"status": {"phase": "Pending"}}, subresource="status")
        return self._say_why(claim)

    async def _set_default_class(self, claim: KubeObject) -> bool:
        marked = sorted(name_of(c) for c in self._classes.list() if annotations_of(c).get(DEFAULT_CLASS_MARK) == "true")
        if marked:
            await self._patch(claim, {"spec": {"storageClassName": marked[0]}})
        return bool(marked)

    def _say_why(self, claim: KubeObject) -> Result:
        age = datetime.now(UTC) - parse_time(claim["metadata"]["creationTimestamp"])
        if age < _PATIENCE:
            return Result(requeue_after=_PATIENCE.total_seconds())  # somebody may be making its volume
        name = claim["spec"].get("storageClassName")
        regarding = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim}
        if not name:
            note = "no persistent volumes available for this claim and no storage class is set"
            self._events.event(regarding, "Normal", "FailedBinding", note)
        elif self._classes.get(Key("", name)) is None:
            self._events.event(regarding, "Warning", "ProvisioningFailed", f'storageclass.storage.k8s.io "{name}" not found')
        return DONE

    async def _patch(self, claim: KubeObject, patch: dict[str, Any], *, subresource: str = "") -> None:
        metadata = {**patch.get("metadata", {}), "uid": uid_of(claim)}
        if not subresource:
            metadata["resourceVersion"] = claim["metadata"]["resourceVersion"]
        await self._client.merge_patch(
            PERSISTENT_VOLUME_CLAIMS,
            name_of(claim),
            {**patch, "metadata": metadata},
            namespace=namespace_of(claim),
            subresource=subresource,
        )


def _claims_of_pod(pod: KubeObject) -> Iterable[Key]:
    for volume in pod["spec"].get("volumes") or ():
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if name:
            yield Key(namespace_of(pod), name)


def _phase(obj: KubeObject) -> str:
    return str((obj.get("status") or {}).get("phase") or "")


class VolumePhases:
    """Reconciles volumes: Available, Bound, Released."""

    def __init__(self, client: KubeClient, informers: InformerSet) -> None:
        self._client = client
        self._volumes = informers.informer(PERSISTENT_VOLUMES).store
        self._claims = informers.informer(PERSISTENT_VOLUME_CLAIMS).store

    def controller(self, informers: InformerSet) -> Controller:
        controller = Controller("volume-phases", self, workers=1)
        watch_self(informers.informer(PERSISTENT_VOLUMES), controller)
        watch_mapped(informers.informer(PERSISTENT_VOLUME_CLAIMS), controller, self._volumes_of)
        return controller

    def _volumes_of(self, claim: KubeObject) -> Iterable[Key]:
        return [key_of(volume) for volume in self._volumes.list() if claimed_by(volume, claim)]

    async def reconcile(self, key: Key) -> Result:
        volume = self._volumes.get(key)
        if volume is None:
            return DONE
        if deletion_timestamp_of(volume) is not None:
            await self._release(volume)
            return DONE
        phase = await self._phase_of(volume)
        if phase != _phase(volume):
            patch = {"metadata": {"uid": uid_of(volume)}, "status": {"phase": phase}}
            await self._client.merge_patch(PERSISTENT_VOLUMES, key.name, patch, subresource="status")
        return DONE

    async def _release(self, volume: KubeObject) -> None:
        """A real API server protects volumes; one that no claim is bound to may go."""
        if VOLUME_PROTECTION in finalizers_of(volume) and await self._phase_of(volume) != "Bound":
            left = [finalizer for finalizer in finalizers_of(volume) if finalizer != VOLUME_PROTECTION]
            seen = {"uid": uid_of(volume), "resourceVersion": volume["metadata"]["resourceVersion"]}
            await self._client.merge_patch(PERSISTENT_VOLUMES, name_of(volume), {"metadata": {"finalizers": left, **seen}})

    async def _phase_of(self, volume: KubeObject) -> str:
        reference = volume["spec"].get("claimRef")
        if not reference or not reference.get("uid"):
            return "Available"
        claim = self._claims.get(Key(reference["namespace"], reference["name"]))
        if claim is None or uid_of(claim) != reference["uid"]:
            try:  # what the cache does not show yet must not make a volume be thrown away
                claim = await self._client.get(PERSISTENT_VOLUME_CLAIMS, reference["name"], reference["namespace"])
            except NotFound:
                return "Released"
        if uid_of(claim) != reference["uid"]:
            return "Released"
        return "Bound" if claim["spec"].get("volumeName") == name_of(volume) else "Available"
