"""Writes the data plane's objects, and only where they are not what they should be already.

Knows how a write is made harmless to repeat; does not know what the objects are for.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fedstate.api.naming import FIELD_MANAGER_DATAPLANE, LABEL_HOLDS_INSTANCE, MONGODBS
from fedstate.dataplane.deadline import answered_soon
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import Conflict, NotFound
from fedstate.kube.objects import (
    KubeObject,
    finalizers_of,
    generation_of,
    key_of,
    name_of,
    namespace_of,
    resource_version_of,
    uid_of,
)
from fedstate.kube.resources import NAMESPACES, Resource

logger = logging.getLogger(__name__)

REMEMBERED = 10_000


class Writer:
    """Write access to one member cluster."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._applied: dict[tuple[str, str], int] = {}

    async def ensure(self, resource: Resource, intent: KubeObject, live: KubeObject | None) -> bool:
        """Apply `intent` unless `live` shows it already; True if something was written."""
        if not self._differs(resource, intent, live):
            return False
        async with answered_soon():
            written = await self._client.apply(resource, intent, field_manager=FIELD_MANAGER_DATAPLANE)
        if len(self._applied) > REMEMBERED:
            self._applied.clear()
        self._applied[(uid_of(written), resource.plural)] = generation_of(written)
        if live is None or resource_version_of(written) != resource_version_of(live):
            logger.info("applied", extra={"resource": str(resource), "object": str(key_of(intent))})
            return True
        return False

    def _differs(self, resource: Resource, intent: KubeObject, live: KubeObject | None) -> bool:
        """A difference that stays after our own apply is the server's way to write it (1000m for 1), and no reason to write again."""
        if live is None:
            return True
        if is_part_of(intent, live):
            return False
        applied = self._applied.get((uid_of(live), resource.plural))
        marks = [obj["metadata"].get("annotations") for obj in (intent, live)]
        same_intent = is_part_of(marks[0], marks[1] or {})
        return not (same_intent and applied is not None and applied == generation_of(live) and applied > 0)

    async def delete(self, resource: Resource, obj: KubeObject) -> bool:
        """Ask for the deletion of exactly this object; False if it is gone already."""
        try:
            async with answered_soon():
                await self._client.delete(resource, name_of(obj), namespace=namespace_of(obj), uid=uid_of(obj))
        except (NotFound, Conflict):
            return False
        logger.info("deleted", extra={"resource": str(resource), "object": str(key_of(obj))})
        return True

    async def patch(self, resource: Resource, obj: KubeObject, patch: Mapping[str, Any]) -> None:
        """Merge into an object that exists; nothing if it is gone."""
        try:
            async with answered_soon():
                await self._client.merge_patch(resource, name_of(obj), patch, namespace=namespace_of(obj))
        except NotFound:
            return

    async def set_finalizers(self, obj: KubeObject, finalizers: list[str]) -> None:
        """Replace the finalizers of a MongoDB, if nobody else has changed it meanwhile."""
        if finalizers_of(obj) == finalizers:
            return
        patch = {"metadata": {"finalizers": finalizers or None, "resourceVersion": resource_version_of(obj)}}
        try:
            await self.patch(MONGODBS, obj, patch)
        except Conflict:
            logger.debug("finalizers change again", extra={"object": str(key_of(obj))})

    async def mark_namespace(self, namespace: KubeObject | None, holds: bool) -> None:
        """Keep the label that protects a namespace while an instance is in it."""
        if namespace is None:
            return
        labels = (namespace.get("metadata") or {}).get("labels") or {}
        if (labels.get(LABEL_HOLDS_INSTANCE) == "true") == holds:
            return
        await self.patch(NAMESPACES, namespace, {"metadata": {"labels": {LABEL_HOLDS_INSTANCE: "true" if holds else None}}})

    async def write_status(self, obj: KubeObject, status: Mapping[str, Any]) -> None:
        """Replace the whole status that this field manager wrote before."""
        intent: KubeObject = {
            "metadata": {"name": name_of(obj), "namespace": namespace_of(obj)},
            "status": dict(status),
        }
        try:
            async with answered_soon():
                await self._client.apply(MONGODBS, intent, subresource="status", field_manager=FIELD_MANAGER_DATAPLANE)
        except NotFound:
            logger.debug("gone before its status was written", extra={"object": str(key_of(obj))})


def is_part_of(intent: Any, live: Any) -> bool:
    """True when everything that the intent says, the live object says too; what it says beyond that is its own affair."""
    if isinstance(intent, Mapping):
        return isinstance(live, Mapping) and all(name in live and is_part_of(value, live[name]) for name, value in intent.items())
    if isinstance(intent, list | tuple):
        return isinstance(live, list) and len(intent) == len(live) and all(map(is_part_of, intent, live))
    return bool(intent == live)
