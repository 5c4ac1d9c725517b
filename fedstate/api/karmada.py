"""Karmada's kinds that FedState reads or writes, and readers of their objects.

Knows which field means what, nothing about what FedState wants to do with it.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fedstate.api.naming import ANNOTATION_VIP
from fedstate.kube.objects import KubeObject, annotations_of, labels_of, parse_time
from fedstate.kube.resources import Resource

CLUSTERS = Resource("cluster.karmada.io", "v1alpha1", "clusters", "Cluster", namespaced=False)
PROPAGATION_POLICIES = Resource("policy.karmada.io", "v1alpha1", "propagationpolicies", "PropagationPolicy")
OVERRIDE_POLICIES = Resource("policy.karmada.io", "v1alpha1", "overridepolicies", "OverridePolicy")
RESOURCE_BINDINGS = Resource("work.karmada.io", "v1alpha2", "resourcebindings", "ResourceBinding")
WORKS = Resource("work.karmada.io", "v1alpha1", "works", "Work")

NEVER_REPORTED = "NeverReported"

_DNS_NAME = re.compile(r"^(?=.{1,253}$)([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)*[a-z]([-a-z0-9]{0,61}[a-z0-9])?$", re.IGNORECASE)


def cluster_ready(cluster: KubeObject) -> tuple[bool, str]:
    """Whether Karmada reaches the cluster, and the reason it gives (NEVER_REPORTED before its first report)."""
    for condition in (cluster.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Ready":
            return condition.get("status") == "True", str(condition.get("reason") or "")
    return False, NEVER_REPORTED


def ready_since(cluster: KubeObject) -> str:
    """When the cluster last became Ready or ceased to be, as Karmada wrote it; empty where it did not."""
    for condition in (cluster.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Ready":
            return str(condition.get("lastTransitionTime") or "")
    return ""


def vip_of(cluster: KubeObject) -> str | None:
    """The address under which the cluster's node ports are reached, as its owner wrote it; None if it has none.

    The annotation goes before the labels, since a label cannot hold an IPv6 address.
    """
    labels = labels_of(cluster)
    for value in (annotations_of(cluster).get(ANNOTATION_VIP), labels.get("vip"), labels.get("VIP")):
        if value and value.strip():
            return value.strip()
    return None


def vip_problem(vip: str) -> str | None:
    """What keeps `vip` from being an address for node ports; None if it is an IPv4 or IPv6 address or a DNS name."""
    try:
        address = ipaddress.ip_address(vip)
    except ValueError:
        return None if _DNS_NAME.match(vip) else f"{vip!r} is no IPv4 or IPv6 address and no DNS name"
    if address.is_unspecified or address.is_multicast:
        return f"{vip} is not the address of a host"
    return None


def canonical_vip(vip: str) -> str:
    """One spelling per address, so that two spellings of an IPv6 address or a DNS name compare equal."""
    try:
        return str(ipaddress.ip_address(vip))
    except ValueError:
        return vip.lower().rstrip(".")


def taints_of(cluster: KubeObject) -> tuple[Mapping[str, str], ...]:
    return tuple((cluster.get("spec") or {}).get("taints") or ())


def resource_summary_of(cluster: KubeObject) -> Mapping[str, Any] | None:
    """None if Karmada collects no resources (`--enable-cluster-resource-modeling=false`) or has not yet."""
    summary: Mapping[str, Any] | None = (cluster.get("status") or {}).get("resourceSummary")
    return summary


def allocatable(cluster: KubeObject) -> Mapping[str, str]:
    return (resource_summary_of(cluster) or {}).get("allocatable") or {}


def allocated(cluster: KubeObject) -> Mapping[str, str]:
    """Requested by pods that are bound to nodes."""
    return (resource_summary_of(cluster) or {}).get("allocated") or {}


def allocating(cluster: KubeObject) -> Mapping[str, str]:
    """Requested by pods that wait for a node."""
    return (resource_summary_of(cluster) or {}).get("allocating") or {}


def status_changed(cluster: KubeObject) -> datetime | None:
    """When the cluster's status was last written with something new; None where the control plane does not say."""
    times = [
        parse_time(str(entry["time"]))
        for entry in (cluster.get("metadata") or {}).get("managedFields") or ()
        if entry.get("subresource") == "status" and entry.get("time")
    ]
    return max(times, default=None)


def provider_of(cluster: KubeObject) -> str:
    return str((cluster.get("spec") or {}).get("provider") or "")


def region_of(cluster: KubeObject) -> str:
    return str((cluster.get("spec") or {}).get("region") or "")


def zones_of(cluster: KubeObject) -> tuple[str, ...]:
    spec = cluster.get("spec") or {}
    zones = tuple(str(zone) for zone in spec.get("zones") or ())
    return zones or ((str(spec["zone"]),) if spec.get("zone") else ())


def served_kinds(cluster: KubeObject) -> tuple[frozenset[tuple[str, str]], bool]:
    """The (group version, kind) pairs the cluster is known to serve, and whether those are all of them."""
    status = cluster.get("status") or {}
    enablements = status.get("apiEnablements") or ()
    kinds = frozenset(
        (str(entry.get("groupVersion") or ""), str(item.get("kind") or ""))
        for entry in enablements
        for item in entry.get("resources") or ()
    )
    for condition in status.get("conditions") or ():
        if condition.get("type") == "CompleteAPIEnablements":
            return kinds, bool(kinds) and condition.get("status") == "True"
    return kinds, bool(kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregatedItem:
    """One cluster's part of a binding's aggregated status. It goes stale, without saying so, when the cluster dies."""

    applied: bool
    applied_message: str
    health: str
    status: Mapping[str, Any] | None


def aggregated_statuses(binding: KubeObject) -> dict[str, AggregatedItem]:
    """What each cluster last reported through Karmada, by cluster name."""
    items = (binding.get("status") or {}).get("aggregatedStatus") or ()
    return {
        str(item.get("clusterName") or ""): AggregatedItem(
            applied=bool(item.get("applied")),
            applied_message=str(item.get("appliedMessage") or ""),
            health=str(item.get("health") or "Unknown"),
            status=item.get("status"),
        )
        for item in items
    }
