"""Two API servers to ask the same of, for whole packages of tests: the embedded one always, a real kube-apiserver where there is one.

A conftest imports the fixtures it wants.
"""

from __future__ import annotations

import itertools
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fedstate.kube.client import KubeClient
from fedstate.kube.config import cluster_config_from
from fedstate.kube.resources import NAMESPACES
from fedstate.local.kubernetes import find_assets
from fedstate.local.layout import kubeconfig_text
from fedstate.local.pki import ensure_pki
from fedstate.local.ports import any_free_port
from fedstate.local.processes import die_with_parent
from fedstate.local.spec import ClusterSpec, Engine, write_spec
from tests.e2e.system import kubectl_path

START_SECONDS = 60.0
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Server:
    """One running cluster without nodes: API server and the controllers that belong to it."""

    spec: ClusterSpec
    kubeconfig: Path

    def client(self, token: str | None = None) -> KubeClient:
        """A client, to be entered; with the administrator's token unless another is given."""
        ca = Path(self.spec.ca_cert).read_bytes()
        return KubeClient(
            cluster_config_from(self.spec.server, ca, self.spec.admin_token if token is None else token), field_manager="test"
        )

    def kubectl(
        self, *arguments: str, stdin: str = "", check: bool = True, timeout: float = 15.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a real kubectl; with `check` a failure fails the test and shows what kubectl said."""
        answer = subprocess.run(
            [kubectl_path(), "--kubeconfig", str(self.kubeconfig), *arguments],
            input=stdin, capture_output=True, text=True, timeout=timeout, check=False,
            env={**os.environ, "KUBECONFIG": "", "KUBECACHEDIR": str(self.kubeconfig.parent / "cache"), "KUBECTL_EXTERNAL_DIFF": "diff -u"},
        )  # fmt: skip
        if check:
            assert answer.returncode == 0, f"kubectl {' '.join(arguments)}: {answer.stderr}{answer.stdout}"
        return answer


def _start(directory: Path, engine: Engine) -> tuple[Server, subprocess.Popen[bytes]]:
    pki = ensure_pki(directory / "pki", ["127.0.0.1", "localhost"])
    port = any_free_port()
    spec = ClusterSpec(
        name="conformance", role="member", engine=engine, data_dir=str(directory / "cluster"), port=port, admin_token=secrets.token_urlsafe(),
        vip="127.0.0.1", ca_cert=str(pki.ca_cert), tls_cert=str(pki.tls_cert), tls_key=str(pki.tls_key),
    )  # fmt: skip
    path = write_spec(spec)
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(kubeconfig_text({"c": (spec.server, spec.ca_cert, spec.admin_token)}, current="c"))
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fedstate.local.cluster", str(path)],
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=die_with_parent(),
        )  # fmt: skip
    return Server(spec, kubeconfig), process


def _wait_ready(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while server.kubectl("get", "--raw", "/readyz", check=False).stdout != "ok":
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.1)
    while server.kubectl("get", "namespace", "default", check=False).returncode != 0:
        assert time.monotonic() < deadline, "no default namespace"
        time.sleep(0.1)


@pytest.fixture(scope="session", params=["embedded", pytest.param("kubernetes", marks=pytest.mark.kubernetes)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server under test, started once."""
    engine: Engine = request.param
    if engine == "kubernetes" and find_assets() is None:
        pytest.skip("no etcd and kube-apiserver: KUBEBUILDER_ASSETS is not set")
    directory = tmp_path_factory.mktemp(engine)
    server, process = _start(directory, engine)
    try:
        _wait_ready(server, process, directory / "log")
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[KubeClient]:
    """A client with the administrator's rights."""
    async with server.client() as client:
        yield client


@pytest.fixture
async def namespace(client: KubeClient) -> str:
    """A namespace of the test's own; left behind, for to end one takes a real server seconds."""
    name = f"t{next(_numbers)}-{secrets.token_hex(3)}"
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name


@pytest.fixture
def kubectl(server: Server) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A real kubectl against the server under test."""
    return server.kubectl
