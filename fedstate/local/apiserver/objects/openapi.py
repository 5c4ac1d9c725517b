"""OpenAPI documents of the API: enough for kubectl explain, apply, create and server-side validation. Knows no HTTP.

Paths carry only what clients look for in them: the kind of an operation and the query parameters it takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from fedstate.kube.resources import Resource
from fedstate.local.apiserver.objects.builtin_schemas import builtin_kind, builtin_kinds
from fedstate.local.apiserver.objects.definitions import META, definitions, reference
from fedstate.local.apiserver.objects.nodes import Obj

_OBJECT_META = f"{META}.ObjectMeta"
_LIST_META = f"{META}.ListMeta"
_INFO: Obj = {"title": "Kubernetes", "version": "v1.37.0"}
_VERBS = {
    "get": ("pretty",),
    "post": ("dryRun", "fieldManager", "fieldValidation"),
    "put": ("dryRun", "fieldManager", "fieldValidation"),
    "patch": ("dryRun", "fieldManager", "fieldValidation", "force"),
    "delete": ("dryRun", "gracePeriodSeconds", "propagationPolicy"),
}
_COLLECTION, _OBJECT = ("get", "post", "delete"), ("get", "put", "patch", "delete")
_PATCH_TYPES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)


def index(group_versions: Iterable[str], etags: Mapping[str, str] | None = None) -> Obj:
    """The body of GET /openapi/v3, for keys such as `api/v1` and `apis/apps/v1`; `etags` make the documents cacheable for ever."""
    hashes = etags or {}
    paths = {
        key: {"serverRelativeURL": f"/openapi/v3/{key}" + (f"?hash={hashes[key]}" if key in hashes else "")}
        for key in sorted(group_versions)
    }
    return {"paths": paths}


def document(group_version: str, crds: Iterable[Obj] = ()) -> Obj:
    """The OpenAPI v3 document of `v1`, `apps/v1` and so on: its built-in kinds, and the served versions of `crds` in it."""
    schemas: dict[str, Obj] = {}
    paths: dict[str, Obj] = {}
    for resource, name, schema, subresources in (*_builtin(group_version), *_custom(group_version, crds)):
        schemas |= {name: schema, f"{name}List": _list_schema(resource, name)}
        paths |= _paths(resource, name, subresources)
    return {"openapi": "3.0.0", "info": _INFO, "paths": paths, "components": {"schemas": _with_referred(schemas)}}


def swagger(crds: Iterable[Obj] = ()) -> Obj:
    """The OpenAPI v2 document of everything, for clients that know no v3."""
    known = tuple(crds)
    versions = {kind.resource.api_version for kind in builtin_kinds()}
    versions |= {f"{crd['spec']['group']}/{version['name']}" for crd in known for version in crd["spec"]["versions"]}
    found: dict[str, Any] = {}
    for version in sorted(versions):
        found |= document(version, known)["components"]["schemas"]
    return {"swagger": "2.0", "info": _INFO, "paths": {}, "definitions": {name: _as_v2(schema) for name, schema in found.items()}}


_Described = tuple[Resource, str, Obj, tuple[str, ...]]


def _builtin(group_version: str) -> Iterator[_Described]:
    known = definitions()
    for kind in builtin_kinds():
        if kind.resource.api_version == group_version:
            name = known.kinds[group_version, kind.resource.kind]
            yield kind.resource, name, known.schemas[name], kind.subresources


def _custom(group_version: str, crds: Iterable[Obj]) -> Iterator[_Described]:
    for crd in crds:
        spec = crd["spec"]
        for version in spec["versions"]:
            if not version.get("served") or f"{spec['group']}/{version['name']}" != group_version:
                continue
            names = spec["names"]
            resource = Resource(spec["group"], version["name"], names["plural"], names["kind"], spec["scope"] == "Namespaced")
            name = ".".join([*reversed(spec["group"].split(".")), version["name"], names["kind"]])
            yield resource, name, _custom_schema(resource, version), tuple(version.get("subresources") or ())


def _custom_schema(resource: Resource, version: Obj) -> Obj:
    given = (version.get("schema") or {}).get("openAPIV3Schema") or {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
    }
    properties = {
        **(given.get("properties") or {}),
        "apiVersion": {"type": "string", "description": "Group and version that the object is written in."},
        "kind": {"type": "string", "description": "What the object is."},
        "metadata": {"allOf": [reference(_OBJECT_META)], "description": "Name, labels and the like."},
    }
    return {**given, "properties": properties, "x-kubernetes-group-version-kind": [_kind_of(resource)]}


def _kind_of(resource: Resource, kind: str = "") -> Obj:
    return {"group": resource.group, "kind": kind or resource.kind, "version": resource.version}


def _list_schema(resource: Resource, name: str) -> Obj:
    return {
        "description": f"A list of {resource.kind} objects.",
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Group and version that the list is written in."},
            "items": {"type": "array", "items": reference(name), "description": "The objects."},
            "kind": {"type": "string", "description": "What the list is of."},
            "metadata": {"allOf": [reference(_LIST_META)], "description": "Version and continuation of the list."},
        },
        "x-kubernetes-group-version-kind": [_kind_of(resource, f"{resource.kind}List")],
    }


def _paths(resource: Resource, name: str, subresources: tuple[str, ...]) -> dict[str, Obj]:
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    collection = f"{root}/namespaces/{{namespace}}/{resource.plural}" if resource.namespaced else f"{root}/{resource.plural}"
    paths = {
        collection: _operations(resource, name, _COLLECTION),
        f"{collection}/{{name}}": _operations(resource, name, _OBJECT),
    }
    if resource.namespaced:
        paths[f"{root}/{resource.plural}"] = _operations(resource, f"{name}List", ("get",))
    if "status" in subresources:
        paths[f"{collection}/{{name}}/status"] = _operations(resource, name, ("get", "put", "patch"))
    return paths


def _operations(resource: Resource, name: str, verbs: tuple[str, ...]) -> Obj:
    return {verb: _operation(resource, name, verb) for verb in verbs}


def _operation(resource: Resource, name: str, verb: str) -> Obj:
    operation: Obj = {
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference(name)}}}},
        "parameters": [_parameter(parameter) for parameter in _VERBS[verb]],
        "x-kubernetes-action": verb,
        "x-kubernetes-group-version-kind": _kind_of(resource),
    }
    if verb in ("post", "put"):
        operation["requestBody"] = {"content": {"application/json": {"schema": reference(name)}}, "required": True}
    elif verb == "patch":
        # kubectl sends a strategic merge patch wherever it is offered, and custom resources have none.
        offered = _PATCH_TYPES if builtin_kind(resource.api_version, resource.kind) is not None else _PATCH_TYPES[:-1]
        operation["requestBody"] = {"content": {kind: {"schema": {"type": "object"}} for kind in offered}, "required": True}
    return operation


@cache
def _parameter(name: str) -> Obj:
    kind = {"force": "boolean", "gracePeriodSeconds": "integer"}.get(name, "string")
    return {"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": True}}


def _with_referred(schemas: dict[str, Obj]) -> dict[str, Obj]:
    """`schemas` and everything they refer to."""
    known = definitions().schemas
    found = dict(schemas)
    waiting = list(schemas.values())
    while waiting:
        for name in _references(waiting.pop()):
            if name not in found:
                found[name] = known[name]
                waiting.append(known[name])
    return dict(sorted(found.items()))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        target = value.get("$ref")
        if isinstance(target, str):
            yield target.rpartition("/")[2]
        for member in value.values():
            yield from _references(member)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _as_v2(value: Any) -> Any:
    if isinstance(value, dict):
        alone = value.get("allOf")
        if isinstance(alone, list) and len(alone) == 1 and "$ref" in alone[0]:
            rest = {key: _as_v2(member) for key, member in value.items() if key != "allOf"}
            return {**rest, "$ref": alone[0]["$ref"].replace("#/components/schemas/", "#/definitions/")}
        return {
            key: member.replace("#/components/schemas/", "#/definitions/")
            if key == "$ref" and isinstance(member, str)
            else _as_v2(member)
            for key, member in value.items()
            if key not in ("oneOf", "anyOf", "not")
        }
    return [_as_v2(item) for item in value] if isinstance(value, list) else value
