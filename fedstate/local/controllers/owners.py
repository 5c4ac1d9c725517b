"""Who owns what: the metadata of every object of a cluster, indexed by owner, from one cache per resource that discovery names."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fedstate.kube.client import KubeClient
from fedstate.kube.errors import ApiError, NotFound, TransportError
from fedstate.kube.informer import Informer
from fedstate.kube.objects import Key, KubeObject, key_of, owner_references_of, uid_of
from fedstate.kube.resources import Resource

_BY_OWNER = "owner"
_KEPT = ("name", "namespace", "uid", "resourceVersion", "ownerReferences", "finalizers", "deletionTimestamp")
_IGNORED = frozenset({"events", "leases"})
"""Many, short-lived, and owned by nothing that matters here."""
_log = logging.getLogger(__name__)

Noticed = Callable[[Resource, KubeObject | None, KubeObject | None], None]


def metadata_only(obj: KubeObject) -> KubeObject:
    """An object with no more than what ownership needs."""
    metadata = obj["metadata"]
    return {"metadata": {field: metadata[field] for field in _KEPT if field in metadata}}


async def discovered(client: KubeClient) -> list[Resource]:
    """Every resource that can be listed, watched and deleted, each in its preferred version."""
    found = _collectable("", "v1", await client.request("GET", "/api/v1"))
    groups = await client.request("GET", "/apis")
    for group in groups.get("groups") or ():
        version = group["preferredVersion"]["version"]
        try:
            found += _collectable(group["name"], version, await client.request("GET", f"/apis/{group['name']}/{version}"))
        except NotFound:
            continue  # gone since the list was read
    return found


def _collectable(group: str, version: str, listed: KubeObject) -> list[Resource]:
    return [
        Resource(group, version, entry["name"], entry["kind"], namespaced=bool(entry.get("namespaced")))
        for entry in listed.get("resources") or ()
        if "/" not in entry["name"]
        and entry["name"] not in _IGNORED
        and {"list", "watch", "delete"} <= set(entry.get("verbs") or ())
    ]


class Owners:
    """The caches. `noticed` hears of every change in any of them."""

    def __init__(self, client: KubeClient, noticed: Noticed) -> None:
        self._client = client
        self._noticed = noticed
        self._informers: dict[Resource, tuple[Informer, asyncio.Task[Any]]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self, again: asyncio.Event) -> None:
        """Follow discovery: now, and whenever `again` is set. Never returns."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            while True:
                again.clear()
                try:
                    self._follow(await discovered(self._client))
                    await again.wait()
                except (ApiError, TransportError) as error:
                    _log.warning("the resources of the cluster cannot be listed, trying again", extra={"error": str(error)})
                    await asyncio.sleep(1.0)

    def _follow(self, resources: Iterable[Resource]) -> None:
        assert self._group is not None
        wanted = set(resources)
        for resource in [resource for resource in self._informers if resource not in wanted]:
            informer, task = self._informers.pop(resource)
            task.cancel()
            for obj in informer.store.list():
                self._noticed(resource, obj, None)
        fresh = wanted - self._informers.keys()
        for resource in fresh:
            informer = Informer(self._client, resource, transform=metadata_only)
            informer.store.add_index(_BY_OWNER, lambda obj: [reference["uid"] for reference in owner_references_of(obj)])
            informer.store.add_listener(self._listener(resource))
            self._informers[resource] = (informer, self._group.create_task(informer.run(), name=f"owners of {resource}"))
        kinds = {(resource.group, resource.kind) for resource in fresh}
        for resource, (informer, _) in tuple(self._informers.items()):  # whose owners could not be told until now
            for obj in informer.store.list():
                if any((r["apiVersion"].rpartition("/")[0], r["kind"]) in kinds for r in owner_references_of(obj)):
                    self._noticed(resource, obj, obj)

    def _listener(self, resource: Resource) -> Callable[[KubeObject | None, KubeObject | None], None]:
        return lambda old, new: self._noticed(resource, old, new)

    def get(self, resource: Resource, key: Key) -> KubeObject | None:
        known = self._informers.get(resource)
        return known[0].store.get(key) if known else None

    def resource_named(self, text: str) -> Resource | None:
        return next((resource for resource in self._informers if str(resource) == text), None)

    def resource_of(self, reference: dict[str, Any]) -> Resource | None:
        """The resource of an owner reference, whatever version of the group it names; None for a kind that is not served."""
        group = reference["apiVersion"].rpartition("/")[0]
        return next((r for r in self._informers if r.kind == reference["kind"] and r.group == group), None)

    def dependents(self, uid: str) -> Iterator[tuple[Resource, KubeObject]]:
        """Every object that names `uid` as an owner."""
        for resource, (informer, _) in tuple(self._informers.items()):
            for obj in informer.store.by_index(_BY_OWNER, uid):
                yield resource, obj

    async def owner(self, reference: dict[str, Any], namespace: str) -> KubeObject | None:
        """The owner that a reference in `namespace` means, from a cache or, to be sure of its absence, from the server; None if it is no more."""
        resource = self.resource_of(reference)
        if resource is None:
            return None
        key = Key(namespace if resource.namespaced else "", reference["name"])
        known = self.get(resource, key)
        if known is None or uid_of(known) != reference["uid"]:
            try:
                known = await self._client.get(resource, key.name, key.namespace)
            except NotFound:
                return None
        return known if uid_of(known) == reference["uid"] and key_of(known) == key else None
