"""Label and field selectors: parsing, and whether an object matches. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fedstate.kube.objects import KubeObject, labels_of, name_of, namespace_of
from fedstate.local.apiserver.errors import bad_request

_KEY = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")
_SET = re.compile(r"^\s*(\S+)\s+(in|notin)\s*\(([^)]*)\)\s*$")
_TERM = re.compile(r"^\s*(!?)\s*([^\s=!<>]+)\s*(?:(==|=|!=|>|<)\s*(.*?))?\s*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One term of a label selector."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value is not None and value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "absent":
                return value is None
        bound = int(next(iter(self.values)))
        try:
            number = int(value) if value is not None else None
        except ValueError:
            return False
        return number is not None and (number > bound if self.operator == "gt" else number < bound)


LabelSelector = tuple[Requirement, ...]


def parse_labels(text: str) -> LabelSelector:
    """`a=b,c!=d,e in (f,g),!h`; raises a 400 naming the term that is not one."""
    return tuple(_requirement(term) for term in _split(text)) if text.strip() else ()


def _split(text: str) -> list[str]:
    """At commas outside parentheses."""
    return re.split(r",(?![^(]*\))", text)


def _requirement(term: str) -> Requirement:
    if found := _SET.match(term):
        key, operator, listed = found.groups()
        values = frozenset(_value(item.strip()) for item in listed.split(","))
        return Requirement(key=_key(key), operator=operator, values=values)
    found = _TERM.match(term)
    if found is None:
        raise bad_request(f"unable to parse requirement: {term!r} is not a label selector term such as key=value")
    absent, key, sign, value = found.groups()
    if absent:
        if sign:
            raise bad_request(f"unable to parse requirement: found '{sign}', expected: ',' or 'end of string'")
        return Requirement(key=_key(key), operator="absent")
    if not sign:
        return Requirement(key=_key(key), operator="exists")
    if sign in "<>":
        if not value.lstrip("-").isdigit():
            raise bad_request(f'unable to parse requirement: values[0][{key}]: Invalid value: "{value}": must be an integer')
        return Requirement(key=_key(key), operator="gt" if sign == ">" else "lt", values=frozenset({value}))
    if again := re.search(r"!=|==|=", value):
        raise bad_request(f"found '{again.group()}', expected: ',' or 'end of string'")
    return Requirement(key=_key(key), operator="notin" if sign == "!=" else "in", values=frozenset({_value(value)}))


def _key(key: str) -> str:
    if not _KEY.match(key):
        raise bad_request(f'unable to parse requirement: <nil>: Invalid value: "{key}": is not a label key')
    return key


def _value(value: str) -> str:
    if not _VALUE.match(value) or len(value) > 63:
        raise bad_request(f'unable to parse requirement: values[0]: Invalid value: "{value}": is not a label value')
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldTerm:
    """One term of a field selector; `read` finds the field's value."""

    field: str
    equal: bool
    value: str
    read: Callable[[KubeObject], str]


FieldSelector = tuple[FieldTerm, ...]


def parse_fields(text: str, selectable: Mapping[str, Callable[[KubeObject], str]]) -> FieldSelector:
    """`a.b=c,d!=e`; raises a 400 for a field the kind cannot be selected by."""
    return tuple(_field_term(term, selectable) for term in text.split(",") if term.strip())


def _field_term(term: str, selectable: Mapping[str, Callable[[KubeObject], str]]) -> FieldTerm:
    for sign in ("!=", "==", "="):
        field, found, value = term.partition(sign)
        if found:
            break
    else:
        raise bad_request(f"invalid selector: '{term}'; can't understand '{term}'")
    field = field.strip()
    read = _COMMON.get(field) or selectable.get(field)
    if read is None and not selectable:
        raise bad_request(f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"')
    if read is None:
        raise bad_request(f"field label not supported: {field}")
    return FieldTerm(field=field, equal=sign != "!=", value=value, read=read)


_COMMON: dict[str, Callable[[KubeObject], str]] = {"metadata.name": name_of, "metadata.namespace": namespace_of}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What a list or watch wants to see."""

    labels: LabelSelector = ()
    fields: FieldSelector = ()

    def __bool__(self) -> bool:
        return bool(self.labels or self.fields)

    def matches(self, obj: KubeObject) -> bool:
        if self.labels:
            labels = labels_of(obj)
            if not all(requirement.matches(labels) for requirement in self.labels):
                return False
        return all((term.read(obj) == term.value) == term.equal for term in self.fields)


def path_reader(path: str) -> Callable[[KubeObject], str]:
    """A reader of a dotted field, as field selectors compare it: absent reads as empty, booleans as true and false."""
    steps = path.strip(".").split(".")

    def read(obj: KubeObject) -> str:
        value: object = obj
        for step in steps:
            value = value.get(step) if isinstance(value, dict) else None
        if value is None:
            return ""
        return str(value).lower() if isinstance(value, bool) else str(value)

    return read


def selector_matches(selector: Mapping[str, object] | None, labels: Mapping[str, str]) -> bool:
    """A `metav1.LabelSelector` of an object: None matches nothing, an empty one everything."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    if not isinstance(wanted, dict) or any(labels.get(key) != value for key, value in wanted.items()):
        return False
    expressions = selector.get("matchExpressions") or []
    return isinstance(expressions, list) and all(_expression_matches(item, labels) for item in expressions)


def _expression_matches(item: Mapping[str, object], labels: Mapping[str, str]) -> bool:
    names = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent"}
    values = item.get("values") or []
    assert isinstance(values, list)
    operator = names.get(str(item.get("operator")), "exists")
    return Requirement(key=str(item.get("key")), operator=operator, values=frozenset(map(str, values))).matches(labels)
