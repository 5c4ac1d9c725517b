"""The cache by itself: order of notifications, indices, replacement."""

import pytest

from fedstate.kube.objects import Key, KubeObject, labels_of, name_of
from fedstate.kube.store import Store

A, B = Key("n", "a"), Key("n", "b")


def thing(name: str, version: int = 1, namespace: str = "n", **labels: str) -> KubeObject:
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": str(version), "labels": labels}}


def by_app(obj: KubeObject) -> list[str]:
    return [labels_of(obj)["app"]] if "app" in labels_of(obj) else []


def told(store: Store) -> list[tuple[str, str]]:
    """What a listener hears, as names, with the store it saw."""
    heard: list[tuple[str, str]] = []

    def listener(old: KubeObject | None, new: KubeObject | None) -> None:
        heard.append((name_of(old or {}), name_of(new or {})))

    store.add_listener(listener)
    return heard


def test_arrivals_changes_and_departures_are_told_once_each() -> None:
    store = Store()
    heard = told(store)
    store.set(thing("a"))
    store.set(thing("a", 2))
    store.set(thing("a", 2))
    store.discard(thing("a", 3))
    store.discard(thing("a", 3))
    assert heard == [("", "a"), ("a", "a"), ("a", "")]


def test_a_replacement_tells_of_departures_first_and_of_nothing_that_stayed() -> None:
    store = Store()
    store.replace([thing("a"), thing("b"), thing("c")], "5")
    heard = told(store)
    heard.clear()
    store.replace([thing("d"), thing("b", 2), thing("c")], "9")
    assert heard == [("a", ""), ("", "d"), ("b", "b")]
    assert store.resource_version == "9"


def test_a_listener_never_sees_a_store_older_than_its_event() -> None:
    store = Store()
    store.replace([thing("a")], "1")
    seen: list[list[Key]] = []
    store.add_listener(lambda old, new: seen.append(list(store.keys())))
    seen.clear()
    store.replace([thing("b")], "2")
    assert seen == [[B], [B]]


def test_a_listener_added_late_hears_of_what_is_there() -> None:
    store = Store()
    store.set(thing("a"))
    assert told(store) == [("", "a")]


def test_a_listener_that_fails_does_not_keep_others_from_the_event(caplog: pytest.LogCaptureFixture) -> None:
    store = Store("things")

    def broken(old: KubeObject | None, new: KubeObject | None) -> None:
        raise RuntimeError("bug")

    store.add_listener(broken)
    heard = told(store)
    store.set(thing("a"))
    assert heard == [("", "a")]
    assert "a listener of a cache failed" in caplog.text


def test_indices_follow_every_change_and_keep_no_empty_value() -> None:
    store = Store()
    store.set(thing("a", app="x"))
    store.add_index("app", by_app)
    store.add_index("app", by_app)
    store.set(thing("b", app="x"))
    assert [name_of(obj) for obj in store.by_index("app", "x")] == ["a", "b"]
    store.set(thing("a", 2, app="y"))
    store.discard(thing("b", 3))
    assert store.by_index("app", "x") == []
    assert list(store.index_values("app")) == ["y"]
    store.replace([thing("c", app="z")], "7")
    assert list(store.index_values("app")) == ["z"]


def test_objects_are_found_by_key_and_by_namespace() -> None:
    store = Store()
    store.replace([thing("a"), thing("b", namespace="m")], "1")
    assert store.get(A) == thing("a")
    assert store.get(B) is None
    assert A in store
    assert [name_of(obj) for obj in store.list("m")] == ["b"]
    assert len(store) == len(store.list()) == 2
