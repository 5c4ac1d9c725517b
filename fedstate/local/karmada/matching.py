"""What a policy selects: resources by selector, clusters by affinity, taints by toleration. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fedstate.kube.objects import KubeObject, labels_of, name_of, namespace_of

EXACT, BY_LABELS, ALL_OF_KIND = 3, 2, 1


def matches_labels(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector (`matchLabels`, `matchExpressions`) selects `labels`."""
    wanted = selector.get("matchLabels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    return all(_matches_label(expression, labels) for expression in selector.get("matchExpressions") or ())


def _matches_label(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False


def selector_rank(selectors: Iterable[Mapping[str, Any]], template: KubeObject) -> int:
    """How closely the selectors of a policy name `template`: EXACT, BY_LABELS, ALL_OF_KIND, or 0 for not at all."""
    return max((_rank(selector, template) for selector in selectors), default=0)


def _rank(selector: Mapping[str, Any], template: KubeObject) -> int:
    if (selector["apiVersion"], selector["kind"]) != (template["apiVersion"], template["kind"]):
        return 0
    if selector.get("namespace") and selector["namespace"] != namespace_of(template):
        return 0
    if selector.get("name"):
        return EXACT if selector["name"] == name_of(template) else 0
    if selector.get("labelSelector") is not None:
        return BY_LABELS if matches_labels(selector["labelSelector"], labels_of(template)) else 0
    return ALL_OF_KIND


def matches_cluster(affinity: Mapping[str, Any] | None, cluster: KubeObject) -> bool:
    """Whether a ClusterAffinity selects `cluster`; none selects every cluster."""
    if not affinity:
        return True
    name = name_of(cluster)
    if name in (affinity.get("exclude") or ()):
        return False
    if affinity.get("clusterNames") and name not in affinity["clusterNames"]:
        return False
    selector = affinity.get("labelSelector")
    if selector is not None and not matches_labels(selector, labels_of(cluster)):
        return False
    fields = (affinity.get("fieldSelector") or {}).get("matchExpressions") or ()
    return all(_matches_field(expression, cluster.get("spec") or {}) for expression in fields)


def _matches_field(expression: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    key = expression["key"]
    found = set(spec.get("zones") or ()) if key == "zone" else {spec.get(key)} - {None}
    values = set(expression.get("values") or ())
    return bool(found & values) if expression["operator"] == "In" else not found & values


def tolerates(tolerations: Sequence[Mapping[str, Any]], taint: Mapping[str, Any]) -> bool:
    """Whether one of the tolerations covers the taint, for however long."""
    return any(_covers(toleration, taint) for toleration in tolerations)


def _covers(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and (toleration.get("value") or "") == (taint.get("value") or "")
