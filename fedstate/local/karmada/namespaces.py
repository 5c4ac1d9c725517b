"""Namespaces of the control plane go to every member, unasked, each by a Work of its own that preserves nothing."""

from __future__ import annotations

from uuid import uuid4

from fedstate.api.karmada import WORKS
from fedstate.control.reconciler import DONE, Result
from fedstate.kube.errors import NotFound
from fedstate.kube.objects import Key, KubeObject, deletion_timestamp_of, labels_of, name_of
from fedstate.local.karmada import names
from fedstate.local.karmada.plane import ControlPlane
from fedstate.local.karmada.work import WorkIdentity, work_of_namespace

JOIN_RETRY = 0.2


class NamespaceReconciler:
    """Makes and updates the Works; they go with the namespace, by its owner reference, and with the cluster."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    async def reconcile(self, key: Key) -> Result:
        namespace = self._plane.namespaces.store.get(key)
        if namespace is None or deletion_timestamp_of(namespace) or names.is_reserved_namespace(key.name):
            return DONE
        if labels_of(namespace).get(names.SKIP_AUTO_PROPAGATION) == "true":
            return DONE
        complete = True
        for cluster in self._plane.clusters.store.list():
            if not deletion_timestamp_of(cluster):
                complete = await self._ensure(namespace, name_of(cluster)) and complete
        return DONE if complete else Result(requeue_after=JOIN_RETRY)

    async def _ensure(self, namespace: KubeObject, cluster: str) -> bool:
        """False while the namespace for the cluster's Works does not exist yet."""
        key = Key(names.execution_namespace(cluster), names.work_name("Namespace", "", name_of(namespace)))
        present = self._plane.works.store.get(key)
        if present is not None and deletion_timestamp_of(present):
            return True
        permanent_id = labels_of(present).get(names.WORK_ID) if present else None
        identity = WorkIdentity(namespace=key.namespace, name=key.name, permanent_id=permanent_id or str(uuid4()))
        work = work_of_namespace(namespace, identity)
        if present is None:
            try:
                await self._plane.client.create(WORKS, work)
            except NotFound:
                return False
        elif work["spec"]["workload"] != present["spec"]["workload"]:
            # Only the workload: somebody may have set preserveResourcesOnDeletion, and Karmada leaves that alone.
            spec = present["spec"] | work["spec"]
            await self._plane.client.replace(WORKS, present | {"spec": spec})
        return True
