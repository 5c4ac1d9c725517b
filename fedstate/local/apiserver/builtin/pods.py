"""Pods: what a new one starts with, and how much time one has to end. Running them is the nodes' work."""

from __future__ import annotations

from typing import Any

from fedstate.kube.objects import KubeObject, parse_quantity
from fedstate.local.apiserver.requests import DeleteOptions
from fedstate.local.apiserver.strategy import Strategy, Write

_TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_MEASURED = ("cpu", "memory")


class PodStrategy(Strategy):
    """A pod starts Pending and ends when its node says so."""

    returns_deleted = True

    def prepare_create(self, obj: KubeObject, write: Write) -> None:
        spec = obj.get("spec")
        if not isinstance(spec, dict):
            return
        obj["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}
        spec.setdefault("priority", 0)
        spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
        tolerations = list(spec.get("tolerations") or [])
        for key in _TOLERATED:
            if not any(t.get("key") in (key, None, "") and t.get("effect") in ("NoExecute", None, "") for t in tolerations):
                tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})
        spec["tolerations"] = tolerations

    def prepare_status(self, obj: KubeObject, old: KubeObject, write: Write) -> None:
        before = (old.get("status") or {}).get("qosClass")
        if before and isinstance(obj.get("status"), dict):
            obj["status"]["qosClass"] = before

    def grace_period(self, obj: KubeObject, options: DeleteOptions) -> int:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
            return 0
        if options.grace_period is not None:
            return options.grace_period
        return int(spec.get("terminationGracePeriodSeconds", 30))


def qos_class(spec: dict[str, Any]) -> str:
    """Guaranteed, Burstable or BestEffort, by what the containers ask for."""
    containers = [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]
    resources = [container.get("resources") or {} for container in containers]
    if not any(_amounts(r, side) for r in resources for side in ("requests", "limits")):
        return "BestEffort"
    return "Guaranteed" if all(_is_guaranteed(r) for r in resources) else "Burstable"


def _is_guaranteed(resources: dict[str, Any]) -> bool:
    limits = _amounts(resources, "limits")
    requests = {**limits, **_amounts(resources, "requests")}
    return len(limits) == len(_MEASURED) and requests == limits


def _amounts(resources: dict[str, Any], side: str) -> dict[str, Any]:
    found = {}
    for name in _MEASURED:
        try:
            amount = parse_quantity((resources.get(side) or {}).get(name, 0))
        except ValueError:
            continue
        if amount:
            found[name] = amount
    return found
