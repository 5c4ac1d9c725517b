"""The garbage collector of the embedded engine: an object whose owners are all gone goes too; foreground and orphan deletions are completed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from fedstate.control.controller import Controller
from fedstate.control.reconciler import DONE, Result
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import Conflict, NotFound
from fedstate.kube.objects import (
    Key,
    KubeObject,
    deletion_timestamp_of,
    finalizers_of,
    key_of,
    name_of,
    namespace_of,
    owner_references_of,
    resource_version_of,
    uid_of,
)
from fedstate.kube.resources import CUSTOM_RESOURCE_DEFINITIONS, Resource
from fedstate.local.controllers.owners import Owners

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"


class GarbageCollector:
    """Reconciles objects of every resource; a key's namespace is `<resource>/<namespace>`."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._owners = Owners(client, self._noticed)
        self._discover = asyncio.Event()
        self._controller = Controller("garbage-collector", self, workers=2)

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._owners.run(self._discover), name="garbage collector caches")
            group.create_task(self._controller.run(), name="garbage collector")

    def _noticed(self, resource: Resource, old: KubeObject | None, new: KubeObject | None) -> None:
        obj = new if new is not None else old
        if obj is None:
            return
        if resource == CUSTOM_RESOURCE_DEFINITIONS:
            self._discover.set()
        if new is not None and (owner_references_of(new) or deletion_timestamp_of(new)):
            self._add(resource, new)
        if new is None or _is_ending(new):
            for of, dependent in self._owners.dependents(uid_of(obj)):
                self._add(of, dependent)
        if new is None:  # an owner may be waiting for this
            for reference in owner_references_of(obj):
                owner = self._owners.resource_of(reference)
                if owner is not None:
                    namespace = namespace_of(obj) if owner.namespaced else ""
                    self._controller.queue.add(Key(f"{owner}/{namespace}", reference["name"]))

    def _add(self, resource: Resource, obj: KubeObject) -> None:
        key = key_of(obj)
        self._controller.queue.add(Key(f"{resource}/{key.namespace}", key.name))

    async def reconcile(self, key: Key) -> Result:
        text, _, namespace = key.namespace.partition("/")
        resource = self._owners.resource_named(text)
        obj = self._owners.get(resource, Key(namespace, key.name)) if resource is not None else None
        if resource is None or obj is None:
            return DONE
        if deletion_timestamp_of(obj) is not None:
            if ORPHAN in finalizers_of(obj):
                await self._orphan(resource, obj)
            elif FOREGROUND in finalizers_of(obj):
                await self._end_dependents(resource, obj)
            return DONE
        await self._collect(resource, obj)
        return DONE

    async def _collect(self, resource: Resource, obj: KubeObject) -> None:
        """Delete the object if no owner of it stays; drop references to those that are gone if another one does."""
        solid: list[dict[str, Any]] = []
        waiting = False
        references = owner_references_of(obj)
        for reference in references:
            if self._owners.resource_of(reference) is None:  # a kind that is not served, or not yet: nobody can tell
                solid.append(reference)
                continue
            owner = await self._owners.owner(reference, namespace_of(obj))
            if owner is None:
                continue
            if _is_foreground(owner) and reference.get("blockOwnerDeletion"):
                waiting = True
            else:
                solid.append(reference)
        if len(solid) == len(references):
            return
        if solid:
            await self._patch(resource, obj, {"ownerReferences": solid})
            return
        blocks_itself = any(True for _ in self._owners.dependents(uid_of(obj)))
        await self._delete(resource, obj, "Foreground" if waiting and blocks_itself else "Background")

    async def _orphan(self, resource: Resource, obj: KubeObject) -> None:
        for of, dependent in list(self._owners.dependents(uid_of(obj))):
            others = [reference for reference in owner_references_of(dependent) if reference["uid"] != uid_of(obj)]
            await self._patch(of, dependent, {"ownerReferences": others or None})
        await self._remove_finalizer(resource, obj, ORPHAN)

    async def _end_dependents(self, resource: Resource, obj: KubeObject) -> None:
        blocking = False
        for of, dependent in list(self._owners.dependents(uid_of(obj))):
            blocks = any(r["uid"] == uid_of(obj) and r.get("blockOwnerDeletion") for r in owner_references_of(dependent))
            blocking = blocking or blocks
            if deletion_timestamp_of(dependent) is None:
                await self._collect(of, dependent)
        if not blocking:
            await self._remove_finalizer(resource, obj, FOREGROUND)

    async def _remove_finalizer(self, resource: Resource, obj: KubeObject, finalizer: str) -> None:
        await self._patch(resource, obj, {"finalizers": [name for name in finalizers_of(obj) if name != finalizer]})

    async def _patch(self, resource: Resource, obj: KubeObject, metadata: dict[str, Any]) -> None:
        """Change metadata of exactly this object as it was seen; Conflict if it changed since."""
        seen = {"uid": uid_of(obj), "resourceVersion": resource_version_of(obj)}
        with contextlib.suppress(NotFound):
            await self._client.merge_patch(
                resource, name_of(obj), {"metadata": {**metadata, **seen}}, namespace=namespace_of(obj)
            )

    async def _delete(self, resource: Resource, obj: KubeObject, propagation: str) -> None:
        with contextlib.suppress(NotFound):
            try:
                await self._client.delete(
                    resource, name_of(obj), namespace=namespace_of(obj), uid=uid_of(obj),
                    resource_version=resource_version_of(obj), propagation=propagation,
                )  # fmt: skip
            except Conflict:
                live = await self._client.get(resource, name_of(obj), namespace_of(obj))
                if uid_of(live) == uid_of(obj):
                    raise  # it changed: decide again by what it is now


def _is_foreground(obj: KubeObject) -> bool:
    return deletion_timestamp_of(obj) is not None and FOREGROUND in finalizers_of(obj)


def _is_ending(obj: KubeObject) -> bool:
    return deletion_timestamp_of(obj) is not None and bool({FOREGROUND, ORPHAN} & set(finalizers_of(obj)))
