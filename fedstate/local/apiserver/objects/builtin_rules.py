"""Defaults that depend on other fields, and rules, of the built-in kinds that make no pods. What a schema can say is not here."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

from fedstate.local.apiserver.objects.fielderrors import FieldError, duplicate, forbidden, invalid, not_supported, required
from fedstate.local.apiserver.objects.nodes import Obj
from fedstate.local.apiserver.objects.workloads import port_errors

_FIXED = "field is immutable"
_FIXED_DATA = "field is immutable when `immutable` is set"
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+\Z")
_CONFIG_KEY_SAYS = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', "
    "regex used for validation is '[-._a-zA-Z0-9]+')"
)
_PVC_FIXED = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
_SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_VOLUME_FIELDS = {
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
}
_TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def default_service(service: Obj) -> Obj:
    spec = dict(service.get("spec") or {})
    spec["ports"] = [_default_port(port) for port in spec.get("ports") or ()]
    if not spec["ports"]:
        del spec["ports"]
    if spec.get("type") in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec.get("type") == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if spec.get("type") == "ExternalName":
        spec.pop("internalTrafficPolicy", None)
    if spec.get("sessionAffinity") == "ClientIP":
        spec.setdefault("sessionAffinityConfig", {"clientIP": {"timeoutSeconds": 10800}})
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    return {**service, "spec": spec, "status": {"loadBalancer": {}, **(service.get("status") or {})}}


def _default_port(port: Any) -> Any:
    if isinstance(port, dict) and "port" in port and port.get("targetPort") in (None, 0, ""):
        return {**port, "targetPort": port["port"]}
    return port


def default_secret(secret: Obj) -> Obj:
    text = secret.get("stringData")
    if not text:
        return {key: value for key, value in secret.items() if key != "stringData"}
    encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in text.items()}
    result = {key: value for key, value in secret.items() if key != "stringData"}
    return {**result, "data": {**(secret.get("data") or {}), **encoded}}


def default_namespace(namespace: Obj) -> Obj:
    metadata = namespace.get("metadata") or {}
    labels = {"kubernetes.io/metadata.name": metadata["name"]} if metadata.get("name") else {}
    return {
        **namespace,
        "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), **labels}},
        "spec": {"finalizers": ["kubernetes"], **(namespace.get("spec") or {})},
        "status": {"phase": "Active", **(namespace.get("status") or {})},
    }


def default_phase(obj: Obj) -> Obj:
    return {**obj, "status": {"phase": "Pending", **(obj.get("status") or {})}}


def default_node(node: Obj) -> Obj:
    status = node.get("status") or {}
    if status.get("capacity") and not status.get("allocatable"):
        return {**node, "status": {**status, "allocatable": status["capacity"]}}
    return node


def default_role_binding(binding: Obj) -> Obj:
    """Users and groups belong to the RBAC group, service accounts to the core one."""
    subjects = binding.get("subjects")
    if not subjects:
        return binding
    group = {"apiGroup": "rbac.authorization.k8s.io"}
    return {
        **binding,
        "subjects": [one if one.get("kind") == "ServiceAccount" or one.get("apiGroup") else {**one, **group} for one in subjects],
    }


def service_errors(service: Obj, old: Obj | None) -> Iterator[FieldError]:
    spec = service.get("spec") or {}
    kind, ports = spec.get("type", "ClusterIP"), spec.get("ports") or []
    if kind not in _SERVICE_TYPES:
        yield not_supported("spec.type", kind, _SERVICE_TYPES)
    if not ports and kind != "ExternalName" and spec.get("clusterIP") != "None":
        yield required("spec.ports")
    if kind == "ExternalName" and not spec.get("externalName"):
        yield required("spec.externalName")
    names: set[str] = set()
    for index, port in enumerate(ports):
        yield from _service_port_errors(port, f"spec.ports[{index}]", kind, names, needs_name=len(ports) > 1)
        names.add(port.get("name") or "")
    if old is not None:
        yield from _cluster_ip_errors(spec, old.get("spec") or {})


def _service_port_errors(port: Obj, path: str, kind: str, names: set[str], *, needs_name: bool) -> Iterator[FieldError]:
    name = port.get("name") or ""
    if needs_name and not name:
        yield required(f"{path}.name")
    elif name and name in names:
        yield duplicate(f"{path}.name", name)
    yield from port_errors(port.get("port"), f"{path}.port")
    yield from port_errors(port.get("targetPort"), f"{path}.targetPort")
    if port.get("nodePort") and kind in ("ClusterIP", "ExternalName"):
        yield forbidden(f"{path}.nodePort", f"may not be used when `type` is '{kind}'")


def _cluster_ip_errors(spec: Obj, old: Obj) -> Iterator[FieldError]:
    before, now = old.get("clusterIP"), spec.get("clusterIP")
    kept = spec.get("type") != "ExternalName" and old.get("type") != "ExternalName"
    if kept and before and now != before:
        yield invalid("spec.clusterIPs[0]", spec.get("clusterIPs") or [now or ""], "may not change once set")


def _key_errors(obj: Obj) -> Iterator[FieldError]:
    for field in ("data", "binaryData"):
        for key in obj.get(field) or {}:
            if len(key) > 253:
                yield invalid(f"{field}[{key}]", key, "must be no more than 253 bytes")
            elif key in (".", "..") or key.startswith(".."):
                yield invalid(f"{field}[{key}]", key, "must not be '.'" if key == "." else "must not start with '..'")
            elif not _CONFIG_KEY.match(key):
                yield invalid(f"{field}[{key}]", key, _CONFIG_KEY_SAYS)
    size = sum(len(str(value)) for field in ("data", "binaryData") for value in (obj.get(field) or {}).values())
    if size > 1024 * 1024:
        yield FieldError("", "FieldValueTooLong", "Too long: may not be more than 1048576 bytes")


def _immutable_data_errors(obj: Obj, old: Obj | None) -> Iterator[FieldError]:
    if old is None or not old.get("immutable"):
        return
    if not obj.get("immutable"):
        yield forbidden("immutable", _FIXED_DATA)
    for field in ("data", "binaryData"):
        if (obj.get(field) or {}) != (old.get(field) or {}):
            yield forbidden(field, _FIXED_DATA)


def config_map_errors(config_map: Obj, old: Obj | None) -> Iterator[FieldError]:
    yield from _key_errors(config_map)
    yield from _immutable_data_errors(config_map, old)


def secret_errors(secret: Obj, old: Obj | None) -> Iterator[FieldError]:
    yield from _key_errors(secret)
    needed = {
        "kubernetes.io/tls": ("tls.crt", "tls.key"),
        "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
        "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    }.get(secret.get("type") or "", ())
    for key in needed:
        if key not in (secret.get("data") or {}):
            yield required(f"data[{key}]")
    if old is not None and secret.get("type") != old.get("type"):
        yield invalid("type", secret.get("type"), _FIXED)
    yield from _immutable_data_errors(secret, old)


def claim_errors(claim: Obj, old: Obj | None) -> Iterator[FieldError]:
    spec = claim.get("spec") or {}
    if not spec.get("accessModes"):
        yield required("spec.accessModes", "at least 1 access mode is required")
    if "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
        yield required("spec.resources[storage]")
    if old is not None:
        yield from _claim_change_errors(spec, old.get("spec") or {}, bound=(old.get("status") or {}).get("phase") == "Bound")


def _claim_change_errors(spec: Obj, old: Obj, *, bound: bool) -> Iterator[FieldError]:
    free = {"volumeAttributesClassName"} | ({"resources"} if bound else set())
    if not old.get("volumeName"):
        free |= {"volumeName"}
    if "storageClassName" not in old:
        free |= {"storageClassName"}
    names = (spec.keys() | old.keys()) - free
    if any(spec.get(name) != old.get(name) for name in names):
        yield forbidden("spec", _PVC_FIXED)


def volume_errors(volume: Obj, old: Obj | None) -> Iterator[FieldError]:
    spec = volume.get("spec") or {}
    if not spec.get("accessModes"):
        yield required("spec.accessModes")
    if not spec.get("capacity"):
        yield required("spec.capacity")
    sources = {key for key in spec if key not in _VOLUME_FIELDS}
    if not sources:
        yield required("spec", "must specify a volume type")
    if old is not None and any(spec.get(key) != (old.get("spec") or {}).get(key) for key in sources):
        yield forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation")


def storage_class_errors(storage_class: Obj, old: Obj | None) -> Iterator[FieldError]:
    if not storage_class.get("provisioner"):
        yield required("provisioner")
    if old is not None:
        for name in ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"):
            if storage_class.get(name) != old.get(name):
                yield invalid(name, storage_class.get(name), _FIXED)


def node_errors(node: Obj, _old: Obj | None) -> Iterator[FieldError]:
    for index, taint in enumerate((node.get("spec") or {}).get("taints") or ()):
        if not taint.get("effect"):
            yield required(f"metadata.taints[{index}].effect")
        elif taint["effect"] not in _TAINT_EFFECTS:
            yield not_supported(f"metadata.taints[{index}].effect", taint["effect"], _TAINT_EFFECTS)


def lease_errors(lease: Obj, _old: Obj | None) -> Iterator[FieldError]:
    spec = lease.get("spec") or {}
    seconds, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if isinstance(seconds, int) and seconds <= 0:
        yield invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")
    if isinstance(transitions, int) and transitions < 0:
        yield invalid("spec.leaseTransitions", transitions, "must be greater than or equal to 0")


def event_errors(event: Obj, old: Obj | None) -> Iterator[FieldError]:
    """events.k8s.io/v1 is strict where the core form is not."""
    if old is not None:
        return
    if not event.get("eventTime"):
        yield required("eventTime")
    if event.get("type") not in ("Normal", "Warning"):
        kind = event.get("type") or ""
        yield invalid("type", kind, f"has invalid value: {kind}")
    for name in ("reportingController", "reportingInstance", "action", "reason"):
        if event.get("eventTime") and not event.get(name):
            yield required(name)


def budget_errors(budget: Obj, _old: Obj | None) -> Iterator[FieldError]:
    spec = budget.get("spec") or {}
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        yield invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")


def role_errors(role: Obj, _old: Obj | None) -> Iterator[FieldError]:
    for index, rule in enumerate(role.get("rules") or ()):
        if not rule.get("verbs"):
            yield required(f"rules[{index}].verbs")
        if not rule.get("nonResourceURLs"):
            if not rule.get("apiGroups"):
                yield required(f"rules[{index}].apiGroups", "resource rules must supply at least one api group")
            if not rule.get("resources"):
                yield required(f"rules[{index}].resources", "resource rules must supply at least one resource")


def role_binding_errors(binding: Obj, old: Obj | None) -> Iterator[FieldError]:
    role = binding.get("roleRef") or {}
    if not role.get("name"):
        yield required("roleRef.name")
    if old is not None and role != old.get("roleRef"):
        yield invalid("roleRef", role, "cannot change roleRef")


def endpoint_slice_errors(endpoint_slice: Obj, old: Obj | None) -> Iterator[FieldError]:
    if not endpoint_slice.get("addressType"):
        yield required("addressType")
    elif old is not None and endpoint_slice["addressType"] != old.get("addressType"):
        yield invalid("addressType", endpoint_slice["addressType"], _FIXED)
