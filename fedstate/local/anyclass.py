"""With `--any-storage-class`: a database that names a storage class the cluster does not have gets that class, made of directories.

Knows of an instance only where its spec names the class.
"""

from __future__ import annotations

import asyncio

from fedstate.api.naming import MONGODBS
from fedstate.control.controller import Controller
from fedstate.control.reconciler import DONE, Result
from fedstate.control.triggers import watch_self
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import AlreadyExists
from fedstate.kube.events import EventRecorder
from fedstate.kube.informer import InformerSet
from fedstate.kube.objects import Key, KubeObject, deletion_timestamp_of
from fedstate.kube.resources import STORAGE_CLASSES
from fedstate.local.node.provisioner import PROVISIONER


def stand_in_class(name: str) -> KubeObject:
    """The StorageClass that is made for a name."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": name,
            "annotations": {
                "description": "Made by `fedstate local up --any-storage-class`: volumes are directories of this machine"
            },
        },
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    }


class AnyStorageClass:
    """Reconciles MongoDBs: every class they name exists. The definition of MongoDB may come later than this."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._events = EventRecorder(client, "fedstate-local")
        self._informers = InformerSet(client)
        self._mongodbs = self._informers.informer(MONGODBS)

    async def run(self) -> None:
        """Run until cancelled."""
        controller = Controller("any-storage-class", self, workers=1)
        watch_self(self._mongodbs, controller)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._events.run(), name="storage class events")
            group.create_task(self._informers.run(), name="storage class informers")
            group.create_task(controller.run(), name="storage classes")

    async def reconcile(self, key: Key) -> Result:
        obj = self._mongodbs.store.get(key)
        name = ((obj or {}).get("spec", {}).get("persistence") or {}).get("storageClassName")
        if obj is None or not name or deletion_timestamp_of(obj) is not None:
            return DONE
        try:
            await self._client.create(STORAGE_CLASSES, stand_in_class(name))
        except AlreadyExists:
            return DONE
        note = f'storage class "{name}" is not one of this local cluster; directories of this machine stand for its volumes'
        self._events.event(obj, "Normal", "StorageClassMapped", note)
        return DONE
