"""Every request enters here: who asks, what for, whether they may, which function answers; and errors become Status objects."""

from __future__ import annotations

import logging

from aiohttp import web

from fedstate.local.apiserver import errors
from fedstate.local.apiserver.auth import User, may, may_visit
from fedstate.local.apiserver.core import Core
from fedstate.local.apiserver.negotiation import respond_error
from fedstate.local.apiserver.registry import ResourceType
from fedstate.local.apiserver.requests import Target, parse_path, truthy
from fedstate.local.apiserver.routes import discovery, objects, reviews, subresources, watching
from fedstate.local.apiserver.routes.context import Answer, Call

logger = logging.getLogger(__name__)
MAX_BODY = 3 * 1024 * 1024

_METHODS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_ON_OBJECTS: dict[str, Answer] = {
    "get": objects.get, "update": objects.replace, "patch": objects.patch, "delete": objects.delete,
    "list": objects.list_objects, "create": objects.create, "deletecollection": objects.delete_collection,
    "watch": watching.watch,
}  # fmt: skip


class Dispatcher:
    """The request handler of one API server."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._discovery = discovery.Discovery(core)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer, whatever happens."""
        try:
            return await self._route(request)
        except errors.StatusError as error:
            return respond_error(error)
        except web.HTTPRequestEntityTooLarge:
            return respond_error(errors.too_large(MAX_BODY))
        except Exception as error:
            logger.exception("request failed", extra={"method": request.method, "path": request.path})
            return respond_error(errors.internal(f"{type(error).__name__} while answering; see the log of the API server"))

    async def _route(self, request: web.Request) -> web.StreamResponse:
        user = self._core.authenticator.user_of_request(request.headers.get("Authorization"))
        target = parse_path(request.rel_url.raw_path)
        if target is None:
            return self._elsewhere(request, user)
        verb = _verb(request, target)
        rtype = self._core.registry.find(target.group, target.version, target.plural)
        _authorize(user, verb, target)
        review = reviews.find(target)
        if review is not None:
            if request.method != "POST":
                raise errors.method_not_allowed()
            return await review(self._core, request, user)
        if rtype is None:
            return self._unknown(target)
        if target.namespace and not rtype.namespaced:
            raise errors.no_such_resource()
        call = Call(core=self._core, request=request, user=user, target=target, rtype=rtype)
        if rtype.deprecation:
            call.warnings.append(rtype.deprecation)
        return await _answer_for(call, verb)(call)

    def _elsewhere(self, request: web.Request, user: User) -> web.StreamResponse:
        if not may_visit(user.all_groups, request.path):
            why = f'User "{user.name}" cannot get path "{request.path}"'
            raise errors.StatusError(403, "Forbidden", f"forbidden: {why}", {})
        return self._discovery.answer(request)

    def _unknown(self, target: Target) -> web.StreamResponse:
        if target.version in self._core.registry.versions(target.group):
            raise errors.no_such_resource()
        return web.Response(status=404, text="404 page not found\n")


def _verb(request: web.Request, target: Target) -> str:
    verb = _METHODS.get(request.method)
    if verb is None:
        raise errors.method_not_allowed()
    if verb == "get" and truthy(request.query.get("watch")) and not target.subresource:
        return "watch"
    if not target.name:
        return {"get": "list", "delete": "deletecollection"}.get(verb, verb)
    return verb


def _authorize(user: User, verb: str, target: Target) -> None:
    resource = f"{target.plural}/{target.subresource}" if target.subresource else target.plural
    if may(user.all_groups, verb, resource, target.group):
        return
    where = f'in the namespace "{target.namespace}"' if target.namespace else "at the cluster scope"
    why = f'User "{user.name}" cannot {verb} resource "{resource}" in API group "{target.group}" {where}'
    raise errors.forbidden(target.group, target.plural, target.name, why)


def _answer_for(call: Call, verb: str) -> Answer:
    rtype: ResourceType = call.rtype
    subresource = call.target.subresource
    if subresource == "status" and rtype.has_status:
        if verb not in ("get", "update", "patch"):
            raise errors.method_not_allowed()
        return _ON_OBJECTS[verb]
    if subresource:
        return subresources.find(call, verb)
    if verb in ("list", "create", "deletecollection") and rtype.namespaced and not call.namespace and verb != "list":
        raise errors.method_not_allowed()
    if verb in ("update", "patch") and not call.target.name or verb == "create" and call.target.name:
        raise errors.method_not_allowed()
    if verb not in rtype.verbs:
        raise errors.method_not_allowed()
    return _ON_OBJECTS[verb]
