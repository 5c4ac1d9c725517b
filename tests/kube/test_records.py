"""Records: what is read of an object, what is made of gaps, and how a cache of them is filled and followed."""

import asyncio
import gc
import json
import sys
from typing import Any

import pytest

from fedstate.kube.errors import Expired
from fedstate.kube.informer import InformerSet, RecordInformer
from fedstate.kube.objects import Key
from fedstate.kube.recordkinds import (
    CLAIM_RECORDS,
    NODE_RECORDS,
    POD_RECORDS,
    STORAGE_CLASS_RECORDS,
    VOLUME_RECORDS,
    RecordKind,
)
from fedstate.kube.records import (
    ClaimRecord,
    NodeRecord,
    PodRecord,
    Requirement,
    StorageClassRecord,
    Taint,
    VolumeRecord,
)
from fedstate.kube.resources import PODS, Resource
from fedstate.kube.transport import Request
from tests.fakes.apiserver import FakeApiServer, refusal, verb_of
from tests.fakes.running import Running, settle

KINDS: list[RecordKind[Any, Any]] = [POD_RECORDS, NODE_RECORDS, CLAIM_RECORDS, VOLUME_RECORDS, STORAGE_CLASS_RECORDS]


def line(kind: str, obj: Any) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode()


def read(kind: RecordKind[Any, Any], obj: Any) -> Any:
    return kind.event(line("ADDED", obj)).object


def requests(**amounts: Any) -> dict[str, Any]:
    return {"resources": {"requests": {name.replace("_", "-"): amount for name, amount in amounts.items()}}}


def pod(name: str, version: int = 1, node: str = "w1", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "n", "resourceVersion": str(version), "managedFields": [{"fieldsV1": {"f:x": {}}}]}
    return {"metadata": metadata, "spec": {"nodeName": node, **spec}, "status": {"phase": "Running"}}


def test_a_pod_is_its_place_and_its_requests() -> None:
    obj = pod(
        "a",
        containers=[requests(cpu="500m", memory="1Gi", ephemeral_storage="1G"), requests(cpu=1), {"name": "none"}],
        volumes=[
            {"name": "x", "emptyDir": {}},
            {"persistentVolumeClaim": {"claimName": "data"}},
            {"persistentVolumeClaim": {"claimName": "log"}},
        ],
    )
    obj["metadata"] |= {"labels": {"app.kubernetes.io/instance": "i", "other": "x"}, "deletionTimestamp": "2026-01-01T00:00:00Z"}
    assert read(POD_RECORDS, obj).claims == ("data", "log")
    assert read(POD_RECORDS, obj) == PodRecord(
        key=Key("n", "a"),
        resource_version="1",
        node="w1",
        phase="Running",
        cpu_millis=1500,
        memory_bytes=2**30,
        storage_bytes=10**9,
        instance="i",
        claim_names="data log",
        deleting=True,
    )


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [requests(cpu="1")], "initContainers": [requests(cpu="3")]}, 3000),
        ({"containers": [requests(cpu="2")], "initContainers": [requests(cpu="1")], "overhead": {"cpu": "250m"}}, 2250),
        ({"containers": [requests(cpu="1")], "initContainers": [{"restartPolicy": "Always"} | requests(cpu="2")]}, 3000),
        (
            {
                "containers": [requests(cpu="1")],
                "initContainers": [{"restartPolicy": "Always"} | requests(cpu="2"), requests(cpu="5")],
            },
            7000,
        ),
        ({"containers": [requests(cpu="1"), requests(cpu="1")], **requests(cpu="5")}, 5000),
        ({"containers": [requests(cpu="1")], **requests(memory="1Gi")}, 1000),
        ({"containers": None, "initContainers": None, "overhead": None, "resources": None}, 0),
        ({"containers": [{"resources": None}, {"resources": {"requests": None}}]}, 0),
        ({"containers": [requests(cpu="nonsense")]}, 0),
    ],
)
def test_a_pod_requests_what_kube_scheduler_counts(spec: dict[str, Any], cpu: int) -> None:
    assert read(POD_RECORDS, pod("a", **spec)).cpu_millis == cpu


def test_a_finished_or_unplaced_pod_takes_no_room() -> None:
    assert read(POD_RECORDS, pod("a")).counts
    assert not read(POD_RECORDS, pod("a", node="")).counts
    assert not read(POD_RECORDS, pod("a") | {"status": {"phase": "Failed"}}).counts


def test_a_node_is_its_room() -> None:
    obj = {
        "metadata": {"name": "w1", "resourceVersion": "7", "labels": {"topology.kubernetes.io/zone": "z"}},
        "spec": {"unschedulable": True, "taints": [{"key": "k", "effect": "NoSchedule"}]},
        "status": {
            "allocatable": {"cpu": "3920m", "memory": "8Gi", "pods": "110", "ephemeral-storage": "10Gi"},
            "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}],
        },
    }
    node = read(NODE_RECORDS, obj)
    assert node == NodeRecord(
        key=Key("", "w1"),
        resource_version="7",
        cpu_millis=3920,
        memory_bytes=2**33,
        storage_bytes=10 * 2**30,
        pods=110,
        ready=True,
        unschedulable=True,
        labels={"topology.kubernetes.io/zone": "z"},
        taints=(Taint("k", "", "NoSchedule"),),
    )
    assert (node.zone, node.region) == ("z", "")


def test_storage_is_what_is_asked_for_and_where_it_can_be() -> None:
    claim = {
        "metadata": {"name": "c", "namespace": "n", "annotations": {"volume.kubernetes.io/selected-node": "w1", "x": "y"}},
        "spec": {"storageClassName": "fast", "volumeName": "v", **requests(storage="1Gi")},
        "status": {"phase": "Bound"},
    }
    assert read(CLAIM_RECORDS, claim) == ClaimRecord(
        key=Key("n", "c"), storage_class="fast", volume="v", phase="Bound", storage_bytes=2**30, selected_node="w1"
    )
    here = {"key": "zone", "operator": "In", "values": ["a", "b"]}
    volume = {
        "metadata": {"name": "v"},
        "spec": {
            "storageClassName": "fast",
            "capacity": {"storage": "2Gi"},
            "claimRef": {"namespace": "n", "name": "c"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
        "status": {"phase": "Available"},
    }
    terms = ((Requirement("zone", "In", ("a", "b")),),)
    assert read(VOLUME_RECORDS, volume) == VolumeRecord(
        key=Key("", "v"), storage_class="fast", phase="Available", storage_bytes=2**31, claim=Key("n", "c"), terms=terms
    )
    storage_class = {
        "metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "p",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
        "allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": ["a", "b"]}]}],
    }
    assert read(STORAGE_CLASS_RECORDS, storage_class) == StorageClassRecord(
        key=Key("", "fast"), provisioner="p", default=True, waits_for_pod=True, expandable=True, terms=terms
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
@pytest.mark.parametrize("obj", [{}, {"metadata": None, "spec": None, "status": None}, {"metadata": {"name": "a", "odd": [1]}}])
def test_gaps_are_read_as_nothing(kind: RecordKind[Any, Any], obj: dict[str, Any]) -> None:
    if kind is STORAGE_CLASS_RECORDS:
        obj.pop("spec", None)
    assert read(kind, obj).resource_version == ""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.resource.kind)
def test_an_error_event_is_raised_and_bookmarks_say_what_they_end(kind: RecordKind[Any, Any]) -> None:
    status = {"kind": "Status", "metadata": {}, "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"}
    with pytest.raises(Expired, match="too old"):
        kind.event(line("ERROR", status))
    last = {"metadata": {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}}
    assert kind.event(line("BOOKMARK", last)).ends_initial_events
    plain = kind.event(line("BOOKMARK", {"metadata": {"resourceVersion": "9"}}))
    assert (plain.object.resource_version, plain.ends_initial_events) == ("9", False)


@pytest.mark.parametrize(
    "text", [b"{no", b"[]", b'{"type":"ODD","object":{}}', b'{"type":"ADDED","object":[]}', b'{"type":"ADDED"}']
)
def test_what_is_no_event_says_so(text: bytes) -> None:
    with pytest.raises(ValueError, match="event"):
        POD_RECORDS.event(text)


def test_names_that_many_pods_share_are_kept_once_and_the_collector_looks_at_no_record() -> None:
    one, two = read(POD_RECORDS, pod("a", node="some-node")), read(POD_RECORDS, pod("b", node="some-node"))
    assert one.node is two.node
    assert one.key.namespace is two.key.namespace
    assert not gc.is_tracked(one)


def test_a_cached_pod_costs_less_than_640_bytes() -> None:
    def name(number: int) -> str:
        return f"some-deployment-6d4b75cb6d-{number:05d}"

    lines = [
        line(
            "ADDED",
            pod(name(n), version=10_000_000 + n, node=f"node-{n % 100}", containers=[requests(cpu="250m", memory="512Mi")]),
        )
        for n in range(2_000)
    ]
    cache = {record.key: record for record in (POD_RECORDS.event(text).object for text in lines)}
    sizes = (
        sys.getsizeof(record)
        + sys.getsizeof(record.key)
        + sys.getsizeof(record.key.name)
        + sys.getsizeof(record.resource_version)
        for record in cache.values()
    )
    assert (sum(sizes) + sys.getsizeof(cache)) / len(cache) <= 640


def server_with(*objects: dict[str, Any]) -> FakeApiServer:
    server = FakeApiServer()
    server.seed(PODS, *objects)
    return server


@pytest.mark.looptime
async def test_a_cache_of_records_is_filled_by_the_watch_and_follows_it() -> None:
    server = server_with(*(pod(f"p{number}") for number in range(700)))
    informers = InformerSet(server.client())
    informer = informers.records(POD_RECORDS)
    assert informers.records(POD_RECORDS) is informer
    heard: list[tuple[PodRecord | None, PodRecord | None]] = []
    async with Running(informers.run()):
        await informers.wait_synced(5)
        assert server.verbs() == ["watch"]
        assert len(informer.store) == 700
        informer.store.add_listener(lambda old, new: heard.append((old, new)))
        heard.clear()
        server.seed(PODS, pod("p1", node="w2"))
        server.remove(PODS, "p2", "n")
        await settle()
        changed, gone = heard
        assert changed[0] is not None
        assert changed[1] is not None
        assert (changed[0].node, changed[1].node) == ("w1", "w2")
        assert gone[0] is not None
        assert (gone[0].key.name, gone[1]) == ("p2", None)
        assert informer.store.resource_version == str(server.version)


@pytest.mark.looptime
async def test_where_watches_give_no_initial_events_records_are_listed_in_pages_never_at_once() -> None:
    server = server_with(*(pod(f"p{number}") for number in range(1_100)))
    server.initial_events = False
    informer = RecordInformer(server.client(), POD_RECORDS)
    async with Running(informer.run()):
        await informer.synced.wait()
        lists = [dict(request.params) for request in server.requests if verb_of(request) == "list"]
        assert lists == [{"limit": "500"}, {"limit": "500", "continue": "500"}, {"limit": "500", "continue": "1000"}]
        assert len(informer.store) == 1_100
        server.send_error(500, "InternalError")
        await asyncio.sleep(2)
        lists = [dict(request.params) for request in server.requests if verb_of(request) == "list"]
        assert lists[3] == {"limit": "500"}


@pytest.mark.looptime
async def test_records_filled_anew_tell_of_what_went_and_what_changed_only() -> None:
    server = server_with(*(pod(f"p{number}") for number in range(600)))
    informer = RecordInformer(server.client(), POD_RECORDS)
    heard: list[tuple[str, str]] = []
    async with Running(informer.run()):
        await informer.synced.wait()
        informer.store.add_listener(lambda old, new: heard.append((old.key.name if old else "", new.key.name if new else "")))
        heard.clear()
        for watcher in server.watchers:
            watcher.target = watcher.target._replace(collection="elsewhere")
        server.remove(PODS, "p0", "n")
        server.seed(PODS, pod("p1", node="w9"), pod("new"))
        server.send_error(410, "Expired")
        await asyncio.sleep(2)
        assert heard == [("p0", ""), ("p1", "p1"), ("", "new")]
        assert len(informer.store) == 600


@pytest.mark.looptime
async def test_a_collection_listed_anew_because_its_pages_expired_keeps_nothing_of_the_first_try() -> None:
    server = server_with(*(pod(f"p{number}") for number in range(600)))
    server.initial_events = False

    def second_page(request: Request) -> bool:
        if "continue" not in request.params:
            return False
        server.remove(PODS, "p0", "n")
        return True

    server.fail(second_page, refusal(410, "Expired", "gone"))
    informer = RecordInformer(server.client(), POD_RECORDS)
    async with Running(informer.run()):
        await informer.synced.wait()
        assert len(informer.store) == 599
        assert Key("n", "p0") not in informer.store


def test_a_page_that_is_no_list_says_so() -> None:
    with pytest.raises(ValueError, match=r"."):
        POD_RECORDS.page(b"<html>", Resource("", "v1", "pods", "Pod"))
