"""What a member cluster has and what is taken: the node and resource summaries of its Cluster object. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from fedstate.kube.objects import KubeObject, name_of, parse_quantity

_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_ENDED = ("Succeeded", "Failed")

Amounts = dict[str, Decimal]


def node_summary(nodes: Sequence[KubeObject]) -> dict[str, int]:
    """Numbers of all and of the ready nodes; a number that is 0 is left out, as Karmada does."""
    ready = sum(1 for node in nodes if _is_ready(node))
    return {field: number for field, number in (("totalNum", len(nodes)), ("readyNum", ready)) if number}


def _is_ready(node: KubeObject) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def resource_summary(
    nodes: Sequence[KubeObject], pods: Iterable[KubeObject], models: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Allocatable of all nodes, requests of bound (allocated) and unbound (allocating) pods, nodes per grade of free space."""
    live = [pod for pod in pods if (pod.get("status") or {}).get("phase") not in _ENDED]
    bound = [pod for pod in live if pod["spec"].get("nodeName")]
    unbound = [pod for pod in live if not pod["spec"].get("nodeName")]
    summary = {
        "allocatable": _sum(_allocatable(node) for node in nodes),
        "allocated": _sum(_requests(pod) for pod in bound),
        "allocating": _sum(_requests(pod) for pod in unbound),
    }
    result: dict[str, Any] = {field: _formatted(amounts) for field, amounts in summary.items() if amounts}
    if models:
        result["allocatableModelings"] = _modelings(nodes, bound, models)
    return result


def _allocatable(node: KubeObject) -> Amounts:
    return {name: parse_quantity(value) for name, value in ((node.get("status") or {}).get("allocatable") or {}).items()}


def _requests(pod: KubeObject) -> Amounts:
    """What the scheduler counts for a pod: its containers together, or the largest init container, and one of `pods`."""
    spec = pod["spec"]
    total = _sum(_container_requests(container) for container in spec.get("containers") or ())
    for container in spec.get("initContainers") or ():
        for name, amount in _container_requests(container).items():
            total[name] = max(amount, total.get(name, Decimal(0)))
    return total | {"pods": Decimal(1)}


def _container_requests(container: Mapping[str, Any]) -> Amounts:
    requests = (container.get("resources") or {}).get("requests") or {}
    return {name: parse_quantity(value) for name, value in requests.items()}


def _sum(many: Iterable[Amounts]) -> Amounts:
    total: Amounts = {}
    for amounts in many:
        for name, amount in amounts.items():
            total[name] = total.get(name, Decimal(0)) + amount
    return total


def _modelings(
    nodes: Sequence[KubeObject], bound: Iterable[KubeObject], models: Sequence[Mapping[str, Any]]
) -> list[dict[str, int]]:
    used: dict[str, Amounts] = {}
    for pod in bound:
        node = pod["spec"]["nodeName"]
        used[node] = _sum([used.get(node, {}), _requests(pod)])
    counts: Counter[int] = Counter()
    for node in nodes:
        free = {name: amount - used.get(name_of(node), {}).get(name, Decimal(0)) for name, amount in _allocatable(node).items()}
        if free.get("pods", Decimal(0)) > 0:
            counts[_grade(free, models)] += 1
    return [{"count": counts[model["grade"]], "grade": model["grade"]} for model in models]


def _grade(free: Amounts, models: Sequence[Mapping[str, Any]]) -> int:
    """The highest grade all of whose minimums the free space reaches."""
    fitting = [
        int(model["grade"])
        for model in models
        if all(free.get(limit["name"], Decimal(0)) >= parse_quantity(limit["min"]) for limit in model["ranges"])
    ]
    return max(fitting, default=0)


def _formatted(amounts: Amounts) -> dict[str, str]:
    return {name: format_quantity(name, amounts[name]) for name in sorted(amounts)}


def format_quantity(name: str, amount: Decimal) -> str:
    """Canonical text: cores or thousandths for cpu, the largest exact binary suffix for sizes, a plain number for counts."""
    if name == "cpu" or amount != amount.to_integral_value():
        millis = int(amount * 1000)
        return str(millis // 1000) if millis % 1000 == 0 else f"{millis}m"
    number, suffix = int(amount), 0
    if "pods" not in name:
        while number and number % 1024 == 0 and suffix < len(_BINARY) - 1:
            number, suffix = number // 1024, suffix + 1
    return f"{number}{_BINARY[suffix]}"
