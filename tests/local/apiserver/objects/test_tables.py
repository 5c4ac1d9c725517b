"""Tables as kubectl shows them: ages, JSON paths, columns of CRDs and of built-in kinds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fedstate.local.apiserver.objects import jsonpath
from fedstate.local.apiserver.objects.builtin_schemas import builtin_kinds
from fedstate.local.apiserver.objects.columns import columns_of_builtin
from fedstate.local.apiserver.objects.durations import human_duration
from fedstate.local.apiserver.objects.tables import columns_of_crd, table

NOW = datetime(2026, 1, 1, 1, 0, 0, tzinfo=UTC)
HOUR_AGO = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-2, "<invalid>"),
        (-0.5, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (192, "3m12s"),
        (599, "9m59s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (18180, "5h3m"),
        (28800, "8h"),
        (172799, "47h"),
        (172800, "2d"),
        (273600, "3d4h"),
        (691200, "8d"),
        (63071999, "729d"),
        (63072000, "2y"),
        (65664000, "2y30d"),
        (252288000, "8y"),
    ],
)
def test_ages_are_rounded_as_kubectl_does(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


DOC: dict[str, Any] = {
    "spec": {"n": 3, "list": [{"name": "a", "v": 1}, {"name": "b", "v": 2}], "a.b/c": "x", "f": False},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.n", [3]),
        (".spec.list[*].name", ["a", "b"]),
        (".spec.list[-1].v", [2]),
        (".spec.list[5].v", []),
        (r".spec.a\.b/c", ["x"]),
        (".spec['a.b/c']", ["x"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='Gone')].status", []),
        (".spec.list[?(@.v>1)].name", ["b"]),
        (".spec.missing.deeper", []),
    ],
)
def test_json_paths_of_printer_columns(path: str, found: list[Any]) -> None:
    assert jsonpath.found(path, DOC) == found


def test_a_path_outside_the_subset_is_refused() -> None:
    with pytest.raises(ValueError, match="not a JSON path"):
        jsonpath.found(".spec[", DOC)


def test_columns_of_a_crd_are_typed_and_come_after_the_name() -> None:
    declared = [
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.n"},
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status', "priority": 1},
        {"name": "Flag", "type": "boolean", "jsonPath": ".spec.f"},
        {"name": "Items", "type": "string", "jsonPath": ".spec.list"},
        {"name": "Missing", "type": "string", "jsonPath": ".spec.missing"},
        {"name": "Wrong", "type": "integer", "jsonPath": ".spec.list"},
        {"name": "Since", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    obj = {**DOC, "metadata": {"name": "x", "creationTimestamp": HOUR_AGO}}
    made = table([obj], columns_of_crd({"additionalPrinterColumns": declared}), now=NOW)
    items = '[{"name":"a","v":1},{"name":"b","v":2}]'
    assert made["rows"][0]["cells"] == ["x", 3, "True", False, items, None, None, "60m"]
    assert made["rows"][0]["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj["metadata"],
    }
    assert [column["priority"] for column in made["columnDefinitions"]] == [0, 0, 1, 0, 0, 0, 0, 0]


def test_a_crd_without_columns_shows_name_and_age() -> None:
    made = table([{"metadata": {"name": "x"}}], columns_of_crd({}), now=NOW, include="None")
    assert made["rows"] == [{"cells": ["x", "<unknown>"]}]


def cells(api_version: str, kind: str, obj: dict[str, Any], *, wide: bool = False) -> list[Any]:
    columns = columns_of_builtin(api_version, kind)
    obj = {**obj, "metadata": {"name": "x", "creationTimestamp": HOUR_AGO, **obj.get("metadata", {})}}
    row = table([obj], columns, now=NOW, include="None")["rows"][0]["cells"]
    return [cell for cell, column in zip(row, columns, strict=True) if wide or not column.priority]


def pod(statuses: list[Any], phase: str = "Running", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": metadata,
        "spec": {"containers": [{"name": "a"}, {"name": "b"}], "nodeName": "n1"},
        "status": {"phase": phase, "containerStatuses": statuses, "podIP": "127.0.0.9"},
    }


RUNNING = {"ready": True, "restartCount": 0, "state": {"running": {}}}
CRASHED = {
    "ready": False,
    "restartCount": 3,
    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
    "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:58:00Z"}},
}


@pytest.mark.parametrize(
    ("obj", "row"),
    [
        (pod([RUNNING, RUNNING]), ["x", "2/2", "Running", "0", "60m"]),
        (pod([RUNNING, CRASHED]), ["x", "1/2", "CrashLoopBackOff", "3 (2m ago)", "60m"]),
        (pod([], "Pending"), ["x", "0/2", "Pending", "0", "60m"]),
        (pod([RUNNING, RUNNING], deletionTimestamp=HOUR_AGO), ["x", "2/2", "Terminating", "0", "60m"]),
        (
            pod([{"restartCount": 0, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}], "Succeeded"),
            ["x", "0/2", "Completed", "0", "60m"],
        ),
    ],
)
def test_pods_are_summed_up_in_one_word(obj: dict[str, Any], row: list[Any]) -> None:
    assert cells("v1", "Pod", obj) == row


def test_wide_pods_show_address_and_node() -> None:
    assert cells("v1", "Pod", pod([RUNNING]), wide=True)[5:7] == ["127.0.0.9", "n1"]


@pytest.mark.parametrize(
    ("api_version", "kind", "obj", "row"),
    [
        (
            "v1",
            "Service",
            {
                "spec": {
                    "type": "NodePort",
                    "clusterIP": "10.96.0.9",
                    "ports": [{"port": 27017, "nodePort": 30001, "protocol": "TCP"}],
                }
            },
            ["x", "NodePort", "10.96.0.9", "<none>", "27017:30001/TCP", "60m"],
        ),
        (
            "v1",
            "Node",
            {"status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1"}}},
            ["x", "Ready", "<none>", "60m", "v1"],
        ),
        (
            "v1",
            "PersistentVolumeClaim",
            {
                "spec": {"volumeName": "v", "storageClassName": "standard"},
                "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]},
            },
            ["x", "Bound", "v", "1Gi", "RWO", "standard", "<unset>", "60m"],
        ),
        ("apps/v1", "StatefulSet", {"spec": {"replicas": 3}, "status": {"readyReplicas": 2}}, ["x", "2/3", "60m"]),
        ("v1", "Secret", {"type": "Opaque", "data": {"a": "", "b": ""}}, ["x", "Opaque", 2, "60m"]),
        ("v1", "Namespace", {"status": {"phase": "Active"}}, ["x", "Active", "60m"]),
        (
            "events.k8s.io/v1",
            "Event",
            {"type": "Normal", "reason": "R", "regarding": {"kind": "Pod", "name": "p"}, "note": "n", "eventTime": HOUR_AGO},
            ["60m", "Normal", "R", "pod/p", "n"],
        ),
        ("coordination.k8s.io/v1", "Lease", {"spec": {"holderIdentity": "me"}}, ["x", "me", "60m"]),
    ],
)
def test_rows_of_built_in_kinds(api_version: str, kind: str, obj: dict[str, Any], row: list[Any]) -> None:
    assert cells(api_version, kind, obj) == row


def test_every_built_in_kind_can_be_shown_even_when_empty() -> None:
    for kind in builtin_kinds():
        columns = columns_of_builtin(kind.resource.api_version, kind.resource.kind)
        assert len(table([{}], columns, now=NOW)["rows"][0]["cells"]) == len(columns)
