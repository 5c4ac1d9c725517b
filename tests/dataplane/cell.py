"""One member cluster without processes: an API server in memory, a kubelet of a few lines, and a replica set that obeys the server's rules."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

from fedstate.api.naming import LABEL_MEMBER, MONGODBS
from fedstate.control.reconciler import Result
from fedstate.dataplane.inputs import Inputs
from fedstate.dataplane.provision import Provision
from fedstate.dataplane.readings import SetReader
from fedstate.dataplane.reconciler import Collaborators, MongoDBReconciler
from fedstate.dataplane.reporting import Reporter
from fedstate.dataplane.steering import Steering
from fedstate.dataplane.teardown import Teardown
from fedstate.dataplane.writer import Writer
from fedstate.kube.events import EventRecorder
from fedstate.kube.informer import InformerSet
from fedstate.kube.objects import Key, KubeObject, labels_of, name_of
from fedstate.kube.resources import (
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SERVICES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
)
from tests.fakes.apiserver import FakeApiServer, selected, target_of
from tests.fakes.mongo import FakeConnections, FakeSet

VIP = "10.0.0.1"
START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = Key("db", "x")


def mongodb(**spec: Any) -> KubeObject:
    """A MongoDB as the API server would hold it."""
    return {
        "apiVersion": MONGODBS.api_version,
        "kind": MONGODBS.kind,
        "metadata": {"name": KEY.name, "namespace": KEY.namespace, "generation": 1, "labels": {}},
        "spec": {"members": 1, "metricsExporterSpec": {"enable": False}, **spec},
    }


class Cell:
    """The cluster; `look` is one reconcile and what the world does about it."""

    def __init__(self, obj: KubeObject, *, cluster_name: str = "c1") -> None:
        self.server = FakeApiServer()
        self.mongos = FakeSet()
        self.now = START
        self._node_port = 30000
        self.collects = True  # pods whose StatefulSet is gone
        client = self.server.client(field_manager="fedstate")
        self._informers = InformerSet(client)
        self.connections = FakeConnections(self.mongos)
        self._events = EventRecorder(client, "fedstate")
        inputs, writer = Inputs(client, self._informers), Writer(client)
        self.reconciler = MongoDBReconciler(
            Collaborators(
                inputs=inputs,
                writer=writer,
                reader=SetReader(self.connections),
                steering=Steering(self.connections),
                provision=Provision(inputs, writer),
                teardown=Teardown(inputs, writer),
                reporter=Reporter(writer, self._events, lambda: self.now),
                events=self._events,
                cluster_name=cluster_name,
                vip=VIP,
                now=lambda: self.now,
            )
        )
        standard = {"metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}
        self.server.seed(STORAGE_CLASSES, standard)
        self.server.seed(NAMESPACES, {"metadata": {"name": KEY.namespace}})
        self.server.seed(MONGODBS, obj)

    async def look(self) -> Result:
        """Caches catch up, one reconcile, then pods start and heartbeats go round; a second passes."""
        for informer in self._informers:
            reflector = informer._reflector
            selection = reflector._selection
            target = target_of(selection.resource.path(selection.namespace))
            objects = [
                copy.deepcopy(obj)
                for obj in self.server.all(selection.resource)
                if selected(obj, target, selection.label_selector, selection.field_selector)
            ]
            informer.store.replace(objects, str(self.server.version))
        result = await self.reconciler.reconcile(KEY)
        self._run_pods()
        self.mongos.tick()
        self.now += timedelta(seconds=1)
        return result

    async def settle(self, looks: int = 80) -> dict[str, Any]:
        """Look until the status says Running three times in a row; the status."""
        calm = 0
        for _ in range(looks):
            await self.look()
            calm = calm + 1 if self.status.get("state") == "Running" else 0
            if calm == 3:
                return self.status
        raise AssertionError(f"not settled: {self.status}")

    async def looks(self, count: int) -> None:
        for _ in range(count):
            await self.look()

    @property
    def status(self) -> dict[str, Any]:
        obj = self.server.get(MONGODBS, KEY.name, KEY.namespace)
        return (obj or {}).get("status") or {}

    def condition(self, kind: str) -> dict[str, Any]:
        return next((c for c in self.status.get("conditions", ()) if c["type"] == kind), {})

    def change(self, **spec: Any) -> None:
        """Edit the spec as a user does."""
        obj = copy.deepcopy(self.server.get(MONGODBS, KEY.name, KEY.namespace))
        assert obj is not None
        obj["spec"].update(spec)
        obj["metadata"]["generation"] += 1
        obj["metadata"].pop("resourceVersion", None)
        self.server.seed(MONGODBS, obj)

    def names(self, resource: Any) -> list[str]:
        return sorted(name_of(obj) for obj in self.server.all(resource))

    def _run_pods(self) -> None:
        sets = {name_of(obj): obj for obj in self.server.all(STATEFUL_SETS)}
        for service in self.server.all(SERVICES):
            self._give_node_ports(service)
        for pod in self.server.all(PODS):
            if self.collects and name_of(pod).removesuffix("-0") not in sets:
                self.server.remove(PODS, name_of(pod), KEY.namespace)
                self._stop(labels_of(pod)[LABEL_MEMBER])
        for name, stateful_set in sets.items():
            self._take_in(stateful_set)
            if self.server.get(PODS, f"{name}-0", KEY.namespace) is None:
                self._start(name, stateful_set)

    def _give_node_ports(self, service: KubeObject) -> None:
        port = service["spec"]["ports"][0]
        if service["spec"].get("type") == "NodePort" and "nodePort" not in port:
            self._node_port += 1
            edited = copy.deepcopy(service)
            edited["spec"]["ports"][0]["nodePort"] = self._node_port
            self.server.seed(SERVICES, edited)

    def _take_in(self, stateful_set: KubeObject) -> None:
        edited = copy.deepcopy(stateful_set)
        if edited.get("status", {}).get("observedGeneration") != edited["metadata"].get("generation", 0):
            edited["status"] = {"observedGeneration": edited["metadata"].get("generation", 0)}
            self.server.seed(STATEFUL_SETS, edited)

    def _start(self, name: str, stateful_set: KubeObject) -> None:
        template = stateful_set["spec"]["template"]
        claim = stateful_set["spec"]["volumeClaimTemplates"][0]
        metadata = {
            "name": f"{claim['metadata']['name']}-{name}-0",
            "namespace": KEY.namespace,
            "labels": claim["metadata"]["labels"],
        }
        fresh = self.server.get(PERSISTENT_VOLUME_CLAIMS, metadata["name"], KEY.namespace) is None
        if fresh:
            bound = {"metadata": metadata, "spec": claim["spec"], "status": {"phase": "Bound"}}
            self.server.seed(PERSISTENT_VOLUME_CLAIMS, copy.deepcopy(bound))
        pod = {
            "metadata": {"name": f"{name}-0", "namespace": KEY.namespace, **copy.deepcopy(template["metadata"])},
            "spec": copy.deepcopy(template["spec"]),
            "status": {"containerStatuses": [{"name": "mongod", "state": {"running": {}}}]},
        }
        self.server.seed(PODS, pod)
        host = self.host(labels_of(stateful_set)[LABEL_MEMBER])
        if host is None:
            return
        if fresh or host not in self.mongos.mongods:
            self.mongos.add(host)
        else:
            self.mongos.mongods[host].up = True

    def _stop(self, ordinal: str) -> None:
        host = self.host(ordinal)
        if host in self.mongos.mongods:
            self.mongos.mongods[host].up = False

    def host(self, ordinal: str | int) -> str | None:
        service = self.server.get(SERVICES, f"{KEY.name}-replset-{ordinal}", KEY.namespace)
        port = service["spec"]["ports"][0].get("nodePort") if service is not None else None
        return f"{VIP}:{port}" if port else None
