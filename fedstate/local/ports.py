"""Ports and loopback networks that nobody has, and that no other local instance takes while this one is on its way to using them."""

from __future__ import annotations

import secrets
import socket
import sys
from collections.abc import Sequence

from fedstate.errors import FedstateError

FIRST_PORT = 6440
LOCK_PORT = 7799
"""A running instance listens on it at its first loopback address, so that two instances never share addresses."""
CLAIMS = "127.255.255.253"
"""Who is bound to a port of this address, which nobody serves on, is about to use that port of 127.0.0.1."""

_claimed: dict[tuple[str, int], int] = {}
"""Descriptor of the socket behind each claim."""


def free_network() -> int:
    """A number for loopback addresses that no other instance holds; 0 where the system has only 127.0.0.1 (macOS)."""
    if sys.platform != "linux":
        return 0
    start = secrets.randbelow(150)
    for offset in range(150):
        network = 71 + (start + offset) % 150
        if can_listen(f"127.{network}.0.1", LOCK_PORT) and _claim(f"127.{network}.255.253", LOCK_PORT):
            return network
    raise FedstateError("150 local instances hold all loopback networks: stop some with `fedstate local down --name NAME`")


def free_ports(count: int, *, first: int = FIRST_PORT, but: Sequence[int] = ()) -> list[int]:
    """The first `count` ports of 127.0.0.1 from `first` on that nobody listens on or is about to, until this process ends."""
    found: list[int] = []
    for port in range(first, 65536):
        if len(found) == count:
            return found
        if port not in but and _take(port):
            found.append(port)
    raise FedstateError(f"fewer than {count} free ports from {first} on")


def same_or_free(ports: Sequence[int], *, first: int) -> list[int]:
    """The same ports, but another one for each that somebody else has."""
    kept = {port for port in ports if _take(port)}
    spare = iter(free_ports(len(ports) - len(kept), first=first, but=ports))
    return [port if port in kept else next(spare) for port in ports]


def claims() -> tuple[int, ...]:
    """Descriptors of everything that this process has claimed: a child that is given them keeps the claims for as long as it runs."""
    return tuple(_claimed.values())


def any_free_port(host: str = "127.0.0.1") -> int:
    """A port that the system hands out and nobody listens on."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def can_listen(host: str, port: int) -> bool:
    """Whether the address is free now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
        return True


def _take(port: int) -> bool:
    return can_listen("127.0.0.1", port) and _claim(CLAIMS, port)


def _claim(host: str, port: int) -> bool:
    """Be bound to the address until this process ends; False if another process is. Where there are no such addresses, always True."""
    if sys.platform != "linux" or (host, port) in _claimed:
        return True
    claim = socket.socket()
    try:
        claim.bind((host, port))
    except OSError:
        claim.close()
        return False
    _claimed[(host, port)] = claim.detach()
    return True
