"""An API server reduced to what the federation's requests mean: versions, uids, finalizers, preconditions, whole intents."""

import copy
from datetime import datetime
from typing import Any

from fedstate.fed.changes import Action, Verb
from fedstate.kube.objects import KubeObject, format_time
from fedstate.kube.resources import Resource


class Refused(Exception):
    """A request whose precondition does not hold."""


class Store:
    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], KubeObject] = {}
        self.intents: dict[tuple[str, str], KubeObject] = {}
        self.serial = 0
        self.now: datetime | None = None

    def get(self, resource: Resource, name: str) -> KubeObject | None:
        found = self.objects.get((resource.plural, name))
        return copy.deepcopy(found) if found is not None else None

    def put(self, resource: Resource, obj: KubeObject) -> None:
        """Writes the object as somebody other than the federation."""
        key = (resource.plural, obj["metadata"]["name"])
        before = self.objects.get(key)
        obj = copy.deepcopy(obj)
        self.serial += 1
        metadata = obj["metadata"]
        metadata["resourceVersion"] = str(self.serial)
        metadata.setdefault("uid", before["metadata"]["uid"] if before else f"uid-{self.serial}")
        changed = before is None or before.get("spec") != obj.get("spec")
        metadata["generation"] = (before["metadata"]["generation"] if before else 0) + int(changed)
        self.objects[key] = obj
        self._finish(key)

    def delete(self, resource: Resource, name: str) -> None:
        key = (resource.plural, name)
        assert self.now is not None
        obj = self.objects[key]
        obj["metadata"].setdefault("deletionTimestamp", format_time(self.now))
        self._finish(key)

    def do(self, action: Action) -> None:
        """One request of the federation; Refused where the server would say Conflict, AlreadyExists or NotFound."""
        name = action.obj["metadata"]["name"]
        key = (action.resource.plural, name)
        before = self.objects.get(key)
        if action.verb is Verb.CREATE:
            if before is not None:
                raise Refused(f"{name} exists")
            self.intents[key] = action.obj
            self.put(action.resource, action.obj)
        elif action.verb is Verb.APPLY:
            version = action.obj["metadata"].get("resourceVersion")
            if version and (before is None or before["metadata"]["resourceVersion"] != version):
                raise Refused(f"{name} has changed")
            merged = _without(before or {}, self.intents.get(key, {}), action.obj)
            self.intents[key] = action.obj
            self.put(action.resource, _merged(merged, action.obj))
        elif action.verb is Verb.DELETE:
            if before is None or before["metadata"]["uid"] != action.obj["metadata"]["uid"]:
                raise Refused(f"{name} is another one")
            self.delete(action.resource, name)
        else:
            metadata = action.obj["metadata"]
            if before is None or before["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
                raise Refused(f"{name} has changed")
            self.put(action.resource, {**before, "metadata": {**before["metadata"], "finalizers": metadata["finalizers"]}})

    def _finish(self, key: tuple[str, str]) -> None:
        metadata = self.objects[key]["metadata"]
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            del self.objects[key]
            self.intents.pop(key, None)


def _merged(before: Any, intent: Any) -> Any:
    if isinstance(before, dict) and isinstance(intent, dict):
        return {**before, **{key: _merged(before.get(key), value) for key, value in intent.items()}}
    return copy.deepcopy(intent)


def _without(actual: Any, owned: Any, intent: Any) -> Any:
    """`actual` less what was applied before and is not in the intent any more, as server-side apply does it."""
    if not isinstance(actual, dict) or not isinstance(owned, dict):
        return actual
    result = {}
    for key, value in actual.items():
        if key in owned and key not in intent:
            continue
        result[key] = _without(value, owned[key], intent[key]) if key in owned and isinstance(intent.get(key), dict) else value
    return result
