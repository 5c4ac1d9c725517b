"""ValidatingAdmissionPolicies: does a bound policy refuse this request? Finds neither policies nor parameters itself.

Left out: the `authorizer` variable, and audit annotations (there is no audit log).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fedstate.local.apiserver.objects.fielderrors import FieldError, invalid, required
from fedstate.local.apiserver.objects.nodes import Obj
from fedstate.local.apiserver.objects.selectors import matches_labels

if TYPE_CHECKING:
    from fedstate.local.apiserver.objects.cel_programs import Program

_VARIABLES = {name: "dyn" for name in ("object", "oldObject", "request", "params", "namespaceObject", "variables")}
_CODES = {"Unauthorized": 401, "Forbidden": 403, "Invalid": 422, "RequestEntityTooLarge": 413}
_BOOL = "must evaluate to bool"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionRequest:
    """What is about to happen. `resource` is the plural; `user` and `groups` say who asks."""

    operation: str
    group: str
    version: str
    resource: str
    kind: str
    name: str
    namespace: str
    user: str
    subresource: str = ""
    groups: tuple[str, ...] = ()
    obj: Obj | None = None
    old: Obj | None = None
    namespace_object: Obj | None = None
    dry_run: bool = False

    def as_cel(self) -> Obj:
        """The `request` variable."""
        kind = {"group": self.group, "version": self.version, "kind": self.kind}
        resource = {"group": self.group, "version": self.version, "resource": self.resource}
        return {
            "kind": kind,
            "resource": resource,
            "subResource": self.subresource,
            "requestKind": kind,
            "requestResource": resource,
            "requestSubResource": self.subresource,
            "name": self.name,
            "namespace": self.namespace,
            "operation": self.operation,
            "userInfo": {"username": self.user, "groups": list(self.groups), "uid": "", "extra": {}},
            "dryRun": self.dry_run,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """A refusal: the answer's code and reason, and the message that follows `... is forbidden: `."""

    status: int
    reason: str
    message: str


@lru_cache(maxsize=1024)
def _program(source: str) -> Program:
    """The engine is loaded only when the first policy is asked."""
    from fedstate.local.apiserver.objects.cel_programs import Program

    return Program(source, _VARIABLES)


def policy_errors(policy: Obj, _old: Obj | None = None) -> list[FieldError]:
    """What is wrong with a policy, expressions that do not compile included."""
    spec = policy.get("spec") or {}
    errors: list[FieldError] = []
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        errors.append(required("spec.validations", "validations or auditAnnotations must contain at least one item"))
    if not (spec.get("matchConstraints") or {}).get("resourceRules"):
        errors.append(required("spec.matchConstraints.resourceRules"))
    for field, keys in (
        ("validations", ("expression", "messageExpression")),
        ("matchConditions", ("expression",)),
        ("variables", ("expression",)),
    ):
        for index, entry in enumerate(spec.get(field) or ()):
            for key in keys:
                errors += _expression_errors(entry.get(key), f"spec.{field}[{index}].{key}", needed=key == "expression")
    return errors


def _expression_errors(source: str | None, path: str, *, needed: bool) -> Iterator[FieldError]:
    from fedstate.local.apiserver.objects.cel_programs import CompileError

    if not source or not source.strip():
        if needed:
            yield required(path, "expression is not specified")
        return
    try:
        _program(source)
    except CompileError as error:
        yield invalid(path, source, str(error))


def admit(
    request: AdmissionRequest,
    policies: Sequence[Obj],
    bindings: Sequence[Obj],
    params: Mapping[tuple[str, str, str], Obj] | None = None,
) -> Denial | None:
    """The first denial by a bound policy, or None.

    `params` holds what policies may take as parameters, by (`apiVersion/kind`, namespace, name).
    """
    by_name = {(policy.get("metadata") or {}).get("name"): policy for policy in policies}
    for binding in bindings:
        policy = by_name.get((binding.get("spec") or {}).get("policyName"))
        if policy is None or not _is_meant(request, policy, binding):
            continue
        for one in _parameters(request, policy, binding, params or {}):
            denial = _asked(request, policy, binding, one)
            if denial is not None:
                return denial
    return None


def _is_meant(request: AdmissionRequest, policy: Obj, binding: Obj) -> bool:
    spec = binding.get("spec") or {}
    if "Deny" not in (spec.get("validationActions") or ()):
        return False
    constraints = (policy.get("spec") or {}).get("matchConstraints") or {}
    return _matches(request, constraints, rules_needed=True) and _matches(
        request, spec.get("matchResources") or {}, rules_needed=False
    )


def _matches(request: AdmissionRequest, match: Obj, *, rules_needed: bool) -> bool:
    rules = match.get("resourceRules")
    if (rules_needed or rules) and not any(_rule_matches(request, rule) for rule in rules or ()):
        return False
    if any(_rule_matches(request, rule) for rule in match.get("excludeResourceRules") or ()):
        return False
    return _namespace_matches(request, match.get("namespaceSelector")) and _object_matches(request, match.get("objectSelector"))


def _namespace_matches(request: AdmissionRequest, selector: Obj | None) -> bool:
    if not selector or not request.namespace:
        return True
    namespace = request.namespace_object
    if request.resource == "namespaces" and not request.group:
        namespace = request.obj or request.old
    return matches_labels(selector, ((namespace or {}).get("metadata") or {}).get("labels") or {})


def _object_matches(request: AdmissionRequest, selector: Obj | None) -> bool:
    if not selector:
        return True
    found = [obj for obj in (request.obj, request.old) if obj is not None]
    return any(matches_labels(selector, (obj.get("metadata") or {}).get("labels") or {}) for obj in found)


def _rule_matches(request: AdmissionRequest, rule: Obj) -> bool:
    wanted = f"{request.resource}/{request.subresource}" if request.subresource else request.resource
    names, scope = rule.get("resourceNames") or (), rule.get("scope", "*")
    return (
        _listed(request.group, rule.get("apiGroups"))
        and _listed(request.version, rule.get("apiVersions"))
        and _listed(request.operation, rule.get("operations"))
        and any(_resource_matches(wanted, pattern) for pattern in rule.get("resources") or ())
        and (not names or request.name in names)
        and (scope == "*" or (scope == "Namespaced") == bool(request.namespace and request.resource != "namespaces"))
    )


def _listed(value: str, patterns: Sequence[str] | None) -> bool:
    return value in (patterns or ()) or "*" in (patterns or ())


def _resource_matches(wanted: str, pattern: str) -> bool:
    if pattern in ("*/*", wanted):
        return True
    resource, _, subresource = wanted.partition("/")
    pattern_resource, slash, pattern_subresource = pattern.partition("/")
    if not slash:
        return pattern == "*" and not subresource
    return pattern_resource in ("*", resource) and bool(subresource) and pattern_subresource in ("*", subresource)


def _parameters(
    request: AdmissionRequest, policy: Obj, binding: Obj, params: Mapping[tuple[str, str, str], Obj]
) -> Iterator[Obj | None]:
    kind = (policy.get("spec") or {}).get("paramKind")
    reference = (binding.get("spec") or {}).get("paramRef")
    if not kind or not reference:
        yield None
        return
    wanted = f"{kind.get('apiVersion')}/{kind.get('kind')}"
    namespace = reference.get("namespace") or request.namespace
    found = [
        obj
        for (of_kind, in_namespace, name), obj in params.items()
        if of_kind == wanted
        and in_namespace in ("", namespace)
        and (
            name == reference["name"] if reference.get("name") else matches_labels(reference.get("selector") or {}, _labels(obj))
        )
    ]
    if found:
        yield from found
    elif reference.get("parameterNotFoundAction") == "Deny":
        yield {}


def _labels(obj: Obj) -> Mapping[str, str]:
    return (obj.get("metadata") or {}).get("labels") or {}


def _asked(request: AdmissionRequest, policy: Obj, binding: Obj, params: Obj | None) -> Denial | None:
    from fedstate.local.apiserver.objects.cel_programs import CompileError, EvaluationError

    spec = policy.get("spec") or {}
    who = (
        f"ValidatingAdmissionPolicy '{policy['metadata']['name']}' with binding '{binding['metadata']['name']}' denied request: "
    )
    strict = spec.get("failurePolicy", "Fail") == "Fail"
    if params == {}:
        return (
            Denial(status=422, reason="Invalid", message=who + "failed to configure binding: no params found") if strict else None
        )
    values: dict[str, Any] = {
        "object": request.obj,
        "oldObject": request.old,
        "request": request.as_cel(),
        "params": params,
        "namespaceObject": request.namespace_object,
        "variables": {},
    }
    try:
        if not all(_true(condition["expression"], values) for condition in spec.get("matchConditions") or ()):
            return None
    except (CompileError, EvaluationError) as error:
        return Denial(status=422, reason="Invalid", message=who + str(error)) if strict else None
    _add_variables(spec.get("variables") or (), values)
    for validation in spec.get("validations") or ():
        source = validation.get("expression") or ""
        try:
            if _true(source, values):
                continue
        except (CompileError, EvaluationError) as error:
            if strict:
                return Denial(status=422, reason="Invalid", message=f"{who}expression '{source}' resulted in error: {error}")
            continue
        reason = validation.get("reason") or "Invalid"
        return Denial(status=_CODES.get(reason, 422), reason=reason, message=who + _message(validation, values))
    return None


def _true(source: str, values: Mapping[str, Any]) -> bool:
    return _program(source).value(values) is True


def _add_variables(declared: Sequence[Obj], values: dict[str, Any]) -> None:
    """A variable that has no value is left out; an expression that needs it then has none either."""
    from fedstate.local.apiserver.objects.cel_programs import CompileError, EvaluationError

    for one in declared:
        try:
            value = _program(one["expression"]).value(values)
        except (CompileError, EvaluationError):
            continue
        values["variables"] = {**values["variables"], one["name"]: value}


def _message(validation: Obj, values: Mapping[str, Any]) -> str:
    from fedstate.local.apiserver.objects.cel_programs import CompileError, EvaluationError

    if validation.get("messageExpression"):
        try:
            text = _program(validation["messageExpression"]).value(values)
        except (CompileError, EvaluationError):
            text = None
        if isinstance(text, str) and text.strip() and "\n" not in text:
            return text
    return str(validation.get("message") or f"failed expression: {validation.get('expression')}").strip()
