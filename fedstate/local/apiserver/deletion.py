"""How objects end: preconditions, finalizers, propagation, grace. Each function runs without `await`, so it is atomic."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fedstate.kube.objects import Key, KubeObject, finalizers_of, format_time, uid_of
from fedstate.local.apiserver import errors
from fedstate.local.apiserver.admission import admit
from fedstate.local.apiserver.core import to_view
from fedstate.local.apiserver.registry import ResourceType
from fedstate.local.apiserver.requests import DeleteOptions
from fedstate.local.apiserver.store import Entry
from fedstate.local.apiserver.strategy import Write
from fedstate.local.apiserver.writes import has_ended, unshared

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"


def delete(rtype: ResourceType, key: Key, options: DeleteOptions, write: Write) -> tuple[Entry, bool]:
    """Delete an object or let it begin to end; returns its last state and whether it is gone."""
    core = write.core
    entry = core.entry(rtype, key)
    if entry is None:
        raise errors.not_found(rtype.group, rtype.plural, key.name)
    _check_preconditions(rtype, entry.obj, options)
    rtype.strategy.check_delete(entry.obj, write)
    admit(rtype, "DELETE", None, to_view(rtype, entry.obj), write)
    obj = _ending(rtype, entry.obj, options, write)
    if options.dry_run:
        return entry, has_ended(rtype, obj)
    if has_ended(rtype, obj):
        was_ending = entry.obj["metadata"].get("deletionTimestamp")
        gone = core.store.remove(rtype.collection, key, obj if was_ending else None)
        rtype.strategy.removed(gone.obj, core)
        return gone, True
    if obj == entry.obj:
        return entry, False
    stored = core.store.put(rtype.collection, obj)
    rtype.strategy.stored(stored.obj, entry.obj, core)
    return stored, False


def _check_preconditions(rtype: ResourceType, obj: KubeObject, options: DeleteOptions) -> None:
    uid, version = uid_of(obj), obj["metadata"]["resourceVersion"]
    name = obj["metadata"]["name"]
    if options.uid and options.uid != uid:
        why = f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid}). "
        raise errors.conflict(rtype.group, rtype.kind, name, why + "The object might have been deleted and then recreated")
    if options.resource_version and options.resource_version != version:
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion in record "
        )
        raise errors.conflict(rtype.group, rtype.kind, name, why + f"({version}). The object might have been modified")


def _ending(rtype: ResourceType, old: KubeObject, options: DeleteOptions, write: Write) -> KubeObject:
    """The object as the deletion leaves it, if something keeps it."""
    obj = unshared(old)
    metadata = obj["metadata"]
    finalizers = _finalizers_for(finalizers_of(old), options.propagation)
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    grace = max(0, rtype.strategy.grace_period(obj, options))
    if metadata.get("deletionTimestamp"):
        _shorten_grace(metadata, grace, options, write)
        return obj
    metadata["deletionTimestamp"] = format_time(write.now + timedelta(seconds=grace))
    metadata["deletionGracePeriodSeconds"] = grace
    if metadata.get("generation"):
        metadata["generation"] += 1
    rtype.strategy.prepare_deletion(obj, write)
    return obj


def _shorten_grace(metadata: dict[str, Any], grace: int, options: DeleteOptions, write: Write) -> None:
    """A second deletion can only make it quicker, and only if it says how quick."""
    before = metadata.get("deletionGracePeriodSeconds") or 0
    if options.grace_period is None or grace >= before:
        return
    metadata["deletionGracePeriodSeconds"] = grace
    metadata["deletionTimestamp"] = format_time(write.now + timedelta(seconds=grace))


def _finalizers_for(finalizers: list[str], propagation: str) -> list[str]:
    if not propagation:
        return finalizers
    kept = [name for name in finalizers if name not in (ORPHAN, FOREGROUND)]
    added = {"Orphan": [ORPHAN], "Foreground": [FOREGROUND], "Background": []}[propagation]
    return kept + added


def success(rtype: ResourceType, obj: KubeObject) -> dict[str, Any]:
    """The Status that a finished deletion is answered with."""
    details: dict[str, Any] = {"name": obj["metadata"]["name"]}
    if rtype.group:
        details["group"] = rtype.group
    details |= {"kind": rtype.plural, "uid": uid_of(obj)}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
