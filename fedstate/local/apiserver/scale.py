"""The scale subresource: reading and writing the number of replicas at the places a kind names. Pure."""

from __future__ import annotations

from typing import Any

from fedstate.kube.objects import KubeObject
from fedstate.local.apiserver.errors import bad_request, invalid
from fedstate.local.apiserver.objects import fielderrors
from fedstate.local.apiserver.registry import ResourceType, ScalePaths


def _paths(rtype: ResourceType) -> ScalePaths:
    assert rtype.scale is not None
    return rtype.scale


def _at(obj: KubeObject, path: str) -> Any:
    value: Any = obj
    for step in path.strip(".").split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _with(obj: KubeObject, steps: list[str], value: Any) -> KubeObject:
    head, *rest = steps
    return {**obj, head: _with(obj.get(head) or {}, rest, value) if rest else value}


def scale_of(rtype: ResourceType, obj: KubeObject) -> KubeObject:
    """The autoscaling/v1 Scale of an object."""
    paths = _paths(rtype)
    metadata = {
        k: v for k, v in obj["metadata"].items() if k in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    }
    replicas = _at(obj, paths.spec_replicas)
    spec = {"replicas": replicas} if replicas else {}
    status: dict[str, Any] = {"replicas": _at(obj, paths.status_replicas) or 0}
    selector = _selector(_at(obj, paths.selector)) if paths.selector else ""
    if selector:
        status["selector"] = selector
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status}


def _selector(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value or "")
    terms = [f"{key}={wanted}" for key, wanted in sorted((value.get("matchLabels") or {}).items())]
    for item in value.get("matchExpressions") or []:
        listed = ",".join(sorted(item.get("values") or []))
        key = item["key"]
        words = {"In": f"{key} in ({listed})", "NotIn": f"{key} notin ({listed})", "Exists": key, "DoesNotExist": f"!{key}"}
        terms.append(words[item["operator"]])
    return ",".join(terms)


def wanted_replicas(scale: Any, name: str) -> int:
    """The number a Scale asks for; 422 if it is none."""
    if not isinstance(scale, dict):
        raise bad_request("the object provided is unrecognized (must be of type Scale): it is no JSON object")
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if not isinstance(replicas, int) or replicas < 0:
        cause = fielderrors.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise invalid("Scale", "autoscaling", name, [cause])
    return replicas


def with_replicas(rtype: ResourceType, obj: KubeObject, replicas: int) -> KubeObject:
    """The object scaled to this number."""
    return _with(obj, _paths(rtype).spec_replicas.strip(".").split("."), replicas)
