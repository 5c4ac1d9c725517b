"""An indexed cache of one collection, written by its reflector only. Objects in it are shared and read-only.

Everything is synchronous: listeners run after the store has changed and before anything else does.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeAlias, TypeVar

from fedstate.kube.decoding import OBJECTS, Decoder
from fedstate.kube.metrics import LISTENER_ERRORS
from fedstate.kube.objects import Key, KubeObject

_log = logging.getLogger(__name__)

T = TypeVar("T")
Listener: TypeAlias = Callable[[T | None, T | None], None]
IndexFunction: TypeAlias = Callable[[T], Iterable[str]]
_Objects: TypeAlias = list[T]

# Keys that are looked at, or told of, before others on the loop get their turn.
STEP = 256


class Cache(Generic[T]):
    """What the server last said about a collection.

    A listener gets (old, new): (None, obj) for an object that appeared, (obj, obj) for a change, (obj, None) for one that is gone,
    with its last known state. It sees the store as of its event or later, never earlier.
    """

    def __init__(self, name: str, decoder: Decoder[T]) -> None:
        self.name = name
        self.resource_version = ""
        self.key = decoder.key
        self.version = decoder.version
        self._objects: dict[Key, T] = {}
        self._index_functions: dict[str, IndexFunction[T]] = {}
        # Dicts stand in for sets where the order has to be the same in every run.
        self._indices: dict[str, dict[str, dict[Key, None]]] = {}
        self._listeners: list[Listener[T]] = []

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: object) -> bool:
        return key in self._objects

    def get(self, key: Key) -> T | None:
        return self._objects.get(key)

    def list(self, namespace: str | None = None) -> _Objects[T]:
        """All objects, or those of one namespace."""
        if namespace is None:
            return list(self._objects.values())
        return [obj for key, obj in self._objects.items() if key.namespace == namespace]

    def keys(self) -> Iterable[Key]:
        return tuple(self._objects)

    def by_index(self, name: str, value: str) -> _Objects[T]:
        """The objects for which the index function `name` gave `value`."""
        return [self._objects[key] for key in self._indices[name].get(value, ())]

    def index_values(self, name: str) -> Iterable[str]:
        """Every value that some object has in this index."""
        return tuple(self._indices[name])

    def add_index(self, name: str, function: IndexFunction[T]) -> None:
        """Makes `by_index(name, ...)` answer; adding the same index again changes nothing."""
        if name in self._index_functions:
            return
        self._index_functions[name] = function
        self._indices[name] = {}
        for key, obj in self._objects.items():
            self._enter(name, key, obj)

    def add_listener(self, listener: Listener[T]) -> None:
        """Calls `listener` for every change from now on, and at once for every object that is there already."""
        self._listeners.append(listener)
        for obj in tuple(self._objects.values()):
            self._notify(None, obj, (listener,))

    def replace(self, objects: Iterable[T], resource_version: str) -> None:
        """Makes the store hold exactly these objects, then tells of removals, then of additions and changes."""
        fresh = {self.key(obj): obj for obj in objects}
        removed = [(key, obj) for key, obj in self._objects.items() if key not in fresh]
        written = [(key, self._objects.get(key), obj) for key, obj in fresh.items()]
        for key, obj in removed:
            self._put(key, obj, None)
        for key, old, obj in written:
            self._put(key, old, obj)
        self.resource_version = resource_version
        for _, obj in removed:
            self._notify(obj, None)
        for _, old, obj in written:
            if old is None or self.version(old) != self.version(obj):
                self._notify(old, obj)

    def replacing(self, fresh: Mapping[Key, T], resource_version: str) -> Iterator[None]:
        """As `replace`, of a great many, in steps: between two of them the store holds some of the old and some of the new.

        What a listener hears is in the same order, each thing when it is so. Run it to its end.
        """
        waiting = 0
        for key in tuple(self._objects):
            if key not in fresh:
                obj = self._objects[key]
                self._put(key, obj, None)
                self._notify(obj, None)
            waiting += 1
            if waiting % STEP == 0:
                yield
        for obj in fresh.values():
            self.set(obj)
            waiting += 1
            if waiting % STEP == 0:
                yield
        self.resource_version = resource_version

    def set(self, obj: T) -> None:
        """Adds or changes one object, and tells of it unless its version is the one already here."""
        key = self.key(obj)
        old = self._objects.get(key)
        if self._index_functions:
            self._put(key, old, obj)
        else:
            self._objects[key] = obj
        if old is None or self.version(old) != self.version(obj):
            self._notify(old, obj)

    def discard(self, obj: T) -> None:
        """Removes one object, if it is here, and tells of it with the state given."""
        key = self.key(obj)
        old = self._objects.get(key)
        if old is not None:
            self._put(key, old, None)
            self._notify(obj, None)

    def _put(self, key: Key, old: T | None, new: T | None) -> None:
        if old is not None:
            for name in self._index_functions:
                self._leave(name, key, old)
        if new is None:
            self._objects.pop(key, None)
            return
        self._objects[key] = new
        for name in self._index_functions:
            self._enter(name, key, new)

    def _enter(self, name: str, key: Key, obj: T) -> None:
        index = self._indices[name]
        for value in self._index_functions[name](obj):
            index.setdefault(value, {})[key] = None

    def _leave(self, name: str, key: Key, obj: T) -> None:
        index = self._indices[name]
        for value in self._index_functions[name](obj):
            keys = index.get(value)
            if keys is None:
                continue
            keys.pop(key, None)
            # An empty set left behind for every value ever seen is a leak (kubernetes/kubernetes#84959).
            if not keys:
                del index[value]

    def _notify(self, old: T | None, new: T | None, listeners: Iterable[Listener[T]] | None = None) -> None:
        # Part of the reflector's policy: one broken listener must not keep the others from an event, nor stop the cache.
        for listener in self._listeners if listeners is None else listeners:
            try:
                listener(old, new)
            except Exception:  # noqa: BLE001 - one bad listener must not stop the cache
                LISTENER_ERRORS.labels(self.name).inc()
                _log.exception("a listener of a cache failed; its event is lost to it", extra={"resource": self.name})


class Store(Cache[KubeObject]):
    """A cache of whole objects."""

    def __init__(self, name: str = "") -> None:
        super().__init__(name, OBJECTS)
