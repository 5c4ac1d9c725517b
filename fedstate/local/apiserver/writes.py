"""The way of an object into the store: create and update in all their forms. Each function runs without `await`, so it is atomic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from fedstate.kube.objects import Key, KubeObject, key_of, name_of, uid_of
from fedstate.local.apiserver import errors, meta
from fedstate.local.apiserver.admission import admit
from fedstate.local.apiserver.core import Core, to_storage, to_view
from fedstate.local.apiserver.objects import apply, fielderrors
from fedstate.local.apiserver.objects.fielderrors import FieldError
from fedstate.local.apiserver.registry import ResourceType
from fedstate.local.apiserver.store import Entry
from fedstate.local.apiserver.strategy import Write

MAX_GENERATE_TRIES = 8


def checked_body(body: Any, rtype: ResourceType) -> KubeObject:
    """The body as an object of this type, its upper levels copied; 400 if it is something else."""
    if not isinstance(body, dict):
        raise errors.bad_request(f"the object provided is unrecognized (must be of type {rtype.kind}): it is no JSON object")
    kind, version = body.get("kind") or "", body.get("apiVersion") or ""
    if rtype.custom:
        _check_custom_kind(body, kind, version, rtype)
    elif version not in ("", rtype.api_version):
        why = f'no kind "{kind}" is registered for version "{version}" in scheme "pkg/runtime/scheme.go:111"'
        raise errors.bad_request(f'{kind} in version "{version}" cannot be handled as a {rtype.kind}: {why}')
    elif kind not in ("", rtype.kind):
        why = f"converting ({rtype.version}.{kind}) to ({rtype.group or 'core'}.{rtype.kind}): unknown conversion"
        raise errors.bad_request(f'{kind} in version "{rtype.version}" cannot be handled as a {rtype.kind}: {why}')
    identity = {"apiVersion": rtype.api_version, "kind": rtype.kind}
    return unshared({**identity, "metadata": {}, **body, **identity})


def _check_custom_kind(body: KubeObject, kind: str, version: str, rtype: ResourceType) -> None:
    """Nothing says what a custom object is but itself, so it must."""
    if not kind or not version:
        missing = "Kind" if not kind else "apiVersion"
        text = orjson.dumps(body).decode()
        shown = text if len(text) <= 60 else f"{text[:60]} ..."
        why = f"Object '{missing}' is missing in '{text}' ({shown})"
        raise errors.bad_request(f"the object provided is unrecognized (must be of type {rtype.kind}): {why}")
    if version != rtype.api_version:
        why = f"the API version in the data ({version}) does not match the expected API version ({rtype.api_version})"
        raise errors.bad_request(why)
    if kind != rtype.kind:
        raise errors.invalid(kind, rtype.group, name_of(body), [fielderrors.invalid("kind", kind, f"must be {rtype.kind}")])


def unshared(obj: KubeObject) -> KubeObject:
    """A copy that may be changed in its first two levels."""
    return {k: dict(v) if isinstance(v, dict) else v for k, v in obj.items()} | {"metadata": dict(obj.get("metadata") or {})}


def create(rtype: ResourceType, namespace: str, body: Any, write: Write) -> Entry:
    """Store a new object."""
    obj = checked_body(body, rtype)
    if rtype.namespaced and obj["metadata"].get("namespace", namespace) not in (namespace, ""):
        raise errors.bad_request("the namespace of the provided object does not match the namespace sent on the request")
    if obj["metadata"].get("resourceVersion"):
        raise errors.bad_request("resourceVersion should not be set on objects to be created")
    generated = not obj["metadata"].get("name")
    for _ in range(MAX_GENERATE_TRIES if generated else 1):
        try:
            return _create(rtype, namespace, unshared(obj), write)
        except errors.StatusError as error:
            if not (generated and error.reason == "AlreadyExists"):
                raise
    raise errors.already_exists(rtype.group, rtype.plural, obj["metadata"].get("generateName", ""))


def create_applied(rtype: ResourceType, namespace: str, intent: KubeObject, write: Write) -> Entry:
    """Store the object of a server-side apply that found none."""
    return _create(rtype, namespace, unshared(_applied(None, intent, rtype, write)), replace(write, tracked=True))


def _create(rtype: ResourceType, namespace: str, obj: KubeObject, write: Write) -> Entry:
    core = write.core
    _check_namespace(core, rtype, namespace, name_of(obj))
    meta.new_metadata(obj, rtype, namespace, write)
    if rtype.has_status and not rtype.strategy.keeps_status_on_create:
        obj.pop("status", None)
    obj = rtype.strategy.default(_known_fields(obj, rtype, write))
    try:
        obj = unshared(obj if write.tracked else _tracked_but_status(obj, rtype, write))
    except ValueError:
        # A list item without its key, or the like: who owns it is moot, for the rules refuse it.
        obj = unshared(obj)
    rtype.strategy.prepare_create(obj, write)
    _raise_invalid(rtype, obj, rtype.strategy.validate(obj, None, write))
    admit(rtype, "CREATE", obj, None, write)
    if core.entry(rtype, key_of(obj)) is not None:
        raise errors.already_exists(rtype.group, rtype.plural, name_of(obj))
    rtype.strategy.allocate(obj, None, write)
    kept = to_storage(rtype, obj)
    if write.options.dry_run:
        return Entry(kept, 0)
    entry = core.store.put(rtype.collection, kept)
    rtype.strategy.stored(entry.obj, None, core)
    return entry


def _check_namespace(core: Core, rtype: ResourceType, namespace: str, name: str) -> None:
    if not rtype.namespaced:
        return
    found = core.namespace(namespace)
    if found is None:
        raise errors.not_found("", "namespaces", namespace)
    if found["metadata"].get("deletionTimestamp"):
        why = f"unable to create new content in namespace {namespace} because it is being terminated"
        error = errors.forbidden(rtype.group, rtype.plural, name, why)
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
        assert error.details is not None
        error.details["causes"] = [cause]
        raise error


Change = Callable[[KubeObject], KubeObject]
"""What a request makes of the live object: the body of a PUT, or the patched object. It must not change its argument."""


def update_applied(rtype: ResourceType, key: Key, intent: KubeObject, write: Write) -> Entry:
    """Change an object that exists by a server-side apply."""
    return update(rtype, key, lambda live: _applied(live, intent, rtype, write), replace(write, tracked=True))


def update(rtype: ResourceType, key: Key, change: Change, write: Write) -> Entry:
    """Change an object that exists, or the part of it that `write.subresource` names."""
    core = write.core
    entry = core.entry(rtype, key)
    if entry is None:
        raise errors.not_found(rtype.group, rtype.plural, key.name)
    live = to_view(rtype, entry.obj)
    obj = unshared(_known_fields(change(live), rtype, write))
    _check_identity(obj, live, rtype, key)
    meta.kept_metadata(obj, live)
    obj = _merged_by_subresource(obj, live, rtype, write)
    obj = unshared(rtype.strategy.default(obj))
    _raise_invalid(rtype, obj, rtype.strategy.validate(obj, live, write))
    if not write.tracked:
        obj = unshared(_tracked(live, obj, rtype, write))
    if not write.subresource and rtype.has_generation and meta.spec_changed(obj, live, has_status=rtype.has_status):
        obj["metadata"]["generation"] = int(live["metadata"].get("generation") or 0) + 1
    admit(rtype, "UPDATE", obj, live, write)
    obj["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
    if obj == live:
        return entry
    return _store_update(rtype, entry, obj, write)


def _store_update(rtype: ResourceType, entry: Entry, obj: KubeObject, write: Write) -> Entry:
    core = write.core
    old = to_view(rtype, entry.obj)
    rtype.strategy.allocate(obj, old, write)
    kept = unshared(to_storage(rtype, obj))
    if write.options.dry_run:
        return Entry(kept, entry.revision)
    if has_ended(rtype, kept):
        gone = core.store.remove(rtype.collection, key_of(kept), kept)
        rtype.strategy.removed(gone.obj, core)
        return gone
    stored = core.store.put(rtype.collection, kept)
    rtype.strategy.stored(stored.obj, entry.obj, core)
    return stored


def has_ended(rtype: ResourceType, obj: KubeObject) -> bool:
    """Whether nothing keeps an object, that is being deleted, any more."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds") and not rtype.strategy.holds(obj)


def check_name(obj: KubeObject, name: str) -> None:
    """400 unless the object is the one that the URL names."""
    given = name_of(obj)
    if given != name:
        raise errors.bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")


def _check_identity(obj: KubeObject, live: KubeObject, rtype: ResourceType, key: Key) -> None:
    metadata = obj["metadata"]
    check_name(obj, key.name)
    if key.namespace and metadata.setdefault("namespace", key.namespace) != key.namespace:
        raise errors.bad_request("the namespace of the provided object does not match the namespace sent on the request")
    uid, version = uid_of(obj), metadata.get("resourceVersion", "")
    if uid and uid != uid_of(live):
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {uid_of(live)}"
        raise errors.conflict(rtype.group, rtype.plural, key.name, why)
    if version and version != "0" and version != live["metadata"]["resourceVersion"]:
        raise errors.conflict(rtype.group, rtype.plural, key.name, errors.MODIFIED)


def require_version(obj: KubeObject, rtype: ResourceType) -> None:
    """A PUT of a custom resource must say which version it replaces."""
    if rtype.custom and not (obj.get("metadata") or {}).get("resourceVersion"):
        cause = FieldError("metadata.resourceVersion", "FieldValueInvalid", "Invalid value: 0: must be specified for an update")
        raise errors.invalid(rtype.plural, rtype.group, name_of(obj), [cause])


def _merged_by_subresource(obj: KubeObject, live: KubeObject, rtype: ResourceType, write: Write) -> KubeObject:
    """What of the request counts: everything but status, or status alone."""
    if not write.subresource:
        if rtype.has_status:
            obj.pop("status", None)
            if "status" in live:
                obj["status"] = live["status"]
        rtype.strategy.prepare_update(obj, live, write)
        return obj
    kept = {k: v for k, v in live.items() if k != "status"}
    if "status" in obj:
        kept["status"] = obj["status"]
    if rtype.custom:
        kept["metadata"] = {**live["metadata"]}
        for name in ("managedFields", "resourceVersion"):
            if name in obj["metadata"]:
                kept["metadata"][name] = obj["metadata"][name]
    else:
        owners = live["metadata"].get("ownerReferences")
        kept["metadata"] = {**obj["metadata"], **({"ownerReferences": owners} if owners else {})}
    kept = unshared(kept)
    rtype.strategy.prepare_status(kept, live, write)
    return kept


def _known_fields(obj: KubeObject, rtype: ResourceType, write: Write) -> KubeObject:
    """The object without fields its schema does not know, which are refused or warned about as the client wishes."""
    if not obj.get("metadata"):
        obj = {**obj, "metadata": {}}
    pruned, unknown = rtype.schema.prune(obj)
    known = rtype.strategy.known
    undecodable = known.decode_error(pruned) if known is not None else None
    if undecodable:
        raise errors.bad_request(f'{rtype.kind} in version "{rtype.version}" cannot be handled as a {rtype.kind}: {undecodable}')
    faults = [f'unknown field "{path}"' for path in unknown] + [f'duplicate field "{path}"' for path in write.duplicates]
    if faults and write.options.field_validation == "Strict":
        said = ", ".join(faults)
        why = f"strict decoding error: {said}"
        if write.decodes_body:
            why = f'{rtype.kind} in version "{rtype.version}" cannot be handled as a {rtype.kind}: {why}'
        raise errors.bad_request(why)
    if write.options.field_validation == "Warn":
        write.warnings.extend(faults)
    return pruned


def _raise_invalid(rtype: ResourceType, obj: KubeObject, found: list[FieldError]) -> None:
    if found:
        raise errors.invalid(rtype.kind, rtype.group, name_of(obj), found)


def _tracked(old: KubeObject | None, obj: KubeObject, rtype: ResourceType, write: Write) -> KubeObject:
    return apply.track_update(
        old, obj, manager=write.options.field_manager, schema=rtype.schema, api_version=rtype.api_version,
        now=write.now, operation="Update", subresource=write.subresource,
    )  # fmt: skip


def _tracked_but_status(obj: KubeObject, rtype: ResourceType, write: Write) -> KubeObject:
    """A new object with owners of what its creator wrote; the first status, where it is a subresource, is the server's."""
    if not rtype.has_status or "status" not in obj:
        return _tracked(None, obj, rtype, write)
    written = {name: value for name, value in obj.items() if name != "status"}
    return {**_tracked(None, written, rtype, write), "status": obj["status"]}


def _applied(live: KubeObject | None, intent: KubeObject, rtype: ResourceType, write: Write) -> KubeObject:
    wanted = dict(intent)
    if write.subresource == "status":
        named = {k: v for k, v in (intent.get("metadata") or {}).items() if k in ("name", "namespace", "uid", "resourceVersion")}
        wanted = {k: v for k, v in intent.items() if k in ("apiVersion", "kind", "status")} | {"metadata": named}
    elif rtype.has_status:
        wanted.pop("status", None)
    try:
        return apply.server_side_apply(
            live, wanted, manager=write.options.field_manager, force=write.options.force, schema=rtype.schema,
            api_version=rtype.api_version, now=write.now, subresource=write.subresource,
        )  # fmt: skip
    except apply.ApplyConflict as conflict:
        raise errors.StatusError(409, "Conflict", str(conflict), {"causes": conflict.status_causes()}) from conflict
    except ValueError as error:
        # What the schema does not know is an error here, whatever field validation the client asked for.
        raise errors.StatusError(500, "", str(error)) from error
