"""What a component gets from the process that runs it, and what it gives back.

A component package offers `build(ctx) -> list[Runnable]`: it asks `ctx.informers` for its caches and adds its triggers; nothing
of it runs before the caches are filled, and before the process leads, where it has to.
"""

from dataclasses import dataclass
from typing import Protocol

from fedstate.kube.client import KubeClient
from fedstate.kube.events import EventRecorder
from fedstate.kube.informer import InformerSet


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacitySettings:
    """Where the scheduler learns what a cluster has room for: `sources` of "estimator", "nodes" and "summary".

    The files are PEM; with none of them, and without `estimator_skip_verify`, estimators are asked without TLS.
    """

    sources: tuple[str, ...] = ("nodes", "summary")
    estimator_service_prefix: str = "karmada-scheduler-estimator"
    estimator_namespace: str = "karmada-system"
    estimator_addresses: str = ""
    estimator_ca_file: str = ""
    estimator_cert_file: str = ""
    estimator_key_file: str = ""
    estimator_skip_verify: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentSettings:
    """What was said on the command line, as far as components are concerned.

    `namespace` empty means all namespaces; `cluster_name` and `vip` are of the member cluster this process serves, if it does.
    """

    cluster_name: str = ""
    vip: str = ""
    namespace: str = ""
    identity: str = ""
    http_host: str = "127.0.0.1"
    http_port: int = 8080
    scheduler_profile: str = ""
    capacity: CapacitySettings = CapacitySettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentContext:
    """The collaborators of a component; all of them are opened and closed by the process, not by the component."""

    client: KubeClient
    informers: InformerSet
    events: EventRecorder
    settings: ComponentSettings


class Runnable(Protocol):
    """Something that runs until cancelled: a Controller, usually. Returning, or raising, ends the process."""

    @property
    def name(self) -> str: ...

    async def run(self) -> None: ...
