"""Node ports of Services as listening sockets of the cluster's address, forwarded to the pods that the Service selects.

A port listens only while it has a pod to go to: without one, a connection is refused, as kube-proxy has it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fedstate.control.controller import Controller
from fedstate.control.reconciler import DONE, Result
from fedstate.control.triggers import watch_mapped, watch_self
from fedstate.kube.informer import InformerSet
from fedstate.kube.objects import Key, KubeObject, deletion_timestamp_of, key_of, labels_of, namespace_of
from fedstate.kube.resources import PODS, SERVICES
from fedstate.local.node.fitting import finished
from fedstate.local.node.splice import Link

CONNECT_TIMEOUT = 5.0
_RETRY_LISTEN = 2.0
_BACKLOG = 512
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A pod's port; `pod` is its uid."""

    pod: str
    host: str
    port: int


Translate = Callable[[str, int], int]
"""(pod uid, container port) -> the port on this machine."""


def backends_of(service: KubeObject, port: KubeObject, pods: Iterable[KubeObject], translate: Translate) -> tuple[Backend, ...]:
    """The pods a connection to this port of a Service may go to, those that are not being deleted before the others."""
    spec = service["spec"]
    selector = spec.get("selector") or {}
    everyone = bool(spec.get("publishNotReadyAddresses"))
    found = []
    for pod in pods:
        ip = (pod.get("status") or {}).get("podIP")
        labels = labels_of(pod)
        if not ip or finished(pod) or not selector or any(labels.get(k) != v for k, v in selector.items()):
            continue
        usable = everyone or (_is_ready(pod) and deletion_timestamp_of(pod) is None)
        number = target_port(port, pod)
        if usable and number:
            uid = pod["metadata"]["uid"]
            found.append((deletion_timestamp_of(pod) is not None, Backend(pod=uid, host=ip, port=translate(uid, number))))
    staying = tuple(backend for leaving, backend in found if not leaving)
    return staying or tuple(backend for _, backend in found)


def target_port(port: KubeObject, pod: KubeObject) -> int:
    """The container port that a Service's port means for a pod; 0 if the pod has none of that name."""
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    for container in pod["spec"].get("containers") or ():
        for declared in container.get("ports") or ():
            if declared.get("name") == target:
                return int(declared["containerPort"])
    return 0


def _is_ready(pod: KubeObject) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


class PortForward:
    """One node port: a listener, its backends, and the connections that run over it."""

    def __init__(self, address: str, number: int, tasks: asyncio.TaskGroup) -> None:
        self._address = address
        self.number = number
        self._tasks = tasks
        self._server: asyncio.Server | None = None
        self._backends: Sequence[Backend] = ()
        self._turn = itertools.count()
        self._links: set[Link] = set()

    async def use(self, backends: Sequence[Backend]) -> None:
        """Send new connections to these, and cut those to pods that are no longer among them. OSError if the port is taken."""
        self._backends = backends
        pods = {backend.pod for backend in backends}
        for link in [link for link in self._links if link.backend not in pods]:
            link.reset()
        if backends and self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._accept, self._address, self.number, backlog=_BACKLOG)
        elif not backends:
            self._stop_listening()

    def _accept(self) -> asyncio.Protocol:
        backend = self._backends[next(self._turn) % len(self._backends)] if self._backends else None
        link = Link(backend.pod if backend else "", self._links.discard)
        self._links.add(link)
        if backend is not None:
            connecting = link.connect(backend.host, backend.port, timeout=CONNECT_TIMEOUT)
            self._tasks.create_task(connecting, name=f"node port {self.number}")
        return link.client

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def close(self) -> None:
        """Stop listening and cut every connection."""
        self._stop_listening()
        for link in list(self._links):
            link.reset()


class NodePortProxy:
    """Reconciles Services: their node ports listen here and go where the Service says."""

    def __init__(self, informers: InformerSet, address: str, tasks: asyncio.TaskGroup, translate: Translate) -> None:
        self._services = informers.informer(SERVICES).store
        self._pods = informers.informer(PODS).store
        self._address = address
        self._tasks = tasks
        self._translate = translate
        self._forwards: dict[Key, dict[int, PortForward]] = {}

    def controller(self, informers: InformerSet) -> Controller:
        controller = Controller("node-port-proxy", self, workers=1)
        watch_self(informers.informer(SERVICES), controller)
        watch_mapped(informers.informer(PODS), controller, self._services_of)
        return controller

    def _services_of(self, pod: KubeObject) -> Iterable[Key]:
        labels = labels_of(pod)
        for service in self._services.list(namespace_of(pod)):
            selector = service["spec"].get("selector") or {}
            if selector and all(labels.get(k) == v for k, v in selector.items()):
                yield key_of(service)

    async def reconcile(self, key: Key) -> Result:
        service = self._services.get(key)
        ports = node_ports(service) if service is not None else {}
        forwards = self._forwards.setdefault(key, {})
        for number in [number for number in forwards if number not in ports]:
            forwards.pop(number).close()
        again = False
        for number, port in ports.items():
            forward = forwards.setdefault(number, PortForward(self._address, number, self._tasks))
            backends = backends_of(service or {}, port, self._pods.list(key.namespace), self._translate)
            again = not await self._try(forward, backends, key) or again
        if not forwards:
            self._forwards.pop(key, None)
        return Result(requeue_after=_RETRY_LISTEN) if again else DONE

    async def _try(self, forward: PortForward, backends: Sequence[Backend], key: Key) -> bool:
        try:
            await forward.use(backends)
        except OSError as error:
            _log.warning(
                "a node port cannot be listened on", extra={"service": str(key), "port": forward.number, "error": str(error)}
            )
            return False
        return True

    def close(self) -> None:
        """Stop all forwarding."""
        for forwards in self._forwards.values():
            for forward in forwards.values():
                forward.close()
        self._forwards.clear()


def node_ports(service: KubeObject) -> dict[int, KubeObject]:
    """Node port -> port of a Service; TCP only."""
    spec = service["spec"]
    if spec.get("type") not in ("NodePort", "LoadBalancer"):
        return {}
    return {
        port["nodePort"]: port
        for port in spec.get("ports") or ()
        if port.get("nodePort") and port.get("protocol", "TCP") == "TCP"
    }
