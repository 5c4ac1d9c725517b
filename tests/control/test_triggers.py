"""Which keys a change of an object adds, and how urgently."""

import pytest

from fedstate.control.controller import Controller
from fedstate.control.reconciler import DONE, Result
from fedstate.control.triggers import intent_changed, watch_mapped, watch_owned, watch_self
from fedstate.control.workqueue import LOW_PRIORITY, Item
from fedstate.kube.informer import Informer
from fedstate.kube.objects import Key, KubeObject
from fedstate.kube.resources import PODS
from tests.fakes.apiserver import FakeApiServer

pytestmark = pytest.mark.looptime


class Idle:
    async def reconcile(self, key: Key) -> Result:
        return DONE


def made() -> tuple[Informer, Controller]:
    return Informer(FakeApiServer().client(), PODS), Controller("triggers", Idle())


def pod(name: str, version: str, *, owner: str = "", generation: int = 1) -> KubeObject:
    metadata = {"name": name, "namespace": "n", "resourceVersion": version, "generation": generation}
    if owner:
        metadata["ownerReferences"] = [{"kind": "Set", "name": owner, "controller": True}]
    return {"metadata": metadata}


async def drained(controller: Controller) -> list[Item]:
    items = []
    while len(controller.queue):
        items.append(await controller.queue.get())
        controller.queue.done(items[-1].key)
    return items


async def test_what_was_there_before_waits_behind_what_changes_now() -> None:
    informer, controller = made()
    watch_self(informer, controller)
    informer.store.replace([pod("old", "1")], "1")
    informer.synced.set()
    informer.store.set(pod("new", "2"))
    assert await drained(controller) == [(Key("n", "new"), 0), (Key("n", "old"), LOW_PRIORITY)]


async def test_an_object_that_is_gone_is_a_key_too() -> None:
    informer, controller = made()
    informer.store.set(pod("a", "1"))
    watch_self(informer, controller)
    await drained(controller)
    informer.store.discard(pod("a", "2"))
    assert [item.key for item in await drained(controller)] == [Key("n", "a")]


async def test_a_status_written_can_be_ignored() -> None:
    informer, controller = made()
    watch_self(informer, controller, only=intent_changed)
    informer.store.set(pod("a", "1"))
    await drained(controller)
    informer.store.set(pod("a", "2") | {"status": {"phase": "Running"}})
    assert await drained(controller) == []
    informer.store.set(pod("a", "3", generation=2))
    assert len(await drained(controller)) == 1


async def test_a_child_that_changes_hands_concerns_both_owners() -> None:
    informer, controller = made()
    watch_owned(informer, controller, "Set")
    informer.store.set(pod("a", "1", owner="one"))
    await drained(controller)
    informer.store.set(pod("a", "2", owner="two"))
    assert [item.key.name for item in await drained(controller)] == ["one", "two"]
    informer.store.set(pod("b", "3"))
    assert await drained(controller) == []


async def test_a_mapping_may_name_any_number_of_keys() -> None:
    informer, controller = made()
    watch_mapped(informer, controller, lambda obj: [Key("x", "1"), Key("x", "2"), Key("x", "1")])
    informer.store.set(pod("a", "1"))
    assert [item.key.name for item in await drained(controller)] == ["1", "2"]
