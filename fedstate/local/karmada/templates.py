"""The kinds that policies name: one cache and one detector each, made when a policy first names the kind."""

from __future__ import annotations

from asyncio import TaskGroup
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fedstate.control.controller import Controller
from fedstate.control.reconciler import Reconciler
from fedstate.kube.informer import Informer
from fedstate.kube.objects import Key, KubeObject, key_of
from fedstate.local.karmada import names
from fedstate.local.karmada.plane import BY_POLICY, ControlPlane, cache, label_values
from fedstate.local.karmada.policies import is_changed

KindName = tuple[str, str]
DetectorFor = Callable[[Informer], Reconciler]


class TemplateKind:
    """A kind that is propagated: its cache, and the queue of its detector."""

    def __init__(self, informer: Informer, controller: Controller) -> None:
        self.informer = informer
        self.controller = controller

    def enqueue(self, key: Key) -> None:
        self.controller.queue.add(key)


class Templates:
    """Every kind that some policy named so far. `on_change` is told of each template that changed in more than its status."""

    def __init__(self, plane: ControlPlane, group: TaskGroup, detector_for: DetectorFor) -> None:
        self._plane = plane
        self._group = group
        self._detector_for = detector_for
        self._kinds: dict[KindName, TemplateKind] = {}
        self.on_change: Callable[[KubeObject], None] = lambda template: None

    async def require(self, api_version: str, kind: str) -> TemplateKind | None:
        """The kind, with its cache filled; None if the control plane does not serve it."""
        resource = await self._plane.kinds.find(api_version, kind)
        if resource is None or not resource.namespaced:
            return None
        if (api_version, kind) not in self._kinds:
            informer = cache(self._plane.informers, resource)
            informer.store.add_index(BY_POLICY, partial(label_values, names.POLICY_ID))
            controller = Controller(f"detector-{resource}", self._detector_for(informer))
            template_kind = TemplateKind(informer, controller)
            self._kinds[api_version, kind] = template_kind
            informer.store.add_listener(partial(self._changed, template_kind))
            self._group.create_task(controller.run(), name=f"detector {resource}")
        # A detector that sees an empty cache would take every template for deleted.
        await self._kinds[api_version, kind].informer.synced.wait()
        return self._kinds[api_version, kind]

    def _changed(self, kind: TemplateKind, old: KubeObject | None, new: KubeObject | None) -> None:
        template = new or old
        if template is not None and is_changed(old, new):
            kind.enqueue(key_of(template))
            self.on_change(template)

    def of(self, reference: Mapping[str, Any]) -> KubeObject | None:
        """The template that a binding's `spec.resource` names, as the cache has it."""
        kind = self._kinds.get((reference["apiVersion"], reference["kind"]))
        return kind.informer.store.get(Key(reference.get("namespace") or "", reference["name"])) if kind else None

    def enqueue(self, reference: Mapping[str, Any]) -> None:
        """Have the detector look at a template again."""
        if kind := self._kinds.get((reference["apiVersion"], reference["kind"])):
            kind.enqueue(Key(reference.get("namespace") or "", reference["name"]))

    def all(self) -> list[TemplateKind]:
        return list(self._kinds.values())
