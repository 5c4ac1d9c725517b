"""Field ownership: server-side apply, and the upkeep of managedFields by ordinary writes.

The rules are those of structured-merge-diff's merge.Updater and apimachinery's managedfields; field sets are in fieldset.py.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from fedstate.kube.objects import format_time
from fedstate.local.apiserver.objects import fieldset
from fedstate.local.apiserver.objects.fieldset import FieldSet
from fedstate.local.apiserver.objects.nodes import Obj
from fedstate.local.apiserver.objects.quantities import canonicalised
from fedstate.local.apiserver.objects.schema import Schema
from fedstate.local.apiserver.objects.typed import UntypedIntent, check_typed

__all__ = ["ApplyCause", "ApplyConflict", "UntypedIntent", "server_side_apply", "track_update"]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_MOST_UPDATERS = 10
_SERVER_SET = frozenset({"managedFields", "creationTimestamp", "deletionTimestamp", "generation", "selfLink"})
_NEVER_OWNED: FieldSet = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",)}
    | {
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        )
    }
)


class ApplyCause(NamedTuple):
    """One field that somebody else owns: `manager` as it is printed, `field` such as `.spec.x`."""

    manager: str
    field: str


class ApplyConflict(Exception):
    """An apply that was not forced meets fields of other managers. str() is the message of the 409 Status."""

    def __init__(self, causes: list[ApplyCause]) -> None:
        super().__init__(_conflict_message(causes))
        self.causes = causes

    def status_causes(self) -> list[dict[str, str]]:
        """The entries of `Status.details.causes`."""
        return [
            {"reason": "FieldManagerConflict", "message": f"conflict with {cause.manager}", "field": cause.field}
            for cause in self.causes
        ]


def _conflict_message(causes: list[ApplyCause]) -> str:
    if len(causes) == 1:
        return f"Apply failed with 1 conflict: conflict with {causes[0].manager}: {causes[0].field}"
    lines: list[str] = []
    for manager in sorted({cause.manager for cause in causes}):
        lines.append(f"conflicts with {manager}:")
        lines += [f"- {cause.field}" for cause in causes if cause.manager == manager]
    return f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)


class _Manager(NamedTuple):
    """Who owns: an applier is the same in every API version, an updater is another one in each."""

    name: str
    operation: str
    api_version: str
    subresource: str

    def __str__(self) -> str:
        text = json.dumps(self.name) + (f" with subresource {json.dumps(self.subresource)}" if self.subresource else "")
        return f"{text} using {self.api_version}" if self.operation == "Update" else text


@dataclass(frozen=True, slots=True)
class _Owned:
    fields: FieldSet
    api_version: str
    time: str | None


_Managers = dict[_Manager, _Owned]


def server_side_apply(
    live: Obj | None,
    intent: Obj,
    *,
    manager: str,
    force: bool,
    schema: Schema,
    api_version: str,
    now: datetime,
    subresource: str = "",
) -> Obj:
    """`live` with `intent` applied, and managedFields saying so; equal to `live` when the intent changes nothing.

    Raises ApplyConflict unless forced, and UntypedIntent when the intent does not fit the schema.
    A caller applying to the object itself takes `status` out of the intent first if the kind has a status subresource.
    """
    applier = _Manager(manager, "Apply", "", subresource)
    before = _bare(live) if live is not None else {}
    managers = _decoded(live)
    if live is not None and not managers:
        managers[_Manager("before-first-apply", "Update", api_version, "")] = _Owned(
            _owned(frozenset(fieldset.compare(schema.empty, before, schema.root).added)), api_version, format_time(now)
        )
    config = _only_status(intent) if subresource == "status" else _settable(intent)
    config = canonicalised(config, schema.root)
    check_typed(config, schema.root, api_version)
    last = managers.get(applier)
    applied = fieldset.fields_of(config, schema.root)
    claimed = _owned(applied, without_status=schema.resets_status and not subresource)
    managers[applier] = _Owned(claimed, api_version, last.time if last else None)
    merged = fieldset.merge(before, config, schema.root)
    merged = _without_dropped(merged, [applied, *(owned.fields for owned in managers.values())], last, schema)
    tolerated = _client_side_applied(before, manager, managers, schema)
    _take_over(managers, applier, fieldset.compare(before, merged, schema.root), force, tolerated)
    if applier in managers and (live is None or merged != before):
        managers[applier] = replace(managers[applier], time=format_time(now))
    return _with_managers(merged, managers)


def track_update(
    old: Obj | None,
    new: Obj,
    *,
    manager: str,
    schema: Schema,
    api_version: str,
    now: datetime,
    operation: str = "Update",
    subresource: str = "",
) -> Obj:
    """`new` with managedFields that give the fields changed since `old` to `manager`; times change only with the fields.

    Managed fields sent along in `new` replace those of `old`; an empty list is taken for a client that knows nothing of them.
    """
    before = _bare(old) if old is not None else schema.empty
    after = _bare(new)
    managers = _sent_or_live(old, new)
    writer = _Manager(manager, operation, api_version, subresource)
    difference = fieldset.compare(before, after, schema.root)
    changed = _owned(frozenset(difference.added | difference.modified), without_status=schema.resets_status and not subresource)
    removed = frozenset(difference.removed)
    for one, owned in list(managers.items()):
        managers[one] = replace(owned, fields=owned.fields - changed - removed)
    if changed:
        kept = managers[writer].fields if writer in managers else frozenset()
        managers[writer] = _Owned(kept | changed, api_version, format_time(now))
    _forget_empty(managers)
    _cap_updaters(managers)
    return _with_managers(after, managers)


def _without_dropped(merged: Any, wanted: list[FieldSet], last: _Owned | None, schema: Schema) -> Any:
    """`merged` without what the applier owned before, no longer applies, and nobody else wants (Updater.prune).

    `wanted` has the name among what is applied now, although nobody owns it: else the last owned field would take all metadata along.
    """
    if last is None or not last.fields:
        return merged
    root = schema.root
    last_fields = fieldset.with_named_fields(last.fields, root)
    pruned = fieldset.remove(merged, root, last_fields)
    merged_fields = fieldset.with_named_fields(fieldset.fields_of(merged, root), root)
    pruned_fields = fieldset.with_named_fields(fieldset.fields_of(pruned, root), root)
    claimed = fieldset.with_named_fields(frozenset().union(*wanted), root)
    back = fieldset.remove(merged, root, merged_fields - (pruned_fields | claimed))
    back_fields = fieldset.with_named_fields(fieldset.fields_of(back, root), root)
    return fieldset.remove(merged, root, (merged_fields - back_fields) & last_fields)


def _take_over(managers: _Managers, applier: _Manager, difference: fieldset.Comparison, force: bool, tolerated: FieldSet) -> None:
    """Take changed fields from their owners, or raise ApplyConflict; forget removed ones."""
    changed, removed = difference.modified | difference.added, difference.removed
    causes: list[ApplyCause] = []
    for one, owned in list(managers.items()):
        if one == applier:
            continue
        conflict = owned.fields & changed
        if conflict and not force:
            lenient = tolerated if one.name == "kubectl-client-side-apply" else frozenset()
            causes += [ApplyCause(str(one), fieldset.shown(path)) for path in fieldset.in_order(conflict - lenient)]
        managers[one] = replace(owned, fields=owned.fields - conflict - removed)
    if causes:
        raise ApplyConflict(causes)
    _forget_empty(managers)


def _client_side_applied(live: Obj, manager: str, managers: _Managers, schema: Schema) -> FieldSet:
    """Fields that `kubectl apply` once owned client-side: kubectl may take them over without --force-conflicts.

    Only for its first server-side apply, and only while the last-applied annotation is there (lastAppliedManager).
    """
    annotation = ((live.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)
    if manager != "kubectl" or not annotation:
        return frozenset()
    try:
        applied = json.loads(annotation)
        return fieldset.fields_of(applied, schema.root) if isinstance(applied, dict) else frozenset()
    except ValueError:
        return frozenset()


def _bare(obj: Obj) -> Obj:
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def _settable(obj: Obj) -> Obj:
    metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if key not in _SERVER_SET}
    return {**obj, "metadata": metadata}


def _only_status(obj: Obj) -> Obj:
    kept: Obj = {key: obj[key] for key in ("apiVersion", "kind", "status") if key in obj}
    metadata = obj.get("metadata") or {}
    kept["metadata"] = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in metadata}
    return kept


def _owned(fields: FieldSet, *, without_status: bool = False) -> FieldSet:
    return frozenset(
        path
        for path in fields
        if path not in _NEVER_OWNED and path[:2] not in _NEVER_OWNED and not (without_status and path[0] == "f:status")
    )


def _decoded(obj: Obj | None) -> _Managers:
    """The managers of an object as stored; an entry that makes no sense is dropped."""
    managers: _Managers = {}
    for entry in ((obj or {}).get("metadata") or {}).get("managedFields") or ():
        fields = entry.get("fieldsV1") if isinstance(entry, Mapping) else None
        if not isinstance(fields, Mapping) or entry.get("operation") not in ("Apply", "Update"):
            continue
        operation, version = entry["operation"], entry.get("apiVersion") or ""
        one = _Manager(
            entry.get("manager") or "", operation, version if operation == "Update" else "", entry.get("subresource") or ""
        )
        managers[one] = _Owned(fieldset.decode(fields), version, entry.get("time"))
    return managers


def _sent_or_live(old: Obj | None, new: Obj) -> _Managers:
    sent = (new.get("metadata") or {}).get("managedFields")
    if sent == [{}]:
        return {}
    return (_decoded(new) if sent else {}) or _decoded(old)


def _forget_empty(managers: _Managers) -> None:
    for one in [one for one, owned in managers.items() if not owned.fields]:
        del managers[one]


def _cap_updaters(managers: _Managers) -> None:
    """Fold the oldest updaters into one entry, so that clients with ever new names cannot grow an object without end."""
    updaters = sorted((one for one in managers if one.operation == "Update"), key=lambda one: managers[one].time or "")
    for one in updaters[: max(0, len(updaters) - _MOST_UPDATERS)]:
        owned = managers.pop(one)
        bucket = one._replace(name="ancient-changes")
        fields = owned.fields | (managers[bucket].fields if bucket in managers else frozenset())
        managers[bucket] = replace(owned, fields=fields)


def _with_managers(obj: Obj, managers: _Managers) -> Obj:
    entries: list[Obj] = []
    for one, owned in managers.items():
        entry: Obj = {"manager": one.name, "operation": one.operation, "apiVersion": owned.api_version}
        if owned.time:
            entry["time"] = owned.time
        entry |= {"fieldsType": "FieldsV1", "fieldsV1": fieldset.encode(owned.fields)}
        if one.subresource:
            entry["subresource"] = one.subresource
        entries.append(entry)
    entries.sort(
        key=lambda entry: (entry["operation"], entry.get("time") or "", entry["manager"], entry.get("subresource") or "")
    )
    metadata = dict(obj.get("metadata") or {})
    if entries:
        metadata["managedFields"] = entries
    return copy.copy(obj) | {"metadata": metadata}
