"""What an owner's podSpec says of the nodes that a member may run on. Pure; reads what it understands and skips the rest,
since the API server of the member cluster is the one to judge it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fedstate.api.federated import Toleration
from fedstate.api.naming import standard_labels
from fedstate.kube.objects import Key
from fedstate.kube.records import Requirement, Terms
from fedstate.scheduler.amounts import Amounts
from fedstate.scheduler.capacity.matching import NODE_NAME
from fedstate.scheduler.capacity.rooms import MemberShape

_HOST_NAME = "kubernetes.io/hostname"
_COMPONENT = "replset"
_NOWHERE = (Requirement(key=NODE_NAME, operator="In"),)
"""A term that no node meets: what Kubernetes makes of an empty one."""

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def shape_of(request: Amounts, storage_class: str | None, pod_spec: Mapping[str, Any], instance: Key) -> MemberShape:
    """A member of the instance with a volume of the class, or where that is None of the cluster's default one."""
    affinity = _mapping(pod_spec.get("affinity"))
    selector = _mapping(pod_spec.get("nodeSelector"))
    alone = _alone(_mapping(affinity.get("podAntiAffinity")), instance.name)
    return MemberShape(
        request=tuple(sorted((name, amount) for name, amount in request.items() if amount > 0)),
        node_selector=tuple(sorted((str(key), str(value)) for key, value in selector.items())),
        terms=_terms(_mapping(affinity.get("nodeAffinity"))),
        tolerations=tuple(_toleration(one) for one in _mappings(pod_spec.get("tolerations"))),
        alone=alone,
        storage_class=storage_class or "",
        instance=instance if alone else None,
    )


def _terms(affinity: Mapping[str, Any]) -> Terms:
    terms = _mappings(_mapping(affinity.get(_REQUIRED)).get("nodeSelectorTerms"))
    return tuple(
        (
            *(_requirement(one) for one in _mappings(term.get("matchExpressions"))),
            *(_requirement(one) for one in _mappings(term.get("matchFields"))),
        )
        or _NOWHERE
        for term in terms
    )


def _requirement(said: Mapping[str, Any]) -> Requirement:
    values = said.get("values")
    return Requirement(
        key=str(said.get("key") or ""),
        operator=str(said.get("operator") or ""),
        values=tuple(map(str, values)) if isinstance(values, list) else (),
    )


def _toleration(said: Mapping[str, Any]) -> Toleration:
    return Toleration(
        key=str(said.get("key") or ""),
        operator=str(said.get("operator") or "Equal"),
        value=str(said.get("value") or ""),
        effect=str(said.get("effect") or ""),
    )


def _alone(anti_affinity: Mapping[str, Any], instance: str) -> bool:
    """Whether the member refuses the node of another member of its own instance."""
    return any(
        term.get("topologyKey") == _HOST_NAME and _selects(_mapping(term.get("labelSelector")), instance)
        for term in _mappings(anti_affinity.get(_REQUIRED))
    )


def _selects(selector: Mapping[str, Any], instance: str) -> bool:
    """Whether the selector means the members of the instance, by the labels that all of them have."""
    labels = standard_labels(instance, _COMPONENT)
    if not selector:
        return False
    if any(labels.get(str(key)) != value for key, value in _mapping(selector.get("matchLabels")).items()):
        return False
    return all(_meets(one, labels) for one in map(_requirement, _mappings(selector.get("matchExpressions"))))


def _meets(one: Requirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(one.key)
    if one.operator in ("Exists", "DoesNotExist"):
        return (value is not None) == (one.operator == "Exists")
    return (value in one.values) == (one.operator == "In")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: object) -> Iterable[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
