"""Control planes to schedule on: API servers in processes of their own, with the kinds that the scheduler reads.

Measures nothing. `python -m benchmarks.scheduler_e2e` is what they are for.
"""

import asyncio
import contextlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import yaml

from benchmarks.clients import in_flight
from benchmarks.load import LABEL, PARALLEL
from fedstate.api.karmada import CLUSTERS
from fedstate.api.naming import MONGODBS, MULTI_CLOUD_MONGODBS
from fedstate.kube.client import KubeClient
from fedstate.kube.config import load_kubeconfig
from fedstate.kube.errors import AlreadyExists, NotFound, ServerError, TransportError
from fedstate.kube.objects import KubeObject, name_of, namespace_of
from fedstate.kube.resources import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, Resource
from fedstate.local.karmada import install_crds
from fedstate.local.kubernetes import KubernetesEngine, require_assets
from fedstate.local.layout import kubeconfig_text
from fedstate.local.pki import Pki, ensure_pki
from fedstate.local.ports import any_free_port
from fedstate.local.spec import ClusterSpec

ROOT = Path(__file__).parents[1]
NAMESPACE = "fedstate-bench"
TOKEN = "bench"
SELECTOR = ",".join(f"{key}={value}" for key, value in LABEL.items())
UNTIL_READY = 60.0

Holds = Callable[[], bool]


@asynccontextmanager
async def embedded() -> AsyncIterator[Path]:
    """The kubeconfig of local mode's own API server."""
    with tempfile.TemporaryDirectory(prefix="fedstate-bench-") as name:
        directory, port = Path(name), any_free_port()
        pki = ensure_pki(directory / "pki", ["127.0.0.1", "localhost"])
        argv = ["-m", "fedstate.local.apiserver", f"--database={directory / 'store.db'}", f"--port={port}"]
        argv += [f"--cert={pki.tls_cert}", f"--key={pki.tls_key}", f"--token={TOKEN}"]
        async with child(argv, directory / "apiserver.log"):
            kubeconfig = _kubeconfig(directory, port, pki)
            await _prepare(kubeconfig)
            yield kubeconfig


def version_of_assets() -> str:
    """Of the kube-apiserver that `kubernetes` starts."""
    said = subprocess.run([require_assets() / "kube-apiserver", "--version"], capture_output=True, text=True, check=True)
    return said.stdout.split()[-1]


@asynccontextmanager
async def standin(clusters: int) -> AsyncIterator[Path]:
    """The kubeconfig of the stand-in, which has so many clusters."""
    with tempfile.TemporaryDirectory(prefix="fedstate-bench-") as name:
        directory, port = Path(name), any_free_port()
        pki = ensure_pki(directory / "pki", ["127.0.0.1", "localhost"])
        argv = ["-m", "benchmarks.standin", f"--clusters={clusters}", f"--port={port}"]
        async with child([*argv, f"--cert={pki.tls_cert}", f"--key={pki.tls_key}"], directory / "standin.log"):
            kubeconfig = _kubeconfig(directory, port, pki)
            async with asyncio.timeout(UNTIL_READY), KubeClient(await load_kubeconfig(str(kubeconfig))) as client:
                await _patiently(lambda: client.text("/version"))
            yield kubeconfig


@asynccontextmanager
async def kubernetes() -> AsyncIterator[Path]:
    """The kubeconfig of an etcd and a kube-apiserver."""
    with tempfile.TemporaryDirectory(prefix="fedstate-bench-") as name:
        directory, port = Path(name), any_free_port()
        pki = ensure_pki(directory / "pki", ["127.0.0.1", "localhost"])
        spec = ClusterSpec(
            name="bench",
            role="control-plane",
            engine="kubernetes",
            data_dir=str(directory),
            port=port,
            admin_token=TOKEN,
            ca_cert=str(pki.ca_cert),
            tls_cert=str(pki.tls_cert),
            tls_key=str(pki.tls_key),
        )
        engine = KubernetesEngine(spec, controllers=False)
        try:
            await engine.start()
            kubeconfig = _kubeconfig(directory, port, pki)
            await _prepare(kubeconfig)
            yield kubeconfig
        finally:
            await engine.stop()


@asynccontextmanager
async def given(kubeconfig: Path) -> AsyncIterator[Path]:
    """An API server of somebody else's, on which the kinds have to be already; what is put there goes with the block."""
    async with KubeClient(await load_kubeconfig(str(kubeconfig))) as client:
        for resource in (CLUSTERS, MULTI_CLOUD_MONGODBS):
            await client.list(resource, limit=1)
        with contextlib.suppress(AlreadyExists):
            await client.create(NAMESPACES, _namespace())
        try:
            yield kubeconfig
        finally:
            await remove(client, MULTI_CLOUD_MONGODBS)
            await remove(client, CLUSTERS)
            await client.delete(NAMESPACES, NAMESPACE)


async def remove(client: KubeClient, resource: Resource) -> None:
    """Everything of the kind that a benchmark has put there."""
    found = await client.list_all(resource, label_selector=SELECTOR)

    async def one(number: int) -> None:
        with contextlib.suppress(NotFound):
            await client.delete(resource, name_of(found[number]), namespace=namespace_of(found[number]))

    await in_flight(len(found), PARALLEL, one)


async def put_clusters(client: KubeClient, count: int) -> None:
    """Member clusters that are Ready, have resources, serve our kind, and lie in 20 regions of 3 providers."""

    async def one(number: int) -> None:
        wanted = cluster(number)
        made = await client.create(CLUSTERS, {**wanted, "status": {}})
        await client.replace(CLUSTERS, {**made, "status": wanted["status"]}, subresource="status")

    await in_flight(count, PARALLEL, one)


def cluster(number: int) -> KubeObject:
    size = 64 * (1, 2, 4)[number % 3]
    kinds = [{"groupVersion": MONGODBS.api_version, "resources": [{"kind": MONGODBS.kind, "name": MONGODBS.plural}]}]
    conditions = [("Ready", "ClusterReady"), ("CompleteAPIEnablements", "Complete")]
    return {
        "apiVersion": CLUSTERS.api_version,
        "kind": CLUSTERS.kind,
        "metadata": {"name": f"bench-{number:04}", "labels": {**LABEL, "vip": f"bench-{number:04}.example.com"}},
        "spec": {"syncMode": "Push", "region": f"region-{number % 20}", "provider": f"provider-{number % 3}"},
        "status": {
            "kubernetesVersion": "v1.34.0",
            "apiEnablements": kinds,
            "conditions": [
                {"type": type, "status": "True", "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
                for type, reason in conditions
            ],
            "nodeSummary": {"totalNum": size // 16, "readyNum": size // 16},
            "resourceSummary": {
                "allocatable": {"cpu": str(size), "memory": f"{4 * size}Gi", "pods": "1100"},
                "allocated": {"cpu": str(size * (number % 10) // 20), "memory": f"{size}Gi", "pods": "60"},
            },
        },
    }


def instance(name: str, number: int) -> KubeObject:
    """One of a few sizes, as instances are in life."""
    cpu, memory = (("500m", "1Gi"), ("1", "4Gi"), ("2", "8Gi"))[number % 3]
    return {
        "apiVersion": MULTI_CLOUD_MONGODBS.api_version,
        "kind": MULTI_CLOUD_MONGODBS.kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": dict(LABEL)},
        "spec": {
            "replicaset": (3, 3, 5, 1, 7)[number % 5],
            "resource": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": cpu, "memory": memory}},
            "storage": {"storageSize": "10Gi"},
        },
    }


@asynccontextmanager
async def child(argv: Sequence[str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of this interpreter that ends with the block."""
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(sys.executable, *argv, stdout=file, stderr=file, cwd=ROOT)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def answers(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    """Returns when a GET there is answered with 200; shows the log of the process if it ends before."""
    async with asyncio.timeout(UNTIL_READY):
        while True:
            if process.returncode is not None:
                raise SystemExit(f"a process has ended:\n{log.read_text()[-3000:]}")
            with contextlib.suppress(urllib.error.URLError, OSError):
                await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).close())
                return
            await asyncio.sleep(0.1)


async def _prepare(kubeconfig: Path) -> None:
    """Our kinds, Karmada's, and the namespace, all of them served."""
    async with asyncio.timeout(UNTIL_READY), KubeClient(await load_kubeconfig(str(kubeconfig))) as client:
        await _patiently(lambda: client.text("/readyz"))
        for file in sorted((ROOT / "manifests/crds").glob("*.yaml")):
            await client.apply(CUSTOM_RESOURCE_DEFINITIONS, yaml.safe_load(file.read_text()))
        await install_crds(client)
        await _patiently(lambda: client.list(CLUSTERS, limit=1))
        await _patiently(lambda: client.list(MULTI_CLOUD_MONGODBS, limit=1))
        await _patiently(lambda: client.create(NAMESPACES, _namespace()))


async def _patiently(request: Callable[[], Awaitable[object]]) -> None:
    """A server that has just begun, or has just been told of a kind, takes a moment."""
    while True:
        with contextlib.suppress(TransportError, NotFound, ServerError):
            await request()
            return
        await asyncio.sleep(0.1)


def _namespace() -> KubeObject:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": dict(LABEL)}}


def _kubeconfig(directory: Path, port: int, pki: Pki) -> Path:
    file = directory / "kubeconfig"
    file.write_text(kubeconfig_text({"bench": (f"https://127.0.0.1:{port}", str(pki.ca_cert), TOKEN)}, current="bench"))
    return file
