"""The state the parts of one API server share. Owns no behaviour beyond looking things up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from fedstate.kube.objects import Key, KubeObject
from fedstate.local.apiserver.auth import Authenticator
from fedstate.local.apiserver.registry import Registry, ResourceType
from fedstate.local.apiserver.services import Allocators
from fedstate.local.apiserver.store import Entry, Store


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """One server's store, kinds, users and ranges."""

    store: Store
    registry: Registry
    authenticator: Authenticator
    allocators: Allocators
    clock: Callable[[], datetime] = _now

    def entry(self, rtype: ResourceType, key: Key) -> Entry | None:
        return self.store.collection(rtype.collection).get(key)

    def get(self, collection: str, namespace: str, name: str) -> KubeObject | None:
        """An object in its storage version."""
        entry = self.store.collection(collection).get(Key(namespace, name))
        return entry.obj if entry is not None else None

    def namespace(self, name: str) -> KubeObject | None:
        return self.get("namespaces", "", name)


def to_view(rtype: ResourceType, obj: KubeObject) -> KubeObject:
    """A stored object as this version of its kind shows it."""
    return obj if rtype.from_storage is None else rtype.from_storage(obj)


def to_storage(rtype: ResourceType, obj: KubeObject) -> KubeObject:
    """An object of this version as it is kept."""
    return obj if rtype.to_storage is None else rtype.to_storage(obj)


def encoded_view(rtype: ResourceType, entry: Entry) -> bytes:
    """The JSON of an object in this version, made once per entry."""
    if rtype.from_storage is None:
        return entry.encoded()
    # A definition that changes makes new types, which may show the object otherwise.
    return entry.encoded(f"{rtype.api_version} {id(rtype)}", rtype.from_storage)


def encoded_item(rtype: ResourceType, entry: Entry) -> bytes:
    """The JSON of an object inside a list; like kube-apiserver's, items of built-in kinds do not repeat their kind."""
    body = encoded_view(rtype, entry)
    if rtype.custom:
        return body
    prefix = b'{"apiVersion":"%s","kind":"%s",' % (rtype.api_version.encode(), rtype.kind.encode())
    if body.startswith(prefix):
        return b"{" + body[len(prefix) :]
    shown = to_view(rtype, entry.obj)
    return orjson.dumps({name: value for name, value in shown.items() if name not in ("apiVersion", "kind")})
