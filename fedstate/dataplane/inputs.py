"""The caches the data plane reads, and the few reads that go to the server because a cache would have to hold everything.

Knows where things are found, not what they are for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fedstate.api.naming import LABEL_INSTANCE, MONGODBS
from fedstate.dataplane.deadline import answered_soon
from fedstate.dataplane.holdings import MemberObjects
from fedstate.dataplane.naming import MANAGED_SELECTOR
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import NotFound
from fedstate.kube.informer import Informer, InformerSet
from fedstate.kube.objects import Key, KubeObject, labels_of, name_of, namespace_of
from fedstate.kube.resources import (
    CONFIG_MAPS,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
    Resource,
)

_INDEX = "instance"
_OWNED = (STATEFUL_SETS, SERVICES, PODS, PERSISTENT_VOLUME_CLAIMS, SECRETS, CONFIG_MAPS)
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def instance_keys(obj: KubeObject) -> Iterable[Key]:
    """The MongoDB that an object of the data plane belongs to, by its label."""
    instance = labels_of(obj).get(LABEL_INSTANCE)
    if instance:
        yield Key(namespace_of(obj), instance)


class Inputs:
    """Read access to one member cluster."""

    def __init__(self, client: KubeClient, informers: InformerSet, namespace: str = "") -> None:
        self._client = client
        self.mongodbs = informers.informer(MONGODBS, namespace)
        self.owned: Mapping[Resource, Informer] = {
            resource: informers.informer(resource, namespace, label_selector=MANAGED_SELECTOR) for resource in _OWNED
        }
        for informer in self.owned.values():
            informer.store.add_index(_INDEX, lambda obj: map(str, instance_keys(obj)))
        self._nodes = informers.informer(NODES)
        self._classes = informers.informer(STORAGE_CLASSES)
        self._namespaces = informers.informer(NAMESPACES)

    def mongodb(self, key: Key) -> KubeObject | None:
        return self.mongodbs.store.get(key)

    def cached(self, resource: Resource, key: Key) -> KubeObject | None:
        """An object of ours as the cache has it."""
        return self.owned[resource].store.get(key)

    def of_instance(self, resource: Resource, key: Key) -> list[KubeObject]:
        """Every object of one kind that carries the instance's label."""
        return self.owned[resource].store.by_index(_INDEX, str(key))

    def member_objects(self, key: Key) -> MemberObjects:
        """What the cluster holds of an instance, as the caches have it."""
        return MemberObjects(
            stateful_sets=self.of_instance(STATEFUL_SETS, key),
            services=self.of_instance(SERVICES, key),
            pods=self.of_instance(PODS, key),
            claims=self.of_instance(PERSISTENT_VOLUME_CLAIMS, key),
        )

    async def live_member_objects(self, key: Key) -> MemberObjects:
        """The same from the server itself, for decisions that a stale cache would make wrong for ever."""
        selector = f"{MANAGED_SELECTOR},{LABEL_INSTANCE}={key.name}"
        async with answered_soon():
            sets = await self._client.list_all(STATEFUL_SETS, key.namespace, label_selector=selector)
            services = await self._client.list_all(SERVICES, key.namespace, label_selector=selector)
            claims = await self._client.list_all(PERSISTENT_VOLUME_CLAIMS, key.namespace, label_selector=selector)
        return MemberObjects(stateful_sets=sets, services=services, pods=self.of_instance(PODS, key), claims=claims)

    async def find(self, resource: Resource, key: Key) -> KubeObject | None:
        """A Secret or ConfigMap that need not be one of ours."""
        cached = self.cached(resource, key)
        return cached if cached is not None else await self.read(resource, key)

    async def read(self, resource: Resource, key: Key) -> KubeObject | None:
        """An object as the server has it at this moment."""
        try:
            async with answered_soon():
                return await self._client.get(resource, key.name, key.namespace)
        except NotFound:
            return None

    def namespace(self, name: str) -> KubeObject | None:
        return self._namespaces.store.get(Key("", name))

    def storage_class_problem(self, name: str | None) -> str:
        """Why volumes of that class (None: the default one) cannot be made; empty if they can."""
        classes = {name_of(entry): entry for entry in self._classes.store.list()}
        if name is not None:
            if name in classes:
                return ""
            known = ", ".join(sorted(classes)) or "none"
            fix = f"create StorageClass {name} there, or name one that it has: {known}"
            return f"spec.persistence.storageClassName is {name}, which the cluster does not have; {fix}"
        if any((entry.get("metadata", {}).get("annotations") or {}).get(_DEFAULT_CLASS) == "true" for entry in classes.values()):
            return ""
        known = ", ".join(sorted(classes)) or "none"
        return (
            "spec.persistence.storageClassName is empty, and the cluster has no default StorageClass; "
            f"name one of those it has: {known}"
        )

    def node_address(self, known_hosts: Iterable[str]) -> str | None:
        """The address for node ports where nobody named one: a node's, and as long as that node exists the same one as before."""
        addresses: dict[str, bool] = {}
        for node in sorted(self._nodes.store.list(), key=name_of):
            address = _internal_ip(node)
            if address:
                addresses[address] = _is_ready(node)
        for host in known_hosts:
            address = host.rpartition(":")[0].strip("[]")
            if address in addresses:
                return address
        return next((address for address, ready in addresses.items() if ready), None)


def _internal_ip(node: KubeObject) -> str | None:
    entries: list[dict[str, Any]] = (node.get("status") or {}).get("addresses") or []
    return next((str(entry["address"]) for entry in entries if entry.get("type") == "InternalIP"), None)


def _is_ready(node: KubeObject) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(condition.get("type") == "Ready" and condition.get("status") == "True" for condition in conditions)
