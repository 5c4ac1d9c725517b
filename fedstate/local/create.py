"""Turns what the user asked for into the files of a local instance. Starts nothing."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fedstate import __version__
from fedstate.errors import FedstateError
from fedstate.kube.objects import parse_quantity
from fedstate.local import layout as files
from fedstate.local.kubernetes import require_assets
from fedstate.local.layout import CONTROL_PLANE, InstanceSpec, Layout, OperatorSpec
from fedstate.local.pki import ensure_pki
from fedstate.local.ports import FIRST_PORT, free_network, free_ports, same_or_free
from fedstate.local.spec import ClusterSpec, Engine, NodeSpec, read_spec, write_spec

OPERATOR_FIRST_PORT = 7900
DEFAULT_CLUSTERS = 3

ANY_CLASS_PROFILE = """# Storage classes come to a cluster with the databases that name them, so that none is missing before.
filters: [ClusterNames, ClusterAffinity, ClusterLeaving, ClusterReady, TaintToleration, ClusterAddress, APIEnablement]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSize:
    """A member cluster as the user wants it; `cpu` and `memory` are of each node, `asked` names what was not left to the defaults."""

    name: str
    nodes: int = 2
    cpu: str = "4"
    memory: str = "8Gi"
    region: str = ""
    zone: str = ""
    asked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What `local up` was asked for. No engine and no clusters: those of the instance that is there, else the defaults."""

    name: str
    engine: Engine | None = None
    clusters: Sequence[ClusterSize] = ()
    any_storage_class: bool = False
    mongod: Path
    mongod_version: str


def default_sizes(count: int) -> tuple[ClusterSize, ...]:
    """`count` equal clusters, a region each: eu-1, us-1, ap-1, …"""
    return tuple(ClusterSize(name=name, region=name.partition("-")[0]) for name in files.default_cluster_names(count))


def parse_size(text: str) -> ClusterSize:
    """Read `NAME[,nodes=N][,cpu=Q][,memory=Q][,region=R][,zone=Z]`; raises FedstateError naming the part that is wrong."""
    name, *settings = text.split(",")
    known = {"nodes", "cpu", "memory", "region", "zone"}
    values: dict[str, str] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if key not in known or not equals or not value:
            raise FedstateError(f"--cluster {text!r}: {setting!r} is none of {', '.join(f'{k}=…' for k in sorted(known))}")
        values[key] = value
    for key in ("cpu", "memory"):
        if key in values:
            _require_quantity(text, key, values[key])
    asked = tuple(values)
    nodes = values.pop("nodes", "2")
    if not nodes.isdigit() or not 1 <= int(nodes) <= 50:
        raise FedstateError(f"--cluster {text!r}: nodes={nodes} should be a number from 1 to 50")
    if (
        not name
        or not all(c.isascii() and (c.isalnum() or c == "-") for c in name)
        or name != name.lower()
        or name == CONTROL_PLANE
    ):
        raise FedstateError(
            f"--cluster {text!r}: the name may have lower-case letters, digits and dashes, and not be {CONTROL_PLANE!r}"
        )
    return ClusterSize(name=name, nodes=int(nodes), asked=asked, **values)


def create(layout: Layout, wanted: Wanted) -> InstanceSpec:
    """Write all files of a new instance, or return the one that is there already, with its data, clusters, and ports where they are free."""
    if layout.state.exists():
        return _existing(layout, wanted)
    if wanted.engine == "kubernetes":
        require_assets()
    sizes = wanted.clusters or default_sizes(DEFAULT_CLUSTERS)
    names = [size.name for size in sizes]
    if len(set(names)) != len(names):
        raise FedstateError(f"--cluster: every name once, please (got {', '.join(names)})")
    network = free_network()
    ports = free_ports(1 + len(names))
    vips = [files.vip_of(network, index) for index in range(1, 1 + len(names))]
    pki = ensure_pki(layout.directory / "pki", ["127.0.0.1", "localhost", "kubernetes.default.svc", *dict.fromkeys(vips)])

    def spec(name: str, port: int) -> ClusterSpec:
        return ClusterSpec(
            name=name, role="control-plane", engine=wanted.engine or "embedded", data_dir=str(layout.cluster(name)), port=port,
            admin_token=secrets.token_urlsafe(24), ca_cert=str(pki.ca_cert), tls_cert=str(pki.tls_cert), tls_key=str(pki.tls_key),
        )  # fmt: skip

    specs = [spec(CONTROL_PLANE, ports[0])]
    for index, size in enumerate(sizes, start=1):
        specs.append(_member(spec(size.name, ports[index]), size, index, network, wanted))
    for each in specs:
        write_spec(each)
    instance = _instance(wanted, specs[0].engine, network, names)
    _write_kubeconfig(layout, instance, specs)
    _write_profile(layout, specs)
    files.write_instance(layout, instance)
    return instance


def cluster_specs(layout: Layout, instance: InstanceSpec) -> dict[str, ClusterSpec]:
    """The control plane's and every member's spec, by name, the control plane first."""
    return {name: read_spec(layout.cluster(name) / "cluster.json") for name in (CONTROL_PLANE, *instance.clusters)}


def require_same(layout: Layout, instance: InstanceSpec, *, engine: Engine | None, clusters: Sequence[ClusterSize]) -> None:
    """Raises FedstateError with the fix if an instance that is there has other clusters or another engine than asked for, if asked."""
    asked = [size.name for size in clusters]
    if asked and asked != instance.clusters or engine not in (None, instance.engine):
        there = f"exists with clusters {', '.join(instance.clusters)} on engine {instance.engine}"
        raise FedstateError(f"local instance {instance.name!r} {there}: {_other_way(instance)}")
    specs = cluster_specs(layout, instance)
    for size in clusters:
        has = _size_of(specs[size.name])
        different = [f"{name}={getattr(has, name)}" for name in size.asked if _amount(has, name) != _amount(size, name)]
        if different:
            there = f"exists, and its cluster {size.name} has {', '.join(different)}"
            raise FedstateError(f"local instance {instance.name!r} {there}: {_other_way(instance)}")


def _amount(size: ClusterSize, name: str) -> object:
    """One thing about a size, so that 4 and 4000m are the same."""
    value = getattr(size, name)
    return parse_quantity(value) if name in ("cpu", "memory") else value


def _other_way(instance: InstanceSpec) -> str:
    return f"`fedstate local down --name {instance.name}` removes it, or choose another --name"


def _size_of(spec: ClusterSpec) -> ClusterSize:
    first = spec.nodes[0]
    return ClusterSize(
        name=spec.name, nodes=len(spec.nodes), cpu=first.cpu, memory=first.memory, region=spec.region, zone=spec.zone
    )


def _existing(layout: Layout, wanted: Wanted) -> InstanceSpec:
    instance = files.read_instance(layout)
    require_same(layout, instance, engine=wanted.engine, clusters=wanted.clusters)
    if instance.engine == "kubernetes":
        require_assets()
    specs = _renewed(list(cluster_specs(layout, instance).values()), wanted)
    for spec in specs:
        write_spec(spec)
    _write_kubeconfig(layout, instance, specs)
    _write_profile(layout, specs)
    ports = same_or_free([operator.http_port for operator in instance.operators], first=OPERATOR_FIRST_PORT)
    operators = [msgspec.structs.replace(o, http_port=port) for o, port in zip(instance.operators, ports, strict=True)]
    instance = msgspec.structs.replace(
        instance, operators=operators, mongod=str(wanted.mongod), mongod_version=wanted.mongod_version
    )
    files.write_instance(layout, instance)
    return instance


def _renewed(specs: list[ClusterSpec], wanted: Wanted) -> list[ClusterSpec]:
    """What may differ from one start to the next: a port that somebody else has taken, the mongod, storage classes."""
    renewed = []
    for spec, port in zip(specs, same_or_free([spec.port for spec in specs], first=FIRST_PORT), strict=True):
        fresh = msgspec.structs.replace(spec, port=port)
        if spec.role == "member":
            any_class = spec.any_storage_class or wanted.any_storage_class
            fresh = msgspec.structs.replace(fresh, mongod=str(wanted.mongod), any_storage_class=any_class)
        renewed.append(fresh)
    return renewed


def _member(base: ClusterSpec, size: ClusterSize, index: int, network: int, wanted: Wanted) -> ClusterSpec:
    nodes = [
        NodeSpec(
            name=f"{size.name}-node-{number}", cpu=size.cpu, memory=size.memory,
            labels={"topology.kubernetes.io/region": size.region or size.name, "topology.kubernetes.io/zone": size.zone or f"{size.name}a"},
        )
        for number in range(1, size.nodes + 1)
    ]  # fmt: skip
    low = 30000 if network else 30000 + (index - 1) * 500
    return ClusterSpec(
        name=base.name, role="member", engine=base.engine, data_dir=base.data_dir, port=base.port, vip=files.vip_of(network, index),
        pod_prefix=files.pod_prefix_of(network, index), region=size.region, zone=size.zone, provider="local", nodes=nodes,
        mongod=str(wanted.mongod), any_storage_class=wanted.any_storage_class, admin_token=base.admin_token,
        node_ports=(low, 32767 if network else low + 499), ca_cert=base.ca_cert, tls_cert=base.tls_cert, tls_key=base.tls_key,
    )  # fmt: skip


def _instance(wanted: Wanted, engine: Engine, network: int, names: list[str]) -> InstanceSpec:
    ports = free_ports(1 + len(names), first=OPERATOR_FIRST_PORT)
    operators = [OperatorSpec(cluster=CONTROL_PLANE, role="control-plane", http_port=ports[0])]
    operators += [OperatorSpec(cluster=name, role="member", http_port=port) for name, port in zip(names, ports[1:], strict=True)]
    return InstanceSpec(
        name=wanted.name, version=__version__, engine=engine, network=network, clusters=names, operators=operators,
        mongod=str(wanted.mongod), mongod_version=wanted.mongod_version,
    )  # fmt: skip


def _write_kubeconfig(layout: Layout, instance: InstanceSpec, specs: list[ClusterSpec]) -> None:
    servers = {
        files.context_of(spec.name, instance=instance.name): (spec.server, spec.ca_cert, spec.admin_token) for spec in specs
    }
    layout.kubeconfig.touch(mode=0o600)
    layout.kubeconfig.write_text(files.kubeconfig_text(servers, current=files.context_of(CONTROL_PLANE, instance=instance.name)))


def _write_profile(layout: Layout, specs: Sequence[ClusterSpec]) -> None:
    if any(spec.any_storage_class for spec in specs):
        layout.scheduler_profile.write_text(ANY_CLASS_PROFILE)


def _require_quantity(text: str, key: str, value: str) -> None:
    try:
        positive = parse_quantity(value) > 0
    except ValueError:
        positive = False
    if not positive:
        raise FedstateError(f"--cluster {text!r}: {key}={value} is not a quantity like 4, 500m or 8Gi")
