"""The control plane as every part of the stand-in sees it: its client, its caches, its events. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial

from fedstate.api.karmada import CLUSTERS, OVERRIDE_POLICIES, PROPAGATION_POLICIES, RESOURCE_BINDINGS, WORKS
from fedstate.kube.client import KubeClient
from fedstate.kube.events import EventRecorder
from fedstate.kube.informer import Informer, InformerSet
from fedstate.kube.objects import Key, KubeObject, controller_of, format_time, labels_of
from fedstate.kube.resources import NAMESPACES, Resource
from fedstate.local.karmada import names
from fedstate.local.karmada.discovery import KindMap

BY_BINDING = "binding"
BY_POLICY = "policy"
BY_OWNER = "owner"


class ControlPlane:
    """The caches are made here, so that a set of them can be started and awaited before anything reconciles."""

    def __init__(self, client: KubeClient) -> None:
        self.client = client
        self.events = EventRecorder(client, "karmada-stand-in")
        self.kinds = KindMap(client)
        self.informers = InformerSet(client)
        self.clusters = cache(self.informers, CLUSTERS)
        self.policies = cache(self.informers, PROPAGATION_POLICIES)
        self.overrides = cache(self.informers, OVERRIDE_POLICIES)
        self.bindings = cache(self.informers, RESOURCE_BINDINGS)
        self.works = cache(self.informers, WORKS)
        self.namespaces = cache(self.informers, NAMESPACES)
        self.bindings.store.add_index(BY_POLICY, partial(label_values, names.POLICY_ID))
        self.works.store.add_index(BY_BINDING, partial(label_values, names.BINDING_ID))
        self.works.store.add_index(BY_OWNER, _namespace_owners)

    def works_of_cluster(self, cluster: str) -> list[KubeObject]:
        """Every Work of one cluster."""
        return self.works.store.list(names.execution_namespace(cluster))

    def cluster(self, name: str) -> KubeObject | None:
        """A Cluster by its name."""
        return self.clusters.store.get(Key("", name))


def cache(informers: InformerSet, resource: Resource, *, label_selector: str = "") -> Informer:
    """A cache whose objects carry apiVersion and kind, which servers leave out in lists, and every annotation."""
    return informers.informer(resource, label_selector=label_selector, transform=partial(_identified, resource))


def _identified(resource: Resource, obj: KubeObject) -> KubeObject:
    obj["metadata"].pop("managedFields", None)
    return obj if "kind" in obj else {"apiVersion": resource.api_version, "kind": resource.kind, **obj}


def label_values(label: str, obj: KubeObject) -> Iterable[str]:
    """Index function: the value of a label, if there is one."""
    value = labels_of(obj).get(label)
    return [value] if value else []


def _namespace_owners(work: KubeObject) -> Iterable[str]:
    owner = controller_of(work)
    return [owner["name"]] if owner and owner["kind"] == "Namespace" else []


def now() -> str:
    """The present, as conditions write it."""
    return format_time(datetime.now(UTC))
