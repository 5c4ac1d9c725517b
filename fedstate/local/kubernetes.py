"""The `kubernetes` engine: a real etcd, kube-apiserver and kube-controller-manager as child processes. Knows only how they are started."""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fedstate.errors import FedstateError
from fedstate.local import processes
from fedstate.local.layout import any_free_port
from fedstate.local.spec import ClusterSpec

START_TIMEOUT = 60.0
CONVENTIONAL_ASSETS = Path("/usr/local/kubebuilder/bin")
CONTROLLERS = {
    "control-plane": "garbage-collector-controller,namespace-controller,serviceaccount-controller,root-ca-certificate-publisher-controller",
    "member": (
        "garbage-collector-controller,namespace-controller,serviceaccount-controller,root-ca-certificate-publisher-controller,"
        "statefulset-controller,persistentvolume-binder-controller,disruption-controller,"
        "persistentvolumeclaim-protection-controller,persistentvolume-protection-controller"
    ),
}


def find_assets() -> Path | None:
    """The directory with `etcd` and `kube-apiserver`: `KUBEBUILDER_ASSETS`, else the conventional one; None if neither has both."""
    for candidate in (os.environ.get("KUBEBUILDER_ASSETS"), CONVENTIONAL_ASSETS):
        if candidate and all((Path(candidate) / name).exists() for name in ("etcd", "kube-apiserver")):
            return Path(candidate)
    return None


class KubernetesEngine:
    """Runs one cluster's real control plane; `start` returns when it answers, `stop` when all of it has ended."""

    def __init__(self, spec: ClusterSpec, *, controllers: bool = True) -> None:
        self._spec = spec
        self._assets = find_assets()
        self._with_controllers = controllers
        self._directory = spec.directory / "kubernetes"
        self._children: list[asyncio.subprocess.Process] = []

    @property
    def has_controllers(self) -> bool:
        """Whether a kube-controller-manager runs; `setup-envtest` does not bring one, then the embedded controllers do its work."""
        return self._with_controllers and self._assets is not None and (self._assets / "kube-controller-manager").exists()

    async def start(self) -> None:
        """Start everything and wait until the API server is ready; raises FedstateError with the end of its log if it is not in time."""
        if self._assets is None:
            raise FedstateError(
                f"engine 'kubernetes' needs etcd and kube-apiserver: set KUBEBUILDER_ASSETS to their directory (looked in {CONVENTIONAL_ASSETS} too)"
            )
        self._directory.mkdir(parents=True, exist_ok=True)
        self._write_files()
        etcd_port, peer_port = any_free_port(), any_free_port()
        await self._spawn("etcd", self._etcd_flags(etcd_port, peer_port))
        await self._spawn("kube-apiserver", self._apiserver_flags(etcd_port))
        await self._wait_ready()
        if self.has_controllers:
            await self._spawn("kube-controller-manager", self._controller_flags())

    async def stop(self) -> None:
        """End the processes, the last started first."""
        for child in reversed(self._children):
            await processes.stop(child, grace=5.0)
        self._children.clear()

    async def run(self) -> None:
        """Return never; raise as soon as one of the processes has ended, for a cluster without one of them is not one."""
        done, pending = await asyncio.wait(
            [asyncio.ensure_future(child.wait()) for child in self._children], return_when=asyncio.FIRST_COMPLETED
        )
        for task in pending:
            task.cancel()
        raise FedstateError(
            f"cluster {self._spec.name}: a control plane process ended (exit {[t.result() for t in done]}), see its log"
        )

    async def _spawn(self, name: str, flags: list[str]) -> None:
        assert self._assets is not None
        argv = [str(self._assets / name), *flags]
        record = self._directory / f"{name}.pid"
        self._children.append(await processes.spawn(name, argv, log=self._log(name), record=record))

    def _log(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def _etcd_flags(self, port: int, peer_port: int) -> list[str]:
        client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
        return [
            f"--data-dir={self._directory / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def _apiserver_flags(self, etcd_port: int) -> list[str]:
        spec = self._spec
        return [
            f"--etcd-servers=http://127.0.0.1:{etcd_port}",
            f"--bind-address={spec.host}",
            f"--advertise-address={spec.host}",
            f"--secure-port={spec.port}",
            f"--tls-cert-file={spec.tls_cert}",
            f"--tls-private-key-file={spec.tls_key}",
            f"--cert-dir={self._directory}",
            f"--token-auth-file={self._directory / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={self._directory / 'service-account.key'}",
            f"--service-account-key-file={self._directory / 'service-account.key'}",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--service-node-port-range={spec.node_ports[0]}-{spec.node_ports[1]}",
            "--endpoint-reconciler-type=none",
            "--disable-admission-plugins=ServiceAccount,DefaultTolerationSeconds,TaintNodesByCondition",
            "--profiling=false",
            "--kubelet-preferred-address-types=InternalIP",
            "--watch-cache=true",
        ]

    def _controller_flags(self) -> list[str]:
        kubeconfig = self._directory / "controller-manager.kubeconfig"
        return [
            f"--kubeconfig={kubeconfig}",
            f"--controllers={CONTROLLERS[self._spec.role]}",
            "--leader-elect=false",
            "--secure-port=0",
            f"--root-ca-file={self._spec.ca_cert}",
            "--kube-api-qps=100",
            "--kube-api-burst=200",
            "--pvclaimbinder-sync-period=5s",
        ]

    def _write_files(self) -> None:
        spec = self._spec
        _write_private(self._directory / "tokens.csv", f'{spec.admin_token},admin,admin,"system:masters"\n')
        key = self._directory / "service-account.key"
        if not key.exists():
            private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            pem = private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
            )
            _write_private(key, pem.decode())
        _write_private(
            self._directory / "controller-manager.kubeconfig",
            f"""apiVersion: v1
kind: Config
current-context: local
clusters: [{{name: local, cluster: {{server: "{spec.server}", certificate-authority: "{spec.ca_cert}"}}}}]
users: [{{name: local, user: {{token: "{spec.admin_token}"}}}}]
contexts: [{{name: local, context: {{cluster: local, user: local}}}}]
""",
        )

    async def _wait_ready(self) -> None:
        context = await asyncio.to_thread(ssl.create_default_context, cafile=self._spec.ca_cert)
        headers = {"Authorization": f"Bearer {self._spec.admin_token}"}
        try:
            async with asyncio.timeout(START_TIMEOUT), AsyncExitStack() as stack:
                session = await stack.enter_async_context(aiohttp.ClientSession(headers=headers))
                while not await self._answers(session, context):
                    self._require_running()
                    await asyncio.sleep(0.1)  # its readiness can only be asked for
        except TimeoutError:
            log = self._log("kube-apiserver")
            raise FedstateError(
                f"kube-apiserver of {self._spec.name} was not ready in {START_TIMEOUT:.0f} s, see {log}"
            ) from None

    async def _answers(self, session: aiohttp.ClientSession, context: ssl.SSLContext) -> bool:
        try:
            async with session.get(f"{self._spec.server}/readyz", ssl=context) as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    def _require_running(self) -> None:
        for child in self._children:
            if child.returncode is not None:
                raise FedstateError(
                    f"cluster {self._spec.name}: a control plane process ended with {child.returncode}, see {self._directory}"
                )


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
