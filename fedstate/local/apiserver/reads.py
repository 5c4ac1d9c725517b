"""Lists: at which revision, which objects, how many at a time."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from fedstate.kube.objects import Key
from fedstate.local.apiserver import errors
from fedstate.local.apiserver.core import to_view
from fedstate.local.apiserver.objects import fielderrors
from fedstate.local.apiserver.registry import ResourceType
from fedstate.local.apiserver.requests import parse_int, parse_version, truthy
from fedstate.local.apiserver.selectors import Selection, parse_fields, parse_labels
from fedstate.local.apiserver.store import Collection, Entry

_TOO_OLD = "The resourceVersion for the provided list is too old."
_CONTINUE_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You can start a new list without the continue parameter."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """The options of list and watch."""

    selection: Selection
    limit: int = 0
    start: Key | None = None
    revision: int | None = None
    match: str = ""
    watch: bool = False
    bookmarks: bool = False
    send_initial_events: bool | None = None
    timeout: float | None = None


def list_options(query: Mapping[str, str], rtype: ResourceType, name: str = "") -> ListOptions:
    """Read and check them; `name` is the object that a watch of a single one is for."""
    fields = parse_fields(query.get("fieldSelector", ""), rtype.selectable)
    if name:
        fields += parse_fields(f"metadata.name={name}", {})
    initial = query.get("sendInitialEvents")
    watch = truthy(query.get("watch"))
    revision = parse_version(query.get("resourceVersion", ""))
    _check_match(query, watch=watch)
    start = None
    if query.get("continue"):
        revision, start = _read_token(query["continue"])
    return ListOptions(
        selection=Selection(labels=parse_labels(query.get("labelSelector", "")), fields=fields),
        limit=parse_int(query.get("limit") or "0"),
        start=start,
        revision=revision,
        match="Exact" if start is not None else query.get("resourceVersionMatch", ""),
        watch=watch,
        bookmarks=truthy(query.get("allowWatchBookmarks")),
        send_initial_events=truthy(initial) if initial is not None else None,
        timeout=float(parse_int(query["timeoutSeconds"])) if query.get("timeoutSeconds") else None,
    )


def _check_match(query: Mapping[str, str], *, watch: bool) -> None:
    match, version = query.get("resourceVersionMatch", ""), query.get("resourceVersion", "")
    initial = query.get("sendInitialEvents")
    why = ""
    if watch and initial is not None and match != "NotOlderThan":
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
    elif watch and initial is None and match:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
    elif not watch and match and not version:
        why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
    elif match and query.get("continue"):
        why = "resourceVersionMatch is forbidden when continue is provided"
    elif match == "Exact" and version == "0":
        why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
    if why:
        raise errors.invalid("ListOptions", "meta.k8s.io", "", [fielderrors.forbidden("resourceVersionMatch", why)])
    if match not in ("", "Exact", "NotOlderThan"):
        cause = fielderrors.not_supported("resourceVersionMatch", match, ("Exact", "NotOlderThan", ""))
        raise errors.invalid("ListOptions", "meta.k8s.io", "", [cause])


def _read_token(token: str) -> tuple[int, Key]:
    try:
        value = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, _, name = value["start"].rpartition("/")
        return int(value["rv"]), Key(namespace, name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.bad_request(f"invalid continue token: continue key is not valid: {error}") from error


def _token(revision: int, after: Key) -> str:
    value = {"v": "meta.k8s.io/v1", "rv": revision, "start": f"{after.namespace}/{after.name}"}
    return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a list found, and the metadata of the List object."""

    entries: list[Entry]
    metadata: dict[str, Any]


def read_page(rtype: ResourceType, collection: Collection, namespace: str, options: ListOptions, current: int) -> Page:
    """The objects asked for, as of the revision asked for; `current` is the newest durable one."""
    revision = current
    if options.match == "Exact" and options.revision is not None:
        revision = options.revision
    found = _as_of(collection, namespace, revision, options) if revision < current else list(collection.entries(namespace))
    if options.start is not None:
        found = [item for item in found if item[0] > options.start]
    if options.selection:
        matches = options.selection.matches
        found = [item for item in found if matches(to_view(rtype, item[1].obj))]
    metadata: dict[str, Any] = {"resourceVersion": str(revision)}
    limited = options.limit if options.revision != 0 else 0
    if limited and len(found) > limited:
        if not options.selection:
            metadata |= {"remainingItemCount": len(found) - limited}
        found = found[:limited]
        metadata = {**metadata, "continue": _token(revision, found[-1][0])}
    return Page(entries=[entry for _, entry in found], metadata=metadata)


def _as_of(collection: Collection, namespace: str, revision: int, options: ListOptions) -> list[tuple[Key, Entry]]:
    """The collection at an older revision: the present one with the changes since then undone."""
    changes = collection.since(revision)
    if changes is None:
        raise errors.expired(_CONTINUE_TOO_OLD if options.start is not None else _TOO_OLD)
    state = dict(collection.entries(namespace))
    for change in reversed(changes):
        metadata = change.entry.obj["metadata"]
        key = Key(metadata.get("namespace", ""), metadata["name"])
        if namespace and key.namespace != namespace:
            continue
        if change.previous is None:
            state.pop(key, None)
        else:
            state[key] = change.previous
    return sorted(state.items())
