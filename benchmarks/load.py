"""Where the load comes from: a server of our own in a process of its own, or any API server, with objects put there and removed.

What is put on a server of somebody else's carries LABEL or the name BENCH, is in the namespace `default`, and goes with the block.
"""

import asyncio
import base64
import contextlib
import datetime
import ipaddress
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from benchmarks.clients import in_flight
from benchmarks.payload import loose_pod
from fedstate.kube.client import KubeClient
from fedstate.kube.config import load_kubeconfig
from fedstate.kube.errors import AlreadyExists, NotFound
from fedstate.kube.objects import KubeObject, name_of, uid_of
from fedstate.kube.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, PODS, Resource

BENCH = "bench"
LABEL = {"app.kubernetes.io/part-of": "fedstate-bench"}
PARALLEL = 32
THINGS = Resource("bench.example.org", "v1", "things", "Thing")


@contextlib.contextmanager
def server(*, events: int, size: str = "full", hold: bool = False, churn: float = 0, tls: bool = False) -> Iterator[Path]:
    """A kubeconfig for our own server, which ends with the block."""
    with tempfile.TemporaryDirectory(prefix="fedstate-bench-") as name:
        directory = Path(name)
        command = [sys.executable, "-m", "benchmarks.server", "--events", str(events), "--size", size, "--churn", str(churn)]
        if hold:
            command.append("--hold")
        if tls:
            _certificate(directory)
            command += ["--tls", str(directory)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield _kubeconfig(directory, f"{'https' if tls else 'http'}://127.0.0.1:{port}", tls=tls)
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """An API server that was given: all its pods, how large they are on average, and what it is."""

    pods: int
    pod_bytes: int
    version: str

    def __str__(self) -> str:
        return f"API server {self.version}, {self.pods:,} pods of {self.pod_bytes:,} bytes on average"


@contextlib.contextmanager
def given(kubeconfig: Path, *, pods: int = 0, writes: bool = False) -> Iterator[Given]:
    """Puts so many pods, that nobody runs, onto the server; with `writes` also the ConfigMap and the custom object to patch."""
    try:
        yield asyncio.run(_put(kubeconfig, pods, writes))
    finally:
        asyncio.run(_remove(kubeconfig))


async def _put(kubeconfig: Path, pods: int, writes: bool) -> Given:
    async with KubeClient(await load_kubeconfig(str(kubeconfig))) as client:

        async def put(number: int) -> None:
            pod = loose_pod(f"fedstate-bench-{number:06}", LABEL)
            with contextlib.suppress(AlreadyExists):
                await client.create(PODS, pod)
            status = {"status": pod["status"]}
            await client.merge_patch(PODS, name_of(pod), status, namespace="default", subresource="status")

        print(f"  putting the load onto {client.server} ...", file=sys.stderr, flush=True)
        await in_flight(pods, PARALLEL, put)
        if writes:
            await _put_things(client)
        version = (await client.request("GET", "/version"))["gitVersion"]
        listed = await client.list_all(PODS) if pods else []
        size = sum(len(orjson.dumps(pod)) for pod in listed) // max(1, len(listed))
        return Given(pods=len(listed), pod_bytes=size, version=version)


async def _put_things(client: KubeClient) -> None:
    with contextlib.suppress(AlreadyExists):
        await client.create(CONFIG_MAPS, _object(CONFIG_MAPS))
    with contextlib.suppress(AlreadyExists):
        await client.create(CUSTOM_RESOURCE_DEFINITIONS, _definition())
    async with asyncio.timeout(30):
        while True:
            try:
                await client.create(THINGS, _object(THINGS))
            except NotFound:
                # The server serves a new kind a moment after it took it.
                await asyncio.sleep(0.2)
            except AlreadyExists:
                return
            else:
                return


async def _remove(kubeconfig: Path) -> None:
    async with KubeClient(await load_kubeconfig(str(kubeconfig))) as client:
        selector = ",".join(f"{key}={value}" for key, value in LABEL.items())
        pods = await client.list_all(PODS, "default", label_selector=selector)

        async def remove(number: int) -> None:
            with contextlib.suppress(NotFound):
                await client.delete(PODS, name_of(pods[number]), namespace="default", uid=uid_of(pods[number]), grace_period=0)

        await in_flight(len(pods), PARALLEL, remove)
        definition = f"{THINGS.plural}.{THINGS.group}"
        for resource, name, namespace in ((CONFIG_MAPS, BENCH, "default"), (CUSTOM_RESOURCE_DEFINITIONS, definition, "")):
            with contextlib.suppress(NotFound):
                found = await client.get(resource, name, namespace)
                if found["metadata"].get("labels") == LABEL:
                    await client.delete(resource, name, namespace=namespace, uid=uid_of(found))


def _object(resource: Resource) -> KubeObject:
    metadata = {"name": BENCH, "namespace": "default", "labels": LABEL}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}


def _definition() -> KubeObject:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": CUSTOM_RESOURCE_DEFINITIONS.api_version,
        "kind": CUSTOM_RESOURCE_DEFINITIONS.kind,
        "metadata": {"name": f"{THINGS.plural}.{THINGS.group}", "labels": LABEL},
        "spec": {
            "group": THINGS.group,
            "scope": "Namespaced",
            "names": {"plural": THINGS.plural, "singular": "thing", "kind": THINGS.kind},
            "versions": [{"name": THINGS.version, "served": True, "storage": True, "schema": schema}],
        },
    }


def _kubeconfig(directory: Path, url: str, *, tls: bool) -> Path:
    cluster: dict[str, Any] = {"server": url}
    if tls:
        cluster["certificate-authority-data"] = base64.b64encode((directory / "crt").read_bytes()).decode()
    file = directory / "kubeconfig"
    context = {"cluster": "bench", "user": "bench", "namespace": "default"}
    said = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": cluster}],
        "users": [{"name": "bench", "user": {"token": "bench"}}],
        "contexts": [{"name": "bench", "context": context}],
        "current-context": "bench",
    }
    file.write_text(json.dumps(said))
    return file


def _certificate(directory: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    made = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    (directory / "crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    (directory / "key").write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
