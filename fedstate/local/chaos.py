"""Faults on purpose: real signals to real processes of a local instance, found by their records and by nothing else."""

from __future__ import annotations

import asyncio
import signal

from fedstate.errors import FedstateError
from fedstate.local import lifecycle, processes
from fedstate.local.layout import CONTROL_PLANE, InstanceSpec, Layout
from fedstate.local.processes import read_record

GONE_TIMEOUT = 10.0


def kill_operator(layout: Layout, instance: InstanceSpec, cluster: str) -> str:
    """SIGKILL to the operator of a cluster (or of the control plane); the supervisor starts it again. Returns what was done."""
    _require_cluster(instance, cluster, control_plane=True)
    record = read_record(layout.operator_record(cluster))
    if record is None or not processes.kill(record):
        raise FedstateError(f"the operator of {cluster} does not run")
    return f"killed the operator of {cluster} (pid {record.pid}); it is started again"


async def kill_cluster(layout: Layout, instance: InstanceSpec, cluster: str) -> str:
    """SIGKILL to everything of a member cluster, which stays down until it is restored: its API server, nodes, pods, operator."""
    _require_cluster(instance, cluster, control_plane=False)
    supervisor = lifecycle.running(layout)
    if supervisor is None:
        raise FedstateError(f"local instance {instance.name!r} does not run: `fedstate local up`")
    layout.down_marker(cluster).touch()
    records = [read_record(path) for path in sorted(layout.cluster(cluster).rglob("*.pid"))]
    killed = [record for record in records if record is not None and processes.kill(record)]
    for record in killed:
        await lifecycle.wait_ended(record, GONE_TIMEOUT)
    processes.kill(supervisor, signal.SIGHUP, group=False)
    return f"killed cluster {cluster}: {len(killed)} processes; `fedstate local chaos restore-cluster {cluster}` brings it back"


async def restore_cluster(layout: Layout, instance: InstanceSpec, cluster: str) -> str:
    """Let a killed cluster come back with its data."""
    _require_cluster(instance, cluster, control_plane=False)
    supervisor = lifecycle.running(layout)
    if supervisor is None:
        raise FedstateError(f"local instance {instance.name!r} does not run: `fedstate local up`")
    if not layout.down_marker(cluster).exists():
        return f"cluster {cluster} was not killed"
    await asyncio.to_thread(layout.down_marker(cluster).unlink)
    processes.kill(supervisor, signal.SIGHUP, group=False)
    return f"cluster {cluster} starts again"


def kill_pod(layout: Layout, cluster: str, namespace: str, pod: str) -> str:
    """SIGKILL to the processes of one pod; its node starts it again as a kubelet would. Returns what was done."""
    killed = 0
    for path in sorted(layout.cluster(cluster).rglob("*.pid")):
        record = read_record(path)
        if record is not None and record.name.startswith(f"{namespace}/{pod}/") and processes.kill(record):
            killed += 1
    if not killed:
        raise FedstateError(f"no process of pod {namespace}/{pod} runs in cluster {cluster}")
    return f"killed pod {namespace}/{pod} in cluster {cluster} ({killed} processes)"


def _require_cluster(instance: InstanceSpec, cluster: str, *, control_plane: bool) -> None:
    known = [*([CONTROL_PLANE] if control_plane else []), *instance.clusters]
    if cluster not in known:
        raise FedstateError(f"no cluster {cluster!r} in local instance {instance.name!r}: it has {', '.join(known)}")
