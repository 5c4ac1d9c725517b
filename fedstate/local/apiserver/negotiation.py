"""In which form an answer is wanted (object, Table, metadata only; JSON or YAML), and making it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import yaml
from aiohttp import web

from fedstate.kube.objects import KubeObject
from fedstate.local.apiserver.errors import StatusError, not_acceptable

Form = Literal["object", "table", "metadata"]
_FORMS: dict[str, Form] = {"Table": "table", "PartialObjectMetadata": "metadata", "PartialObjectMetadataList": "metadata"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """The first form of the Accept header that is spoken here."""

    form: Form = "object"
    yaml: bool = False


def accepted(header: str, *, watch: bool = False) -> Accept:
    """406 if nothing of what the client accepts is spoken here."""
    if not header:
        return Accept()
    for clause in header.split(","):
        media, *rest = (part.strip() for part in clause.split(";"))
        options = dict(part.split("=", 1) for part in rest if "=" in part)
        if media in ("*/*", "application/*"):
            return Accept()
        if media not in ("application/json", "application/yaml"):
            continue
        wanted = options.get("as")
        if wanted and (options.get("g") != "meta.k8s.io" or options.get("v") not in ("v1",)):
            continue
        if wanted and wanted not in _FORMS:
            continue
        form = _FORMS[wanted] if wanted else "object"
        return Accept(form=form, yaml=media == "application/yaml" and not watch)
    raise not_acceptable()


def metadata_only(obj: KubeObject) -> KubeObject:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def respond(body: bytes, *, status: int = 200, warnings: Sequence[str] = (), as_yaml: bool = False) -> web.Response:
    """An answer of encoded JSON."""
    content_type = "application/json"
    if as_yaml:
        body = yaml.safe_dump(orjson.loads(body), sort_keys=False).encode()
        content_type = "application/yaml"
    response = web.Response(body=body, status=status, content_type=content_type)
    for warning in dict.fromkeys(warnings):
        escaped = warning.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        response.headers.add("Warning", f'299 - "{escaped}"')
    return response


def respond_json(value: Any, *, status: int = 200, warnings: Sequence[str] = ()) -> web.Response:
    return respond(orjson.dumps(value), status=status, warnings=warnings)


def respond_error(error: StatusError) -> web.Response:
    response = respond_json(error.body(), status=error.code)
    retry = (error.details or {}).get("retryAfterSeconds")
    if retry:
        response.headers["Retry-After"] = str(retry)
    return response


def encoded_list(kind: str, api_version: str, metadata: dict[str, Any], items: Iterable[bytes]) -> bytes:
    """A List object around items that are encoded already."""
    head = orjson.dumps({"kind": kind, "apiVersion": api_version, "metadata": metadata})
    return head[:-1] + b',"items":[' + b",".join(items) + b"]}"
