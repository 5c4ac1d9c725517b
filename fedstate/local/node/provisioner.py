"""Makes volumes for claims as directories, and removes them as their reclaim policy says. Binding is the volume binder's work, not this one's."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from pathlib import Path

from fedstate.control.controller import Controller
from fedstate.control.reconciler import DONE, Result
from fedstate.control.triggers import watch_mapped, watch_self
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import AlreadyExists, Conflict, NotFound
from fedstate.kube.events import EventRecorder
from fedstate.kube.informer import InformerSet
from fedstate.kube.objects import Key, KubeObject, annotations_of, deletion_timestamp_of, key_of, name_of, namespace_of, uid_of
from fedstate.kube.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES

PROVISIONER = "local.fedstate.io"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
DEFAULT_CLASS_MARK = "storageclass.kubernetes.io/is-default-class"
STANDARD = "standard"


def standard_class() -> KubeObject:
    """The StorageClass that every local cluster has."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": STANDARD, "annotations": {DEFAULT_CLASS_MARK: "true"}},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    }


def class_name_of(claim: KubeObject, default: str | None) -> str:
    """The class a claim asks for; empty for one that wants a volume that is there already."""
    name = claim["spec"].get("storageClassName")
    return str(name) if name is not None else default or ""


def default_class(classes: Iterable[KubeObject]) -> str | None:
    marked = sorted(name_of(c) for c in classes if annotations_of(c).get(DEFAULT_CLASS_MARK) == "true")
    return marked[0] if marked else None


def volume_for(claim: KubeObject, class_name: str, reclaim_policy: str, directory: Path) -> KubeObject:
    """The volume that is made for a claim; already bound to it from its side."""
    spec = claim["spec"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": volume_name(claim), "annotations": {PROVISIONED_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec.get("accessModes") or ["ReadWriteOnce"],
            "volumeMode": spec.get("volumeMode") or "Filesystem",
            "persistentVolumeReclaimPolicy": reclaim_policy,
            "storageClassName": class_name,
            "hostPath": {"path": str(directory), "type": "DirectoryOrCreate"},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": namespace_of(claim),
                "name": name_of(claim),
                "uid": uid_of(claim),
            },
        },
    }


def volume_name(claim: KubeObject) -> str:
    return f"pvc-{uid_of(claim)}"


class Provisioner:
    """Reconciles claims."""

    def __init__(self, client: KubeClient, informers: InformerSet, events: EventRecorder, root: Path, *, any_class: bool) -> None:
        self._client = client
        self._events = events
        self._root = root
        self._any_class = any_class
        self._claims = informers.informer(PERSISTENT_VOLUME_CLAIMS).store
        self._classes = informers.informer(STORAGE_CLASSES).store

    def controller(self, informers: InformerSet) -> Controller:
        controller = Controller("volume-provisioner", self, workers=2)
        watch_self(informers.informer(PERSISTENT_VOLUME_CLAIMS), controller)
        watch_mapped(
            informers.informer(STORAGE_CLASSES), controller, lambda _: [key_of(c) for c in self._claims.list() if _unbound(c)]
        )
        return controller

    async def ensure_class(self) -> None:
        """Have the class `standard` be there; one that a user changed stays as it is."""
        try:
            await self._client.create(STORAGE_CLASSES, standard_class())
        except AlreadyExists:
            return

    async def reconcile(self, key: Key) -> Result:
        claim = self._claims.get(key)
        if claim is None or not _unbound(claim):
            return DONE
        class_name = class_name_of(claim, default_class(self._classes.list()))
        known = self._classes.get(Key("", class_name))
        if not class_name or not self._is_ours(known):
            return DONE
        policy = str((known or {}).get("reclaimPolicy") or "Delete")
        directory = self._root / volume_name(claim)
        directory.mkdir(parents=True, exist_ok=True)
        try:
            await self._client.create(PERSISTENT_VOLUMES, volume_for(claim, class_name, policy, directory))
        except AlreadyExists:
            return DONE
        self._say(claim, class_name, known)
        return DONE

    def _is_ours(self, known: KubeObject | None) -> bool:
        return self._any_class or (known is not None and known.get("provisioner") == PROVISIONER)

    def _say(self, claim: KubeObject, class_name: str, known: KubeObject | None) -> None:
        regarding = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim}
        if known is None or known.get("provisioner") != PROVISIONER:
            note = f'storage class "{class_name}" is not one of this local cluster; a directory of this machine stands for it'
            self._events.event(regarding, "Normal", "StorageClassMapped", note)
        self._events.event(regarding, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {volume_name(claim)}")


def _unbound(claim: KubeObject) -> bool:
    return not claim["spec"].get("volumeName") and deletion_timestamp_of(claim) is None


class Reclaimer:
    """Reconciles volumes: one that was released and is to be deleted goes, and its directory with it."""

    def __init__(self, client: KubeClient, informers: InformerSet, root: Path) -> None:
        self._client = client
        self._root = root
        self._volumes = informers.informer(PERSISTENT_VOLUMES).store

    def controller(self, informers: InformerSet) -> Controller:
        controller = Controller("volume-reclaimer", self, workers=1)
        watch_self(informers.informer(PERSISTENT_VOLUMES), controller)
        return controller

    async def reconcile(self, key: Key) -> Result:
        volume = self._volumes.get(key)
        if volume is None or annotations_of(volume).get(PROVISIONED_BY) != PROVISIONER:
            return DONE
        released = (volume.get("status") or {}).get("phase") == "Released"
        if not released or volume["spec"].get("persistentVolumeReclaimPolicy") != "Delete":
            return DONE
        directory = Path(volume["spec"]["hostPath"]["path"])
        if directory.parent == self._root:
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)
        try:
            await self._client.delete(PERSISTENT_VOLUMES, key.name, uid=uid_of(volume))
        except (NotFound, Conflict):
            return DONE
        return DONE
