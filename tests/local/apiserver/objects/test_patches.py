"""JSON Patch and merge patch against the jsonpatch package and the RFC; strategic merge on built-in kinds."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstate.local.apiserver.objects.builtin_schemas import builtin_kind
from fedstate.local.apiserver.objects.patches import PatchError, json_patch, merge_patch, strategic_merge_patch

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("a/~", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3),
    max_leaves=10,
)
DOCUMENTS = st.dictionaries(st.text("ab/~", max_size=2), VALUES, max_size=4)


@given(DOCUMENTS, DOCUMENTS)
def test_a_patch_made_by_jsonpatch_turns_one_document_into_the_other(one: dict[str, Any], other: dict[str, Any]) -> None:
    before = copy.deepcopy(one)
    assert json_patch(one, jsonpatch.make_patch(one, other).patch) == other
    assert one == before


@given(DOCUMENTS, DOCUMENTS)
def test_a_merge_patch_applied_twice_changes_nothing_more(doc: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge_patch(doc, patch)
    assert merge_patch(once, patch) == once


@pytest.mark.parametrize(
    ("doc", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": "foo"}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ],
)
def test_merge_patch_follows_rfc_7396(doc: Any, patch: Any, result: Any) -> None:
    assert merge_patch(doc, patch) == result


DOC = {"spec": {"req": "r", "al": ["a"], "mm": {"k": {"x": 1}}}}


@pytest.mark.parametrize(
    ("op", "al"),
    [
        ({"op": "add", "path": "/spec/al/-", "value": "x"}, ["a", "x"]),
        ({"op": "add", "path": "/spec/al/-1", "value": "x"}, ["a", "x"]),
        ({"op": "add", "path": "/spec/al/01", "value": "x"}, ["a", "x"]),
        ({"op": "remove", "path": "/spec/al/-1"}, []),
        ({"op": "replace", "path": "/spec/zz", "value": 1}, ["a"]),
        ({"op": "test", "path": "/spec/zz", "value": None}, ["a"]),
    ],
)
def test_json_patch_is_as_lenient_as_the_real_server(op: dict[str, Any], al: list[str]) -> None:
    assert json_patch(DOC, [op])["spec"]["al"] == al


@pytest.mark.parametrize(
    "op",
    [
        {"op": "test", "path": "/spec/req", "value": "q"},
        {"op": "test", "path": "/spec/mm/k/x", "value": True},
        {"op": "remove", "path": "/spec/zz"},
        {"op": "add", "path": "/spec/a/b", "value": 1},
        {"op": "add", "path": "/spec/al/5", "value": 1},
        {"op": "move", "from": "/spec/zz", "path": "/spec/q"},
        {"op": "foo", "path": "/spec"},
        {"op": "add", "path": "spec", "value": 1},
        {"path": "/spec"},
        {"op": "remove", "path": ""},
    ],
)
def test_an_operation_that_does_not_fit_is_unprocessable(op: dict[str, Any]) -> None:
    with pytest.raises(PatchError, match="the server rejected our request due to an error in our request") as raised:
        json_patch(DOC, [op])
    assert (raised.value.status, raised.value.reason) == (422, "Invalid")


def test_a_patch_of_the_wrong_shape_is_a_bad_request() -> None:
    with pytest.raises(PatchError, match=r"cannot unmarshal object into Go value of type \[\]handlers.jsonPatchOp"):
        json_patch({}, {"a": 1})
    with pytest.raises(PatchError, match="cannot unmarshal array into Go value") as raised:
        merge_patch({}, [])
    assert raised.value.status == 400


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": spec}


CONTAINERS: list[dict[str, Any]] = [
    {"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]},
    {"name": "b", "image": "2"},
]


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ({"containers": [{"name": "b", "image": "3"}]}, [CONTAINERS[0], {"name": "b", "image": "3"}]),
        ({"containers": [{"name": "c", "image": "3"}]}, [*CONTAINERS, {"name": "c", "image": "3"}]),
        ({"containers": [{"name": "a", "$patch": "delete"}]}, [CONTAINERS[1]]),
        ({"containers": [{"name": "z"}, {"$patch": "replace"}]}, [{"name": "z"}]),
        ({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}, [CONTAINERS[1], CONTAINERS[0]]),
        (
            {"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}]}]},
            [{**CONTAINERS[0], "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]}, CONTAINERS[1]],
        ),
        ({"containers": [{"name": "a", "image": None}]}, [{"name": "a", "env": [{"name": "X", "value": "1"}]}, CONTAINERS[1]]),
    ],
)
def test_strategic_merge_goes_by_the_merge_keys_of_the_kind(patch: dict[str, Any], result: list[Any]) -> None:
    kind = builtin_kind("v1", "Pod")
    assert kind is not None
    merged = strategic_merge_patch(pod(containers=CONTAINERS), {"spec": patch}, kind.schema)
    assert merged["spec"]["containers"] == result


def test_strategic_merge_knows_primitive_lists_retained_keys_and_replacement() -> None:
    kind = builtin_kind("v1", "Pod")
    assert kind is not None
    doc = {"metadata": {"name": "p", "finalizers": ["a/a", "b/b"], "labels": {"x": "1"}}}
    patch = {
        "metadata": {
            "finalizers": ["c/c"],
            "$deleteFromPrimitiveList/finalizers": ["a/a"],
            "labels": {"$patch": "replace", "y": "2"},
        }
    }
    merged = strategic_merge_patch(doc, patch, kind.schema)
    assert merged["metadata"] == {"name": "p", "finalizers": ["b/b", "c/c"], "labels": {"y": "2"}}
    volumes = pod(volumes=[{"name": "v", "emptyDir": {}}])
    retained = {"spec": {"volumes": [{"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/x"}}]}}
    assert strategic_merge_patch(volumes, retained, kind.schema)["spec"]["volumes"] == [{"name": "v", "hostPath": {"path": "/x"}}]
    with pytest.raises(PatchError, match=r"unknown patch type: zz in map: map\[\$patch:zz\]"):
        strategic_merge_patch({}, {"metadata": {"$patch": "zz"}}, kind.schema)
