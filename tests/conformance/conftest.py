"""Every case here is asked of both API servers."""

from __future__ import annotations

from typing import Any

from fedstate.kube.objects import KubeObject
from tests.servers import Server as Server
from tests.servers import client as client
from tests.servers import kubectl as kubectl
from tests.servers import namespace as namespace
from tests.servers import server as server


def config_map(name: str, namespace: str, data: dict[str, str] | None = None, **metadata: Any) -> KubeObject:
    """A ConfigMap to try things with."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "data": data or {},
    }
