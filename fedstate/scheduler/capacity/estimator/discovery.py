"""Which estimator serves which cluster: a Service in the control plane says it, its name does, or a table. Opens no connection."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fedstate.errors import FedstateError
from fedstate.kube.objects import Key, KubeObject

NAMESPACE = "karmada-system"
PREFIX = "karmada-scheduler-estimator"
PORT = 10352

_ENTRY = re.compile(r"(?P<cluster>[^=\s]+)=(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<host>[^:\[\]\s]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where an estimator listens. `guessed`: nothing but the rule for its name says that there is one."""

    host: str
    port: int = PORT
    guessed: bool = False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class AddressError(FedstateError):
    """What says where an estimator is, is wrong: the message names it and the fix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Finds estimators. `service` gives a Service of the control plane, such as `Store.get` of its informer.

    `table` goes before everything else. `by_name`: a cluster without a Service in the control plane is asked for by the name
    that its Service has in the cluster that hosts Karmada; for a scheduler that runs there.
    """

    service: Callable[[Key], KubeObject | None]
    table: Mapping[str, Address] = field(default_factory=dict)
    namespace: str = NAMESPACE
    prefix: str = PREFIX
    port: int = PORT
    by_name: bool = False

    def find(self, cluster: str) -> Address | None:
        """None if the cluster has no estimator; AddressError if its Service cannot be used."""
        if cluster in self.table:
            return self.table[cluster]
        key = Key(self.namespace, f"{self.prefix}-{cluster}")
        service = self.service(key)
        if service is None:
            return self._named(key, guessed=True) if self.by_name else None
        if (service.get("spec") or {}).get("type") == "ExternalName":
            return self._external(key, service["spec"])
        return self._named(key, guessed=False)

    def _named(self, key: Key, *, guessed: bool) -> Address:
        return Address(host=f"{key.name}.{key.namespace}.svc.cluster.local", port=self.port, guessed=guessed)

    def _external(self, key: Key, spec: KubeObject) -> Address:
        host = spec.get("externalName")
        target = next(
            (port.get("targetPort", self.port) for port in spec.get("ports") or () if port.get("port") == self.port), None
        )
        if not host:
            raise AddressError(f"Service {key} has no spec.externalName: name the estimator's host there")
        if target is None:
            raise AddressError(
                f"Service {key} has no port {self.port} in spec.ports: add it, with the estimator's port as targetPort"
            )
        if not isinstance(target, int):
            raise AddressError(
                f"Service {key} names its targetPort {target!r} in spec.ports: give the number of the estimator's port"
            )
        return Address(host=str(host).rstrip("."), port=target)


def parse_table(entries: str) -> dict[str, Address]:
    """Reads `cluster=host:port,...`, where the port may be left out; AddressError names the entry that is wrong."""
    table: dict[str, Address] = {}
    for entry in filter(None, (part.strip() for part in entries.split(","))):
        read = _ENTRY.fullmatch(entry)
        port = int(read["port"] or PORT) if read else 0
        if read is None or not 0 < port < 65536:
            raise AddressError(f"{entry!r} does not say where an estimator is: write cluster=host:port")
        if read["cluster"] in table:
            raise AddressError(f"cluster {read['cluster']} has two estimators: leave one of them out")
        table[read["cluster"]] = Address(host=read["v6"] or read["host"], port=port)
    return table
