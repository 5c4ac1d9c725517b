"""The watch verb: chooses how events are encoded, and streams them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing

import orjson
from aiohttp import web

from fedstate.kube.objects import KubeObject
from fedstate.local.apiserver.core import encoded_view, to_view
from fedstate.local.apiserver.errors import StatusError
from fedstate.local.apiserver.negotiation import accepted, metadata_only, respond_error
from fedstate.local.apiserver.objects import tables
from fedstate.local.apiserver.reads import list_options
from fedstate.local.apiserver.routes.context import Call
from fedstate.local.apiserver.store import Entry
from fedstate.local.apiserver.watch import View, Watch, frame


async def watch(call: Call) -> web.StreamResponse:
    """Stream until the watch's time is over, the client leaves or the server stops."""
    options = list_options(call.request.query, call.rtype, call.target.name)
    await call.core.store.settled()
    collection = call.core.store.collection(call.rtype.collection)
    stream = Watch(call.rtype, collection, call.namespace, options, _view(call))
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    try:
        async with aclosing(stream.frames(lambda: call.core.store.durable, lambda: _is_served(call))) as frames:
            async for chunk in frames:
                if not response.prepared:
                    await response.prepare(call.request)
                if chunk:
                    await response.write(chunk)
    except StatusError as error:
        if not response.prepared:
            return respond_error(error)
        await response.write(frame("ERROR", orjson.dumps(error.body())))
    except (ConnectionResetError, ConnectionError):
        return response
    return response


def _is_served(call: Call) -> bool:
    rtype = call.rtype
    return call.core.registry.find(rtype.group, rtype.version, rtype.plural) is rtype


def _view(call: Call) -> View:
    rtype = call.rtype
    form = accepted(call.request.headers.get("Accept", ""), watch=True).form
    if form == "metadata":
        bookmark = _bookmark("PartialObjectMetadata", "meta.k8s.io/v1")
        return View(name="metadata", encode=lambda entry: orjson.dumps(metadata_only(entry.obj)), bookmark=bookmark)
    bookmark = _bookmark(rtype.kind, rtype.api_version)
    if form == "table":
        include = call.request.query.get("includeObject", "Metadata")

        def encode(entry: Entry) -> bytes:
            obj = to_view(rtype, entry.obj)
            metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
            return orjson.dumps(tables.table([obj], rtype.columns, now=call.core.clock(), include=include, list_meta=metadata))

        return View(name=f"{rtype.api_version} table {include}", encode=encode, bookmark=bookmark)
    return View(name=f"{rtype.api_version} {id(rtype)}", encode=lambda entry: encoded_view(rtype, entry), bookmark=bookmark)


def _bookmark(kind: str, api_version: str) -> Callable[[int, bool], bytes]:
    def make(revision: int, ends_initial: bool) -> bytes:
        metadata: KubeObject = {"resourceVersion": str(revision), "creationTimestamp": None}
        if ends_initial:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        return frame("BOOKMARK", orjson.dumps({"kind": kind, "apiVersion": api_version, "metadata": metadata}))

    return make
