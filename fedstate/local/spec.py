"""What one local cluster is: the file that its process is started with. Knows nothing of what runs in the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

Engine = Literal["embedded", "kubernetes"]
Role = Literal["control-plane", "member"]


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One node of a cluster; `cpu` and `memory` are Kubernetes quantities and become its capacity."""

    name: str
    cpu: str = "4"
    memory: str = "8Gi"
    labels: dict[str, str] = {}
    taints: list[dict[str, str]] = []


class ClusterSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One cluster, as its process reads it from `cluster.json` in its own directory."""

    name: str
    role: Role
    engine: Engine = "embedded"
    data_dir: str
    host: str = "127.0.0.1"
    port: int
    vip: str = ""
    """Address of the node ports, and of every node: one for the cluster, as a load balancer in front of it would have."""
    pod_prefix: str = ""
    """First three numbers of the pods' addresses, with the dot: `127.71.1.`."""
    region: str = ""
    zone: str = ""
    provider: str = ""
    nodes: list[NodeSpec] = []
    mongod: str = ""
    any_storage_class: bool = False
    node_ports: tuple[int, int] = (30000, 32767)
    """First and last node port, both included."""
    admin_token: str
    ca_cert: str
    tls_cert: str
    tls_key: str

    @property
    def directory(self) -> Path:
        """Where everything of the cluster lies."""
        return Path(self.data_dir)

    @property
    def server(self) -> str:
        """URL of the cluster's API server."""
        return f"https://{self.host}:{self.port}"


def write_spec(spec: ClusterSpec) -> Path:
    """Write `cluster.json`, readable by the owner alone, for it holds the admin's token; return its path."""
    path = spec.directory / "cluster.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(spec)))
    return path


def read_spec(path: Path) -> ClusterSpec:
    """Read a `cluster.json`; raises `msgspec.ValidationError` naming the field that is wrong."""
    return msgspec.json.decode(path.read_bytes(), type=ClusterSpec)
