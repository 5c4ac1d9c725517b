"""Which clusters a binding goes to: affinity, tolerations, the kinds a cluster serves. Duplicated placement only. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedstate.kube.objects import KubeObject, deletion_timestamp_of, name_of
from fedstate.local.karmada.conditions import Verdict, with_verdict
from fedstate.local.karmada.matching import matches_cluster, tolerates

NOT_SELECTED = "cluster(s) did not match the placement cluster affinity constraint"
NOT_SERVED = "cluster(s) did not have the API resource"
EVICTING = "cluster(s) is in the process of eviction"
DELETED = "cluster(s) is being deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The clusters chosen, in order of their names, and why if there are none."""

    clusters: tuple[str, ...]
    message: str = ""


def select_clusters(binding: KubeObject, clusters: Sequence[KubeObject]) -> Selection:
    """Every cluster that fits; a cluster that already carries the resource stays, whatever its taints and kinds."""
    spec = binding["spec"]
    placement = spec.get("placement") or {}
    present = {target["name"] for target in spec.get("clusters") or ()}
    evicting = {task["fromCluster"] for task in spec.get("gracefulEvictionTasks") or ()}
    affinity = _affinity(placement)
    chosen: list[str] = []
    refusals: Counter[str] = Counter()
    for cluster in clusters:
        name = name_of(cluster)
        reason = _refusal(cluster, affinity)
        if reason is None and name in evicting:
            reason = EVICTING
        if reason is None and name not in present:
            reason = _refusal_of_new(cluster, spec["resource"], placement.get("clusterTolerations") or ())
        if reason is None:
            chosen.append(name)
        else:
            refusals[reason] += 1
    return Selection(clusters=tuple(sorted(chosen)), message="" if chosen else _explained(refusals, len(clusters)))


def _affinity(placement: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if placement.get("clusterAffinity"):
        return dict(placement["clusterAffinity"])
    terms = placement.get("clusterAffinities")
    return dict(terms[0]) if terms else None


def _refusal(cluster: KubeObject, affinity: Mapping[str, Any] | None) -> str | None:
    if deletion_timestamp_of(cluster):
        return DELETED
    return None if matches_cluster(affinity, cluster) else NOT_SELECTED


def _refusal_of_new(cluster: KubeObject, resource: Mapping[str, Any], tolerations: Sequence[Mapping[str, Any]]) -> str | None:
    if not serves(cluster, resource["apiVersion"], resource["kind"]):
        return NOT_SERVED
    for taint in cluster["spec"].get("taints") or ():
        if taint["effect"] in ("NoSchedule", "NoExecute") and not tolerates(tolerations, taint):
            return f"cluster(s) had untolerated taint {{{taint['key']}: {taint.get('value') or ''}}}"
    return None


def serves(cluster: KubeObject, api_version: str, kind: str) -> bool:
    """Whether the cluster's enablements name the kind."""
    for group in (cluster.get("status") or {}).get("apiEnablements") or ():
        if group["groupVersion"] == api_version and any(resource["kind"] == kind for resource in group["resources"]):
            return True
    return False


def _explained(refusals: Mapping[str, int], total: int) -> str:
    if not total:
        return "0/0 clusters are available: no clusters exist."
    reasons = sorted(f"{count} {reason}" for reason, count in refusals.items())
    return f"0/{total} clusters are available: {', '.join(reasons)}."


def evicted_by(placement: Mapping[str, Any], taints: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a NoExecute taint drives a resource with this placement out of a cluster."""
    tolerations = placement.get("clusterTolerations") or ()
    return any(taint["effect"] == "NoExecute" and not tolerates(tolerations, taint) for taint in taints)


def placement_record(binding: KubeObject) -> str:
    """The annotation by which a binding tells for which placement it was scheduled."""
    return json.dumps(binding["spec"].get("placement") or {}, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def scheduling_status(binding: KubeObject, selection: Selection, *, changed: bool, now: str) -> dict[str, Any]:
    """The binding's status after scheduling; a failure leaves the time and the generation of the last success."""
    status = dict(binding.get("status") or {})
    if not selection.clusters:
        verdict = Verdict(type="Scheduled", status=False, reason="NoClusterFit", message=selection.message)
    else:
        verdict = Verdict(type="Scheduled", status=True, reason="Success", message="Binding has been scheduled successfully.")
        status["schedulerObservedGeneration"] = binding["metadata"]["generation"]
        if changed or "lastScheduledTime" not in status:
            status["lastScheduledTime"] = now
    status["conditions"] = with_verdict(status.get("conditions"), verdict, now)
    return status
