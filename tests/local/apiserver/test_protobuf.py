"""The protobuf bodies that kubectl sends, built here field by field as the wire format says."""

from __future__ import annotations

import pytest

from fedstate.local.apiserver.errors import StatusError
from fedstate.local.apiserver.protobuf import decode_protobuf


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def text(number: int, value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def body(api_version: str, kind: str, raw: bytes) -> bytes:
    return b"k8s\x00" + text(1, text(1, api_version) + text(2, kind)) + text(2, raw) + text(3, "") + text(4, "")


META = text(1, text(1, "a") + text(2, "") + text(3, "ns") + text(8, b"") + text(11, text(1, "k") + text(2, "v")) + number(7, 0))


def test_config_map_is_read_without_its_empty_fields() -> None:
    raw = META + text(2, text(1, "x") + text(2, "1")) + text(2, text(1, "empty"))
    assert decode_protobuf(body("v1", "ConfigMap", raw)) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a", "namespace": "ns", "labels": {"k": "v"}},
        "data": {"x": "1", "empty": ""},
    }


def test_bytes_of_a_secret_become_base64() -> None:
    decoded = decode_protobuf(body("v1", "Secret", META + text(2, text(1, "p") + text(2, b"\xff\x00")) + text(3, "Opaque")))
    assert decoded["data"] == {"p": "/wA="}
    assert decoded["type"] == "Opaque"


def test_service_ports_keep_their_kind_of_target() -> None:
    ports = [text(4, number(1, 1) + text(3, "http")) + number(3, 80), text(4, number(1, 0) + number(2, 8080)) + number(3, 81)]
    decoded = decode_protobuf(body("v1", "Service", META + text(2, b"".join(text(1, port) for port in ports))))
    assert decoded["spec"]["ports"] == [{"targetPort": "http", "port": 80}, {"targetPort": 8080, "port": 81}]


def test_status_of_a_client_is_left_out() -> None:
    decoded = decode_protobuf(body("policy/v1", "PodDisruptionBudget", META + text(3, number(3, 7))))
    assert set(decoded) == {"apiVersion", "kind", "metadata"}


def test_grace_period_of_zero_counts() -> None:
    assert decode_protobuf(body("v1", "DeleteOptions", number(1, 0)))["gracePeriodSeconds"] == 0


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"{}", 400),
        (b"k8s\x00\x0a\xff", 400),
        (body("v1", "Pod", META), 415),
        (body("v1", "ConfigMap", META + text(77, "x")), 415),
        (body("v1", "ConfigMap", varint(2 << 3 | 5) + b"1234"), 400),
    ],
)
def test_what_cannot_be_read_is_refused(raw: bytes, code: int) -> None:
    with pytest.raises(StatusError) as caught:
        decode_protobuf(raw)
    assert caught.value.code == code
