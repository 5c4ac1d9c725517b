"""Cluster IPs and node ports: who holds which, and which is free. Kept in memory; Services are the record."""

from __future__ import annotations

import ipaddress
import random


class Range:
    """Numbers of a range, each held by at most one owner; free ones are handed out in a scattered order."""

    def __init__(self, numbers: range) -> None:
        self.numbers = numbers
        self._holders: dict[int, str] = {}

    def holder(self, number: int) -> str | None:
        return self._holders.get(number)

    def take(self, number: int, owner: str) -> bool:
        """False if somebody else holds it."""
        return self._holders.setdefault(number, owner) == owner

    def take_any(self, owner: str) -> int | None:
        """None if the range is full."""
        count = len(self.numbers)
        start = random.randrange(count)  # noqa: S311 - not a secret
        for step in range(count):
            number = self.numbers[(start + step) % count]
            if number not in self._holders:
                self._holders[number] = owner
                return number
        return None

    def release(self, owner: str, keep: frozenset[int] = frozenset()) -> None:
        """Give back what the owner holds, but for `keep`."""
        for number in [n for n, held_by in self._holders.items() if held_by == owner and n not in keep]:
            del self._holders[number]


class Allocators:
    """The ranges of one cluster."""

    def __init__(self, node_ports: range, service_network: str) -> None:
        self.network = ipaddress.ip_network(service_network)
        self.node_ports = Range(node_ports)
        first = int(self.network.network_address)
        # The first address is the API server's own, the last the broadcast.
        self.addresses = Range(range(first + 2, first + self.network.num_addresses - 1))
