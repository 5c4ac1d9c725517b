"""Defaults, pruning and validation, against answers recorded from a real kube-apiserver 1.37."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedstate.local.apiserver.objects.fielderrors import invalid_message
from fedstate.local.apiserver.objects.schema import compile_schema, structural_errors

STRING: dict[str, Any] = {"type": "string"}
SPEC: dict[str, Any] = {
    "type": "object",
    "required": ["req"],
    "properties": {
        "req": STRING,
        "i": {"type": "integer", "minimum": 1, "maximum": 10},
        "s": {"type": "string", "minLength": 2, "maxLength": 4, "pattern": "^[a-z]*$"},
        "e": {"type": "string", "enum": ["b", "c"]},
        "en": {"type": "integer", "enum": [1, 2]},
        "ios": {"x-kubernetes-int-or-string": True},
        "dt": {"type": "string", "format": "date-time"},
        "flag": {"type": "boolean"},
        "l": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string", "maxLength": 3}},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": STRING},
        "lm": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": STRING, "port": {"type": "integer", "default": 5}},
            },
        },
        "m": {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 2, "minProperties": 1},
        "mm": {"type": "object", "additionalProperties": {"type": "object", "properties": {"x": {"type": "integer"}}}},
        "nul": {"type": "string", "nullable": True},
        "d": {"type": "object", "default": {}, "properties": {"x": {"type": "integer", "default": 3}}},
        "p": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"k": {"type": "integer"}}},
        "emb": {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
        "one": {"type": "object", "properties": {"a": STRING, "b": STRING}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        "any": {"type": "object", "properties": {"a": STRING, "b": STRING}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        "nt": {"type": "object", "properties": {"a": STRING}, "not": {"required": ["a"]}},
    },
}
SCHEMA = compile_schema({"type": "object", "required": ["spec"], "properties": {"spec": SPEC}})

REFUSED = [
    ({"i": 0}, ["spec.i: Invalid value: 0: spec.i in body should be greater than or equal to 1"]),
    ({"i": 11}, ["spec.i: Invalid value: 11: spec.i in body should be less than or equal to 10"]),
    ({"i": "x"}, ['spec.i: Invalid value: "string": spec.i in body must be of type integer: "string"']),
    ({"s": "a"}, ['spec.s: Invalid value: "a": spec.s in body should be at least 2 chars long']),
    ({"s": "abcde"}, ["spec.s: Too long: may not be more than 4 bytes"]),
    ({"s": "AB"}, ["spec.s: Invalid value: \"AB\": spec.s in body should match '^[a-z]*$'"]),
    ({"e": "a"}, ['spec.e: Unsupported value: "a": supported values: "b", "c"']),
    ({"en": 3}, ['spec.en: Unsupported value: 3: supported values: "1", "2"']),
    ({"ios": True}, ['spec.ios: Invalid value: "boolean": spec.ios in body must be of type integer,string: "boolean"']),
    ({"dt": "abc"}, ['spec.dt: Invalid value: "abc": spec.dt in body must be of type date-time: "abc"']),
    ({"flag": 1}, ['spec.flag: Invalid value: "integer": spec.flag in body must be of type boolean: "integer"']),
    ({"l": []}, ["spec.l: Invalid value: 0: spec.l in body should have at least 1 items"]),
    ({"l": ["a", "b", "c"]}, ["spec.l: Too many: 3: must have at most 2 items"]),
    ({"l": ["aaaa"]}, ["spec.l[0]: Too long: may not be more than 3 bytes"]),
    ({"set": ["a", "a"]}, ['spec.set[1]: Duplicate value: "a"']),
    ({"lm": [{"name": "a"}, {"name": "a"}]}, ['spec.lm[1]: Duplicate value: {"name":"a"}']),
    ({"lm": [{"port": 1}]}, ["spec.lm[0].name: Required value"]),
    ({"m": {}}, ["spec.m: Invalid value: 0: spec.m in body should have at least 1 properties"]),
    ({"m": {"a": 1, "b": 2, "c": 3}}, ["spec.m: Too many: 3: must have at most 2 items"]),
    ({"m": {"a": "x"}}, ['spec.m.a: Invalid value: "string": spec.m.a in body must be of type integer: "string"']),
    ({"emb": {}}, ["spec.emb.apiVersion: Required value", "spec.emb.kind: Required value"]),
    (
        {"one": {}},
        [
            '<nil>: Invalid value: "": "spec.one" must validate one and only one schema (oneOf). Found none valid',
            "spec.one.a: Required value",
        ],
    ),
    (
        {"any": {}},
        ['<nil>: Invalid value: "": "spec.any" must validate at least one schema (anyOf)', "spec.any.a: Required value"],
    ),
    ({"nt": {"a": "1"}}, ['<nil>: Invalid value: "": "spec.nt" must not validate the schema (not)']),
]


def obj(spec: Any) -> dict[str, Any]:
    return {"apiVersion": "t.io/v1", "kind": "Thing", "metadata": {"name": "x"}, "spec": spec}


@pytest.mark.parametrize(("spec", "errors"), REFUSED)
def test_a_refusal_reads_as_kube_apiserver_words_it(spec: dict[str, Any], errors: list[str]) -> None:
    assert [str(error) for error in SCHEMA.validate(obj({"req": "r", **spec}))] == errors


def test_required_fields_and_wrong_containers_are_named() -> None:
    assert [str(e) for e in SCHEMA.validate(obj({}))] == ["spec.req: Required value"]
    errors = SCHEMA.validate(obj(5))
    assert invalid_message("Thing", "t.io", "x", errors) == (
        'Thing.t.io "x" is invalid: spec: Invalid value: "integer": spec in body must be of type object: "integer"'
    )


def test_an_old_error_is_forgiven_until_its_value_changes() -> None:
    old, same, worse = obj({"req": "r", "i": 0}), obj({"req": "q", "i": 0}), obj({"req": "r", "i": -1})
    assert SCHEMA.validate(same, old) == []
    assert len(SCHEMA.validate(worse, old)) == 1


@pytest.mark.parametrize(
    ("spec", "defaulted"),
    [
        ({}, {"d": {"x": 3}}),
        ({"d": None}, {"d": {"x": 3}}),
        ({"d": {"x": None}}, {"d": {"x": 3}}),
        ({"i": None}, {"d": {"x": 3}}),
        ({"i": 2.0}, {"i": 2, "d": {"x": 3}}),
        ({"nul": None}, {"nul": None, "d": {"x": 3}}),
        ({"lm": [{"name": "a"}]}, {"lm": [{"name": "a", "port": 5}], "d": {"x": 3}}),
    ],
)
def test_defaults_are_filled_in_and_stray_nulls_dropped(spec: dict[str, Any], defaulted: dict[str, Any]) -> None:
    given_object = obj(spec)
    assert SCHEMA.default(given_object)["spec"] == defaulted
    assert given_object == obj(spec)


def test_unknown_fields_are_cut_and_named_but_kept_where_preserved() -> None:
    thing = {**obj({"zz": 1, "lm": [{"name": "a", "q": 1}], "mm": {"k": {"q": 2}}, "p": {"u": 1}, "emb": {"any": 1}}), "foo": 1}
    pruned, unknown = SCHEMA.prune(thing)
    assert unknown == ["foo", "spec.lm[0].q", "spec.mm.k.q", "spec.zz"]
    assert pruned["spec"] == {"lm": [{"name": "a"}], "mm": {"k": {}}, "p": {"u": 1}, "emb": {"any": 1}}


def test_empty_metadata_is_not_kept() -> None:
    pruned, _ = SCHEMA.prune({**obj({}), "metadata": {"name": "x", "annotations": {}, "labels": {"a": ""}}})
    assert pruned["metadata"] == {"name": "x", "labels": {"a": ""}}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*SPEC["properties"], "name", "port", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_defaulting_and_pruning_twice_is_the_same_as_once(spec: Any) -> None:
    once = SCHEMA.default(SCHEMA.prune(obj(spec))[0])
    again, unknown = SCHEMA.prune(once)
    assert unknown == []
    assert SCHEMA.default(again) == once


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"properties": {}}, ".type"),
        ({"type": "object", "properties": {"a": {}}}, ".properties[a].type"),
        ({"type": "object", "properties": {"a": {"type": "array"}}}, ".properties[a].items"),
        ({"type": "object", "properties": {"a": {"type": "bool"}}}, ".properties[a].type"),
        ({"type": "object", "properties": {"a": {"type": "string", "default": 1}}}, ".properties[a].default"),
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}, ".properties[a].pattern"),
        ({"type": "object", "anyOf": [{"properties": {"a": {"type": "string"}}}]}, ".properties[a]"),
        ({"type": "object", "properties": {"a": {"$ref": "#/x"}}}, ".properties[a].$ref"),
    ],
)
def test_a_schema_that_is_not_structural_is_refused(schema: dict[str, Any], field: str) -> None:
    assert f"spec.validation.openAPIV3Schema{field}" in [error.field for error in structural_errors(schema)]


def test_a_structural_schema_is_accepted() -> None:
    assert structural_errors({"type": "object", "properties": {"spec": SPEC}}) == []
