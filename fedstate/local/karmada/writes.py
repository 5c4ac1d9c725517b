"""Writes that several parts of the stand-in make in the same way."""

from __future__ import annotations

from collections.abc import Mapping

from fedstate.kube.client import KubeClient
from fedstate.kube.errors import Conflict, NotFound
from fedstate.kube.objects import (
    KubeObject,
    deletion_timestamp_of,
    finalizers_of,
    name_of,
    namespace_of,
    resource_version_of,
    uid_of,
)
from fedstate.kube.resources import Resource


async def delete_quietly(client: KubeClient, resource: Resource, obj: KubeObject) -> None:
    """Delete this very object; that it is gone, or another one by now, is as good."""
    if deletion_timestamp_of(obj):
        return
    try:
        await client.delete(resource, name_of(obj), namespace=namespace_of(obj), uid=uid_of(obj))
    except (NotFound, Conflict):
        return


async def let_go(client: KubeClient, resource: Resource, obj: KubeObject, finalizer: str) -> None:
    """Take our finalizer off an object that is being deleted."""
    if finalizer not in finalizers_of(obj):
        return
    kept = [item for item in finalizers_of(obj) if item != finalizer]
    patch = {"metadata": {"finalizers": kept, "resourceVersion": resource_version_of(obj)}}
    try:
        await client.merge_patch(resource, name_of(obj), patch, namespace=namespace_of(obj))
    except NotFound:
        return


def changed_metadata(obj: KubeObject, changes: Mapping[str, Mapping[str, str | None]]) -> KubeObject:
    """A copy with labels and annotations changed, None removing one, and without status: to be PUT."""
    metadata = dict(obj["metadata"])
    for field, wanted in changes.items():
        merged = {**(metadata.get(field) or {}), **wanted}
        metadata[field] = {key: value for key, value in merged.items() if value is not None}
    return {**{field: value for field, value in obj.items() if field != "status"}, "metadata": metadata}
