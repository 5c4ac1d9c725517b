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

GRADES = [(0, 0), (1000, 4), (2000, 16), (4000, 32)]
"""Cores in thousandths and memory in Gi, from which on a node is of the grade."""

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


def modelled(counts: dict[int, int], *, nodes: int | None = None, name: str = "a") -> KubeObject:
    """A cluster with so many nodes of each grade; `nodes` where Karmada knows of more than it counts."""
    ceilings = [*GRADES[1:], (10**6, 10**6)]
    models = [
        {
            "grade": grade,
            "ranges": [
                {"name": "cpu", "min": f"{low[0]}m", "max": f"{high[0]}m"},
                {"name": "memory", "min": f"{low[1]}Gi", "max": f"{high[1]}Gi"},
            ],
        }
        for grade, (low, high) in enumerate(zip(GRADES, ceilings, strict=True))
    ]
    obj = cluster(name)
    obj["spec"]["resourceModels"] = models
    obj["status"]["resourceSummary"]["allocatableModelings"] = [{"grade": g, "count": n} for g, n in counts.items()]
    obj["status"]["nodeSummary"] = {"totalNum": sum(counts.values()) if nodes is None else nodes}
    return obj


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
