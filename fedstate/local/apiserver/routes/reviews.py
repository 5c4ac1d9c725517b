"""Reviews: questions about users that are asked by creating an object which is never stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from fedstate.kube.objects import format_time
from fedstate.local.apiserver.auth import MASTERS, User, may, may_visit
from fedstate.local.apiserver.core import Core
from fedstate.local.apiserver.errors import bad_request
from fedstate.local.apiserver.negotiation import respond_json
from fedstate.local.apiserver.requests import Target, decode

Review = Callable[[Core, web.Request, User], Awaitable[web.Response]]


def find(target: Target) -> Review | None:
    """What answers a review; None if the target is none."""
    return _REVIEWS.get((target.group, target.version, target.plural)) if not target.name else None


async def _body(request: web.Request) -> dict[str, Any]:
    value = decode(await request.read(), request.headers.get("Content-Type", ""))
    if not isinstance(value, dict):
        raise bad_request("the object provided is unrecognized: it is no JSON object")
    value.setdefault("metadata", {})
    return value


def _answer(body: dict[str, Any], kind: str, api: str, status: dict[str, Any]) -> web.Response:
    result = {"kind": kind, "apiVersion": api, "metadata": {}}
    if "spec" in body:
        result["spec"] = body["spec"]
    return respond_json({**result, "status": status}, status=201)


async def _self_subject(core: Core, request: web.Request, user: User) -> web.Response:
    await _body(request)
    metadata = {"creationTimestamp": format_time(core.clock())}
    answer = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1", "metadata": metadata}
    return respond_json({**answer, "status": {"userInfo": user.info()}}, status=201)


async def _token(core: Core, request: web.Request, user: User) -> web.Response:
    body = await _body(request)
    found = core.authenticator.user_of_token(str((body.get("spec") or {}).get("token") or ""))
    if found is None:
        status: dict[str, Any] = {"user": {}, "error": "invalid bearer token"}
    else:
        status = {"authenticated": True, "user": found.info(), "audiences": ["https://kubernetes.default.svc"]}
    return _answer(body, "TokenReview", "authentication.k8s.io/v1", status)


def _verdict(groups: tuple[str, ...], spec: dict[str, Any]) -> dict[str, Any]:
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource:
        named = "/".join(filter(None, (resource.get("resource", ""), resource.get("subresource", ""))))
        allowed = may(groups, resource.get("verb", ""), named, resource.get("group", ""))
    elif other:
        allowed = may_visit(groups, other.get("path", "")) and (other.get("verb") == "get" or MASTERS in groups)
    else:
        raise bad_request("spec: exactly one of nonResourceAttributes or resourceAttributes must be specified")
    return {"allowed": allowed}


async def _self_access(core: Core, request: web.Request, user: User) -> web.Response:
    body = await _body(request)
    status = _verdict(user.all_groups, body.get("spec") or {})
    return _answer(body, "SelfSubjectAccessReview", "authorization.k8s.io/v1", status)


async def _access(core: Core, request: web.Request, user: User) -> web.Response:
    body = await _body(request)
    spec = body.get("spec") or {}
    status = _verdict(tuple(spec.get("groups") or ()), spec)
    return _answer(body, "SubjectAccessReview", "authorization.k8s.io/v1", status)


async def _self_rules(core: Core, request: web.Request, user: User) -> web.Response:
    body = await _body(request)
    everything = MASTERS in user.all_groups
    rules = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}] if everything else []
    status = {
        "resourceRules": rules,
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}] if everything else [],
        "incomplete": False,
    }
    return _answer(body, "SelfSubjectRulesReview", "authorization.k8s.io/v1", status)


_REVIEWS: dict[tuple[str, str, str], Review] = {
    ("authentication.k8s.io", "v1", "selfsubjectreviews"): _self_subject,
    ("authentication.k8s.io", "v1", "tokenreviews"): _token,
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews"): _self_access,
    ("authorization.k8s.io", "v1", "subjectaccessreviews"): _access,
    ("authorization.k8s.io", "v1", "selfsubjectrulesreviews"): _self_rules,
}
KINDS = {
    "selfsubjectreviews": "SelfSubjectReview", "tokenreviews": "TokenReview", "selfsubjectaccessreviews": "SelfSubjectAccessReview",
    "subjectaccessreviews": "SubjectAccessReview", "selfsubjectrulesreviews": "SelfSubjectRulesReview",
}  # fmt: skip


def resources(group: str, version: str) -> list[tuple[str, str]]:
    """Plural and kind of the reviews of a group version, for discovery."""
    return sorted((plural, KINDS[plural]) for g, v, plural in _REVIEWS if (g, v) == (group, version))


def groups() -> dict[str, str]:
    """Group and version of every review."""
    return {group: version for group, version, _ in _REVIEWS}
