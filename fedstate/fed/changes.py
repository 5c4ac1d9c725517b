"""One step of a plan as a value, and whether a step would change anything at all. Pure.

An object is left alone when it still has everything that was asked for and nothing else was asked for last time.
A Secret carries no hash of what was asked for: a hash of a short password can be guessed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fedstate.kube.objects import KubeObject, annotations_of, name_of, resource_version_of, uid_of
from fedstate.kube.resources import SECRETS, Resource

ANNOTATION_APPLIED = "middleware.fedstate.io/applied-hash"


class Verb(StrEnum):
    CREATE = "create"
    APPLY = "apply"
    DELETE = "delete"
    SET_FINALIZERS = "set-finalizers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One request to the control plane's API server. It may be repeated, and may be the last one that ever runs."""

    verb: Verb
    resource: Resource
    obj: KubeObject = field(repr=False)

    def __str__(self) -> str:
        return f"{self.verb} {self.resource.kind} {name_of(self.obj)}"


def applied(
    resource: Resource, actual: KubeObject | None, desired: KubeObject, *, unchanged_since_read: bool = False
) -> list[Action]:
    """The server-side apply that makes `actual` what `desired` says; none if it is already.

    With `unchanged_since_read` it fails where anybody else wrote in between: for objects that follow from their own past.
    """
    intent = desired if resource == SECRETS else _with_hash(desired)
    if actual is not None and covers(actual, intent) and (resource != SECRETS or actual.get("data") == desired.get("data")):
        return []
    if unchanged_since_read:
        if actual is None:
            return [Action(verb=Verb.CREATE, resource=resource, obj=intent)]
        intent = {**intent, "metadata": {**intent["metadata"], "resourceVersion": resource_version_of(actual)}}
    return [Action(verb=Verb.APPLY, resource=resource, obj=intent)]


def deleted(resource: Resource, actual: KubeObject | None) -> list[Action]:
    """The deletion of exactly the object that was seen."""
    if actual is None or actual["metadata"].get("deletionTimestamp"):
        return []
    metadata = {key: actual["metadata"].get(key) for key in ("name", "namespace")} | {"uid": uid_of(actual)}
    return [Action(verb=Verb.DELETE, resource=resource, obj={"metadata": metadata})]


def finalizers_set(resource: Resource, actual: KubeObject, finalizers: list[str]) -> Action:
    """Replaces the finalizers of the object as it was read."""
    metadata = {key: actual["metadata"].get(key) for key in ("name", "namespace", "resourceVersion")} | {"finalizers": finalizers}
    return Action(verb=Verb.SET_FINALIZERS, resource=resource, obj={"metadata": metadata})


def covers(actual: Any, wanted: Any) -> bool:
    """Whether `actual` has everything that `wanted` has; objects may have more, lists may not."""
    if isinstance(wanted, Mapping):
        return isinstance(actual, Mapping) and all(key in actual and covers(actual[key], value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(actual, list) and len(actual) == len(wanted) and all(map(covers, actual, wanted))
    return type(actual) is type(wanted) and bool(actual == wanted)


def applied_hash(desired: KubeObject) -> str:
    encoded = json.dumps(desired, sort_keys=True, separators=(",", ":"), default=str).encode()
    return hashlib.sha256(encoded).hexdigest()[:16]


def last_applied_hash(actual: KubeObject | None) -> str:
    return annotations_of(actual or {}).get(ANNOTATION_APPLIED, "")


def _with_hash(desired: KubeObject) -> KubeObject:
    metadata = desired["metadata"]
    annotations = {**metadata.get("annotations", {}), ANNOTATION_APPLIED: applied_hash(desired)}
    return {**desired, "metadata": {**metadata, "annotations": annotations}}
