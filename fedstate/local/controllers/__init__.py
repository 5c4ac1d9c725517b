"""The controllers that a cluster of the embedded engine needs: garbage collection, StatefulSets, binding of volumes.

A real kube-controller-manager does the same on the other engine. Namespaces are ended by the API server itself.
"""

from __future__ import annotations

import asyncio

from fedstate.kube.client import KubeClient
from fedstate.kube.events import EventRecorder
from fedstate.kube.informer import InformerSet
from fedstate.local.controllers.garbagecollector import GarbageCollector
from fedstate.local.controllers.statefulset import StatefulSetController
from fedstate.local.controllers.volumebinder import ClaimBinder, VolumePhases

SYNC_TIMEOUT = 60.0


class EmbeddedControllers:
    """All of them on one API server. `workloads=False` leaves the garbage collector alone, which is all that a control plane needs."""

    def __init__(self, client: KubeClient, *, workloads: bool = True) -> None:
        self._client = client
        self._workloads = workloads

    async def run(self) -> None:
        """Run until cancelled."""
        informers = InformerSet(self._client)
        sets_events = EventRecorder(self._client, "statefulset-controller")
        volume_events = EventRecorder(self._client, "persistentvolume-controller")
        async with asyncio.TaskGroup() as group:
            group.create_task(GarbageCollector(self._client).run(), name="garbage collector")
            if not self._workloads:
                return
            controllers = [
                StatefulSetController(self._client, informers, sets_events).controller(informers),
                ClaimBinder(self._client, informers, volume_events).controller(informers),
                VolumePhases(self._client, informers).controller(informers),
            ]
            group.create_task(sets_events.run(), name="StatefulSet events")
            group.create_task(volume_events.run(), name="volume events")
            group.create_task(informers.run(), name="embedded controllers' informers")
            await informers.wait_synced(SYNC_TIMEOUT)
            for controller in controllers:
                group.create_task(controller.run(), name=controller.name)
