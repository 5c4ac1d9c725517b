"""The estimator's messages on the wire: what is asked of it, and its answer. Knows no connection.

Up to 1.17 it reads amounts, node affinity and tolerations as messages in fields of their own; from 1.19 on as bytes in newer
fields, 1.18 as either. Those bytes are the same message, so that both fields carry them, and no version has to be known.
"""

from __future__ import annotations

from fedstate.api.federated import Toleration
from fedstate.kube.protobuf import delimited, fields
from fedstate.kube.records import Requirement, Terms
from fedstate.scheduler.amounts import CPU
from fedstate.scheduler.capacity.rooms import MemberShape

METHOD = "/github.com.karmada_io.karmada.pkg.estimator.service.Estimator/MaxAvailableReplicas"

# MaxAvailableReplicasRequest
_CLUSTER, _REQUIREMENTS = 1, 2
# ReplicaRequirements: the same amounts as a map of messages, and as a map of bytes.
_NODE_CLAIM, _AMOUNTS, _NAMESPACE, _AMOUNT_BYTES = 1, 2, 3, 5
# NodeClaim: affinity and tolerations each as messages, and as bytes.
_AFFINITY, _SELECTOR, _TOLERATIONS, _AFFINITY_BYTES, _TOLERATION_BYTES = 1, 2, 3, 4, 5
# MaxAvailableReplicasResponse
_MAX_REPLICAS = 1


def encode_request(cluster: str, shape: MemberShape, namespace: str) -> bytes:
    """MaxAvailableReplicasRequest: how many members of the shape there is room for. Equal questions make equal bytes."""
    return delimited(_CLUSTER, cluster) + delimited(_REQUIREMENTS, _requirements(shape, namespace))


def decode_response(raw: bytes) -> int:
    """The number in a MaxAvailableReplicasResponse, which is below 0 where the estimator knows none. ValueError if it is none."""
    value = 0
    for number, found in fields(raw):
        if number == _MAX_REPLICAS:
            if not isinstance(found, int):
                raise ValueError("maxReplicas is no number")
            value = found & 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


def _requirements(shape: MemberShape, namespace: str) -> bytes:
    amounts = [delimited(1, name) + delimited(2, _quantity(name, amount)) for name, amount in shape.request]
    claim = _node_claim(shape)
    parts = [delimited(_NODE_CLAIM, claim)] if claim else []
    parts += [delimited(_AMOUNTS, entry) for entry in amounts]
    if namespace:
        parts.append(delimited(_NAMESPACE, namespace))
    parts += [delimited(_AMOUNT_BYTES, entry) for entry in amounts]
    return b"".join(parts)


def _quantity(name: str, amount: int) -> bytes:
    return delimited(1, f"{amount}m" if name == CPU else str(amount))


def _node_claim(shape: MemberShape) -> bytes:
    affinity = [_affinity(shape.terms)] if shape.terms else []
    tolerations = [_toleration(toleration) for toleration in shape.tolerations]
    parts = [delimited(_AFFINITY, message) for message in affinity]
    parts += [delimited(_SELECTOR, _texts(key, value)) for key, value in shape.node_selector]
    parts += [delimited(_TOLERATIONS, message) for message in tolerations]
    parts += [delimited(_AFFINITY_BYTES, message) for message in affinity]
    parts += [delimited(_TOLERATION_BYTES, message) for message in tolerations]
    return b"".join(parts)


def _affinity(terms: Terms) -> bytes:
    return b"".join(delimited(1, b"".join(delimited(1, _requirement(one)) for one in term)) for term in terms)


def _requirement(one: Requirement) -> bytes:
    return _texts(one.key, one.operator) + b"".join(delimited(3, value) for value in one.values)


def _toleration(toleration: Toleration) -> bytes:
    return _texts(toleration.key, toleration.operator, toleration.value, toleration.effect)


def _texts(*values: str) -> bytes:
    """In fields 1, 2, ...; empty ones too, as Kubernetes writes them."""
    return b"".join(delimited(number, value) for number, value in enumerate(values, 1))
