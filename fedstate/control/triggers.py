"""From a changed object to the keys that may be concerned. Plain functions on the stores of informers; nothing is awaited.

What was there before the process started, and so is read in bulk, waits behind what changes now.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from fedstate.control.controller import Controller
from fedstate.control.workqueue import LOW_PRIORITY
from fedstate.kube.informer import CacheInformer, Informer
from fedstate.kube.objects import (
    Key,
    KubeObject,
    annotations_of,
    controller_of,
    deletion_timestamp_of,
    finalizers_of,
    generation_of,
    labels_of,
    namespace_of,
)

T = TypeVar("T")


def watch_self(informer: CacheInformer[T], controller: Controller, *, only: Callable[[T, T], bool] | None = None) -> None:
    """Every object of the informer is a key of the controller; `only` can drop changes, never arrivals and departures."""

    key, add, synced = informer.store.key, controller.queue.add, informer.synced.is_set

    def listener(old: T | None, new: T | None) -> None:
        if only is not None and old is not None and new is not None and not only(old, new):
            return
        seen = new if new is not None else old
        if seen is not None:
            add(key(seen), priority=0 if synced() else LOW_PRIORITY)

    informer.store.add_listener(listener)


def watch_owned(informer: Informer, controller: Controller, owner_kind: str) -> None:
    """A change of an object that a `owner_kind` controls is a reason to look at that owner, the one before and the one now."""

    def owners(obj: KubeObject) -> Iterable[Key]:
        reference = controller_of(obj)
        if reference is not None and reference.get("kind") == owner_kind:
            yield Key(namespace_of(obj), reference["name"])

    watch_mapped(informer, controller, owners)


def watch_mapped(informer: CacheInformer[T], controller: Controller, function: Callable[[T], Iterable[Key]]) -> None:
    """A change of an object concerns the keys that `function` gives for it as it was and as it is."""

    def listener(old: T | None, new: T | None) -> None:
        keys = {key: None for seen in (old, new) if seen is not None for key in function(seen)}
        priority = _priority(informer)
        for key in keys:
            controller.queue.add(key, priority=priority)

    informer.store.add_listener(listener)


def intent_changed(old: KubeObject, new: KubeObject) -> bool:
    """Whether a change is more than a status written: for `watch_self(only=...)`, where status is never healed from events."""
    return (
        generation_of(old) != generation_of(new)
        or labels_of(old) != labels_of(new)
        or annotations_of(old) != annotations_of(new)
        or deletion_timestamp_of(old) != deletion_timestamp_of(new)
        or finalizers_of(old) != finalizers_of(new)
    )


def _priority(informer: CacheInformer[T]) -> int:
    return 0 if informer.synced.is_set() else LOW_PRIORITY
