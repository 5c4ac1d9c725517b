"""Which nodes a member may run on at all: labels, taints, and what its storage class serves. As kube-scheduler judges. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from fedstate.api.federated import Toleration
from fedstate.kube.records import NodeRecord, Requirement, Taint, Terms

NODE_NAME = "metadata.name"
"""The key of a requirement on the node's name; every other key is that of a label."""

REPELLING = ("NoSchedule", "NoExecute")


def selected(node: NodeRecord, selector: Mapping[str, str] | tuple[tuple[str, str], ...]) -> bool:
    """Whether the node has all of these labels."""
    return all(node.labels.get(key) == value for key, value in dict(selector).items())


def within_terms(node: NodeRecord, terms: Terms) -> bool:
    """Whether the node meets one of the terms; without terms every node does."""
    return not terms or any(all(meets(node, one) for one in term) for term in terms)


def meets(node: NodeRecord, requirement: Requirement) -> bool:
    """Whether the node meets the requirement. One without an operator, as storage classes have them, means In."""
    value = node.key.name if requirement.key == NODE_NAME else node.labels.get(requirement.key)
    match requirement.operator:
        case "In" | "":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return _compares(value, requirement)
    return False


def _compares(value: str | None, requirement: Requirement) -> bool:
    try:
        have, bound = int(value or ""), int(requirement.values[0])
    except (ValueError, IndexError):
        return False
    return have > bound if requirement.operator == "Gt" else have < bound


def repelling(node: NodeRecord, tolerations: tuple[Toleration, ...]) -> Taint | None:
    """The first taint of the node that keeps the member off it."""
    for taint in node.taints:
        if taint.effect in REPELLING:
            plain = {"key": taint.key, "value": taint.value, "effect": taint.effect}
            if not any(one.tolerates(plain) for one in tolerations):
                return taint
    return None
