"""A whole local system for the end-to-end tests, driven as a user does: by the `fedstate` command, kubectl and a plain MongoDB client."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedstate.api.naming import MULTI_CLOUD_MONGODBS
from fedstate.kube.client import KubeClient
from fedstate.kube.objects import KubeObject
from fedstate.local import create, demo, install
from fedstate.local.layout import CONTROL_PLANE, InstanceSpec, Layout, context_of, read_instance
from fedstate.local.spec import ClusterSpec

HEALTHY = 120.0


def kubectl_path() -> str:
    """kubectl from PATH, else the one that PyPI brings."""
    beside = Path(sys.executable).parent / "kubectl"
    found = shutil.which("kubectl") or (str(beside) if beside.exists() else None)
    assert found, "no kubectl on PATH or in the environment"
    return found


@dataclass(frozen=True, slots=True)
class System:
    """A running local instance."""

    layout: Layout
    environment: Mapping[str, str]

    @property
    def instance(self) -> InstanceSpec:
        return read_instance(self.layout)

    @property
    def specs(self) -> dict[str, ClusterSpec]:
        return create.cluster_specs(self.layout, self.instance)

    def control_plane(self) -> KubeClient:
        """A client of the control plane, to be entered."""
        return install.client_of(self.specs[CONTROL_PLANE])

    def member(self, name: str) -> KubeClient:
        """A client of a member cluster, to be entered."""
        return install.client_of(self.specs[name])

    async def fedstate(self, *arguments: str) -> str:
        """Run `fedstate local …` against this instance; its standard output."""
        argv = [sys.executable, "-m", "fedstate", "local", *arguments]
        return await _run(argv, self.environment)

    async def explain(self, name: str, namespace: str, *arguments: str) -> KubeObject:
        """`fedstate explain-placement -o json`."""
        context = context_of(CONTROL_PLANE, instance=self.instance.name)
        argv = [sys.executable, "-m", "fedstate", "explain-placement", name, "-n", namespace, "-o", "json", *arguments]
        argv += ["--kubeconfig", str(self.layout.kubeconfig), "--context", context]
        found: KubeObject = json.loads(await _run(argv, self.environment))
        return found

    async def kubectl(self, *arguments: str, cluster: str = CONTROL_PLANE, stdin: str = "") -> str:
        """Run a real kubectl against a cluster; its standard output."""
        context = context_of(cluster, instance=self.instance.name)
        argv = [kubectl_path(), "--kubeconfig", str(self.layout.kubeconfig), "--context", context, *arguments]
        return await _run(argv, self.environment, stdin)

    async def wait_healthy(self, name: str, namespace: str, members: int) -> KubeObject:
        """Wait until the instance's status says that it is well."""
        async with self.control_plane() as client:
            return await demo.wait_healthy(client, namespace=namespace, name=name, members=members, timeout=HEALTHY)

    async def get(self, name: str, namespace: str) -> KubeObject:
        """The instance as it is now."""
        async with self.control_plane() as client:
            return await client.get(MULTI_CLOUD_MONGODBS, name, namespace)

    async def uri(self, instance: KubeObject) -> str:
        """The administrator's connection string through `status.externalAddr`."""
        async with self.control_plane() as client:
            return await demo.uri_of(client, instance)


async def _run(argv: Sequence[str], environment: Mapping[str, str], stdin: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        *argv, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, errors = await process.communicate(stdin.encode())
    if process.returncode != 0:
        raise AssertionError(f"{' '.join(argv[-6:])} ended with {process.returncode}:\n{errors.decode()}\n{output.decode()}")
    return output.decode()


def environment_of(home: Path) -> dict[str, str]:
    """The environment of a machine on which nobody has used FedState before."""
    return {**os.environ, "FEDSTATE_HOME": str(home), "NO_COLOR": "1"}


@asynccontextmanager
async def running_system(home: Path, *arguments: str) -> AsyncIterator[System]:
    """`fedstate local up --detach`; at the end `local down`, after which nothing is left."""
    system = System(Layout(home / "local" / "default"), environment_of(home))
    try:
        await system.fedstate("up", "--detach", *arguments)
        yield system
    finally:
        await system.fedstate("down")
    assert not system.layout.directory.exists()


def dump(value: Any) -> str:
    """For the messages of failed assertions."""
    return json.dumps(value, indent=1, default=str)[:4000]
