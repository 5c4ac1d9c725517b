"""A Store with its Reflector, and the set of all that a process keeps on one API server.

Knows nothing of queues: whoever is interested adds listeners to the stores.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Generic, NoReturn, TypeVar

from fedstate.errors import FedstateError
from fedstate.kube.client import KubeClient
from fedstate.kube.decoding import OBJECTS, Decoder
from fedstate.kube.listing import Selection
from fedstate.kube.objects import KubeObject
from fedstate.kube.recordkinds import RecordKind
from fedstate.kube.records import Record
from fedstate.kube.reflector import Reflector, Transform
from fedstate.kube.resources import Resource
from fedstate.kube.store import Cache, Store

T = TypeVar("T")
R = TypeVar("R", bound=Record)

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


class CacheSyncTimeout(FedstateError):
    """A cache was not filled in time; the message says which and why."""


def without_bookkeeping(obj: KubeObject) -> KubeObject:
    """The object without what only servers and kubectl read, which is half of it."""
    metadata = obj["metadata"]
    metadata.pop("managedFields", None)
    annotations = metadata.get("annotations")
    if annotations and LAST_APPLIED in annotations:
        del annotations[LAST_APPLIED]
        if not annotations:
            del metadata["annotations"]
    return obj


class CacheInformer(Generic[T]):
    """A cache of (a part of) one resource. `synced` is set once, after the first fill and its listeners."""

    store: Cache[T]

    def __init__(
        self, client: KubeClient, selection: Selection, decoder: Decoder[T], store: Cache[T], transform: Transform[T]
    ) -> None:
        self.resource = selection.resource
        self.store = store
        self.synced = asyncio.Event()
        self._reflector = Reflector(client, selection, store, decoder, transform=transform, on_filled=self.synced.set)

    @property
    def last_error(self) -> FedstateError | None:
        """Why the cache is not being filled or kept, if it is not."""
        return self._reflector.last_error

    @property
    def following(self) -> bool:
        """Whether the server's changes arrive: false until they do, and after a watch broke until the next one is open."""
        return self._reflector.following

    async def run(self) -> NoReturn:
        await self._reflector.run()


class Informer(CacheInformer[KubeObject]):
    """An informer of whole objects."""

    store: Store

    def __init__(
        self,
        client: KubeClient,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        transform: Transform[KubeObject] = without_bookkeeping,
    ) -> None:
        selection = Selection(
            resource=resource, namespace=namespace, label_selector=label_selector, field_selector=field_selector
        )
        super().__init__(client, selection, OBJECTS, Store(str(resource)), transform)


class RecordInformer(CacheInformer[R]):
    """An informer of records: for the kinds of which a cluster has very many."""

    def __init__(self, client: KubeClient, kind: RecordKind[Any, R], namespace: str = "", *, field_selector: str = "") -> None:
        selection = Selection(resource=kind.resource, namespace=namespace, field_selector=field_selector)
        super().__init__(client, selection, kind, Cache(str(kind.resource), kind), _as_it_is)


def _as_it_is(item: T) -> T:
    return item


class InformerSet:
    """One informer per (resource, namespace, selectors), whoever asks first making it. `run` keeps them all."""

    def __init__(self, client: KubeClient) -> None:
        self.client = client
        self._informers: dict[Selection, Informer] = {}
        self._records: dict[tuple[RecordKind[Any, Any], str, str], RecordInformer[Any]] = {}
        self._group: asyncio.TaskGroup | None = None

    def __iter__(self) -> Iterator[CacheInformer[Any]]:
        return iter((*self._informers.values(), *self._records.values()))

    def informer(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        transform: Transform[KubeObject] = without_bookkeeping,
    ) -> Informer:
        """The informer of this selection; one made while the set runs starts at once."""
        selection = Selection(
            resource=resource, namespace=namespace, label_selector=label_selector, field_selector=field_selector
        )
        informer = self._informers.get(selection)
        if informer is None:
            informer = Informer(
                self.client,
                resource,
                namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                transform=transform,
            )
            self._informers[selection] = informer
            if self._group is not None:
                self._start(informer)
        return informer

    def records(self, kind: RecordKind[Any, R], namespace: str = "", *, field_selector: str = "") -> RecordInformer[R]:
        """The informer of records of this kind; one made while the set runs starts at once."""
        made = self._records.get((kind, namespace, field_selector))
        if made is None:
            made = RecordInformer(self.client, kind, namespace, field_selector=field_selector)
            self._records[(kind, namespace, field_selector)] = made
            if self._group is not None:
                self._start(made)
        return made

    @property
    def synced(self) -> bool:
        return all(informer.synced.is_set() for informer in self)

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for informer in self:
                self._start(informer)
            try:
                await asyncio.Event().wait()
            finally:
                self._group = None

    async def wait_synced(self, timeout: float = 120.0) -> None:
        """Returns when every cache has been filled; CacheSyncTimeout, naming those that were not, after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                for informer in self:
                    await informer.synced.wait()
        except TimeoutError as error:
            waiting = [f"{one.resource}: {one.last_error or 'no answer yet'}" for one in self if not one.synced.is_set()]
            raise CacheSyncTimeout(f"not read from {self.client.server} within {timeout:.0f} s: {'; '.join(waiting)}") from error

    def _start(self, informer: CacheInformer[Any]) -> None:
        assert self._group is not None
        self._group.create_task(informer.run(), name=f"informer {informer.resource}")
