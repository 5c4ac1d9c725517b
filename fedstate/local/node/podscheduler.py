"""Gives pods without a node one: the first that fits. Looks again whenever nodes, pods or claims change."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from fedstate.control.controller import Controller
from fedstate.control.reconciler import DONE, Result
from fedstate.control.triggers import watch_mapped
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import Conflict, NotFound
from fedstate.kube.events import EventRecorder
from fedstate.kube.informer import InformerSet
from fedstate.kube.objects import (
    Key,
    KubeObject,
    deletion_timestamp_of,
    format_time,
    key_of,
    name_of,
    namespace_of,
    parse_time,
    uid_of,
)
from fedstate.kube.resources import NODES, PERSISTENT_VOLUME_CLAIMS, PODS
from fedstate.local.node.fitting import choose_node, finished

NAME = "default-scheduler"
_WAITING = "waiting"
_PATIENCE = timedelta(seconds=2)


class PodScheduler:
    """Reconciles one pod at a time, so that two never get the same room."""

    def __init__(self, client: KubeClient, informers: InformerSet, events: EventRecorder) -> None:
        self._client = client
        self._events = events
        self._pods = informers.informer(PODS).store
        self._nodes = informers.informer(NODES).store
        self._claims = informers.informer(PERSISTENT_VOLUME_CLAIMS).store
        self._assumed: dict[str, str] = {}
        self._pods.add_index(_WAITING, lambda pod: [_WAITING] if is_waiting(pod) else [])

    def controller(self, informers: InformerSet) -> Controller:
        """The controller that runs it, with its triggers."""
        controller = Controller("pod-scheduler", self, workers=1)
        for resource in (PODS, NODES, PERSISTENT_VOLUME_CLAIMS):
            watch_mapped(informers.informer(resource), controller, self._waiting)
        return controller

    def _waiting(self, _: KubeObject) -> Iterable[Key]:
        return [key_of(pod) for pod in self._pods.by_index(_WAITING, _WAITING)]

    async def reconcile(self, key: Key) -> Result:
        pod = self._pods.get(key)
        if pod is None or not is_waiting(pod) or uid_of(pod) in self._assumed:
            return DONE
        problem = self._claim_problem(pod)
        if problem and datetime.now(UTC) - parse_time(pod["metadata"]["creationTimestamp"]) < _PATIENCE:
            return Result(requeue_after=1.0)  # its claims were made with it and are being bound; nothing to complain of
        if problem:
            await self._refuse(pod, f"0/{len(self._nodes)} nodes are available: {problem}.")
            return DONE
        verdict = choose_node(pod, self._nodes.list(), self._occupants())
        if verdict.node is None:
            await self._refuse(pod, verdict.message)
        else:
            await self._bind(pod, verdict.node)
        return DONE

    def _occupants(self) -> list[KubeObject]:
        """All pods as they will be once the server's news of our own bindings has come."""
        self._assumed = {
            uid: node
            for uid, node in self._assumed.items()
            if any(uid_of(p) == uid for p in self._pods.by_index(_WAITING, _WAITING))
        }
        return [
            {**pod, "spec": {**pod["spec"], "nodeName": self._assumed[uid_of(pod)]}} if uid_of(pod) in self._assumed else pod
            for pod in self._pods.list()
        ]

    def _claim_problem(self, pod: KubeObject) -> str:
        for volume in pod["spec"].get("volumes") or ():
            name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if not name:
                continue
            claim = self._claims.get(Key(namespace_of(pod), name))
            if claim is None:
                return f'persistentvolumeclaim "{name}" not found'
            if (claim.get("status") or {}).get("phase") != "Bound":
                return "pod has unbound immediate PersistentVolumeClaims"
        return ""

    async def _bind(self, pod: KubeObject, node: str) -> None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name_of(pod), "namespace": namespace_of(pod), "uid": uid_of(pod)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            await self._client.create_subresource(PODS, name_of(pod), "binding", binding, namespace=namespace_of(pod))
        except (Conflict, NotFound):
            return  # somebody else bound or deleted it; the news is on its way
        self._assumed[uid_of(pod)] = node
        self._say(pod, "Normal", "Scheduled", f"Successfully assigned {key_of(pod)} to {node}")

    async def _refuse(self, pod: KubeObject, message: str) -> None:
        conditions = (pod.get("status") or {}).get("conditions") or []
        said: KubeObject = next((c for c in conditions if c["type"] == "PodScheduled"), {})
        if said.get("message") == message and said.get("status") == "False":
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": said.get("lastTransitionTime")
            if said.get("status") == "False"
            else format_time(datetime.now(UTC)),
        }
        others = [c for c in conditions if c["type"] != "PodScheduled"]
        patch = {"metadata": {"uid": uid_of(pod)}, "status": {"phase": "Pending", "conditions": [*others, condition]}}
        try:
            await self._client.merge_patch(PODS, name_of(pod), patch, namespace=namespace_of(pod), subresource="status")
        except (Conflict, NotFound):
            return
        self._say(pod, "Warning", "FailedScheduling", message)

    def _say(self, pod: KubeObject, kind: str, reason: str, note: str) -> None:
        self._events.event({"apiVersion": "v1", "kind": "Pod", **pod}, kind, reason, note, action="Binding")


def is_waiting(pod: KubeObject) -> bool:
    """Whether the pod is ours to schedule and has no node yet."""
    spec = pod["spec"]
    ours = (spec.get("schedulerName") or NAME) == NAME and not spec.get("schedulingGates")
    return ours and not spec.get("nodeName") and not finished(pod) and deletion_timestamp_of(pod) is None
