"""Which estimator serves which cluster."""

from __future__ import annotations

from typing import Any

import pytest

from fedstate.kube.objects import Key, KubeObject
from fedstate.scheduler.capacity.estimator.discovery import Address, AddressError, Directory, parse_table


def directory(spec: KubeObject | None = None, **options: Any) -> Directory:
    services = {} if spec is None else {Key("karmada-system", "karmada-scheduler-estimator-c1"): {"spec": spec}}
    return Directory(service=services.get, **options)


def external(host: str | None = "estimator.example.org", **port: Any) -> KubeObject:
    return {"type": "ExternalName", "externalName": host, "ports": [{"port": 8080, "targetPort": 1}, {"port": 10352, **port}]}


def test_an_external_service_with_a_numbered_port_is_the_address() -> None:
    assert directory(external(targetPort=30352)).find("c1") == Address(host="estimator.example.org", port=30352)


def test_a_port_without_a_target_is_its_own_target() -> None:
    assert directory(external()).find("c1") == Address(host="estimator.example.org", port=10352)


def test_any_other_service_is_found_by_its_name() -> None:
    assert (
        str(directory({"type": "ClusterIP"}).find("c1"))
        == "karmada-scheduler-estimator-c1.karmada-system.svc.cluster.local:10352"
    )


def test_a_cluster_without_a_service_has_no_estimator() -> None:
    assert directory().find("c1") is None
    assert directory(external()).find("c2") is None


def test_beside_karmada_the_name_is_tried_where_there_is_no_service_but_only_as_a_guess() -> None:
    address = directory(by_name=True).find("c1")
    assert address is not None
    assert address.guessed
    assert address.host == "karmada-scheduler-estimator-c1.karmada-system.svc.cluster.local"


def test_prefix_namespace_and_port_can_be_others() -> None:
    address = directory(by_name=True, prefix="grpc-estimator", namespace="fleet", port=99).find("c1")
    assert str(address) == "grpc-estimator-c1.fleet.svc.cluster.local:99"


def test_the_table_goes_before_everything() -> None:
    assert directory(external(), table={"c1": Address(host="127.0.0.1", port=5)}).find("c1") == Address(host="127.0.0.1", port=5)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (external(targetPort="grpc"), "names its targetPort 'grpc' in spec.ports: give the number"),
        (external(host=None), r"has no spec\.externalName"),
        ({"type": "ExternalName", "externalName": "e", "ports": [{"port": 1}]}, "has no port 10352"),
        ({"type": "ExternalName", "externalName": "e"}, "has no port 10352"),
    ],
)
def test_a_service_that_cannot_be_used_is_named_with_the_fix(spec: KubeObject, words: str) -> None:
    with pytest.raises(AddressError, match=words) as caught:
        directory(spec).find("c1")
    assert "karmada-system/karmada-scheduler-estimator-c1" in str(caught.value)


def test_a_table_is_read_from_text() -> None:
    assert parse_table("a=127.0.0.1:1, b=host , c=[::1]:3,d=[fd00::2],") == {
        "a": Address(host="127.0.0.1", port=1),
        "b": Address(host="host", port=10352),
        "c": Address(host="::1", port=3),
        "d": Address(host="fd00::2", port=10352),
    }
    assert str(parse_table("c=[::1]:3")["c"]) == "[::1]:3"
    assert parse_table("") == {}


@pytest.mark.parametrize(
    "entry", ["a", "a=", "=h:1", "a=h:", "a=h:0", "a=h:65536", "a=h:x", "a=::1", "a=1:2:3", "a=h:1:2", "a=[::1", "a b=c"]
)
def test_an_entry_that_says_no_address_is_named(entry: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_table(f"ok=h:1,{entry}")
    assert repr(entry) in str(caught.value)


def test_two_estimators_for_one_cluster_are_a_mistake() -> None:
    with pytest.raises(AddressError, match="cluster a has two estimators"):
        parse_table("a=x:1,a=y:1")
