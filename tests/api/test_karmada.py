"""Readers of Karmada's objects against the shapes it really writes."""

from typing import Any

import pytest

from fedstate.api.karmada import (
    aggregated_statuses,
    canonical_vip,
    cluster_ready,
    resource_summary_of,
    served_kinds,
    vip_of,
    vip_problem,
    zones_of,
)
from fedstate.api.naming import MONGODBS


def cluster(status: dict[str, Any] | None = None, spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "c"} | metadata, "spec": spec or {}, "status": status or {}}


def test_a_cluster_that_has_not_reported_is_not_ready() -> None:
    assert cluster_ready(cluster()) == (False, "NeverReported")
    unknown = {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "ClusterStatusUnknown"}]}
    assert cluster_ready(cluster(unknown)) == (False, "ClusterStatusUnknown")


@pytest.mark.parametrize(
    ("metadata", "vip"),
    [
        ({}, None),
        ({"labels": {"vip": "10.0.0.1"}}, "10.0.0.1"),
        ({"labels": {"VIP": "10.0.0.2"}}, "10.0.0.2"),
        ({"labels": {"vip": " "}}, None),
        ({"labels": {"vip": "10.0.0.1"}, "annotations": {"middleware.fedstate.io/vip": "fd00::1"}}, "fd00::1"),
    ],
)
def test_the_vip_of_a_cluster(metadata: dict[str, Any], vip: str | None) -> None:
    assert vip_of(cluster(**metadata)) == vip


@pytest.mark.parametrize("vip", ["10.29.5.103", "127.1.2.1", "fd00::1", "db.eu-1.example.com", "eu1"])
def test_addresses_of_hosts_are_vips(vip: str) -> None:
    assert vip_problem(vip) is None


@pytest.mark.parametrize(
    "vip", ["10.0.0", "10.0.0.256", "0.0.0.0", "::", "224.0.0.1", "a_b", "-x.com", "1.2.3.4:80", "x..y", "http://x"]
)
def test_anything_else_is_none(vip: str) -> None:
    assert vip_problem(vip) is not None


def test_spellings_of_one_address_are_one_vip() -> None:
    assert canonical_vip("FD00:0::1") == canonical_vip("fd00::1")
    assert canonical_vip("DB.example.com.") == "db.example.com"
    assert canonical_vip("10.0.0.1") != canonical_vip("10.0.0.10")


ENABLED = [{"groupVersion": "middleware.fedstate.io/v1alpha1", "resources": [{"kind": "MongoDB", "name": "mongodbs"}]}]
OTHER = [{"groupVersion": "v1", "resources": [{"kind": "Pod", "name": "pods"}]}]


@pytest.mark.parametrize(
    ("enablements", "complete", "expected"),
    [
        (ENABLED, "True", (True, True)),
        (OTHER, "True", (False, True)),
        (OTHER, "False", (False, False)),
        ([], "True", (False, False)),
        (ENABLED, "False", (True, False)),
        (OTHER, "", (False, True)),
    ],
)
def test_whether_a_cluster_serves_a_kind_and_whether_all_are_known(
    enablements: list[Any], complete: str, expected: tuple[bool, bool]
) -> None:
    conditions = [{"type": "CompleteAPIEnablements", "status": complete}] if complete else []
    kinds, complete_list = served_kinds(cluster({"apiEnablements": enablements, "conditions": conditions}))
    assert ((MONGODBS.api_version, MONGODBS.kind) in kinds, complete_list) == expected


def test_a_cluster_without_resource_collection_has_no_summary() -> None:
    assert resource_summary_of(cluster()) is None
    assert resource_summary_of(cluster({"resourceSummary": {}})) == {}


def test_the_old_zone_counts_if_there_are_no_zones() -> None:
    assert zones_of(cluster(spec={"zone": "z1"})) == ("z1",)
    assert zones_of(cluster(spec={"zone": "z1", "zones": ["z2", "z3"]})) == ("z2", "z3")


def test_aggregated_status_by_cluster() -> None:
    binding = {
        "status": {
            "aggregatedStatus": [
                {"clusterName": "a", "applied": True, "health": "Healthy", "status": {"state": "Running"}},
                {"clusterName": "b", "appliedMessage": "already exists"},
            ]
        }
    }
    items = aggregated_statuses(binding)
    assert items["a"].status == {"state": "Running"}
    assert (items["b"].applied, items["b"].applied_message, items["b"].health, items["b"].status) == (
        False,
        "already exists",
        "Unknown",
        None,
    )
