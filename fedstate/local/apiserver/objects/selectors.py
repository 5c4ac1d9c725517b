"""LabelSelectors (`matchLabels`, `matchExpressions`) against labels."""

from __future__ import annotations

from collections.abc import Mapping

from fedstate.local.apiserver.objects.nodes import Obj


def matches_labels(selector: Obj, labels: Mapping[str, str]) -> bool:
    """Whether every requirement holds; an empty selector matches everything."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(requirement, labels) for requirement in selector.get("matchExpressions") or ())


def _holds(requirement: Obj, labels: Mapping[str, str]) -> bool:
    key, values = requirement.get("key", ""), requirement.get("values") or ()
    operator = requirement.get("operator")
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    return (key in labels) == (operator == "Exists")
