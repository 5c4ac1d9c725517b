"""From a binding to Works: schedules it, renders its template for each cluster, and tells in its status what the Works tell."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from fedstate.api.karmada import RESOURCE_BINDINGS, WORKS
from fedstate.control.reconciler import DONE, Result
from fedstate.kube.objects import (
    Key,
    KubeObject,
    annotations_of,
    deletion_timestamp_of,
    key_of,
    labels_of,
    name_of,
    namespace_of,
)
from fedstate.local.karmada import names
from fedstate.local.karmada.aggregate import binding_status, target_clusters
from fedstate.local.karmada.eviction import after_eviction
from fedstate.local.karmada.jsonpatch import PatchError
from fedstate.local.karmada.overrides import rules_for
from fedstate.local.karmada.placement import Selection, placement_record, scheduling_status, select_clusters
from fedstate.local.karmada.plane import BY_BINDING, ControlPlane, now
from fedstate.local.karmada.templates import Templates
from fedstate.local.karmada.work import WorkIdentity, work_of_binding
from fedstate.local.karmada.writes import changed_metadata, delete_quietly, let_go

_log = logging.getLogger(__name__)


class BindingReconciler:
    """The one writer of a binding's clusters, its status and its Works. `eviction_timeout` None: the failover gates are off."""

    def __init__(self, plane: ControlPlane, templates: Templates, *, eviction_timeout: float | None = None) -> None:
        self._plane = plane
        self._templates = templates
        self._eviction_timeout = eviction_timeout

    async def reconcile(self, key: Key) -> Result:
        binding = self._plane.bindings.store.get(key)
        if binding is None:
            return DONE
        if deletion_timestamp_of(binding):
            await self._delete_works(binding, keep=set())
            await let_go(self._plane.client, RESOURCE_BINDINGS, binding, names.BINDING_FINALIZER)
            return DONE
        reference = binding["spec"]["resource"]
        await self._templates.require(reference["apiVersion"], reference["kind"])
        before = binding.get("status") or {}
        binding, look_again = await self._evict(binding)
        binding = await self._schedule(binding)
        await self._delete_works(binding, keep=target_clusters(binding["spec"]))
        await self._ensure_works(binding)
        await self._report(binding, before)
        return Result(requeue_after=look_again)

    async def _evict(self, binding: KubeObject) -> tuple[KubeObject, float | None]:
        if self._eviction_timeout is None:
            return binding, None
        clusters = {name_of(cluster): cluster for cluster in self._plane.clusters.store.list()}
        result = after_eviction(binding, clusters, timeout=self._eviction_timeout, now=datetime.now(UTC))
        if result.spec != binding["spec"]:
            binding = await self._replaced(binding, {"spec": result.spec})
        return binding, result.look_again_after

    async def _schedule(self, binding: KubeObject) -> KubeObject:
        """The binding with its clusters written; only a binding of a policy, for the default scheduler, is scheduled."""
        spec = binding["spec"]
        if names.POLICY_ID not in labels_of(binding) or spec.get("schedulerName") not in (None, names.DEFAULT_SCHEDULER):
            return binding
        selection = select_clusters(binding, self._plane.clusters.store.list())
        record = placement_record(binding)
        wanted = [{"name": name} for name in selection.clusters]
        changed = wanted != (spec.get("clusters") or []) or annotations_of(binding).get(names.APPLIED_PLACEMENT) != record
        if changed:
            spec = {field: value for field, value in spec.items() if field != "clusters"}
            content = changed_metadata(binding, {"annotations": {names.APPLIED_PLACEMENT: record}})
            # No cluster fits: the clusters are emptied all the same, as Karmada does.
            binding = await self._replaced(binding, content | {"spec": spec | ({"clusters": wanted} if wanted else {})})
        if not selection.clusters:
            self._tell_of_no_cluster(binding, selection)
        return binding | {"status": scheduling_status(binding, selection, changed=changed, now=now())}

    async def _replaced(self, binding: KubeObject, changes: Mapping[str, Any]) -> KubeObject:
        written = await self._plane.client.replace(RESOURCE_BINDINGS, binding | dict(changes))
        return written | {"status": binding.get("status") or {}}

    def _tell_of_no_cluster(self, binding: KubeObject, selection: Selection) -> None:
        template = self._templates.of(binding["spec"]["resource"])
        for obj in (binding, template):
            if obj is not None:
                self._plane.events.event(obj, "Warning", "ScheduleBindingFailed", selection.message)

    async def _delete_works(self, binding: KubeObject, keep: set[str]) -> None:
        for work in self._works_of(binding):
            if names.cluster_of(namespace_of(work)) not in keep:
                await delete_quietly(self._plane.client, WORKS, work)

    def _works_of(self, binding: KubeObject) -> list[KubeObject]:
        return self._plane.works.store.by_index(BY_BINDING, labels_of(binding)[names.BINDING_ID])

    async def _ensure_works(self, binding: KubeObject) -> None:
        template = self._templates.of(binding["spec"]["resource"])
        if template is None or deletion_timestamp_of(template):
            return
        for name in sorted(target_clusters(binding["spec"])):
            cluster = self._plane.cluster(name)
            if cluster is not None and not deletion_timestamp_of(cluster):
                await self._ensure_work(binding, template, cluster)

    async def _ensure_work(self, binding: KubeObject, template: KubeObject, cluster: KubeObject) -> None:
        key = Key(
            names.execution_namespace(name_of(cluster)),
            names.work_name(template["kind"], namespace_of(template), name_of(template)),
        )
        present = self._plane.works.store.get(key)
        if present is not None and deletion_timestamp_of(present):
            # Nothing is dispatched while the old Work cannot go; its end brings this binding back here.
            _log.info("a Work is being deleted, its binding waits", extra={"work": str(key), "binding": str(key_of(binding))})
            return
        permanent_id = labels_of(present).get(names.WORK_ID) if present else None
        identity = WorkIdentity(namespace=key.namespace, name=key.name, permanent_id=permanent_id or str(uuid4()))
        try:
            work = work_of_binding(binding, template, identity, self._rules(template, cluster))
        except PatchError as error:
            # Only this cluster is held up, it keeps its old object, and nothing but this event tells.
            note = f"Apply overrides for cluster {name_of(cluster)} failed: {error}"
            self._plane.events.event(template, "Warning", "ApplyOverridePolicyFailed", note)
            return
        await self._write_work(present, work)

    def _rules(self, template: KubeObject, cluster: KubeObject) -> list[Any]:
        return list(rules_for(self._plane.overrides.store.list(namespace_of(template)), template, cluster))

    async def _write_work(self, present: KubeObject | None, work: KubeObject) -> None:
        if present is None:
            await self._plane.client.create(WORKS, work)
            return
        metadata = present["metadata"] | {field: work["metadata"][field] for field in ("labels", "annotations")}
        if metadata != present["metadata"] or work["spec"] != present["spec"]:
            await self._plane.client.replace(WORKS, present | {"metadata": metadata, "spec": work["spec"]})

    async def _report(self, binding: KubeObject, before: Mapping[str, Any]) -> None:
        status = binding_status(binding, self._works_of(binding), now())
        if status == before:
            return
        patch = {"status": {"aggregatedStatus": None, **status}}
        key = key_of(binding)
        await self._plane.client.merge_patch(RESOURCE_BINDINGS, key.name, patch, namespace=key.namespace, subresource="status")
