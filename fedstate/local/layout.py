"""Where a local instance keeps its files, and what it consists of. Pure paths and values; starts nothing."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml

from fedstate.errors import FedstateError
from fedstate.local.spec import Engine

CONTROL_PLANE = "control-plane"
REGIONS = ("eu", "us", "ap")


class OperatorSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One `fedstate run` process: for the control plane, or for one member cluster."""

    cluster: str
    role: str
    http_port: int


class InstanceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One local instance, as `state.json` in its directory keeps it."""

    name: str
    version: str
    engine: Engine
    network: int
    """Second number of the loopback addresses: member cluster i has 127.<network>.<i>.*; 0 where only 127.0.0.1 exists."""
    clusters: list[str]
    operators: list[OperatorSpec]
    mongod: str
    mongod_version: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths of one local instance."""

    directory: Path

    @property
    def state(self) -> Path:
        return self.directory / "state.json"

    @property
    def kubeconfig(self) -> Path:
        return self.directory / "kubeconfig"

    @property
    def scheduler_profile(self) -> Path:
        """The scheduler's profile, where the instance has one of its own."""
        return self.directory / "scheduler-profile.yaml"

    @property
    def phases(self) -> Path:
        """One JSON object a line: what the supervisor has reached."""
        return self.directory / "phases.jsonl"

    @property
    def owner(self) -> Path:
        """The process that an instance belongs to which is not to outlive it."""
        return self.directory / "owner.json"

    @property
    def supervisor_record(self) -> Path:
        return self.directory / "supervisor.pid"

    @property
    def supervisor_log(self) -> Path:
        return self.directory / "supervisor.log"

    def cluster(self, name: str) -> Path:
        return self.directory / name

    def cluster_record(self, name: str) -> Path:
        return self.cluster(name) / "cluster.pid"

    def cluster_log(self, name: str) -> Path:
        return self.cluster(name) / "cluster.log"

    def operator_record(self, name: str) -> Path:
        return self.cluster(name) / "operator.pid"

    def operator_log(self, name: str) -> Path:
        return self.cluster(name) / "operator.log"

    def down_marker(self, name: str) -> Path:
        """While it exists, the supervisor keeps this cluster and its operator stopped: the cluster is 'lost'."""
        return self.cluster(name) / "down"


def home() -> Path:
    """`$FEDSTATE_HOME`, else `~/.fedstate`."""
    return Path(os.environ.get("FEDSTATE_HOME") or Path.home() / ".fedstate")


def layout_of(name: str) -> Layout:
    """Paths of the local instance `name`; raises FedstateError for a name that could leave its directory."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", name):
        raise FedstateError(f"--name {name!r}: lower-case letters, digits and dashes, at most 40 characters, please")
    return Layout(home() / "local" / name)


def read_instance(layout: Layout) -> InstanceSpec:
    """What the instance consists of; raises FedstateError that says how to create it if there is none."""
    try:
        return msgspec.json.decode(layout.state.read_bytes(), type=InstanceSpec)
    except FileNotFoundError:
        raise FedstateError(f"no local instance in {layout.directory}: `fedstate local up` creates it") from None
    except msgspec.DecodeError as error:
        raise FedstateError(f"{layout.state} cannot be read ({error}): `fedstate local down` removes the instance") from error


def write_instance(layout: Layout, instance: InstanceSpec) -> None:
    """Write `state.json` in one step."""
    layout.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = layout.state.with_suffix(".tmp")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(instance)))
    temporary.replace(layout.state)


def default_cluster_names(count: int) -> list[str]:
    """`eu-1`, `us-1`, `ap-1`, `eu-2`, …"""
    return [f"{REGIONS[i % len(REGIONS)]}-{i // len(REGIONS) + 1}" for i in range(count)]


def vip_of(network: int, index: int) -> str:
    """Address of the node ports of the member cluster with this index (from 1)."""
    return f"127.{network}.{index}.1" if network else "127.0.0.1"


def pod_prefix_of(network: int, index: int) -> str:
    """First three numbers of the cluster's pod addresses, with the dot; empty where only 127.0.0.1 exists."""
    return f"127.{network}.{index}." if network else ""


def kubeconfig_text(servers: dict[str, tuple[str, str, str]], *, current: str) -> str:
    """A kubeconfig with one context per entry of `servers`: context → (URL, path of the authority's certificate, token)."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": current,
            "clusters": [
                {"name": name, "cluster": {"server": url, "certificate-authority": ca}} for name, (url, ca, _) in servers.items()
            ],
            "users": [{"name": name, "user": {"token": token}} for name, (_, _, token) in servers.items()],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in servers],
        },
        sort_keys=False,
    )


def context_of(cluster: str, *, instance: str = "default") -> str:
    """Name of a cluster's kubeconfig context: `fedstate` for the control plane, `fedstate-eu-1` for a member."""
    prefix = "fedstate" if instance == "default" else f"fedstate-{instance}"
    return prefix if cluster == CONTROL_PLANE else f"{prefix}-{cluster}"
