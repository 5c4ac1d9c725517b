"""Subresources other than status: scale, binding, eviction, finalize, log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace as changed
from typing import Any

import orjson
from aiohttp import web

from fedstate.kube.objects import KubeObject
from fedstate.local.apiserver import deletion, errors, pods, scale, writes
from fedstate.local.apiserver.negotiation import respond, respond_json
from fedstate.local.apiserver.objects import patches
from fedstate.local.apiserver.requests import decode, delete_options
from fedstate.local.apiserver.routes.context import Answer, Call
from fedstate.local.apiserver.routes.objects import APPLY_PATCH, JSON_PATCH, answer


def find(call: Call, verb: str) -> Answer:
    """What answers this verb on the call's subresource; 404 or 405 if nothing does."""
    subresource = call.target.subresource
    if subresource == "scale" and call.rtype.scale is not None:
        found: Mapping[str, Answer] = _SCALE
    elif subresource in call.rtype.subresources:
        found = _OTHERS.get(subresource, {})
    elif call.rtype.custom:
        raise errors.not_found(call.rtype.group, call.rtype.plural, call.target.name)
    else:
        raise errors.no_such_resource()
    if verb not in found:
        raise errors.method_not_allowed()
    return found[verb]


async def _get_scale(call: Call) -> web.Response:
    await call.core.store.settled()
    entry = call.core.entry(call.rtype, call.key)
    if entry is None:
        raise errors.not_found(call.rtype.group, call.rtype.plural, call.target.name)
    return respond(orjson.dumps(scale.scale_of(call.rtype, entry.obj)))


async def _put_scale(call: Call) -> web.Response:
    wanted = decode(await call.request.read(), call.request.headers.get("Content-Type", ""))
    return await _set_scale(call, "UpdateOptions", wanted)


async def _patch_scale(call: Call) -> web.Response:
    media = call.request.headers.get("Content-Type", "").split(";", 1)[0].strip()
    document = decode(await call.request.read(), "application/yaml" if media == APPLY_PATCH else "application/json")
    entry = call.core.entry(call.rtype, call.key)
    if entry is None:
        raise errors.not_found(call.rtype.group, call.rtype.plural, call.target.name)
    live = scale.scale_of(call.rtype, entry.obj)
    try:
        wanted = patches.json_patch(live, document) if media == JSON_PATCH else patches.merge_patch(live, document)
    except patches.PatchError as error:
        raise errors.StatusError(error.status, error.reason, str(error)) from error
    return await _set_scale(call, "PatchOptions", wanted)


async def _set_scale(call: Call, options: str, wanted: Any) -> web.Response:
    write = call.write(options)
    replicas = scale.wanted_replicas(wanted, call.target.name)
    version = (wanted.get("metadata") or {}).get("resourceVersion")

    def change(live: KubeObject) -> KubeObject:
        obj = scale.with_replicas(call.rtype, live, replicas)
        return {**obj, "metadata": {**obj["metadata"], "resourceVersion": version or live["metadata"]["resourceVersion"]}}

    entry = writes.update(call.rtype, call.key, change, write)
    await call.core.store.settled()
    return respond(orjson.dumps(scale.scale_of(call.rtype, entry.obj)))


async def _bind(call: Call) -> web.Response:
    body = decode(await call.request.read(), call.request.headers.get("Content-Type", ""))
    pods.bind(call.rtype, call.key, body if isinstance(body, dict) else {}, call.write("CreateOptions"))
    await call.core.store.settled()
    return respond_json({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, status=201)


async def _evict(call: Call) -> web.Response:
    body = decode(await call.request.read(), call.request.headers.get("Content-Type", ""))
    options = delete_options({}, (body if isinstance(body, dict) else {}).get("deleteOptions") or {"kind": "DeleteOptions"})
    write = call.write("CreateOptions")
    pod = call.core.get("pods", call.namespace, call.target.name)
    if pod is None:
        raise errors.not_found("", "pods", call.target.name)
    refusal = pods.budget_refusal(call.core, pod)
    if refusal is not None:
        raise refusal
    deletion.delete(call.rtype, call.key, changed(options, dry_run=write.options.dry_run), write)
    await call.core.store.settled()
    return respond_json({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}, status=201)


async def _finalize(call: Call) -> web.Response:
    body = writes.checked_body(await call.body(), call.rtype)
    write = call.write("UpdateOptions")
    wanted = list((body.get("spec") or {}).get("finalizers") or [])
    entry = pods.set_namespace_finalizers(call.rtype, call.key, wanted, write)
    await call.core.store.settled()
    return answer(call, entry)


async def _log(call: Call) -> web.StreamResponse:
    return await pods.proxy_log(call.core, call.request, call.namespace, call.target.name)


_SCALE: dict[str, Answer] = {"get": _get_scale, "update": _put_scale, "patch": _patch_scale}
_OTHERS: dict[str, dict[str, Answer]] = {
    "binding": {"create": _bind}, "eviction": {"create": _evict}, "finalize": {"update": _finalize}, "log": {"get": _log},
}  # fmt: skip
