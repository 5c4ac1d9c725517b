"""The event recorder under virtual time."""

import asyncio
from typing import Any

import pytest

from fedstate.kube.errors import TransportError
from fedstate.kube.events import SERIES_LIMIT, EventRecorder
from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import EVENTS
from tests.fakes.apiserver import FakeApiServer, refusal
from tests.fakes.running import Running, settle

pytestmark = pytest.mark.looptime


def pod(name: str = "p", version: str = "1") -> KubeObject:
    metadata = {"name": name, "namespace": "n", "uid": f"u-{name}", "resourceVersion": version}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


def events(server: FakeApiServer) -> list[dict[str, Any]]:
    return server.all(EVENTS)


async def test_an_event_says_what_happened_to_what_and_who_says_so() -> None:
    server = FakeApiServer()
    recorder = EventRecorder(server.client(), "fedstate", instance="me")
    async with Running(recorder.run()):
        recorder.event(pod(), "Normal", "Placed", "on c1 and c2", action="Schedule")
        await settle()
    (event,) = events(server)
    assert (event["type"], event["reason"], event["action"], event["note"]) == ("Normal", "Placed", "Schedule", "on c1 and c2")
    assert (event["reportingController"], event["reportingInstance"]) == ("fedstate", "me")
    assert event["regarding"]["uid"] == "u-p"
    assert event["metadata"]["namespace"] == "n"


async def test_repetitions_become_a_series_that_is_written_once_and_then_counted_in_memory() -> None:
    server = FakeApiServer()
    recorder = EventRecorder(server.client(), "fedstate")
    async with Running(recorder.run()):
        for version in range(10):
            recorder.event(pod(version=str(version)), "Warning", "Failed", "no")
            await asyncio.sleep(1)
        assert server.verbs() == ["create", "patch"]
        assert events(server)[0]["series"]["count"] == 2
        await asyncio.sleep(8 * 60)
        # Silent for six minutes: the count is written, and the next one is a new event.
        assert events(server)[0]["series"]["count"] == 10
        recorder.event(pod(), "Warning", "Failed", "no")
        await settle()
        assert len(events(server)) == 2


async def test_a_series_that_expired_on_the_server_is_written_as_a_new_event() -> None:
    server = FakeApiServer()
    recorder = EventRecorder(server.client(), "fedstate")
    async with Running(recorder.run()):
        recorder.event(pod(), "Warning", "Failed", "no")
        await settle()
        server.remove(EVENTS, events(server)[0]["metadata"]["name"], "n")
        recorder.event(pod(), "Warning", "Failed", "no")
        await settle()
        assert [event["series"]["count"] for event in events(server)] == [2]


async def test_recording_never_waits_and_drops_when_the_queue_is_full() -> None:
    server = FakeApiServer()
    server.reachable = False
    recorder = EventRecorder(server.client(), "fedstate")
    async with Running(recorder.run()):
        for number in range(3000):
            recorder.event(pod(f"p{number}"), "Normal", "Made", "yes")
        await settle()
        server.reachable = True
        await asyncio.sleep(60)
        assert len(events(server)) == 1000


async def test_more_objects_than_are_remembered_are_all_told_of() -> None:
    server = FakeApiServer()
    recorder = EventRecorder(server.client(), "fedstate")
    async with Running(recorder.run()):
        for number in range(SERIES_LIMIT + 200):
            recorder.event(pod(f"p{number}"), "Normal", "Placed", "here")
            if not number % 200:
                await settle()
        await settle()
        assert len(events(server)) == SERIES_LIMIT + 200
        recorder.event(pod(f"p{SERIES_LIMIT}"), "Normal", "Placed", "here")
        await settle()
        assert len(events(server)) == SERIES_LIMIT + 200, "those seen last are still remembered, and counted"


async def test_an_object_that_talks_too_much_is_not_heard() -> None:
    server = FakeApiServer()
    recorder = EventRecorder(server.client(), "fedstate")
    async with Running(recorder.run()):
        for number in range(100):
            recorder.event(pod(), "Normal", f"Reason{number}", "yes")
        recorder.event(pod("other"), "Normal", "Reason", "yes")
        await settle()
        assert len(events(server)) == 26


async def test_an_unreachable_server_is_tried_again_and_a_refusal_is_not() -> None:
    server = FakeApiServer()
    recorder = EventRecorder(server.client(), "fedstate")
    async with Running(recorder.run()):
        server.fail(lambda request: True, TransportError("cut"), times=2)
        recorder.event(pod("a"), "Normal", "Made", "yes")
        await asyncio.sleep(60)
        assert len(events(server)) == 1
        server.fail(lambda request: True, refusal(403, "Forbidden", "namespace is being terminated"))
        recorder.event(pod("b"), "Normal", "Made", "yes")
        await asyncio.sleep(60)
        assert len(events(server)) == 1


async def test_what_is_left_at_the_end_is_sent_briefly() -> None:
    server = FakeApiServer()
    recorder = EventRecorder(server.client(), "fedstate")
    async with Running(recorder.run()):
        await settle()
        recorder.event(pod(), "Normal", "Stopping", "x" * 5000)
    (event,) = events(server)
    assert len(event["note"]) == 1024
