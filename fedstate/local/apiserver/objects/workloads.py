"""Defaults that depend on other fields, and rules, of pods and the kinds that make pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fedstate.local.apiserver.objects.fielderrors import (
    FieldError,
    duplicate,
    forbidden,
    invalid,
    not_found,
    not_supported,
    required,
)
from fedstate.local.apiserver.objects.naming import label_errors
from fedstate.local.apiserver.objects.nodes import Obj

_FIELD_IS_IMMUTABLE = "field is immutable"
_POD_MAY_CHANGE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_STATEFUL_SET_FIXED = ("serviceName", "podManagementPolicy", "volumeClaimTemplates")


def default_pod_spec(spec: Obj) -> Obj:
    """`spec` with the pull policies that follow from the images, and requests that follow from limits."""
    result = dict(spec)
    for name in ("initContainers", "containers"):
        if isinstance(spec.get(name), list):
            result[name] = [
                _default_container(container) if isinstance(container, dict) else container for container in spec[name]
            ]
    account = result.get("serviceAccountName") or result.get("serviceAccount")
    if account:
        result["serviceAccountName"] = result["serviceAccount"] = account
    return result


def _default_container(container: Obj) -> Obj:
    result = dict(container)
    if not result.get("imagePullPolicy") and isinstance(result.get("image"), str):
        last = result["image"].rsplit("/", 1)[-1]
        tagged = "@" in last or (":" in last and not last.endswith(":latest"))
        result["imagePullPolicy"] = "IfNotPresent" if tagged else "Always"
    return result


def default_pod(pod: Obj) -> Obj:
    spec = default_pod_spec(pod.get("spec") or {})
    for name in ("initContainers", "containers"):
        if isinstance(spec.get(name), list):
            spec[name] = [_default_requests(container) if isinstance(container, dict) else container for container in spec[name]]
    tolerations = list(spec.get("tolerations") or ())
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(one.get("key") in (key, None, "") and one.get("effect") in ("NoExecute", None, "") for one in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
    spec |= {"tolerations": tolerations, "priority": spec.get("priority", 0)}
    spec = {"enableServiceLinks": True, "preemptionPolicy": "PreemptLowerPriority", **spec}
    return {**pod, "spec": spec, "status": {"phase": "Pending", "qosClass": _qos_class(spec), **(pod.get("status") or {})}}


def _default_requests(container: Obj) -> Obj:
    resources = container.get("resources") or {}
    limits = resources.get("limits")
    if not limits:
        return container
    return {**container, "resources": {**resources, "requests": {**limits, **(resources.get("requests") or {})}}}


def _qos_class(spec: Obj) -> str:
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    resources = [container.get("resources") or {} for container in containers if isinstance(container, dict)]
    if not any(one.get("requests") or one.get("limits") for one in resources):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= (one.get("limits") or {}).keys() and (one.get("requests") or one["limits"]) == one["limits"]
        for one in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"


def default_stateful_set(workload: Obj) -> Obj:
    spec = dict(_default_template(workload).get("spec") or {})
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "RollingUpdate":
        rolling = {"partition": 0, "maxUnavailable": 1, **(strategy.get("rollingUpdate") or {})}
        spec["updateStrategy"] = {**strategy, "rollingUpdate": rolling}
    claims = spec.get("volumeClaimTemplates")
    if claims:
        spec["volumeClaimTemplates"] = [
            {
                "kind": "PersistentVolumeClaim",
                "apiVersion": "v1",
                **claim,
                "status": {"phase": "Pending", **(claim.get("status") or {})},
            }
            for claim in claims
        ]
    return {**workload, "spec": spec, "status": {"replicas": 0, "availableReplicas": 0, **(workload.get("status") or {})}}


def _default_template(workload: Obj) -> Obj:
    spec = dict(workload.get("spec") or {})
    template = dict(spec.get("template") or {})
    if template:
        spec["template"] = {**template, "spec": default_pod_spec(template.get("spec") or {})}
    return {**workload, "spec": spec}


def default_workload(workload: Obj) -> Obj:
    return _default_template(workload)


def pod_errors(pod: Obj, old: Obj | None) -> Iterator[FieldError]:
    spec = pod.get("spec") or {}
    yield from pod_spec_errors(spec, "spec")
    if old is not None and _fixed_part(spec) != _fixed_part(old.get("spec") or {}):
        yield forbidden("spec", _POD_MAY_CHANGE)


def _fixed_part(spec: Obj) -> Obj:
    free = (
        "tolerations",
        "activeDeadlineSeconds",
        "ephemeralContainers",
        "schedulingGates",
        "terminationGracePeriodSeconds",
    )
    fixed = {key: value for key, value in spec.items() if key not in free}
    for name in ("containers", "initContainers"):
        fixed[name] = [
            {k: v for k, v in container.items() if k not in ("image", "resources")} for container in spec.get(name) or ()
        ]
    return fixed


def pod_spec_errors(spec: Obj, path: str, claimed: frozenset[str] = frozenset()) -> Iterator[FieldError]:
    """`claimed`: volumes that a StatefulSet's claim templates will bring."""
    containers = spec.get("containers") or []
    if not containers:
        yield required(f"{path}.containers")
    volumes: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        yield from _volume_errors(volume, f"{path}.volumes[{index}]", volumes)
        volumes.add(volume.get("name") or "")
    volumes |= claimed
    names: set[str] = set()
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or ()):
            yield from _container_errors(container, f"{path}.{kind}[{index}]", names, volumes)
            names.add(container.get("name") or "")
    policy = spec.get("restartPolicy", "Always")
    if policy not in ("Always", "OnFailure", "Never"):
        yield not_supported(f"{path}.restartPolicy", policy, ("Always", "OnFailure", "Never"))


def _volume_errors(volume: Obj, path: str, known: set[str]) -> Iterator[FieldError]:
    yield from _container_name_errors(volume.get("name") or "", f"{path}.name", known)
    sources = [key for key in volume if key != "name"]
    if not sources:
        yield required(path, "must specify a volume type")
    for extra in sources[1:]:
        yield forbidden(f"{path}.{extra}", "may not specify more than 1 volume type")


def _container_name_errors(name: str, path: str, known: set[str]) -> Iterator[FieldError]:
    if not name:
        yield required(path)
        return
    yield from (invalid(path, name, why) for why in label_errors(name))
    if name in known:
        yield duplicate(path, name)


def _container_errors(container: Obj, path: str, names: set[str], volumes: set[str]) -> Iterator[FieldError]:
    yield from _container_name_errors(container.get("name") or "", f"{path}.name", names)
    if not container.get("image"):
        yield required(f"{path}.image")
    for index, port in enumerate(container.get("ports") or ()):
        yield from port_errors(port.get("containerPort"), f"{path}.ports[{index}].containerPort")
    for index, variable in enumerate(container.get("env") or ()):
        if not variable.get("name"):
            yield required(f"{path}.env[{index}].name")
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            yield not_found(f"{path}.volumeMounts[{index}].name", mount.get("name") or "")
        if not mount.get("mountPath"):
            yield required(f"{path}.volumeMounts[{index}].mountPath")
    policy = container.get("imagePullPolicy", "Always")
    if policy not in ("Always", "IfNotPresent", "Never"):
        yield not_supported(f"{path}.imagePullPolicy", policy, ("Always", "IfNotPresent", "Never"))


def port_errors(port: Any, path: str) -> Iterator[FieldError]:
    if port is None:
        yield required(path)
    elif isinstance(port, int) and not 1 <= port <= 65535:
        yield invalid(path, port, "must be between 1 and 65535, inclusive")


def workload_errors(workload: Obj, old: Obj | None) -> Iterator[FieldError]:
    """Rules that StatefulSet, Deployment and ReplicaSet share."""
    spec = workload.get("spec") or {}
    replicas = spec.get("replicas", 1)
    if isinstance(replicas, int) and replicas < 0:
        yield invalid("spec.replicas", replicas, "must be greater than or equal to 0")
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels")
    selector = spec.get("selector")
    if selector is None:
        yield required("spec.selector")
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid("spec.selector", selector, "empty selector is invalid for " + str(workload.get("kind", "object")).lower())
    if not _selects(selector or {}, labels or {}):
        yield invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
    claims = ((claim.get("metadata") or {}).get("name") or "" for claim in spec.get("volumeClaimTemplates") or ())
    yield from pod_spec_errors(template.get("spec") or {}, "spec.template.spec", frozenset(claims))
    if old is not None:
        yield from _change_errors(("selector",), spec, old.get("spec") or {})


def _selects(selector: Obj, labels: Mapping[str, str]) -> bool:
    wanted = selector.get("matchLabels") or {}
    return bool(wanted or selector.get("matchExpressions")) and all(labels.get(key) == value for key, value in wanted.items())


def stateful_set_errors(workload: Obj, old: Obj | None) -> Iterator[FieldError]:
    yield from workload_errors(workload, old)
    if old is not None:
        yield from _change_errors(_STATEFUL_SET_FIXED, workload.get("spec") or {}, old.get("spec") or {})


def _change_errors(names: tuple[str, ...], spec: Obj, old: Obj) -> Iterator[FieldError]:
    for name in names:
        new, before = spec.get(name), old.get(name)
        if name == "volumeClaimTemplates":
            new, before = _without_status(new), _without_status(before)
        if new != before:
            yield invalid(f"spec.{name}", spec.get(name), _FIELD_IS_IMMUTABLE)


def _without_status(claims: list[Obj] | None) -> list[Obj]:
    """Claim templates as they compare: the server fills in what clients leave out."""
    return [{key: value for key, value in claim.items() if key in ("metadata", "spec")} for claim in claims or ()]
