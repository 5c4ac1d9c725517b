"""The StatefulSet controller of the embedded engine: carries out what `sets` says, and reports."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime

import orjson

from fedstate.control.controller import Controller
from fedstate.control.reconciler import DONE, Result
from fedstate.control.triggers import watch_owned, watch_self
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import AlreadyExists, Conflict, NotFound
from fedstate.kube.events import EventRecorder
from fedstate.kube.informer import InformerSet
from fedstate.kube.objects import (
    Key,
    KubeObject,
    controller_of,
    deletion_timestamp_of,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from fedstate.kube.resources import CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from fedstate.local.controllers import sets
from fedstate.local.controllers.sets import Revisions, Step

HISTORY = 10
_LOOK_AGAIN = 1.0


class StatefulSetController:
    """Reconciles StatefulSets."""

    def __init__(self, client: KubeClient, informers: InformerSet, events: EventRecorder) -> None:
        self._client = client
        self._events = events
        self._sets = informers.informer(STATEFUL_SETS).store
        self._pods = informers.informer(PODS).store
        self._revisions = informers.informer(CONTROLLER_REVISIONS).store
        self._claims = informers.informer(PERSISTENT_VOLUME_CLAIMS).store

    def controller(self, informers: InformerSet) -> Controller:
        controller = Controller("statefulset", self, workers=2)
        watch_self(informers.informer(STATEFUL_SETS), controller)
        watch_owned(informers.informer(PODS), controller, "StatefulSet")
        return controller

    async def reconcile(self, key: Key) -> Result:
        stateful_set = self._sets.get(key)
        if stateful_set is None or deletion_timestamp_of(stateful_set) is not None:
            return DONE
        now = datetime.now(UTC)
        pods = await self._pods_of(stateful_set)
        revisions = await self._current_revisions(stateful_set)
        step = sets.next_step(stateful_set, pods, revisions.update, now)
        await self._carry_out(stateful_set, step, revisions)
        await self._report(stateful_set, sets.status_of(stateful_set, pods, revisions, now))
        if pods and stateful_set["spec"].get("minReadySeconds"):
            return Result(requeue_after=_LOOK_AGAIN)  # a pod becomes available by time alone
        return DONE

    async def _pods_of(self, stateful_set: KubeObject) -> dict[int, KubeObject]:
        selector = (stateful_set["spec"].get("selector") or {}).get("matchLabels") or {}
        found: dict[int, KubeObject] = {}
        for pod in self._pods.list(namespace_of(stateful_set)):
            ordinal = sets.ordinal_of(stateful_set, pod)
            owner = controller_of(pod)
            if ordinal is None or any(labels_of(pod).get(k) != v for k, v in selector.items()):
                continue
            if owner is None and deletion_timestamp_of(pod) is None:
                await self._adopt(stateful_set, pod)
            if owner is None or owner["uid"] == uid_of(stateful_set):
                found[ordinal] = pod
        return found

    async def _adopt(self, stateful_set: KubeObject, pod: KubeObject) -> None:
        owners = [*(pod["metadata"].get("ownerReferences") or ()), owner_reference(sets.typed(stateful_set))]
        patch = {"metadata": {"uid": uid_of(pod), "ownerReferences": owners}}
        await self._client.merge_patch(PODS, name_of(pod), patch, namespace=namespace_of(pod))

    async def _current_revisions(self, stateful_set: KubeObject) -> Revisions:
        """The revision of the template, made if it is new, and the one that the status still calls current."""
        data = sets.revision_data(stateful_set)
        update = sets.revision_name(stateful_set, data)
        known = self._revisions_of(stateful_set)
        if update not in known:
            number = max((int(revision["revision"]) for revision in known.values()), default=0) + 1
            with contextlib.suppress(AlreadyExists):
                revision = sets.revision_for(stateful_set, number)
                await self._client.create(CONTROLLER_REVISIONS, {**revision, "data": orjson.Fragment(sets.as_go_writes_it(data))})
        current = (stateful_set.get("status") or {}).get("currentRevision")
        used = {update, current, *(labels_of(p).get(sets.REVISION_LABEL) for p in self._pods.list(namespace_of(stateful_set)))}
        unused = sorted((r for name, r in known.items() if name not in used), key=lambda revision: int(revision["revision"]))
        for revision in unused[: max(0, len(unused) - HISTORY)]:
            with contextlib.suppress(NotFound):
                await self._client.delete(CONTROLLER_REVISIONS, name_of(revision), namespace=namespace_of(revision))
        return Revisions(current=str(current) if current in known else update, update=update)

    def _revisions_of(self, stateful_set: KubeObject) -> Mapping[str, KubeObject]:
        uid = uid_of(stateful_set)
        revisions = self._revisions.list(namespace_of(stateful_set))
        return {name_of(revision): revision for revision in revisions if (controller_of(revision) or {}).get("uid") == uid}

    async def _carry_out(self, stateful_set: KubeObject, step: Step, revisions: Revisions) -> None:
        for ordinal in step.create:
            await self._create(stateful_set, ordinal, revisions)
        for pod in step.delete:
            if step.why == "scaled down":
                await self._release_claims(stateful_set, pod)
            with contextlib.suppress(NotFound, Conflict):
                await self._client.delete(PODS, name_of(pod), namespace=namespace_of(pod), uid=uid_of(pod))
                note = f"delete Pod {name_of(pod)} in StatefulSet {name_of(stateful_set)} successful"
                self._events.event(sets.typed(stateful_set), "Normal", "SuccessfulDelete", note)

    async def _create(self, stateful_set: KubeObject, ordinal: int, revisions: Revisions) -> None:
        for claim in sets.claims_for(stateful_set, ordinal):
            await self._create_claim(stateful_set, claim)
        revision = sets.revision_of_ordinal(stateful_set, ordinal, revisions)
        kept = self._revisions.get(Key(namespace_of(stateful_set), revision))
        template = (
            kept["data"]["spec"]["template"]
            if kept is not None and revision != revisions.update
            else stateful_set["spec"]["template"]
        )
        pod = sets.pod_for(stateful_set, ordinal, template, revision)
        with contextlib.suppress(AlreadyExists):
            await self._client.create(PODS, pod)
            note = f"create Pod {name_of(pod)} in StatefulSet {name_of(stateful_set)} successful"
            self._events.event(sets.typed(stateful_set), "Normal", "SuccessfulCreate", note)

    async def _create_claim(self, stateful_set: KubeObject, claim: KubeObject) -> None:
        if Key(namespace_of(claim), name_of(claim)) in self._claims:
            return
        retention = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
        if retention.get("whenDeleted") == "Delete":
            owner = owner_reference(sets.typed(stateful_set), controller=False, block_deletion=False)
            claim["metadata"]["ownerReferences"] = [owner]
        with contextlib.suppress(AlreadyExists):
            await self._client.create(PERSISTENT_VOLUME_CLAIMS, claim)

    async def _release_claims(self, stateful_set: KubeObject, pod: KubeObject) -> None:
        """With `whenScaled: Delete`, the pod's claims go with it: it becomes their owner."""
        retention = stateful_set["spec"].get("persistentVolumeClaimRetentionPolicy") or {}
        ordinal = sets.ordinal_of(stateful_set, pod)
        if retention.get("whenScaled") != "Delete" or ordinal is None:
            return
        owner = {"apiVersion": "v1", "kind": "Pod", "name": name_of(pod), "uid": uid_of(pod)}
        for claim in sets.claims_for(stateful_set, ordinal):
            with contextlib.suppress(NotFound):
                patch = {"metadata": {"ownerReferences": [owner]}}
                await self._client.merge_patch(PERSISTENT_VOLUME_CLAIMS, name_of(claim), patch, namespace=namespace_of(claim))

    async def _report(self, stateful_set: KubeObject, status: dict[str, object]) -> None:
        known = stateful_set.get("status") or {}
        if all(known.get(field, 0) == value for field, value in status.items()):
            return
        patch = {"metadata": {"uid": uid_of(stateful_set)}, "status": status}
        await self._client.merge_patch(
            STATEFUL_SETS, name_of(stateful_set), patch, namespace=namespace_of(stateful_set), subresource="status"
        )
