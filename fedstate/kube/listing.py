"""How to read a whole collection without going back in time and without loading the server: client-go's relist policy.

Knows no store; remembers only what the server's answers said about versions and pages.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from fedstate.kube.client import PAGE_SIZE, KubeClient
from fedstate.kube.decoding import Decoder, Page
from fedstate.kube.errors import ApiError, Expired
from fedstate.kube.objects import Key
from fedstate.kube.resources import Resource

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which objects: all of a resource, or a part."""

    resource: Resource
    namespace: str = ""
    label_selector: str = ""
    field_selector: str = ""


class Lister(Generic[T]):
    """Reads a collection at the version known last, or at any the server has at hand, or, when those are gone, at the newest.

    A collection that no single answer should hold is read in pages always, and so at the newest version always.
    """

    def __init__(
        self, client: KubeClient, selection: Selection, decoder: Decoder[T], *, transform: Callable[[T], T] = lambda item: item
    ) -> None:
        self._client = client
        self._selection = selection
        self._decoder = decoder
        self._transform = transform
        self._paginated = False
        self.version_unavailable = False

    def start_version(self, last: str) -> str:
        """What to ask for: nothing older than `last`; anything, the first time; the newest after a version was unavailable."""
        return "" if self.version_unavailable or not self._decoder.whole else last or "0"

    async def read(self, last: str, found: dict[Key, T]) -> str:
        """Puts the collection into `found`, which is emptied where reading had to begin anew. Gives its version."""
        try:
            version = await self._pages(self.start_version(last), found)
        except ApiError as error:
            if not version_is_unavailable(error):
                raise
            # The servers behind one address differ in what they remember: a read through etcd always answers.
            self.version_unavailable = True
            version = await self._pages("", found)
        self.version_unavailable = False
        return version

    async def _pages(self, version: str, found: dict[Key, T]) -> str:
        # A limit at an exact version makes the server read etcd instead of its cache. Where even version 0 came in pages,
        # there is no cache, and pages are right.
        paged = version in ("", "0") or self._paginated
        found.clear()
        page = await self._page(limit=PAGE_SIZE if paged else 0, resource_version=version)
        if page.continue_token and version == "0":
            self._paginated = True
        self._take(page, found)
        while page.continue_token:
            await asyncio.sleep(0)
            try:
                page = await self._page(limit=PAGE_SIZE, continue_token=page.continue_token)
            except Expired:
                # Reading took longer than the server remembers one version: all at once, then.
                page = await self._page(resource_version=version)
                found.clear()
            self._take(page, found)
        return page.resource_version

    def _take(self, page: Page[T], found: dict[Key, T]) -> None:
        key = self._decoder.key
        found.update((key(item), item) for item in map(self._transform, page.items))

    async def _page(self, *, limit: int = 0, continue_token: str = "", resource_version: str = "") -> Page[T]:
        chosen = self._selection
        return await self._client.page(
            self._decoder,
            chosen.resource,
            chosen.namespace,
            label_selector=chosen.label_selector,
            field_selector=chosen.field_selector,
            limit=limit,
            continue_token=continue_token,
            resource_version=resource_version,
        )


def version_is_unavailable(error: ApiError) -> bool:
    """Whether the server has forgotten, or not yet seen, the resource version asked for."""
    return isinstance(error, Expired) or error.resource_version_too_large
