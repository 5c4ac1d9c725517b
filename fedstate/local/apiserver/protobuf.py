"""Reads the Kubernetes protobuf bodies that kubectl's `create`, `auth` and `drain` send; everything else it sends as JSON.

Only the kinds that those commands make are known here. Answers are always JSON, which such clients accept.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from fedstate.kube.objects import format_time
from fedstate.kube.protobuf import fields
from fedstate.local.apiserver.errors import StatusError, bad_request

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"

Message: TypeAlias = "dict[int, tuple[str, Any]]"
"""Field number to JSON name and type. Types: str, int, bool, bytes (as base64), a Message, [type] for a list, {type} as a dict
`{"map": type}` for a map, and the names "number" (an int that counts even when 0), "time" and "int-or-string"."""

_NAMED: Message = {1: ("name", str)}
_SELECTOR: Message = {
    1: ("matchLabels", {"map": str}),
    2: ("matchExpressions", [{1: ("key", str), 2: ("operator", str), 3: ("values", [str])}]),
}
_OWNER: Message = {
    5: ("apiVersion", str), 1: ("kind", str), 3: ("name", str), 4: ("uid", str), 6: ("controller", bool), 7: ("blockOwnerDeletion", bool),
}  # fmt: skip
_META: Message = {
    1: ("name", str), 2: ("generateName", str), 3: ("namespace", str), 4: ("selfLink", str), 5: ("uid", str), 6: ("resourceVersion", str),
    7: ("generation", int), 8: ("creationTimestamp", "time"), 11: ("labels", {"map": str}), 12: ("annotations", {"map": str}),
    13: ("ownerReferences", [_OWNER]), 14: ("finalizers", [str]),
}  # fmt: skip
_OBJECT: Message = {1: ("metadata", _META)}
_PORT: Message = {
    1: ("name", str), 2: ("protocol", str), 3: ("port", int), 4: ("targetPort", "int-or-string"), 5: ("nodePort", int), 6: ("appProtocol", str),
}  # fmt: skip
_SERVICE_SPEC: Message = {
    1: ("ports", [_PORT]), 2: ("selector", {"map": str}), 3: ("clusterIP", str), 4: ("type", str), 5: ("externalIPs", [str]),
    7: ("sessionAffinity", str), 8: ("loadBalancerIP", str), 10: ("externalName", str), 11: ("externalTrafficPolicy", str),
    12: ("healthCheckNodePort", int), 13: ("publishNotReadyAddresses", bool), 17: ("ipFamilyPolicy", str), 18: ("clusterIPs", [str]),
    19: ("ipFamilies", [str]), 22: ("internalTrafficPolicy", str),
}  # fmt: skip
_RULE: Message = {
    1: ("verbs", [str]), 2: ("apiGroups", [str]), 3: ("resources", [str]), 4: ("resourceNames", [str]), 5: ("nonResourceURLs", [str]),
}  # fmt: skip
_BINDING: Message = {
    **_OBJECT,
    2: ("subjects", [{1: ("kind", str), 2: ("apiGroup", str), 3: ("name", str), 4: ("namespace", str)}]),
    3: ("roleRef", {1: ("apiGroup", str), 2: ("kind", str), 3: ("name", str)}),
}
_ROLE: Message = {**_OBJECT, 2: ("rules", [_RULE])}
_DELETE: Message = {
    1: ("gracePeriodSeconds", "number"), 2: ("preconditions", {1: ("uid", str), 2: ("resourceVersion", str)}),
    3: ("orphanDependents", bool), 4: ("propagationPolicy", str), 5: ("dryRun", [str]),
}  # fmt: skip
_ATTRIBUTES: Message = {
    1: ("namespace", str), 2: ("verb", str), 3: ("group", str), 4: ("version", str), 5: ("resource", str), 6: ("subresource", str),
    7: ("name", str),
}  # fmt: skip
_ACCESS: Message = {
    1: ("resourceAttributes", _ATTRIBUTES), 2: ("nonResourceAttributes", {1: ("path", str), 2: ("verb", str)}),
}  # fmt: skip
_REFERENCE: Message = {1: ("kind", str), 2: ("namespace", str), 3: ("name", str), 4: ("uid", str), 5: ("apiVersion", str)}
_CONTAINER: Message = {
    1: ("name", str), 2: ("image", str), 3: ("command", [str]), 4: ("args", [str]),
    6: ("ports", [{1: ("name", str), 2: ("hostPort", int), 3: ("containerPort", int), 4: ("protocol", str)}]),
}  # fmt: skip
_TEMPLATE: Message = {**_OBJECT, 2: ("spec", {2: ("containers", [_CONTAINER]), 3: ("restartPolicy", str)})}
_DEPLOYMENT_SPEC: Message = {
    1: ("replicas", "number"),
    2: ("selector", _SELECTOR),
    3: ("template", _TEMPLATE),
    4: ("strategy", {1: ("type", str)}),
}
_KINDS: dict[tuple[str, str], Message] = {
    ("v1", "ConfigMap"): {**_OBJECT, 2: ("data", {"map": str}), 3: ("binaryData", {"map": bytes}), 4: ("immutable", bool)},
    ("v1", "Secret"): {**_OBJECT, 2: ("data", {"map": bytes}), 3: ("type", str), 4: ("stringData", {"map": str}), 5: ("immutable", bool)},
    ("v1", "Namespace"): {**_OBJECT, 2: ("spec", {1: ("finalizers", [str])})},
    ("v1", "ServiceAccount"): {**_OBJECT, 3: ("imagePullSecrets", [_NAMED])},
    ("v1", "Service"): {**_OBJECT, 2: ("spec", _SERVICE_SPEC)},
    ("v1", "DeleteOptions"): _DELETE,
    ("v1", "Binding"): {**_OBJECT, 2: ("target", _REFERENCE)},
    ("apps/v1", "Deployment"): {**_OBJECT, 2: ("spec", _DEPLOYMENT_SPEC)},
    ("autoscaling/v1", "Scale"): {**_OBJECT, 2: ("spec", {1: ("replicas", "number")})},
    ("rbac.authorization.k8s.io/v1", "Role"): _ROLE,
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): {**_ROLE, 3: ("aggregationRule", {1: ("clusterRoleSelectors", [_SELECTOR])})},
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): _BINDING,
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): _BINDING,
    ("policy/v1", "PodDisruptionBudget"): {
        **_OBJECT, 2: ("spec", {1: ("minAvailable", "int-or-string"), 2: ("selector", _SELECTOR), 3: ("maxUnavailable", "int-or-string")}),
    },
    ("policy/v1", "Eviction"): {**_OBJECT, 2: ("deleteOptions", _DELETE)},
    ("authentication.k8s.io/v1", "SelfSubjectReview"): {**_OBJECT, 2: ("status", "ignored")},
    ("authentication.k8s.io/v1", "TokenReview"): {**_OBJECT, 2: ("spec", {1: ("token", str), 2: ("audiences", [str])})},
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): {**_OBJECT, 2: ("spec", _ACCESS)},
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"): {**_OBJECT, 2: ("spec", {1: ("namespace", str)})},
}  # fmt: skip


def decode_protobuf(raw: bytes) -> dict[str, Any]:
    """The object of a body; 415 for a kind or field that is not known here, so that the client can say it in JSON."""
    if not raw.startswith(_MAGIC):
        raise bad_request("the object provided is unrecognized: the body does not begin as Kubernetes protobuf does")
    try:
        envelope = {number: value for number, value in fields(raw[len(_MAGIC) :])}
        header = {number: str(value, "utf-8") for number, value in fields(envelope.get(1, b""))}
        api_version, kind = header.get(1, ""), header.get(2, "")
        message = _KINDS.get((api_version, kind))
        if message is None:
            raise _unknown(f"{kind} of {api_version}")
        return {"apiVersion": api_version, "kind": kind, **_message(envelope.get(2, b""), message, kind, strict=True)}
    except (ValueError, TypeError) as error:
        raise bad_request(f"the object provided is unrecognized: broken protobuf: {error}") from error


def _unknown(what: str) -> StatusError:
    message = f"{what} cannot be read as protobuf here; send it as application/json"
    return StatusError(415, "UnsupportedMediaType", message, {})


def _message(raw: bytes, message: Mapping[int, tuple[str, Any]], path: str, *, strict: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in fields(raw):
        if number not in message:
            if strict and path.count(".") == 0 and number == 3:
                continue  # status, which no client may set here
            if value in (b"", 0):
                continue
            raise _unknown(f"field {number} of {path}")
        name, kind = message[number]
        _add(found, name, kind, value, f"{path}.{name}")
    return found


def _add(found: dict[str, Any], name: str, kind: Any, value: Any, path: str) -> None:
    if isinstance(kind, list):
        found.setdefault(name, []).append(_value(value, kind[0], path))
    elif isinstance(kind, dict) and "map" in kind:
        pair = dict(fields(value))
        found.setdefault(name, {})[str(pair.get(1, b""), "utf-8")] = _value(pair.get(2, b""), kind["map"], path)
    else:
        decoded = _value(value, kind, path)
        if kind == "number" or decoded not in ("", 0, False, None, {}):
            found[name] = decoded


def _value(value: Any, kind: Any, path: str) -> Any:
    if kind is str:
        return str(value, "utf-8")
    if kind is bytes:
        return base64.b64encode(value).decode()
    if kind is bool:
        return bool(value)
    if kind is int or kind == "number":
        return value - (1 << 64) if value >= 1 << 63 else value
    if kind == "ignored":
        return None
    if kind == "time":
        seconds = dict(fields(value)).get(1)
        return format_time(datetime.fromtimestamp(seconds, UTC)) if seconds and seconds < 1 << 62 else None
    if kind == "int-or-string":
        parts = dict(fields(value))
        return str(parts.get(3, b""), "utf-8") if parts.get(1) else parts.get(2, 0)
    return _message(value, kind, path)
