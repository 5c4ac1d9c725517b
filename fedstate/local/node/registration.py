"""Nodes of a local cluster as API objects, and their heartbeat."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fedstate import __version__
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import AlreadyExists, ApiError, NotFound, TransportError
from fedstate.kube.objects import KubeObject, format_micro_time, format_time, uid_of
from fedstate.kube.resources import LEASES, NAMESPACES, NODES
from fedstate.local.spec import NodeSpec

LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
HEARTBEAT = 10.0
STATUS_EVERY = 30
"""Heartbeats between two reports of a status that has not changed: five minutes, as the kubelet does it."""
MAX_PODS = "110"

_LIFECYCLE_TAINTS = frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_log = logging.getLogger(__name__)


def node_object(spec: NodeSpec) -> KubeObject:
    """The Node as it is first created."""
    labels = {
        "kubernetes.io/hostname": spec.name,
        "kubernetes.io/os": platform.system().lower(),
        "kubernetes.io/arch": _architecture(),
        **spec.labels,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": spec.name, "labels": labels},
        "spec": {"taints": [dict(taint) for taint in spec.taints]} if spec.taints else {},
    }


def node_status(spec: NodeSpec, address: str, port: int, old: KubeObject) -> dict[str, Any]:
    """The Node's status now; transition times of `old` are kept."""
    now = format_time(datetime.now(UTC))
    since = {c["type"]: c.get("lastTransitionTime") for c in old.get("conditions") or () if c["status"] == _expected(c["type"])}
    capacity = {"cpu": spec.cpu, "memory": spec.memory, "pods": MAX_PODS, "ephemeral-storage": "100Gi"}
    reasons = {
        "MemoryPressure": "KubeletHasSufficientMemory",
        "DiskPressure": "KubeletHasNoDiskPressure",
        "PIDPressure": "KubeletHasSufficientPID",
        "Ready": "KubeletReady",
    }
    return {
        "capacity": capacity,
        "allocatable": capacity,
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": spec.name}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": _node_info(spec),
        "conditions": [
            {
                "type": kind,
                "status": _expected(kind),
                "reason": reason,
                "message": "pods run as processes of this machine" if kind == "Ready" else "",
                "lastHeartbeatTime": now,
                "lastTransitionTime": since.get(kind) or now,
            }
            for kind, reason in reasons.items()
        ],
    }


def _expected(condition: str) -> str:
    return "True" if condition == "Ready" else "False"


def _architecture() -> str:
    machine = platform.machine().lower()
    return _ARCHITECTURES.get(machine, machine)


def _node_info(spec: NodeSpec) -> dict[str, str]:
    return {
        "architecture": _architecture(),
        "operatingSystem": platform.system().lower(),
        "kernelVersion": platform.release(),
        "osImage": f"{platform.system()} (local processes)",
        "containerRuntimeVersion": f"local://{__version__}",
        "kubeletVersion": f"v1.34.0+fedstate-{__version__}",
        "kubeProxyVersion": "",
        "machineID": spec.name,
        "systemUUID": spec.name,
        "bootID": spec.name,
    }


class Registration:
    """Keeps the nodes registered and their leases fresh."""

    def __init__(self, client: KubeClient, nodes: Sequence[NodeSpec], address: str, port: int) -> None:
        self._client = client
        self._nodes = nodes
        self._address = address
        self._port = port

    async def run(self) -> None:
        """Never returns; a server that does not answer is asked again with the next heartbeat."""
        beat = 0
        while True:
            try:
                await self._beat(with_status=beat % STATUS_EVERY == 0)
                beat += 1
            except (ApiError, TransportError) as error:
                beat = 0
                _log.warning("the nodes' heartbeat failed", extra={"error": str(error)})
            await asyncio.sleep(HEARTBEAT if beat else 1.0)

    async def _beat(self, *, with_status: bool) -> None:
        for spec in self._nodes:
            node = await self._registered(spec) if with_status else None
            await self._renew(spec, node)

    async def _registered(self, spec: NodeSpec) -> KubeObject:
        try:
            node = await self._client.get(NODES, spec.name)
        except NotFound:
            node = await self._client.create(NODES, node_object(spec))
        status = node_status(spec, self._address, self._port, node.get("status") or {})
        node = await self._client.merge_patch(NODES, spec.name, {"status": status}, subresource="status")
        taints = (node.get("spec") or {}).get("taints") or []
        kept = [taint for taint in taints if taint["key"] not in _LIFECYCLE_TAINTS]
        if len(kept) != len(taints):  # where no node lifecycle controller runs, nobody else takes them away
            node = await self._client.merge_patch(NODES, spec.name, {"spec": {"taints": kept or None}})
        return node

    async def _renew(self, spec: NodeSpec, node: KubeObject | None) -> None:
        renewed = format_micro_time(datetime.now(UTC))
        try:
            await self._client.merge_patch(LEASES, spec.name, {"spec": {"renewTime": renewed}}, namespace=LEASE_NAMESPACE)
        except NotFound:
            await self._create_lease(spec, node or await self._client.get(NODES, spec.name), renewed)

    async def _create_lease(self, spec: NodeSpec, node: KubeObject, renewed: str) -> None:
        owner = {"apiVersion": "v1", "kind": "Node", "name": spec.name, "uid": uid_of(node)}
        lease = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": spec.name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
            "spec": {"holderIdentity": spec.name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": renewed},
        }
        with contextlib.suppress(AlreadyExists):
            await self._client.create(
                NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LEASE_NAMESPACE}}
            )
        await self._client.create(LEASES, lease)
