"""NoExecute taints, as Karmada acts on them when its failover gates are on: tasks that take a cluster out of a binding. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fedstate.kube.objects import KubeObject, format_time, generation_of, parse_time
from fedstate.local.karmada.placement import evicted_by


@dataclass(frozen=True, slots=True, kw_only=True)
class Eviction:
    """The spec to write, and when to look again for a task that ends."""

    spec: dict[str, Any]
    look_again_after: float | None


def after_eviction(binding: KubeObject, clusters: Mapping[str, KubeObject], *, timeout: float, now: datetime) -> Eviction:
    """The binding's spec with new tasks for untolerated taints, and without the tasks that have ended."""
    spec = dict(binding["spec"])
    placement = spec.get("placement") or {}
    present = list(spec.get("clusters") or ())
    leaving = [target["name"] for target in present if _is_evicted(clusters.get(target["name"]), placement)]
    if leaving:
        spec["clusters"] = [target for target in present if target["name"] not in leaving]
    kept = [task for task in spec.get("gracefulEvictionTasks") or () if not _has_ended(task, binding, timeout, now)]
    tasks = kept + [_task(name, now) for name in leaving]
    spec.pop("gracefulEvictionTasks", None)
    if tasks:
        spec["gracefulEvictionTasks"] = tasks
    ends = [(_end(task, timeout) - now).total_seconds() for task in tasks]
    return Eviction(spec=spec, look_again_after=max(0.1, min(ends)) if ends else None)


def _is_evicted(cluster: KubeObject | None, placement: Mapping[str, Any]) -> bool:
    return cluster is not None and evicted_by(placement, cluster["spec"].get("taints") or ())


def _task(cluster: str, now: datetime) -> dict[str, Any]:
    return {
        "creationTimestamp": format_time(now),
        "fromCluster": cluster,
        "producer": "TaintManager",
        "purgeMode": "Gracefully",
        "reason": "TaintUntolerated",
    }


def _end(task: Mapping[str, Any], timeout: float) -> datetime:
    return parse_time(task["creationTimestamp"]) + timedelta(seconds=task.get("gracePeriodSeconds") or timeout)


def _has_ended(task: Mapping[str, Any], binding: KubeObject, timeout: float, now: datetime) -> bool:
    """After its time; or when the binding was scheduled since, and everything is healthy where it went."""
    if now >= _end(task, timeout):
        return True
    status = binding.get("status") or {}
    if status.get("schedulerObservedGeneration") != generation_of(binding):
        return False
    health = {item["clusterName"]: item.get("health") for item in status.get("aggregatedStatus") or ()}
    return all(health.get(target["name"]) == "Healthy" for target in binding["spec"].get("clusters") or ())
