"""How to read a whole collection without going back in time and without loading the server: client-go's relist policy.

Knows no store; remembers only what the server's answers said about versions and pages.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedstate.kube.client import PAGE_SIZE, KubeClient
from fedstate.kube.errors import ApiError, Expired
from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import Resource

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which objects: all of a resource, or a part."""

    resource: Resource
    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The objects of a collection, not older than `resource_version`."""

    objects: list[KubeObject]
    resource_version: str


class Lister:
    """Reads a collection at the version known last, or at any the server has at hand, or, when those are gone, at the newest."""

    def __init__(self, client: KubeClient, selection: Selection) -> None:
        self._client = client
        self._selection = selection
        self._paginated = False
        self.version_unavailable = False

    def start_version(self, last: str) -> str:
        """What to ask for: nothing older than `last`; anything, the first time; the newest after a version was unavailable."""
        return "" if self.version_unavailable else last or "0"

    async def read(self, last: str) -> Listed:
        try:
            listed = await self._pages(self.start_version(last))
        except ApiError as error:
            if not version_is_unavailable(error):
                raise
            # The servers behind one address differ in what they remember: a read through etcd always answers.
            self.version_unavailable = True
            listed = await self._pages("")
        self.version_unavailable = False
        return listed

    async def _pages(self, version: str) -> Listed:
        # A limit at an exact version makes the server read etcd instead of its cache. Where even version 0 came in pages,
        # there is no cache, and pages are right.
        paged = version in ("", "0") or self._paginated
        page = await self._page(limit=PAGE_SIZE if paged else 0, resource_version=version)
        token = _continue(page)
        if token and version == "0":
            self._paginated = True
        objects = self._items(page)
        while token:
            await asyncio.sleep(0)
            try:
                page = await self._page(limit=PAGE_SIZE, continue_token=token)
            except Expired:
                # Reading took longer than the server remembers one version: all at once, then.
                page = await self._page(resource_version=version)
                objects = []
            objects += self._items(page)
            token = _continue(page)
        return Listed(objects=objects, resource_version=str((page.get("metadata") or {}).get("resourceVersion") or ""))

    async def _page(self, *, limit: int = 0, continue_token: str = "", resource_version: str = "") -> dict[str, Any]:
        chosen = self._selection
        return await self._client.list(
            chosen.resource,
            chosen.namespace,
            label_selector=chosen.label_selector,
            field_selector=chosen.field_selector,
            limit=limit,
            continue_token=continue_token,
            resource_version=resource_version,
        )

    def _items(self, page: Mapping[str, Any]) -> list[KubeObject]:
        # The items of a list of a built-in kind come without their kind.
        kind = {"apiVersion": self._selection.resource.api_version, "kind": self._selection.resource.kind}
        return [kind | item for item in page.get("items") or ()]


def version_is_unavailable(error: ApiError) -> bool:
    """Whether the server has forgotten, or not yet seen, the resource version asked for."""
    return isinstance(error, Expired) or error.resource_version_too_large


def _continue(page: Mapping[str, Any]) -> str:
    return str((page.get("metadata") or {}).get("continue") or "")
