"""Which objects a selector chooses, and what is no selector."""

from __future__ import annotations

import pytest

from fedstate.kube.objects import KubeObject
from fedstate.local.apiserver.errors import StatusError
from fedstate.local.apiserver.selectors import Selection, parse_fields, parse_labels, path_reader, selector_matches

RED: KubeObject = {
    "metadata": {"name": "a", "namespace": "n", "labels": {"color": "red", "size": "3", "x.io/y": ""}},
    "spec": {"on": True},
}


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("", True),
        ("color=red", True),
        ("color == red", True),
        ("color=blue", False),
        ("color!=blue", True),
        ("color!=red", False),
        ("absent!=red", True),
        ("color in (red,blue)", True),
        ("color in (blue)", False),
        ("color notin (blue)", True),
        ("absent notin (blue)", True),
        ("color", True),
        ("absent", False),
        ("!absent", True),
        ("!color", False),
        ("size>2", True),
        ("size<3", False),
        ("color>2", False),
        ("x.io/y=", True),
        ("x.io/y", True),
        ("color=red,size=3,!absent,color in (red, blue)", True),
        ("color=red,size=4", False),
    ],
)
def test_label_selector_chooses(text: str, chosen: bool) -> None:
    assert Selection(labels=parse_labels(text)).matches(RED) is chosen


@pytest.mark.parametrize("text", ["a==b==c", "a b", "a in (b", "=b", "a=b c", "a>b", "-a=b", "a=_"])
def test_wrong_label_selector_is_a_bad_request(text: str) -> None:
    with pytest.raises(StatusError) as caught:
        parse_labels(text)
    assert caught.value.code == 400


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("metadata.name=a", True),
        ("metadata.name!=a", False),
        ("metadata.namespace==n,metadata.name=a", True),
        ("spec.on=true", True),
        ("spec.off=", True),
    ],
)
def test_field_selector_chooses(text: str, chosen: bool) -> None:
    readers = {"spec.on": path_reader("spec.on"), "spec.off": path_reader(".spec.off")}
    assert Selection(fields=parse_fields(text, readers)).matches(RED) is chosen


def test_selector_of_an_object_needs_every_part() -> None:
    selector = {"matchLabels": {"color": "red"}, "matchExpressions": [{"key": "size", "operator": "In", "values": ["3"]}]}
    assert selector_matches(selector, {"color": "red", "size": "3"})
    assert not selector_matches(selector, {"color": "red"})
    assert selector_matches({}, {})
    assert not selector_matches(None, {})
