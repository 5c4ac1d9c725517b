"""Addresses of pods: one loopback address each, or, where the system has only 127.0.0.1, that one with a port of its own for each container port."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fedstate.errors import FedstateError

SHARED = "127.0.0.1"
_FIRST, _LAST = 2, 254


@dataclass(frozen=True, slots=True, kw_only=True)
class PodAddress:
    """Where the ports of a pod are on this machine."""

    ip: str
    ports: Mapping[int, int] = field(default_factory=dict)

    def port(self, number: int) -> int:
        return self.ports.get(number, number)


class AddressPool:
    """Gives out the addresses `prefix`2 to `prefix`254, the longest unused first."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix if prefix and can_bind(f"{prefix}{_FIRST}") else ""
        self._taken: set[str] = set()
        self._next = _FIRST

    def take(self, wanted: str = "", container_ports: Iterable[int] = ()) -> PodAddress:
        """An address for a pod: `wanted`, the one it had, if it is still free. FedstateError when all are taken."""
        if not self._prefix:
            return PodAddress(ip=SHARED, ports={number: free_port(SHARED) for number in container_ports})
        if wanted.startswith(self._prefix) and wanted not in self._taken:
            self._taken.add(wanted)
            return PodAddress(ip=wanted)
        for _ in range(_FIRST, _LAST + 1):
            ip = f"{self._prefix}{self._next}"
            self._next = self._next + 1 if self._next < _LAST else _FIRST
            if ip not in self._taken:
                self._taken.add(ip)
                return PodAddress(ip=ip)
        raise FedstateError(f"all addresses of {self._prefix}0/24 are in use by pods: delete some, or use another local cluster")

    def release(self, address: PodAddress) -> None:
        """Let others have the address."""
        self._taken.discard(address.ip)


def can_bind(ip: str) -> bool:
    """Whether this system answers at the address."""
    with socket.socket() as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            return False
        return True


def free_port(ip: str) -> int:
    with socket.socket() as probe:
        probe.bind((ip, 0))
        return int(probe.getsockname()[1])
