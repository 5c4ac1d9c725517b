"""The metadata that the server keeps: generated names, uid, times, generation. Pure but for randomness."""

from __future__ import annotations

import secrets
import uuid

from fedstate.kube.objects import KubeObject, format_time
from fedstate.local.apiserver.registry import ResourceType
from fedstate.local.apiserver.strategy import Write

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SERVER_OWNED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation")


def generated_name(base: str) -> str:
    """A name for `generateName`: the base and five random characters."""
    return base[:58] + "".join(secrets.choice(_ALPHABET) for _ in range(5))


def new_metadata(obj: KubeObject, rtype: ResourceType, namespace: str, write: Write) -> None:
    """Give a new object the metadata that the server decides."""
    metadata = obj["metadata"]
    for field in (*_SERVER_OWNED, "resourceVersion"):
        metadata.pop(field, None)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generated_name(metadata["generateName"])
    if rtype.namespaced:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = format_time(write.now)
    if rtype.has_generation:
        metadata["generation"] = 1


def kept_metadata(obj: KubeObject, old: KubeObject) -> None:
    """Put back into an updated object the metadata that only the server changes."""
    metadata, before = obj["metadata"], old["metadata"]
    for field in _SERVER_OWNED:
        if field in before:
            metadata[field] = before[field]
        else:
            metadata.pop(field, None)
    if before.get("generateName"):
        metadata.setdefault("generateName", before["generateName"])


def spec_changed(obj: KubeObject, old: KubeObject, *, has_status: bool) -> bool:
    """Whether anything but metadata (and status, where that is a subresource) differs."""
    ignored = {"metadata", "apiVersion", "kind"} | ({"status"} if has_status else set())
    return {k: v for k, v in obj.items() if k not in ignored} != {k: v for k, v in old.items() if k not in ignored}
