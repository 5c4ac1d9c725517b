"""Karmada's vocabulary as its objects carry it: labels, annotations, finalizers, derived names. Decides nothing."""

from __future__ import annotations

POLICY_ID = "propagationpolicy.karmada.io/permanent-id"
POLICY_NAMESPACE = "propagationpolicy.karmada.io/namespace"
POLICY_NAME = "propagationpolicy.karmada.io/name"
BINDING_ID = "resourcebinding.karmada.io/permanent-id"
BINDING_NAMESPACE = "resourcebinding.karmada.io/namespace"
BINDING_NAME = "resourcebinding.karmada.io/name"
WORK_ID = "work.karmada.io/permanent-id"
WORK_NAMESPACE = "work.karmada.io/namespace"
WORK_NAME = "work.karmada.io/name"
MANAGED = "karmada.io/managed"
TEMPLATE_UID = "resourcetemplate.karmada.io/uid"
TEMPLATE_GENERATION = "resourcetemplate.karmada.io/generation"
MANAGED_LABELS = "resourcetemplate.karmada.io/managed-labels"
MANAGED_ANNOTATIONS = "resourcetemplate.karmada.io/managed-annotations"
CONFLICT_RESOLUTION = "work.karmada.io/conflict-resolution"
APPLIED_OVERRIDES = "policy.karmada.io/applied-overrides"
APPLIED_PLACEMENT = "policy.karmada.io/applied-placement"
SKIP_AUTO_PROPAGATION = "namespace.karmada.io/skip-auto-propagation"

POLICY_FINALIZER = "karmada.io/propagation-policy-controller"
BINDING_FINALIZER = "karmada.io/binding-controller"
WORK_FINALIZER = "karmada.io/execution-controller"
CLUSTER_FINALIZER = "karmada.io/cluster-controller"

DEFAULT_SCHEDULER = "default-scheduler"
CLUSTER_NAMESPACE = "karmada-cluster"
EXECUTION_PREFIX = "karmada-es-"
NOT_READY_TAINT = "cluster.karmada.io/not-ready"

_HASH_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_RESERVED_NAMESPACES = frozenset({"default", "karmada-system", CLUSTER_NAMESPACE})


def binding_name(kind: str, name: str) -> str:
    """Name of the binding of a template."""
    return f"{name}-{kind}".lower().replace(":", ".")


def work_name(kind: str, namespace: str, name: str) -> str:
    """Name of the Work of a template: the same in every cluster, and the same that Karmada gives it."""
    name = name.replace(":", ".")
    full = (f"{namespace}-{name}-{kind}" if namespace else f"{name}-{kind}").lower()
    digits = str(_fnv32a(full.encode()))
    return f"{name}-{''.join(_HASH_ALPHABET[ord(digit) % len(_HASH_ALPHABET)] for digit in digits)}"


def _fnv32a(data: bytes) -> int:
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def execution_namespace(cluster: str) -> str:
    """Namespace of the control plane that holds the Works of `cluster`."""
    return EXECUTION_PREFIX + cluster


def cluster_of(namespace: str) -> str | None:
    """Cluster whose Works `namespace` holds; None for any other namespace."""
    return namespace.removeprefix(EXECUTION_PREFIX) if namespace.startswith(EXECUTION_PREFIX) else None


def is_reserved_namespace(name: str) -> bool:
    """Whether a namespace of the control plane is never propagated."""
    return name in _RESERVED_NAMESPACES or name.startswith(("kube-", EXECUTION_PREFIX))


def api_group(api_version: str) -> tuple[str, str]:
    """Group and version of an `apiVersion`."""
    group, _, version = api_version.rpartition("/")
    return group, version
