"""A control plane and member clusters in memory, as the scheduler reads them: by Cluster, Secret and proxy."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from fedstate.api.karmada import CLUSTERS
from fedstate.kube.client import KubeClient
from fedstate.kube.config import ClusterConfig
from fedstate.kube.errors import TransportError
from fedstate.kube.informer import Informer
from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import NODES, SECRETS, STORAGE_CLASSES
from fedstate.scheduler.capacity.members import Members
from fedstate.scheduler.capacity.rooms import MemberShape, Reading
from tests.fakes.apiserver import FakeApiServer, refusal
from tests.scheduler.clusters import LOST, READY, cluster

CONTROL = "https://control"
HOLDS_SECRETS = "karmada-cluster"
ONE_CPU = MemberShape(request=(("cpu", 1000),))


def node(name: str, cpu: str = "4", **labels: str) -> KubeObject:
    return {
        "metadata": {"name": name, "labels": labels},
        "status": {
            "allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def pod(name: str, node: str, cpu: str = "1", *, instance: str = "", phase: str = "Running") -> KubeObject:
    labels = {"app.kubernetes.io/instance": instance} if instance else {}
    requests = {"cpu": cpu, "memory": "128Mi"}
    return {
        "metadata": {"name": name, "namespace": "shop", "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "c", "resources": {"requests": requests}}]},
        "status": {"phase": phase},
    }


def storage_class(name: str) -> KubeObject:
    """The cluster's default one."""
    return {
        "metadata": {"name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "p",
    }


class Guarded(FakeApiServer):
    """An API server, the token that it accepts, and how many clients of it are open."""

    def __init__(self, token: str = "t1") -> None:
        super().__init__()
        self.token = token
        self.open_clients = 0


class World:
    """The control plane, its members by name, and the readings that were made of them."""

    def __init__(self) -> None:
        self.control = FakeApiServer()
        self.members: dict[str, Guarded] = {}
        self.readings: dict[str, Reading] = {}
        self.reads: list[str] = []
        self.configs: list[ClusterConfig] = []
        self.client = KubeClient(ClusterConfig(server=CONTROL, token="control"), transport=self.control)
        self.clusters = Informer(self.client, CLUSTERS)
        self.watching = Members(self.client, self.clusters.store, self._lay, connect=self.connect)

    def join(self, name: str, *, ready: bool = True, nodes: int = 1, **spec: Any) -> Guarded:
        """A member with as many nodes of four cores each, and its Secret."""
        member = self.members[name] = Guarded()
        member.seed(NODES, *(node(f"{name}-{number}") for number in range(1, nodes + 1)))
        member.seed(STORAGE_CLASSES, storage_class("fast"))
        self.put_secret(name, member.token)
        self.put_cluster(name, ready=ready, **spec)
        return member

    def put_cluster(self, name: str, *, ready: bool = True, **spec: Any) -> None:
        obj = cluster(name, conditions=[READY if ready else LOST])
        obj["spec"] |= {"apiEndpoint": f"https://{name}", "secretRef": {"namespace": HOLDS_SECRETS, "name": name}} | spec
        self.control.seed(CLUSTERS, obj)

    def put_secret(self, name: str, token: str) -> None:
        data = {"token": b64encode(token.encode()).decode(), "caBundle": ""}
        self.control.seed(SECRETS, {"metadata": {"name": name, "namespace": HOLDS_SECRETS}, "data": data})

    def leave(self, name: str) -> None:
        self.control.remove(CLUSTERS, name)

    def fits(self, name: str, shape: MemberShape = ONE_CPU) -> int | None:
        """By the last reading; None without one that knows nodes."""
        reading = self.readings.get(name)
        return None if reading is None or reading.rooms is None else reading.rooms.fits(shape)

    def note(self, name: str) -> str:
        return self.readings[name].source.note

    def _lay(self, name: str, reading: Reading | None) -> None:
        self.reads.append(name)
        if reading is None:
            self.readings.pop(name)
        else:
            self.readings[name] = reading

    def connect(self, config: ClusterConfig) -> KubeClient:
        self.configs.append(config)
        return KubeClient(config, transport=_Session(self, config))


class _Session:
    """The transport of one client of a member: the member's server, for those who have its token."""

    def __init__(self, world: World, config: ClusterConfig) -> None:
        name = config.server.removeprefix("https://")
        self._through_proxy = config.server.startswith(CONTROL)
        if self._through_proxy:
            name = config.server.rpartition("/clusters/")[2].removesuffix("/proxy")
        self._server = world.members.get(name)
        self._token = config.token

    async def open(self) -> None:
        if self._server is not None:
            self._server.open_clients += 1

    async def close(self) -> None:
        if self._server is not None:
            self._server.open_clients -= 1

    async def send(self, request: Any) -> bytes:
        return await self._allowed().send(request)

    def stream(self, request: Any) -> Any:
        return self._allowed().stream(request)

    def _allowed(self) -> Guarded:
        if self._server is None:
            raise TransportError("there is no such host")
        if not self._through_proxy and self._token != self._server.token:
            raise refusal(401, "Unauthorized", "Unauthorized")
        return self._server
