"""Which clusters can take one more member of an instance: one function per rule, each naming what it misses.

A rule looks at one cluster and never at what the cluster already carries.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fedstate.api.federated import SpreadConstraints
from fedstate.api.naming import ANNOTATION_VIP
from fedstate.kube.resources import Resource
from fedstate.scheduler.snapshot import ClusterSnapshot

NO_VIP = f"no VIP (set label vip or annotation {ANNOTATION_VIP} of the Cluster)"
CLASSES_NAMED = 5
_REPELLING = ("NoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """All that a rule may read beside the cluster: what the owner allows, the kind to serve, whose VIP is whose, and the storage
    class of the members' volumes (empty for the default one, None if they have none).

    Verdicts are remembered for every such question, so nothing else of an instance is here.
    """

    spread: SpreadConstraints
    template: Resource
    vip_owners: Mapping[str, tuple[str, ...]]
    storage_class: str | None = None


Rule = Callable[[ClusterSnapshot, Context], str | None]


def excluded(name: str, spread: SpreadConstraints) -> str | None:
    """Whether the owner of the instance has ruled the cluster out by its name, and where."""
    if spread.cluster_names and name not in spread.cluster_names:
        return "not in spec.spreadConstraints.clusterNames"
    if name in spread.exclude_cluster_names:
        return "in spec.spreadConstraints.excludeClusterNames"
    return None


def named_out(cluster: ClusterSnapshot, context: Context) -> str | None:
    return excluded(cluster.name, context.spread)


def not_selected(cluster: ClusterSnapshot, context: Context) -> str | None:
    for key, value in sorted(context.spread.node_select.items()):
        if cluster.labels.get(key) != value:
            found = f"is {cluster.labels[key]!r}" if key in cluster.labels else "is missing"
            return f"label {key} {found}, spec.spreadConstraints.nodeSelect wants {value!r}"
    return None


def leaving(cluster: ClusterSnapshot, context: Context) -> str | None:
    return "is being removed from Karmada" if cluster.deleting else None


def not_ready(cluster: ClusterSnapshot, context: Context) -> str | None:
    return None if cluster.ready else f"not Ready ({cluster.ready_reason or 'no reason given'})"


def repelled(cluster: ClusterSnapshot, context: Context) -> str | None:
    for taint in cluster.taints:
        if taint.get("effect") in _REPELLING and not any(item.tolerates(taint) for item in context.spread.tolerations):
            value = f"={taint['value']}" if taint.get("value") else ""
            return f"taint {taint.get('key')}{value}:{taint.get('effect')} is not tolerated (spec.spreadConstraints.tolerations)"
    return None


def no_address(cluster: ClusterSnapshot, context: Context) -> str | None:
    if cluster.vip is None:
        return NO_VIP
    if cluster.vip_problem is not None:
        return f"VIP {cluster.vip_problem} (correct label vip or annotation {ANNOTATION_VIP} of the Cluster)"
    others = [name for name in context.vip_owners.get(cluster.vip, ()) if name != cluster.name]
    if others:
        return f"VIP {cluster.vip} is also that of {', '.join(others)} (every cluster needs its own)"
    return None


def api_missing(cluster: ClusterSnapshot, context: Context) -> str | None:
    if cluster.serves(context.template) is False:
        return f"does not serve {context.template} {context.template.version} (install the CRDs and the data plane there)"
    return None


def class_missing(cluster: ClusterSnapshot, context: Context) -> str | None:
    """Says nothing of a cluster whose storage classes are not known."""
    known, wanted = cluster.storage_classes, context.storage_class
    if known is None or wanted is None or wanted in known or (not wanted and cluster.default_storage_class):
        return None
    others = ", ".join(sorted(known)[:CLASSES_NAMED]) + (" and more" if len(known) > CLASSES_NAMED else "")
    field = "spec.storage.storageClass"
    if not others:
        return f"has no StorageClass{' ' + wanted if wanted else ''} (create {'it' if wanted else 'one'} there; {field})"
    other = f"name in {field} one that it has: {others}"
    if wanted:
        return f"has no StorageClass {wanted} (create it there, or {other})"
    return f"has no default StorageClass (make one the default there, or {other})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """A rule under the name that profiles and explanations use. It reads neither resources nor readings of a clock."""

    name: str
    rule: Rule


FILTERS: tuple[Filter, ...] = (
    Filter(name="ClusterNames", rule=named_out),
    Filter(name="ClusterAffinity", rule=not_selected),
    Filter(name="ClusterLeaving", rule=leaving),
    Filter(name="ClusterReady", rule=not_ready),
    Filter(name="TaintToleration", rule=repelled),
    Filter(name="ClusterAddress", rule=no_address),
    Filter(name="APIEnablement", rule=api_missing),
    Filter(name="StorageClass", rule=class_missing),
)
"""In the order in which a cluster is judged; the first rule that rejects it is the one that is reported."""

OPTIONAL = ("TaintToleration", "APIEnablement", "StorageClass")
"""The built-in filters that a profile may leave out; without the others a placement could not work."""

RESOURCES_FIT, MEMBERS_PER_CLUSTER, CLUSTER_EXISTS = "ResourcesFit", "MembersPerCluster", "ClusterExists"
"""What is judged anew in every decision, by the names that explanations use."""


def rejection(cluster: ClusterSnapshot, context: Context, filters: Sequence[Filter] = FILTERS) -> tuple[str, str] | None:
    """Which filter rejects the cluster, whatever its resources, and why; None if it may take another member."""
    for each in filters:
        reason = each.rule(cluster, context)
        if reason is not None:
            return each.name, reason
    return None
