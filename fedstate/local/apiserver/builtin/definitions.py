"""CustomResourceDefinitions: their rules, their conditions, and what of them is served."""

from __future__ import annotations

from typing import Any

from fedstate.kube.objects import KubeObject, format_time, name_of
from fedstate.local.apiserver.core import Core
from fedstate.local.apiserver.crds import custom_types
from fedstate.local.apiserver.objects.crds import default_crd
from fedstate.local.apiserver.strategy import Strategy, Write

COLLECTION = "apiextensions.k8s.io/customresourcedefinitions"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"


class DefinitionStrategy(Strategy):
    """A definition is served from the moment it is stored, unless its names are another's."""

    def prepare_create(self, obj: KubeObject, write: Write) -> None:
        self._default_spec(obj)
        finalizers = obj["metadata"].get("finalizers") or []
        obj["metadata"]["finalizers"] = [*finalizers, *([] if CLEANUP in finalizers else [CLEANUP])]
        obj["status"] = _status(obj, None, write)

    def prepare_update(self, obj: KubeObject, old: KubeObject, write: Write) -> None:
        self._default_spec(obj)
        obj["status"] = _status(obj, old, write)

    @staticmethod
    def _default_spec(obj: KubeObject) -> None:
        if isinstance(obj.get("spec"), dict):
            obj["spec"] = default_crd(obj)["spec"]
            obj["spec"].setdefault("conversion", {"strategy": "None"})

    def prepare_deletion(self, obj: KubeObject, write: Write) -> None:
        obj["metadata"].pop("deletionGracePeriodSeconds", None)
        obj["metadata"]["generation"] -= 1
        status = obj["status"] = dict(obj.get("status") or {})
        why = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
        ending = _condition("Terminating", "True", "InstanceDeletionPending", why, write)
        status["conditions"] = [*(status.get("conditions") or []), ending]

    def stored(self, obj: KubeObject, old: KubeObject | None, core: Core) -> None:
        if not established(obj):
            return
        spec = obj["spec"]
        if old is not None and old.get("spec") == spec:
            return
        if old is not None:
            core.registry.remove(spec["group"], spec["names"]["plural"])
        for rtype in custom_types(obj):
            core.registry.add(rtype)

    def removed(self, obj: KubeObject, core: Core) -> None:
        core.registry.remove(obj["spec"]["group"], obj["spec"]["names"]["plural"])


def established(obj: KubeObject) -> bool:
    """Whether the definition's kind is to be served."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def _condition(kind: str, status: str, reason: str, message: str, write: Write) -> dict[str, str]:
    return {
        "type": kind, "status": status, "lastTransitionTime": format_time(write.now), "reason": reason, "message": message,
    }  # fmt: skip


def _status(obj: KubeObject, old: KubeObject | None, write: Write) -> dict[str, Any]:
    spec = obj.get("spec")
    before: dict[str, Any] = (old or {}).get("status") or {}
    if not isinstance(spec, dict) or not isinstance(spec.get("names"), dict):
        return before
    storage = [v["name"] for v in spec.get("versions") or [] if isinstance(v, dict) and v.get("storage") and v.get("name")]
    stored = list(before.get("storedVersions") or [])
    stored += [name for name in storage if name not in stored]
    conflict = _name_conflict(obj, write.core)
    if conflict:
        wanted = [
            _condition("NamesAccepted", "False", conflict[0], conflict[1], write),
            _condition("Established", "False", "NotAccepted", "not all names are accepted", write),
        ]
    else:
        wanted = [
            _condition("NamesAccepted", "True", "NoConflicts", "no conflicts found", write),
            _condition("Established", "True", "InitialNamesAccepted", "the initial names have been accepted", write),
        ]
    others = [c for c in before.get("conditions") or [] if c["type"] not in ("NamesAccepted", "Established")]
    known = {(c["type"], c["status"]): c for c in before.get("conditions") or []}
    conditions = [known.get((c["type"], c["status"]), c) for c in wanted] + others
    accepted = spec["names"] if not conflict else before.get("acceptedNames", {"plural": "", "kind": ""})
    return {"conditions": conditions, "acceptedNames": accepted, "storedVersions": stored}


def _name_conflict(obj: KubeObject, core: Core) -> tuple[str, str] | None:
    """Reason and message if another definition of the group holds one of the names."""
    names, group = obj["spec"]["names"], obj["spec"].get("group")
    for _, entry in core.store.collection(COLLECTION).entries():
        other = entry.obj
        if name_of(other) == name_of(obj) or other["spec"]["group"] != group or not established(other):
            continue
        held = other["spec"]["names"]
        plurals = {held["plural"], held.get("singular"), *(held.get("shortNames") or [])}
        kinds = {held["kind"], held.get("listKind")}
        wanted = [("PluralConflict", names.get("plural"), plurals), ("SingularConflict", names.get("singular"), plurals)]
        wanted += [("ShortNamesConflict", short, plurals) for short in names.get("shortNames") or []]
        wanted += [("KindConflict", names.get("kind"), kinds), ("ListKindConflict", names.get("listKind"), kinds)]
        # One condition can tell of one conflict; Kubernetes tells of the last it finds.
        for reason, name, taken in reversed(wanted):
            if name in taken:
                return reason, f'"{name}" is already in use'
    return None
