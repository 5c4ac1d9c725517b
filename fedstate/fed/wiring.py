"""Which changes concern which instance, and the runnable that the process runs."""

from collections.abc import Iterable

from fedstate.api.karmada import CLUSTERS, OVERRIDE_POLICIES, PROPAGATION_POLICIES, RESOURCE_BINDINGS
from fedstate.api.naming import LABEL_INSTANCE, MONGODBS, MULTI_CLOUD_MONGODBS
from fedstate.control.component import ComponentContext, Runnable
from fedstate.control.controller import Controller
from fedstate.control.triggers import intent_changed, watch_mapped, watch_self
from fedstate.fed.observed import ClusterFacts
from fedstate.fed.reconciler import OURS, Caches, FederationReconciler
from fedstate.fed.view import ReplsetViews
from fedstate.kube.objects import Key, KubeObject, key_of, labels_of, namespace_of
from fedstate.kube.resources import CONFIG_MAPS, SECRETS
from fedstate.mongo.admin import MongoConnections
from fedstate.mongo.driver import MotorConnections

WORKERS = 8


class Federation:
    """The federation's controller, together with its connections to replica sets."""

    name = "federation"

    def __init__(self, controller: Controller, connections: MongoConnections) -> None:
        self.controller = controller
        self._connections = connections

    async def run(self) -> None:
        try:
            await self.controller.run()
        finally:
            await self._connections.close()


def build(ctx: ComponentContext, connections: MongoConnections | None = None) -> list[Runnable]:
    """The federation, ready to run once the informers it has asked for are filled."""
    connections = connections if connections is not None else MotorConnections()
    caches = Caches.from_informers(ctx.informers, ctx.settings.namespace)
    reconciler = FederationReconciler(ctx.client, caches, ReplsetViews(connections), ctx.events)
    controller = Controller("federation", reconciler, workers=WORKERS)
    _watch(ctx, controller, caches)
    return [Federation(controller, connections)]


def _watch(ctx: ComponentContext, controller: Controller, caches: Caches) -> None:
    informers, namespace = ctx.informers, ctx.settings.namespace
    watch_self(informers.informer(MULTI_CLOUD_MONGODBS, namespace), controller, only=intent_changed)
    watch_mapped(informers.informer(RESOURCE_BINDINGS, namespace), controller, _bound_instance)
    for resource in (MONGODBS, PROPAGATION_POLICIES, OVERRIDE_POLICIES, SECRETS, CONFIG_MAPS):
        watch_mapped(informers.informer(resource, namespace, label_selector=OURS), controller, _labelled_instance)

    def cluster_changed(old: KubeObject | None, new: KubeObject | None) -> None:
        """Karmada renews every Cluster's status all the time; only what an instance depends on is a reason to look."""
        if old is not None and new is not None and ClusterFacts.from_object(old) == ClusterFacts.from_object(new):
            return
        for instance in caches.instances.list():
            controller.queue.add(key_of(instance))
        for config_map in caches.config_maps.list():
            for key in _labelled_instance(config_map):
                controller.queue.add(key)

    informers.informer(CLUSTERS).store.add_listener(cluster_changed)


def _labelled_instance(obj: KubeObject) -> Iterable[Key]:
    instance = labels_of(obj).get(LABEL_INSTANCE)
    if instance:
        yield Key(namespace_of(obj), instance)


def _bound_instance(binding: KubeObject) -> Iterable[Key]:
    """The instance whose template a binding is for; bindings of other things are none of ours."""
    resource = (binding.get("spec") or {}).get("resource") or {}
    if resource.get("kind") == MONGODBS.kind and resource.get("apiVersion") == MONGODBS.api_version:
        yield Key(namespace_of(binding), str(resource.get("name")))
