"""Pure reads of API objects, resources, backoff and the errors of answers, by tables."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from fedstate.kube import objects
from fedstate.kube.backoff import Backoff
from fedstate.kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
    api_error_from,
)
from fedstate.kube.objects import Key
from fedstate.kube.resources import EVENTS, NAMESPACES, NODES, PODS, Resource


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", "0.5"),
        ("2", "2"),
        (3, "3"),
        (0.5, "0.5"),
        ("1e3", "1000"),
        ("1E", "1e18"),
        ("2Gi", str(2 * 2**30)),
        ("-1.5k", "-1500"),
        (".5", "0.5"),
        ("100n", "1e-7"),
    ],
)
def test_quantities_mean_numbers(text: str | int | float, value: str) -> None:
    assert objects.parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "1 Gi", "Gi", "1GiB", "1e", "--1", True, "0x10"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        objects.parse_quantity(text)


def test_cores_and_bytes_are_rounded_up() -> None:
    assert objects.cpu_millis("0.0001") == 1
    assert objects.cpu_millis("1.5") == 1500
    assert objects.quantity_bytes("100m") == 1
    assert objects.quantity_bytes("1Ki") == 1024


def test_times_are_read_and_written_in_utc() -> None:
    moment = datetime(2026, 8, 1, 12, 0, 5, 123456, tzinfo=timezone(timedelta(hours=2)))
    assert objects.format_time(moment) == "2026-08-01T10:00:05Z"
    assert objects.format_micro_time(moment) == "2026-08-01T10:00:05.123456Z"
    assert objects.parse_time("2026-08-01T10:00:05.123456Z") == moment
    assert objects.parse_time("2026-08-01T10:00:05Z").tzinfo is UTC
    with pytest.raises(ValueError, match="no time zone"):
        objects.parse_time("2026-08-01T10:00:05")


def test_an_object_without_anything_reads_as_empty() -> None:
    for empty in ({}, {"metadata": None}, {"metadata": {"labels": None}}):
        assert objects.key_of(empty) == Key("", "")
        assert objects.labels_of(empty) == {}
        assert objects.generation_of(empty) == 0
        assert objects.deletion_timestamp_of(empty) is None
        assert objects.finalizers_of(empty) == []
        assert objects.controller_of(empty) is None


def test_an_owner_reference_leads_back_to_its_owner() -> None:
    owner = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "uid": "u"}}
    child = {"metadata": {"ownerReferences": [{"name": "x"}, objects.owner_reference(owner)]}}
    assert objects.controller_of(child) == {
        "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip


def test_keys_print_as_people_write_them() -> None:
    assert str(Key("n", "a")) == "n/a"
    assert str(Key("", "a")) == "a"


@pytest.mark.parametrize(
    ("resource", "arguments", "path"),
    [
        (PODS, (), "/api/v1/pods"),
        (PODS, ("n",), "/api/v1/namespaces/n/pods"),
        (PODS, ("n", "p", "status"), "/api/v1/namespaces/n/pods/p/status"),
        (NODES, ("", "m"), "/api/v1/nodes/m"),
        (NODES, ("ignored", "m"), "/api/v1/nodes/m"),
        (NAMESPACES, ("", "n", "finalize"), "/api/v1/namespaces/n/finalize"),
        (EVENTS, ("n",), "/apis/events.k8s.io/v1/namespaces/n/events"),
        (Resource("g", "v", "xs", "X", namespaced=False), ("", "system:a/b"), "/apis/g/v/xs/system:a%2Fb"),
    ],
)
def test_resources_know_their_paths(resource: Resource, arguments: tuple[str, ...], path: str) -> None:
    assert resource.path(*arguments) == path


def test_a_path_that_would_name_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a namespace"):
        PODS.path(name="p")
    with pytest.raises(ValueError, match="needs a name"):
        PODS.path("n", subresource="status")


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (401, "Unauthorized", Unauthorized),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", AlreadyExists),
        (410, "Expired", Expired),
        (410, "Gone", Expired),
        (418, "Teapot", ApiError),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", TooManyRequests),
        (503, "ServiceUnavailable", ServerError),
    ],
)
def test_answers_become_the_error_they_mean(status: int, reason: str, kind: type[ApiError]) -> None:
    error = api_error_from(status, {"kind": "Status", "code": status, "reason": reason, "message": "so"})
    assert type(error) is kind
    assert (error.status, error.reason, error.message) == (status, reason, "so")


def test_a_body_that_is_no_status_is_never_quoted() -> None:
    bodies: list[Any] = [None, [], "password=x", {"kind": "Secret", "message": "password=x"}]
    for body in bodies:
        error = api_error_from(500, body)
        assert isinstance(error, ServerError)
        assert "password" not in str(error)


def test_the_time_to_wait_comes_from_the_header_or_the_body() -> None:
    body: dict[str, Any] = {"kind": "Status", "details": {"retryAfterSeconds": 7}}
    assert api_error_from(429, body).retry_after == 7
    assert api_error_from(503, body, retry_after="3").retry_after == 3
    assert api_error_from(429, None, retry_after="Wed, 21 Oct 2026").retry_after is None


def test_backoff_doubles_to_its_cap_and_starts_over_after_quiet() -> None:
    backoff = Backoff(dice=lambda: 0.0)
    now = 0.0
    waits = []
    for _ in range(8):
        waits.append(backoff.delay(now))
        now += waits[-1]
    assert waits == pytest.approx([0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30])
    assert backoff.delay(now + 121) == 0.8
    assert Backoff(dice=lambda: 0.999).delay(0) < 1.6
