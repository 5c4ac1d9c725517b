"""Keeps the processes of this machine equal to the pods that are bound to its nodes, and tells the API server how they are."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedstate.control.controller import Controller
from fedstate.control.reconciler import DONE, Result
from fedstate.control.triggers import watch_mapped, watch_self
from fedstate.control.workqueue import WorkQueue
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import Conflict, NotFound
from fedstate.kube.informer import InformerSet
from fedstate.kube.objects import Key, KubeObject, deletion_timestamp_of, key_of, namespace_of, uid_of
from fedstate.kube.resources import CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, SECRETS
from fedstate.local.node.addresses import AddressPool
from fedstate.local.node.fitting import finished
from fedstate.local.node.pod import PodRuntime, Stock
from fedstate.local.node.podstatus import status_of
from fedstate.local.node.surroundings import Surroundings

_KILLED = 5.0
_OURS = frozenset({"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What all pods of the agent run on."""

    nodes: Collection[str]
    vip: str
    directory: Path
    addresses: AddressPool


class PodController:
    """Reconciles the pods of its nodes."""

    def __init__(self, client: KubeClient, informers: InformerSet, machine: Machine, around: Surroundings, stock: Stock) -> None:
        self._client = client
        self._store = informers.informer(PODS).store
        self._machine = machine
        self._around = around
        self._stock = stock
        self._runtimes: dict[Key, PodRuntime] = {}
        self._reported: dict[str, dict[str, Any]] = {}

    def controller(self, informers: InformerSet, queue: WorkQueue) -> Controller:
        """The controller that runs it; `queue` is where containers say that something happened to them."""
        controller = Controller("pods", self, workers=8, drain_timeout=5.0, queue=queue)
        watch_self(informers.informer(PODS), controller)
        for resource in (SECRETS, CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS):
            watch_mapped(informers.informer(resource), controller, self._pods_beside)
        watch_mapped(informers.informer(PERSISTENT_VOLUMES), controller, lambda volume: self._in(_claim_namespace(volume)))
        return controller

    def _pods_beside(self, obj: KubeObject) -> Iterable[Key]:
        return self._in(namespace_of(obj))

    def _in(self, namespace: str) -> Iterable[Key]:
        return [key for key in self._runtimes if key.namespace == namespace]

    def find(self, key: Key) -> PodRuntime | None:
        """The pod as it runs here."""
        return self._runtimes.get(key)

    def port_of(self, uid: str, number: int) -> int:
        """Where a pod's port is on this machine."""
        return next((runtime.address.port(number) for runtime in self._runtimes.values() if runtime.uid == uid), number)

    async def reconcile(self, key: Key) -> Result:
        pod = self._store.get(key)
        runtime = self._runtimes.get(key)
        if runtime is not None and (pod is None or uid_of(pod) != runtime.uid):
            await self._kill(runtime)
            runtime = None
        if pod is None or pod["spec"].get("nodeName") not in self._machine.nodes:
            return DONE
        if runtime is None:
            if finished(pod) or deletion_timestamp_of(pod) is not None:
                return await self._dispose(pod)
            runtime = self._admit(pod)
        again = await runtime.sync(pod)
        await self._report(pod, runtime)
        if runtime.deleting and not runtime.running:
            await self._gone(pod, runtime)
            return DONE
        return Result(requeue_after=again) if again is not None else DONE

    def _admit(self, pod: KubeObject) -> PodRuntime:
        ports = [p["containerPort"] for c in pod["spec"]["containers"] for p in c.get("ports") or ()]
        address = self._machine.addresses.take((pod.get("status") or {}).get("podIP") or "", ports)
        directory = self._machine.directory / uid_of(pod)
        runtime = PodRuntime(pod, directory, address, self._machine.vip, (self._around, self._stock))
        self._runtimes[key_of(pod)] = runtime
        return runtime

    async def _dispose(self, pod: KubeObject) -> Result:
        """A pod that this agent never ran: one that was finished, or was to go, while there was no agent."""
        if deletion_timestamp_of(pod) is not None:
            await asyncio.to_thread(shutil.rmtree, self._machine.directory / uid_of(pod), ignore_errors=True)
            await self._delete(pod)
        return DONE

    async def _kill(self, runtime: PodRuntime) -> None:
        runtime.kill()
        async with asyncio.timeout(_KILLED):
            await runtime.ended()
        await self._forget(runtime)

    async def _gone(self, pod: KubeObject, runtime: PodRuntime) -> None:
        await self._delete(pod)
        await self._forget(runtime)

    async def _delete(self, pod: KubeObject) -> None:
        with contextlib.suppress(NotFound, Conflict):
            key = key_of(pod)
            await self._client.delete(PODS, key.name, namespace=key.namespace, uid=uid_of(pod), grace_period=0)

    async def _forget(self, runtime: PodRuntime) -> None:
        self._runtimes.pop(runtime.key, None)
        self._reported.pop(runtime.uid, None)
        self._machine.addresses.release(runtime.address)
        await asyncio.to_thread(runtime.remove)

    async def _report(self, pod: KubeObject, runtime: PodRuntime) -> None:
        known = pod.get("status") or {}
        said = self._reported.get(runtime.uid)
        status = status_of(runtime.view(), _base(known, said), datetime.now(UTC))
        if status == said or (said is None and all(known.get(field) == value for field, value in status.items())):
            return
        patch = {"metadata": {"uid": runtime.uid}, "status": status}
        with contextlib.suppress(NotFound, Conflict):
            await self._client.merge_patch(PODS, runtime.key.name, patch, namespace=runtime.key.namespace, subresource="status")
            self._reported[runtime.uid] = status

    # --- the agent's own beginning and end

    def sweep(self) -> None:
        """Delete files of pods that are no more."""
        known = {uid_of(pod) for pod in self._store.list()}
        for directory in self._machine.directory.glob("*"):
            if directory.name not in known:
                shutil.rmtree(directory, ignore_errors=True)

    async def end_all(self, grace: float) -> None:
        """End every process, as a machine that is switched off: their pods stay, and begin anew with the next agent."""
        await _ended(self._runtimes.values(), lambda runtime: runtime.signal(signal.SIGTERM), grace)
        await _ended(self._runtimes.values(), PodRuntime.kill, _KILLED)


async def _ended(runtimes: Iterable[PodRuntime], act: Callable[[PodRuntime], None], timeout: float) -> None:
    running = [runtime for runtime in runtimes if runtime.running]
    for runtime in running:
        act(runtime)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            for runtime in running:
                await runtime.ended()


def _base(known: dict[str, Any], said: dict[str, Any] | None) -> dict[str, Any]:
    """The status that the next one follows: what we said last, which the cache may not show yet, with the conditions of others."""
    if said is None:
        return known
    others = [c for c in known.get("conditions") or () if c["type"] not in _OURS]
    return {**said, "conditions": [*(c for c in said["conditions"] if c["type"] in _OURS), *others]}


def _claim_namespace(volume: KubeObject) -> str:
    return str((volume["spec"].get("claimRef") or {}).get("namespace") or "")
