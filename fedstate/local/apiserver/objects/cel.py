"""`x-kubernetes-validations`: the CEL rules of a CRD, compiled when it is created and asked at every write.

Not done: estimating what a rule costs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fedstate.local.apiserver.objects.cel_checks import check_fields, check_types, is_field_path, refers_to_old
from fedstate.local.apiserver.objects.cel_programs import CompileError, EvaluationError, Program
from fedstate.local.apiserver.objects.cel_values import cel_value, signature_of
from fedstate.local.apiserver.objects.fielderrors import FieldError, forbidden, invalid, not_supported, required, shown
from fedstate.local.apiserver.objects.fieldset import step_of
from fedstate.local.apiserver.objects.nodes import Node, Obj, compile_node
from fedstate.local.apiserver.objects.schema import compile_schema
from fedstate.local.apiserver.objects.structural import ROOT
from fedstate.local.apiserver.objects.validation import type_of

_KEY = "x-kubernetes-validations"
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_NOT_CHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"
)
_NONE: Any = object()


@dataclass(frozen=True, slots=True)
class _Rule:
    program: Program
    said: Obj
    is_transition: bool
    optional_old: bool
    message: Program | None


@dataclass(slots=True)
class _Place:
    """The rules of one node of a schema, and the places below it that have any."""

    node: Node
    rules: tuple[_Rule, ...] = ()
    properties: Mapping[str, _Place] = ()  # type: ignore[assignment]
    additional: _Place | None = None
    items: _Place | None = None


class Rules:
    """The rules of one schema, compiled. A rule that does not compile is left out: the CRD was refused, or is older than the check."""

    def __init__(self, place: _Place | None) -> None:
        self._place = place

    def validate(self, obj: Obj, old: Obj | None = None) -> list[FieldError]:
        """What the rules say of an object that its schema accepts; transition rules are asked only where there was an old value."""
        if self._place is None:
            return []
        return list(_evaluate(self._place, obj, old if old is not None else _NONE, ""))

    def not_checked(self) -> list[FieldError]:
        """What is added to the errors of an object that its schema refuses, so that its rules were not asked."""
        return [invalid("<nil>", None, _NOT_CHECKED)] if self._place is not None else []


def compile_rules(openapi: Obj) -> Rules:
    """The rules of a CRD version's schema."""
    return Rules(_compiled(openapi, compile_schema(openapi).root))


def rule_errors(openapi: Obj, path: str = ROOT) -> list[FieldError]:
    """Why the rules of a schema are not accepted, for the creation of the CRD."""
    return list(_schema_errors(openapi, compile_schema(openapi).root, path, uncorrelatable=""))


def _compiled(openapi: Obj, node: Node) -> _Place | None:
    rules = []
    for said in openapi.get(_KEY) or ():
        try:
            rules.append(_compiled_rule(said, node))
        except CompileError:
            continue
    place = _Place(node, tuple(rules))
    below = {
        name: _compiled(child, node.properties[name])
        for name, child in (openapi.get("properties") or {}).items()
        if name in node.properties
    }
    place.properties = {name: child for name, child in below.items() if child is not None}
    if isinstance(openapi.get("additionalProperties"), dict) and node.additional is not None:
        place.additional = _compiled(openapi["additionalProperties"], node.additional)
    if isinstance(openapi.get("items"), dict) and node.items is not None:
        place.items = _compiled(openapi["items"], node.items)
    return place if place.rules or place.properties or place.additional or place.items else None


def _compiled_rule(said: Obj, node: Node) -> _Rule:
    source = said.get("rule") or ""
    optional = bool(said.get("optionalOldSelf"))
    is_transition = refers_to_old(source)
    program = _program(source, node, optional, returns="BOOL", wanted="cel expression must evaluate to a bool")
    message = None
    if said.get("messageExpression"):
        try:
            message = _program(
                said["messageExpression"], node, optional, returns="STRING", wanted="messageExpression must evaluate to a string"
            )
        except CompileError as error:
            prefix = "" if str(error).startswith("messageExpression") else "messageExpression "
            raise _MessageError(prefix + str(error)) from error
    return _Rule(program, said, is_transition, optional, message)


class _MessageError(CompileError):
    """It is the messageExpression that does not compile."""


def _program(source: str, node: Node, optional: bool, *, returns: str, wanted: str) -> Program:
    check_fields(source, node)
    if not optional:
        check_types(source, node, returns, wanted)
    signature = signature_of(node)
    if not optional:
        return Program(source, {"self": signature, "oldSelf": signature}, returns=returns, wanted=wanted)
    text = f"cel.bind(oldSelf, hasOldSelf ? optional.of(plainOldSelf) : optional.none(), {source}\n)"
    variables = {"self": signature, "hasOldSelf": "bool", "plainOldSelf": "dyn"}
    return Program(source, variables, returns=returns, wanted=wanted, text=text)


def _evaluate(place: _Place, value: Any, old: Any, path: str) -> Iterator[FieldError]:
    if value is None:
        return
    if place.rules:
        variables = {"self": cel_value(value, place.node)}
        before = cel_value(old, place.node) if old not in (_NONE, None) else None
        for rule in place.rules:
            yield from _ask(rule, value, variables, before, path)
    if isinstance(value, dict):
        yield from _evaluate_members(place, value, old, path)
    elif isinstance(value, list) and place.items is not None:
        for index, item in enumerate(value):
            yield from _evaluate(place.items, item, _counterpart(item, old, place.node), f"{path}[{index}]")


def _evaluate_members(place: _Place, value: dict[str, Any], old: Any, path: str) -> Iterator[FieldError]:
    before = old if isinstance(old, dict) else {}
    for name, child in place.properties.items():
        if name in value:
            yield from _evaluate(child, value[name], before.get(name, _NONE), f"{path}.{name}" if path else name)
    if place.additional is not None:
        for name, member in value.items():
            if name not in place.node.properties:
                yield from _evaluate(place.additional, member, before.get(name, _NONE), f"{path}[{name}]")


def _counterpart(item: Any, old: Any, node: Node) -> Any:
    """The old item of the same key; only map-like lists have one."""
    if node.list_type != "map" or not isinstance(old, list):
        return _NONE
    try:
        step = step_of(item, node)
        return next((one for one in old if step_of(one, node) == step), _NONE)
    except ValueError:
        return _NONE


def _ask(rule: _Rule, value: Any, variables: Mapping[str, Any], before: Any, path: str) -> Iterator[FieldError]:
    if rule.optional_old:
        variables = {**variables, "hasOldSelf": before is not None, "plainOldSelf": before}
    elif rule.is_transition:
        if before is None:
            return
        variables = {**variables, "oldSelf": before}
    said = rule.said
    plain = str(said.get("message") or f"failed rule: {rule.program.source.strip()}").strip()
    try:
        if rule.program.value(variables) is True:
            return
    except EvaluationError as error:
        yield invalid(path or "<nil>", type_of(value), f"{error} evaluating rule: {said.get('message') or rule.program.source}")
        return
    field = path + said["fieldPath"] if said.get("fieldPath") else path
    yield _violation(field.removeprefix(".") or "<nil>", value, _message(rule, variables, plain), said)


def _message(rule: _Rule, variables: Mapping[str, Any], plain: str) -> str:
    if rule.message is None:
        return plain
    try:
        text = rule.message.value(variables)
    except EvaluationError:
        return plain
    return text if isinstance(text, str) and text.strip() and "\n" not in text else plain


def _violation(field: str, value: Any, message: str, said: Obj) -> FieldError:
    reason = said.get("reason") or "FieldValueInvalid"
    scalar = not isinstance(value, (dict, list)) and not said.get("fieldPath")
    if reason == "FieldValueRequired":
        return required(field, message)
    if reason == "FieldValueForbidden":
        return forbidden(field, message)
    if reason == "FieldValueDuplicate":
        return FieldError(field, reason, f"Duplicate value: {shown(value)}" if scalar else "Duplicate value")
    return invalid(field, value, message) if scalar else FieldError(field, reason, f"Invalid value: {message}")


def _schema_errors(openapi: Obj, node: Node, path: str, *, uncorrelatable: str) -> Iterator[FieldError]:
    for index, said in enumerate(openapi.get(_KEY) or ()):
        yield from _one_rule_errors(said, node, f"{path}.{_KEY}[{index}]", uncorrelatable)
    for name, child in (openapi.get("properties") or {}).items():
        if isinstance(child, dict) and name in node.properties:
            yield from _schema_errors(child, node.properties[name], f"{path}.properties[{name}]", uncorrelatable=uncorrelatable)
    additional, items = openapi.get("additionalProperties"), openapi.get("items")
    if isinstance(additional, dict):
        yield from _schema_errors(
            additional, compile_node(additional), f"{path}.additionalProperties", uncorrelatable=uncorrelatable
        )
    if isinstance(items, dict):
        within = uncorrelatable or ("" if node.list_type == "map" else path)
        yield from _schema_errors(items, compile_node(items), f"{path}.items", uncorrelatable=within)


def _one_rule_errors(said: Obj, node: Node, path: str, uncorrelatable: str) -> Iterator[FieldError]:
    source = said.get("rule") or ""
    if not source.strip():
        yield required(f"{path}.rule", "rule is not specified")
        return
    if said.get("reason") and said["reason"] not in _REASONS:
        yield not_supported(f"{path}.reason", said["reason"], _REASONS)
    if said.get("fieldPath") and not is_field_path(said["fieldPath"], node):
        yield invalid(f"{path}.fieldPath", said["fieldPath"], "must be a valid path")
    try:
        rule = _compiled_rule(said, node)
    except _MessageError as error:
        yield FieldError(f"{path}.messageExpression", "FieldValueInvalid", f"Invalid value: {_go_rule(said)}: {error}")
        return
    except CompileError as error:
        yield FieldError(f"{path}.rule", "FieldValueInvalid", f"Invalid value: {_go_rule(said)}: {error}")
        return
    if rule.is_transition and uncorrelatable:
        says = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelatable}"
        yield invalid(f"{path}.rule", source, says)


def _go_rule(said: Obj) -> str:
    """A rule as Go prints its struct."""
    fields = {
        "Rule": said.get("rule") or "",
        "Message": said.get("message") or "",
        "MessageExpression": said.get("messageExpression") or "",
        "Reason": said.get("reason"),
        "FieldPath": said.get("fieldPath") or "",
        "OptionalOldSelf": said.get("optionalOldSelf"),
    }
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
