"""How the objects of one kind are read from a server's bytes: the seam between dicts and records.

Knows no connections and no caches.
"""

from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from fedstate.kube.codec import Data, decode
from fedstate.kube.errors import api_error_from
from fedstate.kube.objects import Key, KubeObject, annotations_of, key_of, resource_version_of
from fedstate.kube.resources import Resource

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
EVENT_TYPES = frozenset({"ADDED", "MODIFIED", "DELETED", "BOOKMARK"})

T = TypeVar("T")


class WatchEvent(NamedTuple, Generic[T]):
    """ADDED, MODIFIED, DELETED or BOOKMARK, with the object as the server sent it; of a bookmark's, only the version counts."""

    type: str
    object: T
    ends_initial_events: bool = False


class Page(NamedTuple, Generic[T]):
    """Objects of a collection, at one version; `continue_token` is empty on the last page."""

    items: list[T]
    resource_version: str
    continue_token: str


class Decoder(Protocol[T]):
    """What a client and a cache know of a kind: bytes in, objects out, and what identifies them.

    `whole` objects can be had from one answer; of others there are too many for that, and they are listed in pages only.
    """

    whole: bool

    def event(self, line: Data) -> WatchEvent[T]:
        """One line of a watch, which is not kept. Raises ApiError for an ERROR event, and ValueError, with the reason, if it is no event."""

    def page(self, data: Data, resource: Resource) -> Page[T]:
        """One answer to a list; ValueError if it is none."""

    def key(self, item: T) -> Key: ...

    def version(self, item: T) -> str: ...


class ObjectDecoder:
    """Whole objects as plain dicts."""

    whole = True

    def event(self, line: Data) -> WatchEvent[KubeObject]:
        try:
            decoded = decode(line)
            kind, obj = decoded["type"], decoded["object"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError("a line that is not an event") from error
        if kind == "ERROR":
            raise api_error_from(500, obj)
        if kind not in EVENT_TYPES or not isinstance(obj, dict) or not isinstance(obj.get("metadata"), dict):
            raise ValueError("an event of an unknown shape")
        return WatchEvent(kind, obj, kind == "BOOKMARK" and annotations_of(obj).get(INITIAL_EVENTS_END) == "true")

    def page(self, data: Data, resource: Resource) -> Page[KubeObject]:
        decoded = decode(data)
        if not isinstance(decoded, dict):
            raise ValueError("not a JSON object")  # noqa: TRY004 - one exception for whatever is no list
        # The items of a list of a built-in kind come without their kind.
        kind = {"apiVersion": resource.api_version, "kind": resource.kind}
        metadata: Mapping[str, Any] = decoded.get("metadata") or {}
        items = [kind | item for item in decoded.get("items") or ()]
        return Page(items, str(metadata.get("resourceVersion") or ""), str(metadata.get("continue") or ""))

    def key(self, item: KubeObject) -> Key:
        return key_of(item)

    def version(self, item: KubeObject) -> str:
        return resource_version_of(item)


OBJECTS: Decoder[KubeObject] = ObjectDecoder()
