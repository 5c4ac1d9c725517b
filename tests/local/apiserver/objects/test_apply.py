"""Server-side apply and the upkeep of managed fields: recorded answers of kube-apiserver 1.37, and properties."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstate.local.apiserver.objects.apply import ApplyConflict, UntypedIntent, server_side_apply, track_update
from fedstate.local.apiserver.objects.schema import compile_schema

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STRING: dict[str, Any] = {"type": "string"}
ITEM: dict[str, Any] = {"type": "object", "properties": {"name": STRING, "port": {"type": "integer"}}}
SPEC: dict[str, Any] = {
    "type": "object",
    "properties": {
        "req": STRING,
        "i": {"type": "integer"},
        "al": {"type": "array", "items": STRING},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": STRING},
        "lm": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": ITEM},
        "m": {"type": "object", "additionalProperties": {"type": "integer"}},
        "at": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": STRING},
        "p": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
STATUS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "a": {"type": "integer"},
        "conditions": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
            "items": {"type": "object", "properties": {"type": STRING, "status": STRING}},
        },
    },
}
SCHEMA = compile_schema({"type": "object", "properties": {"spec": SPEC, "status": STATUS}})
Object = dict[str, Any]


def thing(spec: Object | None = None, **metadata: Any) -> Object:
    body: Object = {"apiVersion": "t.io/v1", "kind": "Thing", "metadata": {"name": "x", **metadata}}
    return body if spec is None else {**body, "spec": spec}


def apply(
    live: Object | None, intent: Object, manager: str = "a", *, force: bool = False, now: datetime = NOW, subresource: str = ""
) -> Object:
    return server_side_apply(
        live, intent, manager=manager, force=force, schema=SCHEMA, api_version="t.io/v1", now=now, subresource=subresource
    )


def update(old: Object | None, new: Object, manager: str = "u", *, now: datetime = NOW) -> Object:
    return track_update(old, new, manager=manager, schema=SCHEMA, api_version="t.io/v1", now=now)


def owned(obj: Object, manager: str) -> Object | None:
    for entry in obj["metadata"].get("managedFields", ()):
        if entry["manager"] == manager:
            return entry["fieldsV1"]  # type: ignore[no-any-return]
    return None


FULL = {
    "req": "r",
    "al": ["x"],
    "set": ["1"],
    "lm": [{"name": "n1", "port": 1}],
    "m": {"a": 1},
    "at": {"z": "1"},
    "p": {"u": {"v": 1}, "k": 2},
}


def test_the_first_apply_owns_exactly_what_it_says() -> None:
    created = apply(None, thing(FULL, labels={"l": "1"}))
    assert owned(created, "a") == {
        "f:metadata": {"f:labels": {"f:l": {}}},
        "f:spec": {
            "f:al": {},
            "f:at": {},
            "f:lm": {'k:{"name":"n1"}': {".": {}, "f:name": {}, "f:port": {}}},
            "f:m": {"f:a": {}},
            "f:p": {"f:k": {}, "f:u": {".": {}, "f:v": {}}},
            "f:req": {},
            "f:set": {'v:"1"': {}},
        },
    }


def test_a_create_owns_the_containers_too() -> None:
    created = update(None, thing({"req": "r", "lm": [{"name": "a"}], "set": ["b"]}, labels={"a": "b"}))
    assert owned(created, "u") == {
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
        "f:spec": {
            ".": {},
            "f:lm": {".": {}, 'k:{"name":"a"}': {".": {}, "f:name": {}}},
            "f:req": {},
            "f:set": {".": {}, 'v:"b"': {}},
        },
    }


def test_lists_with_keys_are_merged_item_by_item() -> None:
    live = apply(None, thing(FULL))
    merged = apply(live, thing({"set": ["0", "1"], "lm": [{"name": "n0"}]}), "b")
    assert merged["spec"]["set"] == ["0", "1"]
    assert merged["spec"]["lm"] == [{"name": "n1", "port": 1}, {"name": "n0"}]


def test_what_is_applied_no_longer_goes_unless_somebody_else_owns_it() -> None:
    live = apply(None, thing(FULL, labels={"l": "1"}))
    live = apply(live, thing({"al": ["x"], "m": {"a": 1, "b": 2}}), "b")
    left = apply(live, thing({"req": "r"}))
    assert left["spec"] == {"req": "r", "al": ["x"], "m": {"a": 1, "b": 2}}
    assert left["metadata"].keys() == {"name", "managedFields"}


def test_a_conflict_names_every_field_and_its_owner() -> None:
    live = apply(None, thing(FULL))
    with pytest.raises(ApplyConflict) as raised:
        apply(live, thing({"req": "q", "al": ["y"], "lm": [{"name": "n1", "port": 2}], "m": {"a": 3}}), "b")
    assert str(raised.value) == (
        'Apply failed with 4 conflicts: conflicts with "a":\n- .spec.al\n- .spec.req\n- .spec.lm[name="n1"].port\n- .spec.m.a'
    )
    assert raised.value.status_causes()[0] == {
        "reason": "FieldManagerConflict",
        "message": 'conflict with "a"',
        "field": ".spec.al",
    }


def test_a_conflict_with_an_updater_names_its_version() -> None:
    live = update(None, thing({"i": 4}))
    with pytest.raises(ApplyConflict, match=r'^Apply failed with 1 conflict: conflict with "u" using t.io/v1: .spec.i$'):
        apply(live, thing({"i": 5}))


def test_force_takes_the_field_from_its_owner() -> None:
    live = apply(None, thing({"req": "r", "i": 1}))
    taken = apply(live, thing({"i": 2}), "b", force=True)
    assert taken["spec"] == {"req": "r", "i": 2}
    assert owned(taken, "a") == {"f:spec": {"f:req": {}}}
    assert owned(taken, "b") == {"f:spec": {"f:i": {}}}


def test_times_change_only_when_the_object_does() -> None:
    live = apply(None, thing(FULL))
    later = NOW + timedelta(hours=1)
    assert apply(live, thing(FULL), now=later) == live
    shared = apply(live, thing({"req": "r"}), "c", now=later)
    assert [entry.get("time") for entry in shared["metadata"]["managedFields"]] == [None, "2026-01-01T00:00:00Z"]
    assert update(live, live, now=later) == live


def test_an_update_takes_what_it_changes_and_frees_what_it_removes() -> None:
    live = apply(None, thing({"req": "r", "i": 1}))
    changed = update(live, thing({"req": "q"}))
    assert owned(changed, "u") == {"f:spec": {"f:req": {}}}
    assert owned(changed, "a") is None


def test_status_is_applied_by_itself() -> None:
    live = apply(None, thing({"req": "r"}))
    intent = {**thing({"req": "ignored"}), "status": {"a": 1, "conditions": [{"type": "R", "status": "True"}]}}
    result = apply(live, intent, "s", subresource="status")
    assert result["spec"] == {"req": "r"}
    assert owned(result, "s") == {
        "f:status": {"f:a": {}, "f:conditions": {'k:{"type":"R"}': {".": {}, "f:status": {}, "f:type": {}}}}
    }
    assert result["metadata"]["managedFields"][1]["subresource"] == "status"


def test_managed_fields_can_be_reset_and_are_then_owed_to_nobody_in_particular() -> None:
    live = update(None, thing({"req": "r"}))
    reset = update(live, thing({"req": "r"}, managedFields=[{}]))
    assert "managedFields" not in reset["metadata"]
    assert owned(apply(reset, thing({"req": "r"})), "before-first-apply") == {"f:spec": {".": {}, "f:req": {}}}


def test_kubectl_takes_over_from_its_client_side_apply_without_force() -> None:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": '{"spec":{"i":1}}'}
    live = update(None, thing({"i": 1}, annotations=annotations), "kubectl-client-side-apply")
    assert apply(live, thing({"i": 2}), "kubectl")["spec"] == {"i": 2}
    with pytest.raises(ApplyConflict):
        apply(live, thing({"i": 2}), "other")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"zzz": 5}, ".spec.zzz: field not declared in schema"),
        ({"lm": 5}, ".spec.lm: expected list, got &{5}"),
        ({"lm": [{"name": "a"}, {"name": "a"}]}, '.spec.lm: duplicate entries for key [name="a"]'),
        (
            {"lm": [{"port": 1}]},
            ".spec.lm: element 0: associative list with keys has an element that omits all key fields "
            '["name"] (and doesn\'t have default values for any key fields)',
        ),
    ],
)
def test_an_intent_that_is_not_of_the_type_is_refused(spec: Object, message: str) -> None:
    with pytest.raises(UntypedIntent) as raised:
        apply(None, thing(spec))
    assert str(raised.value) == f"failed to create typed patch object (/x; t.io/v1, Kind=Thing): {message}"


def test_the_oldest_updaters_are_folded_into_one() -> None:
    live = update(None, thing({"req": "r"}))
    for number in range(14):
        spec = {**live["spec"], "m": {**live["spec"].get("m", {}), f"k{number}": number}}
        live = update(live, {**live, "spec": spec}, f"u{number}", now=NOW + timedelta(seconds=number))
    managers = [entry["manager"] for entry in live["metadata"]["managedFields"]]
    assert "ancient-changes" in managers
    assert len(managers) <= 11


SPECS = st.fixed_dictionaries(
    {},
    optional={
        "req": st.sampled_from("xy"),
        "i": st.integers(0, 2),
        "al": st.lists(st.sampled_from("ab"), max_size=2),
        # An empty set or map-like list has nothing that could be owned, and so stays for ever; the real server does the same.
        "set": st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True),
        "lm": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from("abc")}, optional={"port": st.integers(0, 2)}),
            min_size=1,
            max_size=3,
            unique_by=lambda item: item["name"],
        ),
        "m": st.dictionaries(st.sampled_from("ab"), st.integers(0, 2), max_size=2),
        "p": st.dictionaries(
            st.sampled_from("ab"), st.dictionaries(st.sampled_from("ab"), st.integers(0, 1), max_size=2), max_size=2
        ),
    },
)


@given(SPECS, SPECS)
def test_applying_the_same_twice_changes_nothing(first: Object, second: Object) -> None:
    live = apply(apply(None, thing(first), "b"), thing(second), force=True)
    assert apply(live, thing(second), now=NOW + timedelta(days=1)) == live


@given(SPECS, SPECS)
def test_a_forced_apply_gets_its_way_and_owns_it(first: Object, second: Object) -> None:
    result = apply(apply(None, thing(first), "b"), thing(second), force=True)
    assert apply(result, thing(second)) == result
    for name in ("req", "i", "al"):
        if name in second:
            assert result["spec"][name] == second[name]


@given(SPECS)
def test_applying_nothing_gives_everything_up(spec: Object) -> None:
    live = apply(apply(None, thing(spec), "a"), thing({"req": "kept"}), "b", force=True)
    left = apply(live, thing(), "a")
    assert left.get("spec") == {"req": "kept"}
    assert owned(left, "a") is None


@given(SPECS, SPECS)
def test_managers_of_different_fields_commute(one: Object, other: Object) -> None:
    mine = {key: value for key, value in one.items() if key in ("req", "al", "lm")}
    theirs = {key: value for key, value in other.items() if key in ("i", "set", "m", "p")}
    first = apply(apply(None, thing(mine), "a"), thing(theirs), "b")
    second = apply(apply(None, thing(theirs), "b"), thing(mine), "a")
    assert first["spec"] == second["spec"]
    assert (owned(first, "a"), owned(first, "b")) == (owned(second, "a"), owned(second, "b"))


def test_a_container_that_somebody_applied_stays_when_its_last_member_goes() -> None:
    live = apply(apply(None, thing({"m": {}}), "c"), thing({"req": "r", "m": {"a": 1}}))
    left = apply(live, thing({"req": "r"}))
    assert left["spec"] == {"req": "r", "m": {}}
    assert owned(left, "c") == {"f:spec": {"f:m": {}}}


def test_null_says_nothing_about_the_members_of_a_container() -> None:
    live = apply(None, thing({"p": {"b": {"x": 1}}}))
    assert apply(live, thing({"p": {"b": None}}), "b")["spec"] == {"p": {"b": {"x": 1}}}
