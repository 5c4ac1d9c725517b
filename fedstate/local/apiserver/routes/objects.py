"""The verbs on objects and collections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from fedstate.kube.objects import KubeObject
from fedstate.local.apiserver import deletion, errors, writes
from fedstate.local.apiserver.core import encoded_item, encoded_view, to_view
from fedstate.local.apiserver.negotiation import Accept, accepted, encoded_list, metadata_only, respond
from fedstate.local.apiserver.objects import fielderrors, patches, tables
from fedstate.local.apiserver.reads import Page, list_options, read_page
from fedstate.local.apiserver.requests import decode, delete_options, parse_version
from fedstate.local.apiserver.routes.context import Call
from fedstate.local.apiserver.store import Entry

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def answer(call: Call, entry: Entry, status: int = 200) -> web.Response:
    """One object in the form the client accepts."""
    accept = _accepted(call)
    if accept.form == "object":
        body = encoded_view(call.rtype, entry)
    elif accept.form == "metadata":
        body = orjson.dumps(metadata_only(to_view(call.rtype, entry.obj)))
    else:
        metadata = {"resourceVersion": entry.obj["metadata"].get("resourceVersion", "")}
        body = orjson.dumps(_table(call, [entry], metadata))
    return respond(body, status=status, warnings=call.warnings, as_yaml=accept.yaml)


def _accepted(call: Call) -> Accept:
    accept = accepted(call.request.headers.get("Accept", ""))
    return accept if accept.form != "table" or call.rtype.columns else Accept()


def _table(call: Call, entries: list[Entry], metadata: dict[str, Any]) -> KubeObject:
    shown = [to_view(call.rtype, entry.obj) for entry in entries]
    include = call.request.query.get("includeObject", "Metadata")
    return tables.table(shown, call.rtype.columns, now=call.core.clock(), include=include, list_meta=metadata)


def answer_list(call: Call, page: Page) -> web.Response:
    """A list in the form the client accepts."""
    accept = _accepted(call)
    rtype = call.rtype
    if accept.form == "table":
        body = orjson.dumps(_table(call, page.entries, page.metadata))
    elif accept.form == "metadata":
        items = (orjson.dumps(metadata_only(entry.obj)) for entry in page.entries)
        body = encoded_list("PartialObjectMetadataList", "meta.k8s.io/v1", page.metadata, items)
    else:
        body = encoded_list(rtype.list_kind, rtype.api_version, page.metadata, (encoded_item(rtype, e) for e in page.entries))
    return respond(body, warnings=call.warnings, as_yaml=accept.yaml)


async def get(call: Call) -> web.Response:
    current = await call.core.store.settled()
    wanted = parse_version(call.request.query.get("resourceVersion", ""))
    if wanted is not None and wanted > current:
        raise errors.version_too_large(wanted, current)
    return answer(call, _existing(call))


def _existing(call: Call) -> Entry:
    entry = call.core.entry(call.rtype, call.key)
    if entry is None:
        raise errors.not_found(call.rtype.group, call.rtype.plural, call.target.name)
    return entry


async def list_objects(call: Call) -> web.Response:
    options = list_options(call.request.query, call.rtype)
    current = await call.core.store.settled()
    if options.revision is not None and options.revision > current:
        raise errors.version_too_large(options.revision, current)
    collection = call.core.store.collection(call.rtype.collection)
    return answer_list(call, read_page(call.rtype, collection, call.namespace, options, current))


async def create(call: Call) -> web.Response:
    body = await call.body()
    entry = writes.create(call.rtype, call.namespace, body, call.write("CreateOptions"))
    await call.core.store.settled()
    return answer(call, entry, 201)


async def replace(call: Call) -> web.Response:
    body = writes.checked_body(await call.body(), call.rtype)
    write = call.write("UpdateOptions")
    writes.check_name(body, call.target.name)
    if call.core.entry(call.rtype, call.key) is not None and not call.target.subresource:
        writes.require_version(body, call.rtype)
    entry = writes.update(call.rtype, call.key, lambda live: body, write)
    await call.core.store.settled()
    return answer(call, entry)


async def patch(call: Call) -> web.Response:
    media = call.request.headers.get("Content-Type", "").split(";", 1)[0].strip()
    write = call.write("PatchOptions")
    if media == APPLY_PATCH:
        return await _apply(call)
    change = _patcher(call, media, decode(await call.request.read(), "application/json"))
    entry = writes.update(call.rtype, call.key, change, write)
    await call.core.store.settled()
    return answer(call, entry)


def _patcher(call: Call, media: str, document: Any) -> Callable[[KubeObject], KubeObject]:
    """What turns the live object into the patched one."""
    schema = call.rtype.schema

    def change(live: KubeObject) -> KubeObject:
        try:
            return writes.checked_body(_patched(live), call.rtype)
        except patches.PatchError as error:
            raise errors.StatusError(error.status, error.reason, str(error), None if error.status == 400 else {}) from error

    def _patched(live: KubeObject) -> Any:
        if media == JSON_PATCH:
            return patches.json_patch(live, document)
        if media == MERGE_PATCH:
            return patches.merge_patch(live, document)
        return patches.strategic_merge_patch(live, document, schema)

    if media == STRATEGIC_PATCH and call.rtype.custom:
        raise errors.unsupported_media_type(f"{JSON_PATCH}, {MERGE_PATCH}, {APPLY_PATCH}")
    if media not in (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH):
        raise errors.unsupported_media_type()
    return change


async def _apply(call: Call) -> web.Response:
    write = call.write("PatchOptions")
    if not call.request.query.get("fieldManager"):
        cause = fielderrors.required("fieldManager", "is required for apply patch")
        raise errors.invalid("PatchOptions", "meta.k8s.io", "", [cause])
    intent = await call.body("application/yaml")
    if not isinstance(intent, dict) or not intent.get("apiVersion") or not intent.get("kind"):
        raise errors.bad_request(
            "invalid object type: /, Kind=" + str(intent.get("kind", "") if isinstance(intent, dict) else "")
        )
    if (intent["apiVersion"], intent["kind"]) != (call.rtype.api_version, call.rtype.kind):
        raise errors.bad_request(f"invalid object type: {intent['apiVersion']}, Kind={intent['kind']}")
    intent = writes.checked_body(intent, call.rtype)
    metadata = intent["metadata"]
    if metadata.get("managedFields"):
        raise errors.bad_request("metadata.managedFields must be nil")
    metadata.setdefault("name", call.target.name)
    writes.check_name(intent, call.target.name)
    if call.rtype.namespaced:
        metadata.setdefault("namespace", call.namespace)
    if call.core.entry(call.rtype, call.key) is None and not call.target.subresource:
        if metadata.get("uid"):
            why = f"uid mismatch: the provided object specified uid {metadata['uid']}, and no existing object was found"
            raise errors.conflict(call.rtype.group, call.rtype.plural, call.target.name, why)
        entry = writes.create_applied(call.rtype, call.namespace, intent, write)
        await call.core.store.settled()
        return answer(call, entry, 201)
    entry = writes.update_applied(call.rtype, call.key, intent, write)
    await call.core.store.settled()
    return answer(call, entry)


async def _delete_body(call: Call) -> dict[str, Any] | None:
    raw = await call.request.read()
    if not raw:
        return None
    body = decode(raw, call.request.headers.get("Content-Type", ""))
    return body if isinstance(body, dict) else None


async def delete(call: Call) -> web.Response:
    options = delete_options(call.request.query, await _delete_body(call))
    entry, gone = deletion.delete(call.rtype, call.key, options, call.write("DeleteOptions"))
    await call.core.store.settled()
    if gone and not call.rtype.strategy.returns_deleted:
        return respond(orjson.dumps(deletion.success(call.rtype, entry.obj)), warnings=call.warnings)
    return answer(call, entry)


async def delete_collection(call: Call) -> web.Response:
    options = delete_options(call.request.query, await _delete_body(call))
    write = call.write("DeleteOptions")
    collection = call.core.store.collection(call.rtype.collection)
    wanted = list_options({k: v for k, v in call.request.query.items() if k in ("labelSelector", "fieldSelector")}, call.rtype)
    page = read_page(call.rtype, collection, call.namespace, wanted, call.core.store.revision)
    ended = []
    for found in page.entries:
        metadata = found.obj["metadata"]
        key = call.key._replace(name=metadata["name"], namespace=metadata.get("namespace", ""))
        if collection.get(key) is not None:
            ended.append(deletion.delete(call.rtype, key, options, write)[0])
    revision = await call.core.store.settled()
    return answer_list(call, Page(entries=ended, metadata={"resourceVersion": str(revision)}))
