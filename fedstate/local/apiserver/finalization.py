"""Ends what ends slowly: namespaces after their content, definitions after their objects. Acts as the server itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from fedstate.kube.objects import Key, KubeObject, format_time
from fedstate.local.apiserver.auth import MASTERS, User
from fedstate.local.apiserver.builtin.definitions import CLEANUP, COLLECTION
from fedstate.local.apiserver.core import Core
from fedstate.local.apiserver.deletion import delete
from fedstate.local.apiserver.errors import StatusError
from fedstate.local.apiserver.registry import ResourceType
from fedstate.local.apiserver.requests import DeleteOptions
from fedstate.local.apiserver.store import Change
from fedstate.local.apiserver.strategy import Write
from fedstate.local.apiserver.writes import has_ended, unshared

logger = logging.getLogger(__name__)
NAMESPACES = "namespaces"
RETRY = 2.0
_SYSTEM = User(name="system:serviceaccount:kube-system:namespace-controller", groups=(MASTERS,))


class Finalizer:
    """Looks again whenever something ends; and every few seconds while something refuses to."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._dirty: set[tuple[str, str]] = set()
        self._wakeup = asyncio.Event()

    def watch(self) -> None:
        """Begin to listen; call once, after the store is loaded."""
        for collection in (NAMESPACES, COLLECTION):
            for key, entry in self._core.store.collection(collection).entries():
                if entry.obj["metadata"].get("deletionTimestamp"):
                    self._mark(collection, key.name)
        self._core.store.listen(self._on_change)

    def _on_change(self, collection: str, change: Change) -> None:
        metadata = change.entry.obj["metadata"]
        if collection in (NAMESPACES, COLLECTION):
            if metadata.get("deletionTimestamp") and change.type != "DELETED":
                self._mark(collection, metadata["name"])
            return
        if change.type != "DELETED":
            return
        namespace = metadata.get("namespace")
        if namespace and _is_ending(self._core.namespace(namespace)):
            self._mark(NAMESPACES, namespace)
        group, _, plural = collection.rpartition("/")
        definition = f"{plural}.{group}"
        if group and _is_ending(self._core.get(COLLECTION, "", definition)):
            self._mark(COLLECTION, definition)

    def _mark(self, collection: str, name: str) -> None:
        self._dirty.add((collection, name))
        self._wakeup.set()

    async def run(self) -> None:
        """Ends by cancellation."""
        while True:
            await self._wakeup.wait()
            self._wakeup.clear()
            dirty, self._dirty = self._dirty, set()
            stuck = {item for item in sorted(dirty) if not self._try(*item)}
            if stuck:
                await self._wait_a_little()
                self._dirty |= stuck
                self._wakeup.set()

    async def _wait_a_little(self) -> None:
        try:
            async with asyncio.timeout(RETRY):
                await self._wakeup.wait()
        except TimeoutError:
            pass

    def _try(self, collection: str, name: str) -> bool:
        try:
            return self._end(collection, name)
        except Exception:
            # One object that cannot be ended must not keep all others, and every write, from going on.
            logger.exception("cannot end an object", extra={"collection": collection, "object": name})
            return False

    def _end(self, collection: str, name: str) -> bool:
        """Take a step; False if something refused and has to be asked again."""
        if collection == NAMESPACES:
            return self._end_namespace(name)
        return self._end_definition(name)

    def _write(self) -> Write:
        return Write(core=self._core, user=_SYSTEM, now=self._core.clock())

    def _end_namespace(self, name: str) -> bool:
        namespace = self._core.namespace(name)
        if not _is_ending(namespace):
            return True
        left, refused = [], 0
        for rtype in self._core.registry.storage_types():
            if rtype.namespaced:
                keys = [key for key, _ in self._core.store.collection(rtype.collection).entries(name)]
                refused += self._delete_all(rtype, keys)
                remaining = [entry.obj for _, entry in self._core.store.collection(rtype.collection).entries(name)]
                left += [(rtype, obj) for obj in remaining]
        namespace = self._core.namespace(name)
        if namespace is None:
            return True
        obj = unshared(namespace)
        if left:
            obj["status"] = {**obj.get("status", {}), "conditions": self._content_conditions(left, obj)}
        else:
            finalizers = [f for f in (obj.get("spec") or {}).get("finalizers") or [] if f != "kubernetes"]
            obj["spec"] = {"finalizers": finalizers} if finalizers else {}
        self._store(NAMESPACES, Key("", name), obj, namespace)
        return refused == 0

    def _content_conditions(self, left: list[tuple[ResourceType, KubeObject]], namespace: KubeObject) -> list[dict[str, str]]:
        counts: dict[str, int] = {}
        finalizers: dict[str, int] = {}
        for rtype, obj in left:
            named = f"{rtype.plural}.{rtype.group}"
            counts[named] = counts.get(named, 0) + 1
            for finalizer in obj["metadata"].get("finalizers") or ():
                finalizers[finalizer] = finalizers.get(finalizer, 0) + 1
        content = ", ".join(f"{n} has {c} resource instances" for n, c in sorted(counts.items()))
        waiting = ", ".join(f"{n} in {c} resource instances" for n, c in sorted(finalizers.items()))
        found = [("NamespaceContentRemaining", "SomeResourcesRemain", f"Some resources are remaining: {content}")]
        if finalizers:
            said = f"Some content in the namespace has finalizers remaining: {waiting}"
            found.append(("NamespaceFinalizersRemaining", "SomeFinalizersRemain", said))
        before = {c["type"]: c for c in (namespace.get("status") or {}).get("conditions") or []}
        now = format_time(self._core.clock())
        return [
            {
                "type": kind, "status": "True", "lastTransitionTime": before.get(kind, {}).get("lastTransitionTime", now),
                "reason": reason, "message": message,
            }
            for kind, reason, message in found
        ]  # fmt: skip

    def _end_definition(self, name: str) -> bool:
        crd = self._core.get(COLLECTION, "", name)
        if not _is_ending(crd) or crd is None or CLEANUP not in (crd["metadata"].get("finalizers") or ()):
            return True
        plural, _, group = name.partition(".")
        collection = f"{group}/{plural}"
        rtype = next((t for t in self._core.registry.storage_types() if t.collection == collection), None)
        refused = 0
        if rtype is not None:
            keys = [key for key, _ in self._core.store.collection(collection).entries()]
            refused = self._delete_all(rtype, keys)
        if not len(self._core.store.collection(collection)):
            obj = unshared(crd)
            obj["metadata"]["finalizers"] = [f for f in obj["metadata"]["finalizers"] if f != CLEANUP]
            self._store(COLLECTION, Key("", name), obj, crd)
        return refused == 0

    def _delete_all(self, rtype: ResourceType, keys: Iterable[Key]) -> int:
        """Delete what is not ending yet; returns how many refused."""
        refused = 0
        for key in keys:
            entry = self._core.entry(rtype, key)
            if entry is None or entry.obj["metadata"].get("deletionTimestamp"):
                continue
            try:
                delete(rtype, key, DeleteOptions(propagation="Background"), self._write())
            except StatusError:
                refused += 1
        return refused

    def _store(self, collection: str, key: Key, obj: KubeObject, before: KubeObject) -> None:
        rtype = next(t for t in self._core.registry.storage_types() if t.collection == collection)
        if obj == before:
            return
        if has_ended(rtype, obj):
            gone = self._core.store.remove(collection, key, obj)
            rtype.strategy.removed(gone.obj, self._core)
        else:
            self._core.store.put(collection, obj)


def _is_ending(obj: KubeObject | None) -> bool:
    return obj is not None and bool(obj["metadata"].get("deletionTimestamp"))
