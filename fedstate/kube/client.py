"""The verbs of one API server, on plain dicts. Refusals raise ApiError, missing answers TransportError.

Knows nothing of caches. Does not retry: retries belong to the work queue.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

from fedstate.kube.codec import decode, encode
from fedstate.kube.config import ClusterConfig
from fedstate.kube.decoding import OBJECTS, Decoder, Page
from fedstate.kube.errors import TransportError
from fedstate.kube.objects import KubeObject, name_of, namespace_of
from fedstate.kube.resources import Resource
from fedstate.kube.transport import transport_for
from fedstate.kube.watch import WatchStream
from fedstate.kube.wire import REQUEST_TIMEOUT, Request, Transport

# `list` is a verb inside the class.
_Objects: TypeAlias = list[KubeObject]
T = TypeVar("T")

PAGE_SIZE = 500
WATCH_TIMEOUT = (300.0, 600.0)
WATCH_GRACE = 15.0

APPLY_PATCH = "application/apply-patch+yaml"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"


def product(role: str = "") -> str:
    """What this program calls itself to servers."""
    try:
        number = version("fedstate")
    except PackageNotFoundError:
        number = "unknown"
    return f"fedstate/{number} ({role})" if role else f"fedstate/{number}"


class KubeClient:
    """One API server as one identity. Open it with `async with`, which makes and closes its connections.

    `field_manager` signs every write, unless a call names another.
    """

    def __init__(
        self,
        config: ClusterConfig,
        *,
        user_agent: str = "",
        field_manager: str = "fedstate",
        transport: Transport | None = None,
    ) -> None:
        self.config = config
        self.field_manager = field_manager
        self._transport = transport if transport is not None else transport_for(config, user_agent or product())

    @property
    def server(self) -> str:
        """The address of the API server, for messages and metric labels."""
        return self.config.server

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._transport.close()

    async def get(self, resource: Resource, name: str, namespace: str = "") -> KubeObject:
        return await self.request("GET", resource.path(namespace, name))

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str | None = None,
        resource_version_match: str | None = None,
    ) -> dict[str, Any]:
        """One List object: all of the collection, or a page of `limit`."""
        params = _selectors(label_selector, field_selector) | _paging(limit, continue_token, resource_version)
        if resource_version_match and "resourceVersion" in params:
            params["resourceVersionMatch"] = resource_version_match
        return await self.request("GET", resource.path(namespace), params=params)

    async def page(
        self,
        decoder: Decoder[T],
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
    ) -> Page[T]:
        """As `list`, read by `decoder`."""
        path = resource.path(namespace)
        params = _selectors(label_selector, field_selector) | _paging(limit, continue_token, resource_version)
        answer = await self._transport.send(Request(method="GET", path=path, params=params))
        try:
            return decoder.page(answer, resource)
        except ValueError as error:
            raise TransportError(f"{self.server} answered GET {path} with something that is not a list ({error})") from error

    async def list_all(
        self, resource: Resource, namespace: str = "", *, label_selector: str = "", field_selector: str = ""
    ) -> _Objects:
        """Every object, read in pages of one consistent version."""
        found: _Objects = []
        token = ""
        while True:
            page = await self.list(
                resource,
                namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                limit=PAGE_SIZE,
                continue_token=token,
            )
            found.extend(page.get("items") or ())
            token = (page.get("metadata") or {}).get("continue") or ""
            if not token:
                return found
            await asyncio.sleep(0)

    async def create(
        self, resource: Resource, obj: KubeObject, *, namespace: str | None = None, dry_run: bool = False
    ) -> KubeObject:
        where = namespace_of(obj) if namespace is None else namespace
        return await self.request("POST", resource.path(where), params=self._writing(dry_run=dry_run), body=obj)

    async def replace(self, resource: Resource, obj: KubeObject, *, subresource: str = "") -> KubeObject:
        """PUT. Carries the object's resourceVersion, so a change by anybody else since it was read raises Conflict."""
        path = resource.path(namespace_of(obj), name_of(obj), subresource)
        return await self.request("PUT", path, params=self._writing(), body=obj)

    async def apply(
        self,
        resource: Resource,
        obj: KubeObject,
        *,
        subresource: str = "",
        field_manager: str | None = None,
        force: bool = True,
        dry_run: bool = False,
    ) -> KubeObject:
        """Server-side apply of the whole intent of one field manager; what it applied before and left out now is removed."""
        params = self._writing(field_manager, dry_run=dry_run) | {"force": "true" if force else "false"}
        path = resource.path(namespace_of(obj), name_of(obj), subresource)
        intent = {"apiVersion": resource.api_version, "kind": resource.kind} | obj
        return await self.request("PATCH", path, params=params, body=intent, headers={"Content-Type": APPLY_PATCH})

    async def merge_patch(
        self, resource: Resource, name: str, patch: Mapping[str, Any], *, namespace: str = "", subresource: str = ""
    ) -> KubeObject:
        """JSON merge patch; with `metadata.resourceVersion` in it, Conflict if the object changed since."""
        path = resource.path(namespace, name, subresource)
        return await self.request("PATCH", path, params=self._writing(), body=patch, headers={"Content-Type": MERGE_PATCH})

    async def json_patch(
        self, resource: Resource, name: str, ops: Sequence[Mapping[str, Any]], *, namespace: str = "", subresource: str = ""
    ) -> KubeObject:
        """JSON patch (RFC 6902); a failing `test` operation raises Invalid."""
        path = resource.path(namespace, name, subresource)
        return await self.request("PATCH", path, params=self._writing(), body=list(ops), headers={"Content-Type": JSON_PATCH})

    async def create_subresource(
        self, resource: Resource, name: str, subresource: str, body: KubeObject, *, namespace: str = ""
    ) -> KubeObject:
        """POST to a subresource: a pod's binding or eviction, a service account's token."""
        return await self.request("POST", resource.path(namespace, name, subresource), params=self._writing(), body=body)

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str = "",
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str = "Background",
        grace_period: int | None = None,
    ) -> None:
        """Asks for deletion; Conflict if `uid` or `resource_version` is no longer the object's, NotFound if it is gone."""
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        if any(preconditions.values()):
            options["preconditions"] = {field: value for field, value in preconditions.items() if value}
        if grace_period is not None:
            options["gracePeriodSeconds"] = grace_period
        await self.request("DELETE", resource.path(namespace, name), body=options)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = REQUEST_TIMEOUT,
    ) -> dict[str, Any]:
        """Any request whose answer is a JSON object."""
        sent_headers = dict(headers or {})
        if body is not None:
            sent_headers.setdefault("Content-Type", "application/json")
        answer = await self._transport.send(
            Request(
                method=method,
                path=path,
                params=params or {},
                body=None if body is None else encode(body),
                headers=sent_headers,
                timeout=timeout,
            )
        )
        try:
            decoded = decode(answer)
        except ValueError as error:
            raise TransportError(f"{self.server} answered {method} {path} with something that is not JSON") from error
        if not isinstance(decoded, dict):
            raise TransportError(f"{self.server} answered {method} {path} with something that is not a JSON object")
        return decoded

    async def text(self, path: str, params: Mapping[str, str] | None = None) -> str:
        """The answer to a GET as text: logs, /version, /readyz."""
        answer = await self._transport.send(Request(method="GET", path=path, params=params or {}, headers={"Accept": "*/*"}))
        return answer.decode(errors="replace")

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        timeout: float | None = None,
        send_initial_events: bool = False,
    ) -> AbstractAsyncContextManager[WatchStream[KubeObject]]:
        """`watch_as` of whole objects."""
        return self.watch_as(
            OBJECTS,
            resource,
            namespace,
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
            timeout=timeout,
            send_initial_events=send_initial_events,
        )

    @asynccontextmanager
    async def watch_as(
        self,
        decoder: Decoder[T],
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        timeout: float | None = None,
        send_initial_events: bool = False,
    ) -> AsyncIterator[WatchStream[T]]:
        """Changes after `resource_version`, until the server ends the watch after `timeout` seconds (default: 5 to 10 minutes).

        With `send_initial_events` the collection comes first, closed by a bookmark that `ends_initial_events` knows.
        """
        seconds = random.uniform(*WATCH_TIMEOUT) if timeout is None else timeout
        params = _selectors(label_selector, field_selector)
        params |= {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": str(max(1, round(seconds)))}
        if resource_version:
            params["resourceVersion"] = resource_version
        if send_initial_events:
            params |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        idle = seconds + WATCH_GRACE
        request = Request(method="GET", path=resource.path(namespace), params=params, timeout=idle)
        async with self._transport.stream(request) as body:
            yield WatchStream(body, str(resource), decoder, idle_limit=idle)

    def _writing(self, field_manager: str | None = None, *, dry_run: bool = False) -> dict[str, str]:
        params = {"fieldManager": field_manager or self.field_manager}
        if dry_run:
            params["dryRun"] = "All"
        return params


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    params = {}
    if label_selector:
        params["labelSelector"] = label_selector
    if field_selector:
        params["fieldSelector"] = field_selector
    return params


def _paging(limit: int, continue_token: str, resource_version: str | None) -> dict[str, str]:
    params = {"limit": str(limit)} if limit else {}
    if continue_token:
        # The token carries the version; the server refuses both together.
        return params | {"continue": continue_token}
    return params | {"resourceVersion": resource_version} if resource_version else params
