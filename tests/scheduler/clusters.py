"""Clusters and instances for tests of the scheduler, as Karmada and an API server would hand them out."""

from typing import Any

from fedstate.kube.objects import KubeObject
from fedstate.scheduler.amounts import Amounts
from fedstate.scheduler.decision import Decision, View, decide
from fedstate.scheduler.middleware import MONGODB
from fedstate.scheduler.snapshot import Fleet
from tests.api.objects import instance

ENABLED = [{"groupVersion": "middleware.fedstate.io/v1alpha1", "resources": [{"kind": "MongoDB", "name": "mongodbs"}]}]
COMPLETE = {"type": "CompleteAPIEnablements", "status": "True", "reason": "Complete"}
READY = {"type": "Ready", "status": "True", "reason": "ClusterReady"}
LOST = {"type": "Ready", "status": "False", "reason": "ClusterNotReachable"}

ONE_CPU = {"resource": {"requests": {"cpu": "1", "memory": "512Mi"}}}


def cluster(name: str, *, cpu: str | None = "16", used: str = "0", vip: str | None = "", **changes: Any) -> KubeObject:
    """A healthy cluster; `vip` "" gives it one of its own; `cpu` None is one whose resources are not collected."""
    labels = dict(changes.get("labels") or {})
    if vip is not None:
        labels["vip"] = vip or f"{name}.example.com"
    metadata: dict[str, Any] = {"name": name, "labels": labels} | (changes.get("metadata") or {})
    status: dict[str, Any] = {
        "conditions": changes.get("conditions") or [READY, COMPLETE],
        "apiEnablements": changes.get("apis", ENABLED),
    }
    if cpu is not None:
        status["resourceSummary"] = {
            "allocatable": {"cpu": cpu, "memory": "64Gi", "pods": "110"},
            "allocated": {"cpu": used, "memory": "1Gi", "pods": "10"},
        }
    return {
        "apiVersion": "cluster.karmada.io/v1alpha1",
        "kind": "Cluster",
        "metadata": metadata,
        "spec": {"syncMode": "Push", "taints": changes.get("taints") or [], "region": changes.get("region") or ""},
        "status": status,
    }


def decided(
    spec: dict[str, Any], *clusters: KubeObject, result: str = "", reserved: dict[str, Amounts] | None = None
) -> Decision:
    """The decision on an instance of this spec over these clusters, with this scheduler result so far."""
    fleet = Fleet()
    for obj in clusters:
        fleet.put(obj)
    obj = instance(ONE_CPU | spec, **({"annotations": {"schedulerResult": result}} if result else {}))
    view = View(clusters=fleet.clusters, vip_owners=fleet.vip_owners, reserved=reserved or {})
    return decide(MONGODB.demand_of(obj), MONGODB.template, view)


def members_of(decision: Decision) -> dict[str, int] | None:
    return decision.placement.members if decision.placement else None
