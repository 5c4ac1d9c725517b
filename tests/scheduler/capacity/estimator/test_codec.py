"""Messages on the wire: byte by byte as Karmada's own client of 1.18 writes them, and understood by all versions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.scheduler.capacity.estimator.codec import decode_response, encode_request
from fedstate.scheduler.capacity.rooms import MemberShape
from tests.scheduler.capacity.estimator.server import Asked, Version, encoded_response, understood
from tests.scheduler.capacity.estimator.shapes import CHOOSY, SHAPES

FULL = bytes.fromhex(
    "0a076d656d6265723112dd02"
    "0a8602"
    "0a410a2f0a180a04617263681202496e1a05616d6436341a0561726d36340a130a036f6c64120c446f65734e6f7445786973740a0e0a0c0a0367656e120247741a0133"
    "120b0a046469736b1203737364" "12090a047a6f6e65120161"
    "1a220a096465646963617465641205457175616c1a026462220a4e6f5363686564756c65" "1a0e0a0012064578697374731a002200"
    "22410a2f0a180a04617263681202496e1a05616d6436341a0561726d36340a130a036f6c64120c446f65734e6f7445786973740a0e0a0c0a0367656e120247741a0133"
    "2a220a096465646963617465641205457175616c1a026462220a4e6f5363686564756c65" "2a0e0a0012064578697374731a002200"
    "120d0a0363707512060a043530306d" "12160a066d656d6f7279120c0a0a31303733373431383234"
    "1a0473686f70"
    "2a0d0a0363707512060a043530306d" "2a160a066d656d6f7279120c0a0a31303733373431383234"
)  # fmt: skip


def test_a_request_is_what_karmada_itself_writes() -> None:
    assert encode_request("member1", CHOOSY, "shop") == FULL


def test_a_plain_request_has_no_node_claim() -> None:
    expected = bytes.fromhex("0a0163121e120d0a0363707512060a043530306d2a0d0a0363707512060a043530306d")
    assert encode_request("c", MemberShape(request=(("cpu", 500),)), "") == expected


@settings(max_examples=50)
@given(member=SHAPES, cluster=st.text(max_size=9), namespace=st.text(max_size=9))
def test_every_version_understands_the_same(member: MemberShape, cluster: str, namespace: str) -> None:
    raw = encode_request(cluster, member, namespace)
    expected = Asked(
        cluster=cluster,
        namespace=namespace,
        amounts={name: f"{amount}m" if name == "cpu" else str(amount) for name, amount in member.request},
        node_selector=dict(member.node_selector),
        terms=member.terms,
        tolerations=member.tolerations,
    )
    assert {version: understood(raw, version) for version in Version} == dict.fromkeys(Version, expected)


@pytest.mark.parametrize(
    ("raw", "members"), [("", 0), ("0801", 1), ("08ac02", 300), ("08ffffffffffffffffff01", -1), ("08ffffffff07", 2**31 - 1)]
)
def test_a_response_is_read_as_karmada_writes_it(raw: str, members: int) -> None:
    assert decode_response(bytes.fromhex(raw)) == members


@given(st.integers(-(2**31), 2**31 - 1))
def test_every_number_is_read_back(members: int) -> None:
    assert decode_response(encoded_response(members)) == members


def test_fields_that_a_later_version_adds_are_passed_over() -> None:
    assert decode_response(bytes.fromhex("1203616263" "0805" "19" + "00" * 8)) == 5  # fmt: skip


@pytest.mark.parametrize("raw", [b"\x0a\x01a", b"\x08", b"<html>"])
def test_what_is_no_response_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_response(raw)
