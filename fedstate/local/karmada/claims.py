"""Propagation policies: their id and finalizer, the kinds they name, and whom to look at again when they change or go."""

from __future__ import annotations

from uuid import uuid4

from fedstate.api.karmada import PROPAGATION_POLICIES
from fedstate.control.reconciler import DONE, Result
from fedstate.kube.objects import Key, KubeObject, deletion_timestamp_of, finalizers_of, key_of, labels_of, resource_version_of
from fedstate.local.karmada import names
from fedstate.local.karmada.plane import BY_POLICY, ControlPlane
from fedstate.local.karmada.templates import Templates
from fedstate.local.karmada.writes import let_go

KIND_RETRY = 1.0
RELEASE_RETRY = 0.1


class PolicyReconciler:
    """A policy that is deleted is let go when neither template nor binding bears its mark any more."""

    def __init__(self, plane: ControlPlane, templates: Templates) -> None:
        self._plane = plane
        self._templates = templates

    async def reconcile(self, key: Key) -> Result:
        policy = self._plane.policies.store.get(key)
        if policy is None:
            return DONE
        if not deletion_timestamp_of(policy):
            await self._mark(policy)
        complete = await self._enqueue_selected(policy)
        claimed = self._enqueue_claimed(policy)
        if not deletion_timestamp_of(policy):
            return DONE if complete else Result(requeue_after=KIND_RETRY)
        if claimed:
            return Result(requeue_after=RELEASE_RETRY)
        await let_go(self._plane.client, PROPAGATION_POLICIES, policy, names.POLICY_FINALIZER)
        return DONE

    async def _mark(self, policy: KubeObject) -> None:
        if names.POLICY_ID in labels_of(policy) and names.POLICY_FINALIZER in finalizers_of(policy):
            return
        key = key_of(policy)
        metadata = {
            "labels": {names.POLICY_ID: labels_of(policy).get(names.POLICY_ID) or str(uuid4())},
            "finalizers": sorted({*finalizers_of(policy), names.POLICY_FINALIZER}),
            "resourceVersion": resource_version_of(policy),
        }
        await self._plane.client.merge_patch(PROPAGATION_POLICIES, key.name, {"metadata": metadata}, namespace=key.namespace)

    async def _enqueue_selected(self, policy: KubeObject) -> bool:
        """False if the control plane does not serve one of the kinds yet."""
        namespace = key_of(policy).namespace
        complete = True
        for selector in policy["spec"]["resourceSelectors"]:
            kind = await self._templates.require(selector["apiVersion"], selector["kind"])
            if kind is None:
                complete = False
            elif selector.get("name"):
                kind.enqueue(Key(namespace, selector["name"]))
            else:
                for template in kind.informer.store.list(namespace):
                    kind.enqueue(key_of(template))
        return complete

    def _enqueue_claimed(self, policy: KubeObject) -> bool:
        """Whether anything still bears the mark of the policy."""
        mark = labels_of(policy).get(names.POLICY_ID)
        if mark is None:
            return False
        bindings = [item for item in self._plane.bindings.store.by_index(BY_POLICY, mark) if not deletion_timestamp_of(item)]
        for binding in bindings:
            self._templates.enqueue(binding["spec"]["resource"])
        claimed = bool(bindings)
        for kind in self._templates.all():
            for template in kind.informer.store.by_index(BY_POLICY, mark):
                kind.enqueue(key_of(template))
                claimed = claimed or not deletion_timestamp_of(template)
        return claimed
