"""CEL rules of CRDs and ValidatingAdmissionPolicies, against answers recorded from kube-apiserver 1.37."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from fedstate.local.apiserver.objects.cel import compile_rules, rule_errors
from fedstate.local.apiserver.objects.cel_programs import EvaluationError, Program
from fedstate.local.apiserver.objects.policies import AdmissionRequest, admit, policy_errors

Object = dict[str, Any]
RULES = "x-kubernetes-validations"
INT: Object = {"type": "integer"}
STRING: Object = {"type": "string", "maxLength": 20}


def typed(properties: Object, *rules: Object) -> Object:
    return {"type": "object", "properties": properties, RULES: list(rules)}


def root(spec: Object) -> Object:
    return {"type": "object", "properties": {"spec": spec}}


SPEC = typed(
    {
        "a": {**INT, RULES: [{"rule": "self != 7", "message": "no seven"}]},
        "b": {**STRING, RULES: [{"rule": "self == oldSelf", "message": "b is fixed", "reason": "FieldValueForbidden"}]},
        "c": typed({"d": STRING}, {"rule": 'self.d != "x"'}),
        "l": {"type": "array", "items": INT, RULES: [{"rule": "self.all(x, x > 0)"}]},
        "m": {"type": "object", "additionalProperties": {**STRING, RULES: [{"rule": 'self != "bad"'}]}},
        "lm": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": typed(
                {"name": STRING, "v": INT}, {"rule": "self.v >= oldSelf.v", "message": "v may not shrink", "fieldPath": ".v"}
            ),
        },
        "opt": {
            **INT,
            RULES: [{"rule": "!oldSelf.hasValue() || self >= oldSelf.value()", "optionalOldSelf": True, "message": "opt"}],
        },
        "q": {**STRING, RULES: [{"rule": "quantity(self).isGreaterThan(quantity('1Gi'))"}]},
        "n": {"type": "number", RULES: [{"rule": "self >= 0.5"}]},
        "dash-ed": {**INT},
    },
    {
        "rule": "!has(self.a) || self.a < 5",
        "messageExpression": '"a is " + string(self.a)',
        "reason": "FieldValueForbidden",
        "fieldPath": ".a",
    },
    {"rule": 'has(self.c) || self.c.d == "q"'},
    {"rule": "!has(self.a) || self.a != 3", "reason": "FieldValueRequired"},
    {"rule": "!has(self.dash__dash__ed) || self.dash__dash__ed == 1"},
)
COMPILED = compile_rules(root(SPEC))


def said(spec: Object, old: Object | None = None) -> list[str]:
    before = None if old is None else {"spec": {"c": {"d": "a"}, **old}}
    return [str(error) for error in COMPILED.validate({"spec": {"c": {"d": "a"}, **spec}}, before)]


@pytest.mark.parametrize(
    ("spec", "errors"),
    [
        ({}, []),
        ({"a": 6}, ["spec.a: Forbidden: a is 6"]),
        ({"a": 7}, ["spec.a: Forbidden: a is 7", "spec.a: Invalid value: 7: no seven"]),
        ({"a": 3}, ["spec: Required value: failed rule: !has(self.a) || self.a != 3"]),
        ({"c": {"d": "x"}}, ['spec.c: Invalid value: failed rule: self.d != "x"']),
        ({"l": [0]}, ["spec.l: Invalid value: failed rule: self.all(x, x > 0)"]),
        ({"m": {"k": "bad"}}, ['spec.m[k]: Invalid value: "bad": failed rule: self != "bad"']),
        ({"q": "1Mi"}, ["spec.q: Invalid value: \"1Mi\": failed rule: quantity(self).isGreaterThan(quantity('1Gi'))"]),
        (
            {"q": "zz"},
            [
                'spec.q: Invalid value: "string": quantities must match the regular expression '
                "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$' evaluating rule: quantity(self).isGreaterThan(quantity('1Gi'))"
            ],
        ),
        ({"n": 1}, []),
        ({"n": 0}, ["spec.n: Invalid value: 0: failed rule: self >= 0.5"]),
        ({"dash-ed": 2}, ["spec: Invalid value: failed rule: !has(self.dash__dash__ed) || self.dash__dash__ed == 1"]),
        ({"b": "anything at first", "opt": 1, "lm": [{"name": "1", "v": 1}]}, []),
    ],
)
def test_a_broken_rule_reads_as_kube_apiserver_words_it(spec: Object, errors: list[str]) -> None:
    assert said(spec) == errors


def test_a_rule_without_an_answer_counts_as_broken() -> None:
    errors = COMPILED.validate({"spec": {}})
    assert [str(error) for error in errors] == [
        'spec: Invalid value: "object": no such key: c evaluating rule: has(self.c) || self.c.d == "q"'
    ]


@pytest.mark.parametrize(
    ("spec", "old", "errors"),
    [
        ({"b": "z"}, {"b": "x"}, ["spec.b: Forbidden: b is fixed"]),
        ({"b": "z"}, {}, []),
        (
            {"lm": [{"name": "0", "v": 1}, {"name": "1", "v": 4}]},
            {"lm": [{"name": "1", "v": 5}]},
            ["spec.lm[1].v: Invalid value: v may not shrink"],
        ),
        ({"opt": 2}, {"opt": 3}, ["spec.opt: Invalid value: 2: opt"]),
        ({"opt": 2}, {}, []),
    ],
)
def test_transition_rules_are_asked_where_there_was_a_value(spec: Object, old: Object, errors: list[str]) -> None:
    assert said(spec, old) == errors


@pytest.mark.parametrize(
    ("rule", "field", "end"),
    [
        (
            {"rule": "self.zz > 1"},
            "rule",
            "compilation failed: ERROR: <input>:1:5: undefined field 'zz'\n | self.zz > 1\n | ....^",
        ),
        ({"rule": "self.a"}, "rule", "cel expression must evaluate to a bool"),
        ({"rule": "foo(self.a)"}, "rule", "undeclared reference to 'foo' (in container '')\n | foo(self.a)\n | ...^"),
        (
            {"rule": 'has(self.a) && self.a == "x"'},
            "rule",
            "found no matching overload for '_==_' applied to '(int, string)'\n"
            ' | has(self.a) && self.a == "x"\n | ......................^',
        ),
        ({"rule": "self.a > 1", "messageExpression": "1"}, "messageExpression", "messageExpression must evaluate to a string"),
        ({"rule": "self.a > 1", "fieldPath": ".zz"}, "fieldPath", "must be a valid path"),
        ({"rule": ""}, "rule", "rule is not specified"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_with_its_crd(rule: Object, field: str, end: str) -> None:
    errors = rule_errors(root(typed({"a": INT}, rule)))
    assert [error.field for error in errors] == [f"spec.validation.openAPIV3Schema.properties[spec].{RULES}[0].{field}"]
    assert errors[0].message.endswith(end)


def test_items_without_keys_have_no_past() -> None:
    errors = rule_errors(root(typed({"l": {"type": "array", "items": {**INT, RULES: [{"rule": "self > oldSelf"}]}}})))
    assert "oldSelf cannot be used on the uncorrelatable portion of the schema" in errors[0].message


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("quantity('1.5Gi').compareTo(quantity('1536Mi')) == 0 && quantity('1') == quantity('1000m')", True),
        ("quantity('2').add(quantity('500m')).asApproximateFloat()", 2.5),
        ("quantity('5k').sub(1000).asInteger()", 4000),
        ("isQuantity('1x') || !isQuantity('20Mi')", False),
        ("[1, 2, 3].sum() + [4, 2].min() + [4, 2].max()", 12),
        ("[1, 2, 2].isSorted() && ['b', 'a'].indexOf('a') == 1 && 'abc'.indexOf('c') == 2", True),
        ("'a1b22'.find('[0-9]+') + 'a1b22'.findAll('[0-9]+')[1]", "122"),
        ("isURL('https://a.b:80/c') && url('https://a.b:80/c').getPort() == '80' && !isURL('x y')", True),
        ("ip('127.0.0.1').isLoopback() && isIP('::1') && cidr('10.0.0.0/8').containsIP('10.1.2.3') && !isIP('x')", True),
        ("'a,b'.split(',').size() + 'x'.upperAscii().size()", 3),
        ("sets.contains([1, 2], [2]) && {'a': 1}.?b.orValue(3) == 3", True),
    ],
)
def test_functions_of_kubernetes(expression: str, value: Any) -> None:
    assert Program(expression, {}).value({}) == value


def test_the_least_of_nothing_is_an_error() -> None:
    with pytest.raises(EvaluationError, match="min called on empty list"):
        Program("[].min()", {}).value({})


POLICY: Object = {
    "metadata": {"name": "keep"},
    "spec": {
        "matchConstraints": {
            "resourceRules": [{"apiGroups": [""], "apiVersions": ["*"], "operations": ["DELETE"], "resources": ["namespaces"]}]
        },
        "matchConditions": [{"name": "not-root", "expression": "request.userInfo.username != 'root'"}],
        "variables": [{"name": "held", "expression": "has(oldObject.metadata.labels) && 'x/holds' in oldObject.metadata.labels"}],
        "validations": [
            {
                "expression": "!variables.held",
                "messageExpression": "oldObject.metadata.name + ' holds an instance'",
                "reason": "Forbidden",
            }
        ],
    },
}
BINDING: Object = {"metadata": {"name": "all"}, "spec": {"policyName": "keep", "validationActions": ["Deny"]}}
REQUEST = AdmissionRequest(
    operation="DELETE",
    group="",
    version="v1",
    resource="namespaces",
    kind="Namespace",
    name="n",
    namespace="n",
    user="alice",
    old={"metadata": {"name": "n", "labels": {"x/holds": "1"}}},
)


def test_a_bound_policy_denies_with_its_message_and_reason() -> None:
    assert policy_errors(POLICY) == []
    denial = admit(REQUEST, [POLICY], [BINDING])
    assert denial is not None
    assert (denial.status, denial.reason) == (403, "Forbidden")
    assert denial.message == "ValidatingAdmissionPolicy 'keep' with binding 'all' denied request: n holds an instance"


@pytest.mark.parametrize(
    "change",
    [
        {"operation": "UPDATE"},
        {"resource": "pods"},
        {"subresource": "status"},
        {"user": "root"},
        {"old": {"metadata": {"name": "n"}}},
    ],
)
def test_a_policy_lets_everything_else_pass(change: Object) -> None:
    assert admit(dataclasses.replace(REQUEST, **change), [POLICY], [BINDING]) is None


def test_an_unbound_or_only_warning_policy_denies_nothing() -> None:
    assert admit(REQUEST, [POLICY], []) is None
    warning = {**BINDING, "spec": {**BINDING["spec"], "validationActions": ["Warn"]}}
    assert admit(REQUEST, [POLICY], [warning]) is None


def test_parameters_come_from_the_object_the_binding_names() -> None:
    spec = {
        **POLICY["spec"],
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{"expression": "params.data.ok == 'yes'"}],
    }
    policy, binding = (
        {**POLICY, "spec": spec},
        {**BINDING, "spec": {**BINDING["spec"], "paramRef": {"name": "p", "namespace": "d"}}},
    )
    params = {("v1/ConfigMap", "d", "p"): {"data": {"ok": "no"}}, ("v1/ConfigMap", "d", "q"): {"data": {"ok": "yes"}}}
    denial = admit(REQUEST, [policy], [binding], params)
    assert denial is not None
    assert denial.message.endswith("failed expression: params.data.ok == 'yes'")


def test_an_expression_without_an_answer_follows_the_failure_policy() -> None:
    spec = {**POLICY["spec"], "validations": [{"expression": "oldObject.spec.x == 1"}]}
    denial = admit(REQUEST, [{**POLICY, "spec": spec}], [BINDING])
    assert denial is not None
    assert denial.message.endswith("expression 'oldObject.spec.x == 1' resulted in error: no such key: spec")
    assert admit(REQUEST, [{**POLICY, "spec": {**spec, "failurePolicy": "Ignore"}}], [BINDING]) is None


def test_a_policy_that_does_not_compile_is_refused() -> None:
    errors = policy_errors({**POLICY, "spec": {**POLICY["spec"], "validations": [{"expression": "foo("}]}})
    assert [error.field for error in errors] == ["spec.validations[0].expression"]
