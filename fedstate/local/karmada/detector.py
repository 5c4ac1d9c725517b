"""From a template and its policy to a binding: claims the template, waits for override policies, keeps the binding's spec."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from uuid import uuid4

from fedstate.api.karmada import RESOURCE_BINDINGS
from fedstate.control.reconciler import DONE, Result
from fedstate.kube.informer import Informer
from fedstate.kube.objects import (
    Key,
    KubeObject,
    controller_of,
    deletion_timestamp_of,
    key_of,
    name_of,
    namespace_of,
    parse_time,
    uid_of,
)
from fedstate.local.karmada import names
from fedstate.local.karmada.plane import ControlPlane
from fedstate.local.karmada.policies import (
    NO_CLAIM,
    bears,
    binding_spec,
    claim_of,
    is_claimed,
    missing_overrides,
    new_binding,
    policy_for,
)
from fedstate.local.karmada.writes import changed_metadata, delete_quietly

_log = logging.getLogger(__name__)

RETRY = (0.5, 20.0)


class Detector:
    """One kind of template. Bindings whose template is gone are deleted at once, as the garbage collector would."""

    def __init__(self, plane: ControlPlane, templates: Informer) -> None:
        self._plane = plane
        self._templates = templates

    async def reconcile(self, key: Key) -> Result:
        await self._templates.synced.wait()
        template = self._templates.store.get(key)
        kind = self._templates.resource.kind
        binding = self._plane.bindings.store.get(Key(key.namespace, names.binding_name(kind, key.name)))
        if binding is not None and _is_stale(binding, template):
            await delete_quietly(self._plane.client, RESOURCE_BINDINGS, binding)
            return DONE
        if template is None or deletion_timestamp_of(template) or (binding and deletion_timestamp_of(binding)):
            return DONE
        policy = policy_for(self._plane.policies.store.list(key.namespace), template)
        if policy is None:
            await self._release(template, binding)
            return DONE
        if missing := missing_overrides(policy, (name_of(item) for item in self._plane.overrides.store.list(key.namespace))):
            return self._wait_for(policy, missing)
        await self._propagate(policy, template, binding)
        return DONE

    def _wait_for(self, policy: KubeObject, missing: list[str]) -> Result:
        # Karmada looks again only by its retries, which grow: an override policy that comes late is noticed late.
        age = (datetime.now(UTC) - parse_time(policy["metadata"]["creationTimestamp"])).total_seconds()
        delay = min(max(age, RETRY[0]), RETRY[1])
        _log.info(
            "a propagation policy waits for override policies",
            extra={"policy": str(key_of(policy)), "missing": missing, "retry_after": delay},
        )
        return Result(requeue_after=delay)

    async def _release(self, template: KubeObject, binding: KubeObject | None) -> None:
        """The policy is gone: template and binding lose its marks, and the binding stays."""
        if is_claimed(template):
            await self._plane.client.merge_patch(
                self._templates.resource, name_of(template), {"metadata": NO_CLAIM}, namespace=namespace_of(template)
            )
        if binding is not None and is_claimed(binding):
            await self._plane.client.replace(RESOURCE_BINDINGS, changed_metadata(binding, NO_CLAIM))

    async def _propagate(self, policy: KubeObject, template: KubeObject, binding: KubeObject | None) -> None:
        claim = claim_of(policy)
        if not bears(template, claim):
            template = await self._plane.client.merge_patch(
                self._templates.resource, name_of(template), {"metadata": claim}, namespace=namespace_of(template)
            )
        if binding is None:
            await self._plane.client.create(RESOURCE_BINDINGS, new_binding(policy, template, str(uuid4())))
            return
        spec = binding_spec(policy, template, binding["spec"])
        if spec != binding["spec"] or not bears(binding, claim):
            await self._plane.client.replace(RESOURCE_BINDINGS, changed_metadata(binding, claim) | {"spec": spec})


def _is_stale(binding: KubeObject, template: KubeObject | None) -> bool:
    """Whether the binding belongs to a template that is gone, and is not yet on its way out itself."""
    owner = controller_of(binding)
    return not deletion_timestamp_of(binding) and (template is None or (owner is not None and owner["uid"] != uid_of(template)))
