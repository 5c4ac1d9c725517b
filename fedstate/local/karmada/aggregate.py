"""From Works to what a binding tells of its clusters: aggregated status and FullyApplied. Pure.

Runs no Lua, so every object that was applied is healthy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fedstate.kube.objects import KubeObject, deletion_timestamp_of, name_of, namespace_of
from fedstate.local.karmada import names
from fedstate.local.karmada.conditions import Verdict, condition, with_verdict

FULLY_APPLIED = "FullyApplied"


def manifest_status(manifest: KubeObject, observed: KubeObject) -> dict[str, Any]:
    """The entry of a Work for the member's object."""
    group, version = names.api_group(manifest["apiVersion"])
    identifier = {"kind": manifest["kind"], "name": name_of(manifest), "ordinal": 0, "resource": "", "version": version}
    if group:
        identifier["group"] = group
    if namespace_of(manifest):
        identifier["namespace"] = namespace_of(manifest)
    entry: dict[str, Any] = {"health": "Healthy", "identifier": identifier}
    if observed.get("status") is not None:
        entry["status"] = observed["status"]
    return entry


def aggregated_status(works: Iterable[KubeObject]) -> list[dict[str, Any]]:
    """One item per Work that is not being deleted, in order of the clusters' names."""
    items = [_item(work) for work in works if not deletion_timestamp_of(work)]
    return sorted(items, key=lambda item: str(item["clusterName"]))


def _item(work: KubeObject) -> dict[str, Any]:
    item: dict[str, Any] = {"clusterName": names.cluster_of(namespace_of(work)), "health": "Unknown"}
    status = work.get("status") or {}
    applied = condition(status.get("conditions"), "Applied")
    if applied is None or applied["status"] != "True":
        if applied is not None:
            item["appliedMessage"] = applied["message"]
        return item
    item["applied"] = True
    for entry in status.get("manifestStatuses") or ():
        item |= {field: entry[field] for field in ("status", "health") if field in entry}
    return item


def binding_status(binding: KubeObject, works: Iterable[KubeObject], now: str) -> dict[str, Any]:
    """The binding's status with what its Works tell; all else of it as it was."""
    status = dict(binding.get("status") or {})
    items = aggregated_status(works)
    status.pop("aggregatedStatus", None)
    if items:
        status["aggregatedStatus"] = items
    status["conditions"] = with_verdict(status.get("conditions"), _fully_applied(binding, items), now)
    return status


def _fully_applied(binding: KubeObject, items: list[dict[str, Any]]) -> Verdict:
    applied = {item["clusterName"] for item in items if item.get("applied")}
    wanted = target_clusters(binding["spec"])
    if wanted and applied == wanted and len(items) == len(wanted):
        return Verdict(
            type=FULLY_APPLIED, status=True, reason="FullyAppliedSuccess", message="All works have been successfully applied"
        )
    return Verdict(
        type=FULLY_APPLIED,
        status=False,
        reason="FullyAppliedFailed",
        message="Failed to apply all works, see status.aggregatedStatus for details",
    )


def target_clusters(spec: Mapping[str, Any]) -> set[str]:
    """The clusters that shall have a Work of the binding: those scheduled, and those that are being evicted."""
    scheduled = {target["name"] for target in spec.get("clusters") or ()}
    return scheduled | {task["fromCluster"] for task in spec.get("gracefulEvictionTasks") or ()}
