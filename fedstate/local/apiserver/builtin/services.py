"""Services: which addresses and ports each takes from the cluster's ranges, and which it keeps over an update."""

from __future__ import annotations

import ipaddress
from typing import Any

from fedstate.kube.objects import KubeObject, key_of
from fedstate.local.apiserver.core import Core
from fedstate.local.apiserver.errors import StatusError, internal, invalid
from fedstate.local.apiserver.objects import fielderrors
from fedstate.local.apiserver.objects.fielderrors import FieldError
from fedstate.local.apiserver.services import Range
from fedstate.local.apiserver.strategy import Strategy, Write

_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")


class ServiceStrategy(Strategy):
    """Allocates cluster IPs and node ports."""

    returns_deleted = True

    def prepare_create(self, obj: KubeObject, write: Write) -> None:
        obj["status"] = {"loadBalancer": {}}

    def prepare_update(self, obj: KubeObject, old: KubeObject, write: Write) -> None:
        spec, before = obj.get("spec"), old.get("spec") or {}
        if not isinstance(spec, dict):
            return
        if spec.get("type") == "ExternalName" != before.get("type"):
            _without_addresses(spec, before)
        if "ExternalName" in (spec.get("type"), before.get("type")):
            return
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if not spec.get(field) and before.get(field):
                spec[field] = before[field]
        if spec.get("type") in _WITH_NODE_PORTS and before.get("type") in _WITH_NODE_PORTS:
            spec["ports"] = _with_known_ports(spec.get("ports") or [], before.get("ports") or [])
        elif spec.get("type", "ClusterIP") == "ClusterIP" and before.get("type") in _WITH_NODE_PORTS:
            spec["ports"] = _without_known_ports(spec.get("ports") or [], before.get("ports") or [])
            spec.pop("externalTrafficPolicy", None)

    def allocate(self, obj: KubeObject, old: KubeObject | None, write: Write) -> None:
        ranges, owner = write.core.allocators, str(key_of(obj))
        try:
            spec = obj["spec"] = dict(obj.get("spec") or {})
            self._allocate_address(obj, spec, write.core, owner)
            self._allocate_ports(obj, spec, ranges.node_ports, owner)
        except StatusError:
            self._settle(old, write.core, owner)
            raise
        self._settle(old if write.options.dry_run else obj, write.core, owner)

    @staticmethod
    def _allocate_address(obj: KubeObject, spec: dict[str, Any], core: Core, owner: str) -> None:
        wanted = spec.get("clusterIP") or next(iter(spec.get("clusterIPs") or []), "")
        if spec.get("type") == "ExternalName":
            return
        if wanted != "None":
            wanted = _take_address(obj, wanted, core, owner)
            spec.setdefault("ipFamilies", ["IPv4"])
            spec.setdefault("ipFamilyPolicy", "SingleStack")
        else:
            # Without a selector nobody knows what the endpoints will be, so both families are promised.
            selects = bool(spec.get("selector"))
            spec.setdefault("ipFamilies", ["IPv4"] if selects else ["IPv4", "IPv6"])
            spec.setdefault("ipFamilyPolicy", "SingleStack" if selects else "RequireDualStack")
        spec["clusterIP"], spec["clusterIPs"] = wanted, [wanted]

    @staticmethod
    def _allocate_ports(obj: KubeObject, spec: dict[str, Any], ports: Range, owner: str) -> None:
        if spec.get("type") not in _WITH_NODE_PORTS:
            return
        allocated: list[dict[str, Any]] = []
        for index, port in enumerate(spec.get("ports") or []):
            number = port.get("nodePort") or 0
            field = f"spec.ports[{index}].nodePort"
            if not number:
                number = ports.take_any(owner)
                if number is None:
                    raise internal("failed to allocate a nodePort: range is full")
            elif number not in ports.numbers:
                listed = f"{ports.numbers.start}-{ports.numbers.stop - 1}"
                why = f"provided port is not in the valid range. The range of valid ports is {listed}"
                raise _refused(obj, fielderrors.invalid(field, number, why))
            elif not ports.take(number, owner) or _repeated(number, port, allocated):
                raise _refused(obj, fielderrors.invalid(field, number, "provided port is already allocated"))
            allocated.append({**port, "nodePort": number})
        spec["ports"] = allocated

    @staticmethod
    def _settle(obj: KubeObject | None, core: Core, owner: str) -> None:
        """Let the owner hold exactly what this state of it uses."""
        addresses, ports = _used(obj) if obj is not None else (frozenset[int](), frozenset[int]())
        core.allocators.addresses.release(owner, addresses)
        core.allocators.node_ports.release(owner, ports)

    def stored(self, obj: KubeObject, old: KubeObject | None, core: Core) -> None:
        owner = str(key_of(obj))
        addresses, ports = _used(obj)
        for number in addresses:
            core.allocators.addresses.take(number, owner)
        for number in ports:
            core.allocators.node_ports.take(number, owner)

    def removed(self, obj: KubeObject, core: Core) -> None:
        self._settle(None, core, str(key_of(obj)))


def _refused(obj: KubeObject, cause: FieldError) -> StatusError:
    return invalid("Service", "", key_of(obj).name, [cause])


def _take_address(obj: KubeObject, wanted: str, core: Core, owner: str) -> str:
    addresses = core.allocators.addresses
    if not wanted:
        number = addresses.take_any(owner)
        if number is None:
            raise internal("failed to allocate a serviceIP: range is full")
        return str(ipaddress.ip_address(number))
    why = ""
    try:
        number = int(ipaddress.ip_address(wanted))
    except ValueError:
        says = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        raise _refused(obj, fielderrors.invalid("spec.clusterIPs[0]", wanted, says)) from None
    if number not in addresses.numbers:
        why = "the provided network does not match the current range"
    elif not addresses.take(number, owner):
        why = "provided IP is already allocated"
    if why:
        raise _refused(obj, fielderrors.invalid("spec.clusterIPs", [wanted], f"failed to allocate IP {wanted}: {why}"))
    return wanted


def _used(obj: KubeObject) -> tuple[frozenset[int], frozenset[int]]:
    spec = obj.get("spec") or {}
    address = spec.get("clusterIP")
    addresses = frozenset({int(ipaddress.ip_address(address))}) if address and address != "None" else frozenset[int]()
    return addresses, frozenset(port["nodePort"] for port in spec.get("ports") or [] if port.get("nodePort"))


def _repeated(number: int, port: dict[str, Any], others: list[dict[str, Any]]) -> bool:
    """Whether the service itself has this node port for the same protocol already."""
    protocol = port.get("protocol", "TCP")
    return any((other["nodePort"], other.get("protocol", "TCP")) == (number, protocol) for other in others)


def _without_addresses(spec: dict[str, Any], before: dict[str, Any]) -> None:
    """Take from a service that becomes an ExternalName what only the others have."""
    for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy", "externalTrafficPolicy"):
        if spec.get(field) == before.get(field):
            spec.pop(field, None)
    if spec.get("ports"):
        spec["ports"] = _without_known_ports(spec["ports"], before.get("ports") or [])


def _without_known_ports(ports: list[dict[str, Any]], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The ports without the node ports they had before."""
    known = {port.get("nodePort") for port in before}
    return [{k: v for k, v in port.items() if k != "nodePort" or v not in known} for port in ports]


def _with_known_ports(ports: list[dict[str, Any]], before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The ports with the node ports they had before where none is given; matched by protocol and port."""
    had = {(p.get("protocol", "TCP"), p.get("port")): p.get("nodePort") for p in before}
    taken = {p.get("nodePort") for p in ports}
    result = []
    for port in ports:
        known = had.get((port.get("protocol", "TCP"), port.get("port")))
        result.append({**port, "nodePort": known} if not port.get("nodePort") and known and known not in taken else port)
    return result
