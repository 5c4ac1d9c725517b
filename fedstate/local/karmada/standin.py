"""Puts the parts together: which change makes which part look again. Holds no rule of its own."""

from __future__ import annotations

from asyncio import TaskGroup

from fedstate.control.controller import Controller
from fedstate.control.triggers import intent_changed, watch_mapped, watch_self
from fedstate.kube.client import KubeClient
from fedstate.kube.objects import KubeObject, key_of, namespace_of
from fedstate.local.karmada.binding import BindingReconciler
from fedstate.local.karmada.claims import PolicyReconciler
from fedstate.local.karmada.clusters import Clusters
from fedstate.local.karmada.detector import Detector
from fedstate.local.karmada.health import Pace
from fedstate.local.karmada.joining import install_crds, wait_served
from fedstate.local.karmada.namespaces import NamespaceReconciler
from fedstate.local.karmada.plane import ControlPlane
from fedstate.local.karmada.templates import Templates
from fedstate.local.karmada.triggers import binding_of_template, binding_of_work, namespace_of_work, places_differently

DRAIN_TIMEOUT = 2.0


class KarmadaStandIn:
    """What FedState uses of Karmada, on a control plane.

    `eviction_timeout` None is a Karmada with its failover gates off: a NoExecute taint changes nothing.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        probe_interval: float = 2.0,
        failure_threshold: float = 6.0,
        eviction_timeout: float | None = None,
    ) -> None:
        self._client = client
        self._pace = Pace(probe_interval=probe_interval, failure_threshold=failure_threshold)
        self._eviction_timeout = eviction_timeout

    async def run(self) -> None:
        """Runs until cancelled; puts Karmada's kinds in place first."""
        await install_crds(self._client)
        plane = ControlPlane(self._client)
        await wait_served(self._client, [informer.resource for informer in plane.informers])
        async with TaskGroup() as group:
            group.create_task(plane.informers.run(), name="control plane caches")
            group.create_task(plane.events.run(), name="events")
            await plane.informers.wait_synced()
            for controller in self._controllers(plane, group):
                group.create_task(controller.run(), name=controller.name)

    def _controllers(self, plane: ControlPlane, group: TaskGroup) -> list[Controller]:
        templates = Templates(plane, group, lambda informer: Detector(plane, informer))
        clusters = Clusters(plane, group, self._pace)
        bindings = BindingReconciler(plane, templates, eviction_timeout=self._eviction_timeout)
        cluster = Controller("clusters", clusters, workers=2, drain_timeout=DRAIN_TIMEOUT)
        policy = Controller("policies", PolicyReconciler(plane, templates), workers=1, drain_timeout=DRAIN_TIMEOUT)
        namespace = Controller("namespaces", NamespaceReconciler(plane), workers=2, drain_timeout=DRAIN_TIMEOUT)
        binding = Controller("bindings", bindings, drain_timeout=DRAIN_TIMEOUT)
        watch_self(plane.clusters, cluster, only=intent_changed)
        watch_self(plane.policies, policy, only=intent_changed)
        watch_self(plane.namespaces, namespace)
        watch_self(plane.bindings, binding)
        watch_mapped(plane.works, binding, binding_of_work)
        watch_mapped(plane.works, namespace, namespace_of_work)
        _watch_the_rest(plane, templates, binding, namespace)
        return [cluster, policy, namespace, binding]


def _watch_the_rest(plane: ControlPlane, templates: Templates, binding: Controller, namespace: Controller) -> None:
    def template_changed(template: KubeObject) -> None:
        binding.queue.add(binding_of_template(template))

    def overrides_changed(old: KubeObject | None, new: KubeObject | None) -> None:
        for item in plane.bindings.store.list(namespace_of(new or old or {})):
            binding.queue.add(key_of(item))

    def clusters_changed(old: KubeObject | None, new: KubeObject | None) -> None:
        if places_differently(old, new):
            for item in plane.bindings.store.list():
                binding.queue.add(key_of(item))
            for item in plane.namespaces.store.list():
                namespace.queue.add(key_of(item))

    def binding_gone(old: KubeObject | None, new: KubeObject | None) -> None:
        if old is not None and new is None:
            templates.enqueue(old["spec"]["resource"])

    templates.on_change = template_changed
    plane.overrides.store.add_listener(overrides_changed)
    plane.clusters.store.add_listener(clusters_changed)
    plane.bindings.store.add_listener(binding_gone)
