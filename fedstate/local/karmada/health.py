"""Whether a member answers, what it serves and what room it has: the status and the not-ready taint of its Cluster object."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fedstate.api.karmada import CLUSTERS
from fedstate.control.reconciler import DONE, Result
from fedstate.kube.errors import ApiError, NotFound, TransportError
from fedstate.kube.objects import Key, KubeObject, name_of, resource_version_of
from fedstate.local.karmada import names
from fedstate.local.karmada.capacity import node_summary, resource_summary
from fedstate.local.karmada.conditions import Verdict, with_verdict
from fedstate.local.karmada.discovery import enablements
from fedstate.local.karmada.member import Member
from fedstate.local.karmada.plane import ControlPlane, now

_log = logging.getLogger(__name__)

READY = Verdict(type="Ready", status=True, reason="ClusterReady", message="cluster is healthy and ready to accept workloads")
NOT_READY = Verdict(
    type="Ready",
    status=False,
    reason="ClusterNotReady",
    message="cluster is reachable but health endpoint responded without ok",
)
NOT_REACHABLE = Verdict(type="Ready", status=False, reason="ClusterNotReachable", message="cluster is not reachable")
COMPLETE = Verdict(
    type="CompleteAPIEnablements",
    status=True,
    reason="Complete",
    message="collected complete APIEnablements from the cluster",
)
SYNC_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often a member is asked, and for how long it must fail to answer before it counts as not ready."""

    probe_interval: float
    failure_threshold: float


class ClusterStatus:
    """One member. `on_ready` is called when it starts or comes back, after its Cluster object says so."""

    def __init__(self, plane: ControlPlane, member: Member, pace: Pace, on_ready: Callable[[], None]) -> None:
        self._plane = plane
        self._member = member
        self._pace = pace
        self._on_ready = on_ready
        self._failing_since: float | None = None

    async def reconcile(self, key: Key) -> Result:
        cluster = self._plane.cluster(key.name)
        if cluster is None:
            return DONE
        verdict = await self._probe()
        if verdict.status or self._has_failed_for_long(cluster):
            await self._report(cluster, verdict)
        return Result(requeue_after=self._pace.probe_interval)

    async def _probe(self) -> Verdict:
        try:
            async with asyncio.timeout(max(1.0, self._pace.probe_interval)):
                await self._member.client.text("/readyz")
        except ApiError:
            return NOT_READY
        except (TransportError, TimeoutError):
            return NOT_REACHABLE
        self._failing_since = None
        return READY

    def _has_failed_for_long(self, cluster: KubeObject) -> bool:
        """A cluster that never was ready is not given time."""
        moment = asyncio.get_running_loop().time()
        if self._failing_since is None:
            self._failing_since = moment
        known = bool((cluster.get("status") or {}).get("conditions"))
        return not known or moment - self._failing_since >= self._pace.failure_threshold

    async def _report(self, cluster: KubeObject, ready: Verdict) -> None:
        before = cluster.get("status") or {}
        status = dict(before)
        conditions = before.get("conditions")
        if ready.status:
            status |= await self._collect(cluster)
            conditions = with_verdict(conditions, COMPLETE, now())
        status["conditions"] = with_verdict(conditions, ready, now())
        if status != before:
            patch = {"status": _replacing(before, status)}
            await self._plane.client.merge_patch(CLUSTERS, name_of(cluster), patch, subresource="status")
        await self._taint(cluster, ready=ready.status)
        changed = ready.status != self._member.ready
        self._member.set_ready(ready.status)
        if changed:
            _log.info("a member cluster changed", extra={"cluster": self._member.name, "reason": ready.reason})
            if ready.status:
                self._on_ready()

    async def _collect(self, cluster: KubeObject) -> dict[str, Any]:
        version = await self._member.client.request("GET", "/version")
        async with asyncio.timeout(SYNC_TIMEOUT):
            await self._member.nodes.synced.wait()
            await self._member.pods.synced.wait()
        nodes, pods = self._member.nodes.store.list(), self._member.pods.store.list()
        return {
            "kubernetesVersion": version.get("gitVersion", ""),
            "apiEnablements": await enablements(self._member.client),
            "nodeSummary": node_summary(nodes),
            "resourceSummary": resource_summary(nodes, pods, cluster["spec"].get("resourceModels") or ()),
        }

    async def _taint(self, cluster: KubeObject, *, ready: bool) -> None:
        taints = list(cluster["spec"].get("taints") or ())
        others = [taint for taint in taints if taint["key"] != names.NOT_READY_TAINT]
        if ready == (len(others) == len(taints)):
            return
        if not ready:
            others.append({"effect": "NoSchedule", "key": names.NOT_READY_TAINT, "timeAdded": now()})
        patch = {"metadata": {"resourceVersion": resource_version_of(cluster)}, "spec": {"taints": others or None}}
        try:
            await self._plane.client.merge_patch(CLUSTERS, name_of(cluster), patch)
        except NotFound:
            return


def _replacing(before: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
    """A merge patch that leaves nothing of the summaries before: their missing fields mean zero."""
    patch = dict(status)
    for field in ("nodeSummary", "resourceSummary"):
        gone = {key: None for key in before.get(field) or {} if key not in (status.get(field) or {})}
        if field in status:
            patch[field] = {**gone, **status[field]}
    return patch
