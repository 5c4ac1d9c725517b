"""Paths that are no resource: which kinds there are, their OpenAPI, the server's version and health."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from aiohttp import web

from fedstate.kube.objects import KubeObject
from fedstate.local.apiserver.core import Core
from fedstate.local.apiserver.errors import internal, not_acceptable
from fedstate.local.apiserver.negotiation import respond_json
from fedstate.local.apiserver.objects import openapi
from fedstate.local.apiserver.registry import ResourceType, version_priority
from fedstate.local.apiserver.routes import reviews

VERSION = {
    "major": "1", "minor": "37", "gitVersion": "v1.37.0+fedstate", "gitCommit": "", "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "fedstate/embedded",
}  # fmt: skip
_HEALTH = ("/healthz", "/livez", "/readyz")
_SUBRESOURCES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "status": ("", ("get", "patch", "update"), ""),
    "scale": ("Scale", ("get", "patch", "update"), "autoscaling/v1"),
    "binding": ("Binding", ("create",), ""),
    "eviction": ("Eviction", ("create",), "policy/v1"),
    "log": ("Pod", ("get",), ""),
    "finalize": ("Namespace", ("update",), ""),
}


class Discovery:
    """Answers from the registry; what is costly to make is kept until the registry changes."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._epoch = -1
        self._kept: dict[str, Any] = {}

    def answer(self, request: web.Request) -> web.Response:
        path = request.path.rstrip("/") or "/"
        if path.split("/")[1] in ("healthz", "livez", "readyz"):
            return self._health(request)
        if path == "/version":
            return respond_json(VERSION)
        if path == "/":
            return respond_json({"paths": sorted([*self._paths(), *_HEALTH, "/openapi/v2", "/openapi/v3", "/version"])})
        if path.startswith("/openapi/"):
            return self._openapi(request, path)
        parts = path.strip("/").split("/")
        if parts[0] in ("api", "apis"):
            found = self._groups(request, parts)
            if found is not None:
                return found
        return web.Response(status=404, text="404 page not found\n")

    def _health(self, request: web.Request) -> web.Response:
        failure = self._core.store.failure
        if failure is not None:
            return respond_json(internal(f"storage: {failure}").body(), status=500)
        if "verbose" in request.query:
            return web.Response(text=f"[+]ping ok\n[+]storage ok\n{request.path.strip('/')} check passed\n")
        return web.Response(text="ok")

    def _versions(self) -> dict[str, list[str]]:
        """Versions of every group, preferred first; the core group is ""."""
        registry = self._core.registry
        found = {group: registry.versions(group) for group in registry.groups()}
        for group, version in reviews.groups().items():
            found.setdefault(group, [version])
        return found

    def _paths(self) -> list[str]:
        groups = self._versions()
        listed = ["/api", "/apis"]
        for group, versions in groups.items():
            base = f"/apis/{group}" if group else "/api"
            listed += [base, *(f"{base}/{version}" for version in versions)]
        return list(dict.fromkeys(listed))

    def _groups(self, request: web.Request, parts: list[str]) -> web.Response | None:
        groups = self._versions()
        aggregated = "APIGroupDiscoveryList" in request.headers.get("Accept", "")
        match parts:
            case ["api"] if aggregated:
                return self._aggregated({"": groups[""]})
            case ["apis"] if aggregated:
                return self._aggregated({g: v for g, v in groups.items() if g})
            case ["api"]:
                return respond_json({"kind": "APIVersions", "versions": groups[""], "serverAddressByClientCIDRs": []})
            case ["apis"]:
                listed = [_group(group, versions) for group, versions in groups.items() if group]
                return respond_json({"kind": "APIGroupList", "apiVersion": "v1", "groups": listed})
            case ["apis", group] if group in groups:
                return respond_json({"kind": "APIGroup", "apiVersion": "v1", **_group(group, groups[group])})
            case ["api", version] if version in groups[""]:
                return respond_json(self._resources("", version))
            case ["apis", group, version] if version in groups.get(group, ()):
                return respond_json(self._resources(group, version))
        return None

    def _resources(self, group: str, version: str) -> KubeObject:
        listed: list[dict[str, Any]] = []
        for rtype in self._core.registry.of_version(group, version):
            listed.append(_api_resource(rtype))
            for name in _subresources(rtype):
                kind, verbs, api = _SUBRESOURCES[name]
                item = {"name": f"{rtype.plural}/{name}", "singularName": "", "namespaced": rtype.namespaced}
                if api:
                    item["group"], item["version"] = api.split("/")
                listed.append({**item, "kind": kind or rtype.kind, "verbs": list(verbs)})
        for plural, kind in reviews.resources(group, version):
            listed.append({"name": plural, "singularName": kind.lower(), "namespaced": False, "kind": kind, "verbs": ["create"]})
        name = f"{group}/{version}" if group else version
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": listed}

    def _aggregated(self, groups: dict[str, list[str]]) -> web.Response:
        items = [self._aggregated_group(group, versions) for group, versions in groups.items()]
        value = {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}
        response = web.Response(body=orjson.dumps(value))
        response.headers["Content-Type"] = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        return response

    def _aggregated_group(self, group: str, versions: list[str]) -> KubeObject:
        listed = []
        for version in versions:
            resources = [_aggregated_resource(rtype) for rtype in self._core.registry.of_version(group, version)]
            for plural, kind in reviews.resources(group, version):
                shown = {"resource": plural, "responseKind": _kind("", "", kind), "scope": "Cluster"}
                resources.append({**shown, "singularResource": kind.lower(), "verbs": ["create"]})
            listed.append({"version": version, "resources": resources, "freshness": "Current"})
        return {"metadata": {"name": group} if group else {}, "versions": listed}

    def _openapi(self, request: web.Request, path: str) -> web.Response:
        if self._epoch != self._core.registry.epoch:
            self._epoch, self._kept = self._core.registry.epoch, {}
        accept = request.headers.get("Accept", "")
        if path == "/openapi/v2" and accept and "json" not in accept and "*/*" not in accept:
            raise not_acceptable()
        if path not in self._kept:
            self._kept[path] = self._openapi_body(path)
        body = self._kept[path]
        if body is None:
            return web.Response(status=404, text="404 page not found\n")
        etag = f'"{_digest(body)}"'
        headers = {"ETag": etag, "Vary": "Accept"}
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers=headers)
        return web.Response(body=body, content_type="application/json", headers=headers)

    def _openapi_body(self, path: str) -> bytes | None:
        crds = [e.obj for _, e in self._core.store.collection("apiextensions.k8s.io/customresourcedefinitions").entries()]
        if path == "/openapi/v2":
            return orjson.dumps(openapi.swagger(crds))
        keys = {}
        for group, versions in self._versions().items():
            for version in versions:
                keys[f"apis/{group}/{version}" if group else f"api/{version}"] = f"{group}/{version}" if group else version
        if path == "/openapi/v3":
            # Clients keep a document for ever under its digest.
            tags = {key: _digest(orjson.dumps(openapi.document(name, crds))) for key, name in keys.items()}
            return orjson.dumps(openapi.index(keys, tags))
        name = keys.get(path.removeprefix("/openapi/v3/"))
        return orjson.dumps(openapi.document(name, crds)) if name is not None else None


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest().upper()


def _group(group: str, versions: list[str]) -> KubeObject:
    listed = [{"groupVersion": f"{group}/{version}", "version": version} for version in sorted(versions, key=version_priority)]
    return {"name": group, "versions": listed, "preferredVersion": listed[0]}


def _subresources(rtype: ResourceType) -> list[str]:
    named = [*rtype.subresources, *(["status"] if rtype.has_status else []), *(["scale"] if rtype.scale else [])]
    return sorted(named)


def _named(rtype: ResourceType) -> KubeObject:
    """The optional names, which are left out where there are none."""
    found: KubeObject = {}
    if rtype.short_names:
        found["shortNames"] = list(rtype.short_names)
    if rtype.categories:
        found["categories"] = list(rtype.categories)
    return found


def _api_resource(rtype: ResourceType) -> KubeObject:
    item = {"name": rtype.plural, "singularName": rtype.singular, "namespaced": rtype.namespaced, "kind": rtype.kind}
    return {**item, "verbs": list(rtype.verbs), **_named(rtype)}


def _kind(group: str, version: str, kind: str) -> dict[str, str]:
    return {"group": group, "version": version, "kind": kind}


def _aggregated_resource(rtype: ResourceType) -> KubeObject:
    own = _kind(rtype.group, rtype.version, rtype.kind) if rtype.custom else _kind("", "", rtype.kind)
    shown = {
        "resource": rtype.plural, "responseKind": own, "scope": "Namespaced" if rtype.namespaced else "Cluster",
        "singularResource": rtype.singular, "verbs": list(rtype.verbs), **_named(rtype),
    }  # fmt: skip
    below = []
    for name in _subresources(rtype):
        kind, verbs, api = _SUBRESOURCES[name]
        group, _, version = api.partition("/")
        answers = _kind(group, version, kind) if kind else own
        below.append({"subresource": name, "responseKind": answers, "verbs": list(verbs)})
    return {**shown, "subresources": below} if below else shown
