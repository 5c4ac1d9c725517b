"""What of a local instance runs, asked of the processes and API servers themselves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import yaml

from fedstate.errors import FedstateError
from fedstate.kube.objects import name_of, namespace_of
from fedstate.local import create, demo, install, lifecycle, processes
from fedstate.local.layout import CONTROL_PLANE, InstanceSpec, Layout, context_of
from fedstate.local.processes import read_record
from fedstate.local.spec import ClusterSpec


async def report(layout: Layout, instance: InstanceSpec) -> dict[str, Any]:
    """Clusters, operators and instances with their states; `state` is Running, Degraded or Stopped."""
    specs = create.cluster_specs(layout, instance)
    clusters = await asyncio.gather(*(_cluster(layout, spec) for spec in specs.values()))
    if lifecycle.running(layout) is None:
        state = "Stopped"
    else:
        state = (
            "Running"
            if all(cluster["ready"] == "yes" and cluster["operator"] == "running" for cluster in clusters)
            else "Degraded"
        )
    return {
        "name": instance.name,
        "state": state,
        "engine": instance.engine,
        "directory": str(layout.directory),
        "kubeconfig": str(layout.kubeconfig),
        "mongod": f"{instance.mongod_version} ({instance.mongod})",
        "clusters": clusters,
        "instances": await _instances(specs[CONTROL_PLANE]) if clusters[0]["ready"] == "yes" else [],
    }


def kubeconfig_of(text: str, instance: InstanceSpec, cluster: str) -> str:
    """The kubeconfig with another current context; raises FedstateError naming the clusters there are."""
    if cluster not in (CONTROL_PLANE, *instance.clusters):
        raise FedstateError(f"no cluster {cluster!r}: there are {', '.join((CONTROL_PLANE, *instance.clusters))}")
    document = yaml.safe_load(text)
    document["current-context"] = context_of(cluster, instance=instance.name)
    return yaml.safe_dump(document, sort_keys=False)


def log_of(layout: Layout, instance: InstanceSpec, cluster: str, part: str) -> Path:
    """Path of a log; raises FedstateError if the cluster is unknown or has not logged anything."""
    if cluster not in (CONTROL_PLANE, *instance.clusters):
        raise FedstateError(f"no cluster {cluster!r}: there are {', '.join((CONTROL_PLANE, *instance.clusters))}")
    path = layout.operator_log(cluster) if part == "operator" else layout.cluster_log(cluster)
    if not path.exists():
        raise FedstateError(f"{path} is not there: the {part} of {cluster} never ran")
    return path


async def _cluster(layout: Layout, spec: ClusterSpec) -> dict[str, Any]:
    operator = read_record(layout.operator_record(spec.name))
    killed = layout.down_marker(spec.name).exists()
    return {
        "name": spec.name,
        "ready": "killed" if killed else "yes" if await install.ready(spec) else "no",
        "server": spec.server,
        "vip": spec.vip,
        "nodes": len(spec.nodes),
        "operator": "running" if operator is not None and processes.alive(operator) else "stopped",
    }


async def _instances(control_plane: ClusterSpec) -> list[dict[str, str]]:
    async with install.client_of(control_plane) as client:
        found = await demo.instances(client)
    rows = []
    for instance in found:
        status = instance.get("status", {})
        primary = demo.primary_of(instance)
        rows.append(
            {
                "namespace": namespace_of(instance),
                "name": name_of(instance),
                "state": status.get("state", "-"),
                "members": status.get("members", "-"),
                "primary": f"{primary.cluster} {primary.address}" if primary else "-",
            }
        )
    return rows
