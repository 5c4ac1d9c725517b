"""Whether a pod fits a node: resource requests, nodeSelector, required node affinity, taints. Pure.

Memory is counted here and nowhere enforced: a local process is not held to its limits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedstate.kube.objects import KubeObject, cpu_millis, labels_of, name_of, quantity_bytes

Demand = Mapping[str, int]
"""Resource name -> thousandths of a core for cpu, whole units for everything else."""


def amount(resource: str, quantity: str | int | float) -> int:
    return cpu_millis(quantity) if resource == "cpu" else quantity_bytes(quantity)


def demand_of(pod: KubeObject) -> dict[str, int]:
    """What a pod counts for: the sum over its containers or its largest init container, plus overhead, plus one of `pods`."""
    spec = pod["spec"]
    total: Counter[str] = Counter()
    for container in spec.get("containers") or ():
        total.update(_requests(container))
    for container in spec.get("initContainers") or ():
        for resource, wanted in _requests(container).items():
            total[resource] = max(total[resource], wanted)
    for resource, quantity in (spec.get("overhead") or {}).items():
        total[resource] += amount(resource, quantity)
    total["pods"] = 1
    return dict(total)


def _requests(container: KubeObject) -> dict[str, int]:
    resources = container.get("resources") or {}
    wanted = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {resource: amount(resource, quantity) for resource, quantity in wanted.items()}


def finished(pod: KubeObject) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The node that was found, or why there is none."""

    node: str | None
    message: str


def choose_node(pod: KubeObject, nodes: Sequence[KubeObject], pods: Iterable[KubeObject]) -> Verdict:
    """The first node, by name, that can take the pod; else a sentence in the words of kube-scheduler."""
    used: dict[str, Counter[str]] = {}
    for other in pods:
        if other["spec"].get("nodeName") and not finished(other):
            used.setdefault(other["spec"]["nodeName"], Counter()).update(demand_of(other))
    demand = demand_of(pod)
    reasons: Counter[str] = Counter()
    for node in sorted(nodes, key=name_of):
        why_not = _why_not(pod, demand, node, used.get(name_of(node), Counter()))
        if not why_not:
            return Verdict(node=name_of(node), message="")
        reasons.update(why_not)
    listed = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return Verdict(
        node=None, message=f"0/{len(nodes)} nodes are available: {listed}." if nodes else "no nodes available to schedule pods"
    )


def _why_not(pod: KubeObject, demand: Demand, node: KubeObject, used: Demand) -> list[str]:
    if (node.get("spec") or {}).get("unschedulable") and not _tolerates(pod, UNSCHEDULABLE):
        return ["node(s) were unschedulable"]
    taint = untolerated_taint(pod, node)
    if taint is not None:
        return [f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value') or ''}}}"]
    if not is_ready(node):
        return ["node(s) were not ready"]
    if not selects_node(pod, node):
        return ["node(s) didn't match Pod's node affinity/selector"]
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    return [
        "Too many pods" if resource == "pods" else f"Insufficient {resource}"
        for resource, wanted in demand.items()
        if wanted and used.get(resource, 0) + wanted > amount(resource, allocatable.get(resource, 0))
    ]


UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def is_ready(node: KubeObject) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def untolerated_taint(pod: KubeObject, node: KubeObject) -> Mapping[str, Any] | None:
    """The first taint that keeps the pod away."""
    for taint in (node.get("spec") or {}).get("taints") or ():
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not _tolerates(pod, taint):
            return dict(taint)
    return None


def _tolerates(pod: KubeObject, taint: Mapping[str, Any]) -> bool:
    return any(_matches_taint(toleration, taint) for toleration in pod["spec"].get("tolerations") or ())


def _matches_taint(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")


def selects_node(pod: KubeObject, node: KubeObject) -> bool:
    """Whether nodeSelector and the required node affinity allow the node."""
    labels = labels_of(node)
    if any(labels.get(key) != value for key, value in (pod["spec"].get("nodeSelector") or {}).items()):
        return False
    affinity = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not affinity:
        return True
    return any(_matches_term(term, node, labels) for term in affinity.get("nodeSelectorTerms") or ())


def _matches_term(term: Mapping[str, Any], node: KubeObject, labels: Mapping[str, str]) -> bool:
    expressions = term.get("matchExpressions") or ()
    fields = term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return all(_matches_expression(e, labels) for e in expressions) and all(
        _matches_expression(e, {"metadata.name": name_of(node)}) for e in fields
    )


_OPERATORS: Mapping[str, Callable[[str | None, Sequence[str]], bool]] = {
    "In": lambda value, wanted: value in wanted,
    "NotIn": lambda value, wanted: value not in wanted,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
    "Gt": lambda value, wanted: value is not None and value.isdigit() and int(value) > int(wanted[0]),
    "Lt": lambda value, wanted: value is not None and value.isdigit() and int(value) < int(wanted[0]),
}


def _matches_expression(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return _OPERATORS[expression["operator"]](labels.get(expression["key"]), expression.get("values") or ())
