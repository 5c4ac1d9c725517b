"""An API server in memory, behind the transport of a real KubeClient: for tests under virtual time.

Versions, conflicts, watches with resume, bookmarks and initial events, apply with owners, finalizers, and faults on request.
It knows no kinds: every collection exists, nothing is validated.
"""

import asyncio
import copy
import uuid
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import jsonpatch

from fedstate.kube.client import KubeClient
from fedstate.kube.codec import decode, encode
from fedstate.kube.config import ClusterConfig
from fedstate.kube.errors import TransportError, api_error_from
from fedstate.kube.objects import Key, KubeObject, format_time, key_of, labels_of
from fedstate.kube.resources import Resource
from fedstate.kube.transport import ByteStream, Request
from tests.fakes.patches import Ownership, merge

SUBRESOURCES = {"status", "scale", "binding", "eviction", "finalize", "log"}


class Target(NamedTuple):
    """What a path names."""

    collection: str
    namespace: str
    name: str
    subresource: str


@dataclass
class Change:
    version: int
    type: str
    collection: str
    object: KubeObject


class Watcher:
    """One open watch; a byte stream to the client, a queue of events to the server."""

    def __init__(self, target: Target, labels: str, fields: str) -> None:
        self.target = target
        self._labels = labels
        self._fields = fields
        self._chunks: deque[bytes | Exception] = deque()
        self._wake = asyncio.Event()

    async def readany(self) -> bytes:
        while not self._chunks:
            self._wake.clear()
            await self._wake.wait()
        chunk = self._chunks.popleft()
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    def push(self, chunk: bytes | Exception) -> None:
        self._chunks.append(chunk)
        self._wake.set()

    def send(self, kind: str, obj: Any) -> None:
        self.push(encode({"type": kind, "object": obj}) + b"\n")

    def offer(self, change: Change) -> None:
        if change.collection == self.target.collection and selected(change.object, self.target, self._labels, self._fields):
            self.send(change.type, change.object)

    def bookmark(self, version: int, *, ends_initial_events: bool = False) -> None:
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if ends_initial_events:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        self.send("BOOKMARK", {"metadata": metadata})


@dataclass
class Fault:
    """Raises `error` for requests that match, `times` times or, with None, until removed."""

    matches: Callable[[Request], bool]
    error: Exception
    times: int | None


class FakeApiServer:
    """Seed it, take a client from it, look at `requests`, break it."""

    def __init__(self) -> None:
        self.version = 100
        self.oldest = 0
        self.requests: list[Request] = []
        self.watchers: list[Watcher] = []
        self.faults: list[Fault] = []
        self.reachable = True
        self.latency = 0.0
        self.initial_events = True
        self._objects: dict[str, dict[Key, KubeObject]] = defaultdict(dict)
        self._owners: dict[tuple[str, Key], Ownership] = defaultdict(Ownership)
        self._history: list[Change] = []

    def client(self, *, field_manager: str = "test") -> KubeClient:
        return KubeClient(ClusterConfig(server="https://fake"), field_manager=field_manager, transport=self)

    # What tests do to it.

    def seed(self, resource: Resource, *objects: KubeObject) -> None:
        """Writes objects as they are, status included, as if somebody had."""
        for obj in objects:
            full = {"apiVersion": resource.api_version, "kind": resource.kind} | copy.deepcopy(obj)
            self._store(resource.path(), full, self._objects[resource.path()].get(key_of(full)))

    def get(self, resource: Resource, name: str, namespace: str = "") -> KubeObject | None:
        return self._objects[resource.path()].get(Key(namespace, name))

    def all(self, resource: Resource) -> list[KubeObject]:
        return list(self._objects[resource.path()].values())

    def remove(self, resource: Resource, name: str, namespace: str = "") -> None:
        self._drop(resource.path(), Key(namespace, name))

    def fail(self, matches: Callable[[Request], bool], error: Exception, times: int | None = 1) -> Fault:
        fault = Fault(matches, error, times)
        self.faults.append(fault)
        return fault

    def forget_history(self) -> None:
        """Every version before now is gone: resuming from one is answered with 410."""
        self.oldest = self.version
        self._history.clear()

    def end_watches(self) -> None:
        self._to_watchers(b"")

    def cut_watches(self) -> None:
        self._to_watchers(TransportError("the connection broke"))

    def send_error(self, status: int, reason: str, message: str = "") -> None:
        for watcher in tuple(self.watchers):
            watcher.send("ERROR", status_object(status, reason, message))
            watcher.push(b"")

    def bookmark(self) -> None:
        for watcher in self.watchers:
            watcher.bookmark(self.version)

    def verbs(self) -> list[str]:
        """The requests so far in a word each: list, watch, get, create, replace, patch, delete."""
        return [verb_of(request) for request in self.requests]

    # What a KubeClient asks of its transport.

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def send(self, request: Request) -> bytes:
        await self._arrive(request)
        return encode(self._answer(request))

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[ByteStream]:
        await self._arrive(request)
        watcher = self._open_watch(request)
        loop = asyncio.get_running_loop()
        ending = loop.call_later(float(request.params["timeoutSeconds"]), watcher.push, b"")
        self.watchers.append(watcher)
        try:
            yield watcher
        finally:
            ending.cancel()
            self.watchers.remove(watcher)

    async def _arrive(self, request: Request) -> None:
        self.requests.append(request)
        if self.latency:
            await asyncio.sleep(self.latency)
        for fault in self.faults:
            if fault.times != 0 and fault.matches(request):
                fault.times = None if fault.times is None else fault.times - 1
                raise fault.error
        if not self.reachable:
            raise TransportError("cannot connect to https://fake")

    def _answer(self, request: Request) -> Any:
        target = target_of(request.path)
        body: Any = decode(request.body) if request.body is not None else None
        if request.method == "GET":
            return self._live(target) if target.name else self._list(request, target)
        if request.method == "POST":
            return self._create(target, body)
        if request.method == "PUT":
            return self._replace(target, body)
        if request.method == "PATCH":
            return self._patch(request, target, body)
        return self._delete(target, body)

    def _open_watch(self, request: Request) -> Watcher:
        params = request.params
        watcher = Watcher(target_of(request.path), params.get("labelSelector", ""), params.get("fieldSelector", ""))
        initial = params.get("sendInitialEvents") == "true"
        if initial and not self.initial_events:
            raise refusal(422, "Invalid", "sendInitialEvents is forbidden for watch")
        version = int(params.get("resourceVersion") or 0)
        if not initial and version and version < self.oldest:
            raise refusal(410, "Expired", f"too old resource version: {version} ({self.oldest})")
        if initial or not version:
            for obj in self._objects[watcher.target.collection].values():
                watcher.offer(Change(0, "ADDED", watcher.target.collection, obj))
            if initial:
                watcher.bookmark(self.version, ends_initial_events=True)
            return watcher
        for change in self._history:
            if change.version > version:
                watcher.offer(change)
        return watcher

    def _list(self, request: Request, target: Target) -> dict[str, Any]:
        params = request.params
        version = params.get("resourceVersion", "")
        found = [
            obj
            for obj in self._objects[target.collection].values()
            if selected(obj, target, params.get("labelSelector", ""), params.get("fieldSelector", ""))
        ]
        metadata = {"resourceVersion": str(self.version)}
        limit, start = int(params.get("limit", 0)), int(params.get("continue", 0))
        # As the real one: version 0 is answered from a cache, all at once.
        if limit and version != "0" and len(found) > start + limit:
            metadata["continue"] = str(start + limit)
            return {"kind": "List", "metadata": metadata, "items": found[start : start + limit]}
        return {"kind": "List", "metadata": metadata, "items": found[start:]}

    def _live(self, target: Target) -> KubeObject:
        found = self._objects[target.collection].get(Key(target.namespace, target.name))
        if found is None:
            raise refusal(404, "NotFound", f"{target.name} not found")
        return found

    def _create(self, target: Target, body: KubeObject) -> KubeObject:
        if target.subresource:
            return {"kind": "Status", "status": "Success"}
        created = copy.deepcopy(body)
        created.pop("status", None)
        metadata = created.setdefault("metadata", {})
        if target.namespace:
            metadata["namespace"] = target.namespace
        if not metadata.get("name"):
            metadata["name"] = f"{metadata.get('generateName', '')}{uuid.uuid4().hex[:5]}"
        if key_of(created) in self._objects[target.collection]:
            raise refusal(409, "AlreadyExists", f"{metadata['name']} already exists")
        return self._store(target.collection, created, None)

    def _replace(self, target: Target, body: KubeObject) -> KubeObject:
        live = self._live(target)
        sent = body["metadata"].get("resourceVersion")
        if sent and sent != live["metadata"]["resourceVersion"]:
            raise refusal(409, "Conflict", f"{target.name} has been modified")
        return self._write(target, live, body)

    def _patch(self, request: Request, target: Target, body: Any) -> KubeObject:
        kind = request.headers["Content-Type"]
        if kind == "application/apply-patch+yaml":
            return self._apply(request, target, body)
        live = self._live(target)
        if kind == "application/json-patch+json":
            try:
                patched = jsonpatch.apply_patch(live, body)
            except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
                raise refusal(422, "Invalid", str(error)) from error
            return self._write(target, live, patched)
        sent = (body.get("metadata") or {}).get("resourceVersion")
        if sent and sent != live["metadata"]["resourceVersion"]:
            raise refusal(409, "Conflict", f"{target.name} has been modified")
        return self._write(target, live, merge(live, body))

    def _apply(self, request: Request, target: Target, body: KubeObject) -> KubeObject:
        key = Key(target.namespace, target.name)
        live = self._objects[target.collection].get(key)
        if live is None and target.subresource:
            raise refusal(404, "NotFound", f"{target.name} not found")
        owners = self._owners[(target.collection, key)]
        manager = request.params["fieldManager"]
        conflicts = owners.conflicts(live or {}, body, manager)
        if conflicts and request.params["force"] != "true":
            raise refusal(409, "Conflict", "; ".join(conflicts))
        applied = owners.apply(live or {}, body, manager)
        if live is None:
            return self._store(target.collection, applied, None)
        return self._write(target, live, applied)

    def _write(self, target: Target, live: KubeObject, body: KubeObject) -> KubeObject:
        written = copy.deepcopy(live if target.subresource == "status" else body)
        source = body if target.subresource == "status" else live
        written.pop("status", None)
        if "status" in source:
            written["status"] = copy.deepcopy(source["status"])
        for field in ("uid", "creationTimestamp", "generation", "deletionTimestamp", "resourceVersion"):
            written["metadata"].pop(field, None)
            if field in live["metadata"]:
                written["metadata"][field] = live["metadata"][field]
        if written == live:
            return live
        return self._store(target.collection, written, live)

    def _store(self, collection: str, obj: KubeObject, live: KubeObject | None) -> KubeObject:
        self.version += 1
        metadata = obj.setdefault("metadata", {})
        if live is None:
            metadata.setdefault("uid", str(uuid.uuid4()))
            metadata.setdefault("creationTimestamp", format_time(datetime.now(UTC)))
            metadata.setdefault("generation", 1)
        elif _intent(obj) != _intent(live):
            metadata["generation"] = live["metadata"].get("generation", 0) + 1
        metadata["resourceVersion"] = str(self.version)
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            self._objects[collection][key_of(obj)] = obj
            self._drop(collection, key_of(obj))
            return obj
        self._objects[collection][key_of(obj)] = obj
        self._record(Change(self.version, "ADDED" if live is None else "MODIFIED", collection, obj))
        return obj

    def _delete(self, target: Target, options: dict[str, Any] | None) -> KubeObject:
        live = self._live(target)
        for field, value in ((options or {}).get("preconditions") or {}).items():
            if live["metadata"].get(field) != value:
                raise refusal(409, "Conflict", f"the {field} of {target.name} is not {value}")
        if not live["metadata"].get("finalizers"):
            self._drop(target.collection, key_of(live))
        elif not live["metadata"].get("deletionTimestamp"):
            ending = copy.deepcopy(live)
            ending["metadata"]["deletionTimestamp"] = format_time(datetime.now(UTC))
            self._store(target.collection, ending, live)
        return {"kind": "Status", "status": "Success"}

    def _drop(self, collection: str, key: Key) -> None:
        gone = copy.deepcopy(self._objects[collection].pop(key))
        self._owners.pop((collection, key), None)
        self.version += 1
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._record(Change(self.version, "DELETED", collection, gone))

    def _record(self, change: Change) -> None:
        change.object = copy.deepcopy(change.object)
        self._history.append(change)
        for watcher in self.watchers:
            watcher.offer(change)

    def _to_watchers(self, chunk: bytes | Exception) -> None:
        for watcher in tuple(self.watchers):
            watcher.push(chunk)


def verb_of(request: Request) -> str:
    if request.method == "GET":
        if request.params.get("watch"):
            return "watch"
        return "get" if target_of(request.path).name else "list"
    return {"POST": "create", "PUT": "replace", "PATCH": "patch", "DELETE": "delete"}[request.method]


def target_of(path: str) -> Target:
    parts = path.strip("/").split("/")
    head, rest = (parts[:2], parts[2:]) if parts[0] == "api" else (parts[:3], parts[3:])
    namespace = ""
    if rest and rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in SUBRESOURCES:
        namespace, rest = rest[1], rest[2:]
    rest += [""] * 3
    return Target("/" + "/".join([*head, rest[0]]), namespace, rest[1], rest[2])


def selected(obj: KubeObject, target: Target, labels: str, fields: str) -> bool:
    key = key_of(obj)
    if target.namespace and key.namespace != target.namespace:
        return False
    for requirement in filter(None, labels.split(",")):
        name, _, value = requirement.partition("=")
        if name not in labels_of(obj) or (value and labels_of(obj)[name] != value.removeprefix("=")):
            return False
    for requirement in filter(None, fields.split(",")):
        path, _, value = requirement.replace("!=", "=").partition("=")
        found: Any = obj
        for part in path.split("."):
            found = (found or {}).get(part) or ""
        if (found == value) == ("!=" in requirement):
            return False
    return True


def status_object(status: int, reason: str, message: str) -> KubeObject:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "reason": reason, "message": message}


def refusal(status: int, reason: str, message: str) -> Exception:
    return api_error_from(status, status_object(status, reason, message))


def _intent(obj: KubeObject) -> dict[str, Any]:
    return {field: value for field, value in obj.items() if field not in ("metadata", "status")}
