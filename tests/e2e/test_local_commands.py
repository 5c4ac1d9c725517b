"""The commands of local mode as a user types them: up twice, status, kubeconfig, logs, a restart, a taken port, and every way to end it all."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedstate.local import lifecycle, processes
from fedstate.local.layout import Layout
from tests.e2e.case_system import ASSETS, documents, insert, make_namespace, no_process, processes_of, started, until
from tests.e2e.system import System, environment_of

pytestmark = [pytest.mark.e2e, pytest.mark.mongod, pytest.mark.kubectl, pytest.mark.timeout(180)]

SMALL = """
apiVersion: middleware.fedstate.io/v1alpha1
kind: MultiCloudMongoDB
metadata: {name: orders, namespace: shop}
spec:
  replicaset: 3
  resource: {requests: {cpu: 100m, memory: 128Mi}}
  storage: {storageSize: 1Gi}
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Two clusters without an instance."""
    with started(tmp_path_factory.mktemp("commands"), "--clusters", "2") as running:
        yield running


async def command(home: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """`fedstate local …`: exit status, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fedstate", "local", *arguments,
        env=environment_of(home) | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


def home_of(system: System) -> Path:
    return Path(system.environment["FEDSTATE_HOME"])


async def test_a_second_up_finds_everything_running(system: System) -> None:
    before = lifecycle.running(system.layout)
    status, _, errors = await command(home_of(system), "up", "--detach")
    assert (status, errors) == (0, f"local instance 'default' runs already, in {system.layout.directory}\n")
    status, _, errors = await command(home_of(system), "up", "--detach", "--clusters", "3")
    assert status == 1
    assert "exists with clusters eu-1, us-1 on engine embedded: `fedstate local down --name default` removes it" in errors
    assert lifecycle.running(system.layout) == before


async def test_killing_a_member_of_a_database_that_is_not_there_names_those_that_are(system: System) -> None:
    status, _, errors = await command(home_of(system), "chaos", "kill-member", "-n", "nowhere")
    assert (status, errors) == (1, "Error: namespace nowhere has no database 'orders' (--instance); it has none\n")


async def test_status_tells_machines_what_runs(system: System) -> None:
    report = json.loads(await system.fedstate("status", "-o", "json"))
    assert (report["name"], report["state"], report["engine"]) == ("default", "Running", "embedded")
    assert [(c["name"], c["ready"], c["operator"]) for c in report["clusters"]] == [
        (name, "yes", "running") for name in ("control-plane", "eu-1", "us-1")
    ]
    assert report["instances"] == []
    table = await system.fedstate("status")
    assert "local instance default: Running" in table
    assert "us-1" in table


async def test_kubectl_uses_the_kubeconfig_of_a_member(system: System, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(await system.fedstate("kubeconfig", "eu-1"))
    process = await asyncio.create_subprocess_exec(
        "kubectl", "--kubeconfig", str(file), "get", "nodes", "-o", "name", stdout=subprocess.PIPE, env=dict(system.environment)
    )
    output, _ = await process.communicate()
    assert output.decode().split() == ["node/eu-1-node-1", "node/eu-1-node-2"]
    status, _, errors = await command(home_of(system), "kubeconfig", "mars")
    assert (status, errors) == (1, "Error: no cluster 'mars': there are control-plane, eu-1, us-1\n")


async def test_logs_of_operators_and_clusters_are_there(system: System) -> None:
    lines = (await system.fedstate("logs", "--tail", "3")).splitlines()
    assert 1 <= len(lines) <= 3
    assert all(json.loads(line)["level"] for line in lines)
    assert "the API server of eu-1 answers at" in await system.fedstate("logs", "eu-1", "--of", "cluster", "--tail", "1000")


async def test_the_kubernetes_engine_without_its_programs_is_refused_in_one_sentence(tmp_path: Path) -> None:
    if (Path("/usr/local/kubebuilder/bin") / "kube-apiserver").exists():
        pytest.skip("the conventional directory has the programs")
    status, _, errors = await command(tmp_path, "up", "--engine", "kubernetes", KUBEBUILDER_ASSETS=str(ASSETS / "not-there"))
    assert status == 1
    message = "engine 'kubernetes' needs etcd and kube-apiserver: set KUBEBUILDER_ASSETS to their directory"
    assert [line for line in errors.splitlines() if line.startswith("Error")] == [errors.splitlines()[-1]]
    assert message in errors.splitlines()[-1]
    assert not (tmp_path / "local" / "default" / "state.json").exists()


async def test_a_restart_keeps_objects_and_documents_also_where_a_port_was_taken_and_down_keeps_nothing(tmp_path: Path) -> None:
    system = System(Layout(tmp_path / "local" / "default"), environment_of(tmp_path))
    try:
        await system.fedstate("up", "--detach", "--no-demo", "--clusters", "2")
        await make_namespace(system, "shop")
        await system.kubectl("apply", "-f", "-", stdin=SMALL)
        first = await system.wait_healthy("orders", "shop", 3)
        await insert(await system.uri(first), "books", "entries", [1, 2, 3])
        await system.fedstate("down", "--keep-data")
        assert processes_of(tmp_path) == []
        report = json.loads(await system.fedstate("status", "-o", "json"))
        assert report["state"] == "Stopped"

        taken = system.specs["control-plane"].port
        with socket.create_server(("127.0.0.1", taken)):
            await system.fedstate("up", "--detach", "--no-demo")
        assert system.specs["control-plane"].port != taken
        second = await system.wait_healthy("orders", "shop", 3)
        assert second["metadata"]["uid"] == first["metadata"]["uid"]
        assert second["status"]["externalAddr"] == first["status"]["externalAddr"]
        assert await documents(await system.uri(second), "books", "entries") == [1, 2, 3]

        supervisor = lifecycle.running(system.layout)
        assert supervisor is not None
        processes.kill(supervisor, group=False)
        await no_process(tmp_path)
    finally:
        await system.fedstate("down")
    assert processes_of(tmp_path) == []
    assert list((tmp_path / "local").iterdir()) == []


DICE = random.Random(20230525)  # noqa: S311 - not for secrets
PHASES = 4
"""Before the phase of the instance."""
ENDINGS = [
    (verb, number, phase, round(DICE.uniform(0.0, 4.0 if phase == PHASES else 1.0), 2))
    for verb, number, phase in [
        ("up", signal.SIGINT, 0),
        ("up", signal.SIGTERM, DICE.randint(1, PHASES)),
        ("up", signal.SIGKILL, DICE.randint(1, PHASES)),
        ("demo", signal.SIGINT, PHASES),
        ("demo", signal.SIGTERM, DICE.randint(0, PHASES - 1)),
        ("demo", signal.SIGKILL, PHASES),
    ]
]


def start(home: Path, verb: str) -> subprocess.Popen[str]:
    """`fedstate local up` or `demo` in the foreground, with a small instance; its progress is one line a phase on standard error."""
    argv = [sys.executable, "-m", "fedstate", "local", verb, "--clusters", "2", "--members", "3", "--output", "json"]
    return subprocess.Popen(
        argv, env=environment_of(home), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=heed_interrupts,
    )  # fmt: skip


def heed_interrupts() -> None:
    """What a shell starts in the background ignores SIGINT, and so would all below it: these tests may run there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(("verb", "number", "phase", "later"), ENDINGS)
async def test_however_it_is_ended_no_process_stays_and_of_a_demo_no_file(
    tmp_path: Path, verb: str, number: signal.Signals, phase: int, later: float
) -> None:
    process = start(tmp_path, verb)
    assert process.stderr is not None
    with process, process.stderr as lines:
        for _ in range(phase):
            line = await asyncio.to_thread(lines.readline)
            assert '"ok": true' in line
        time.sleep(later)  # noqa: ASYNC251 - the moment of the signal is what is tried
        process.send_signal(number)
        try:
            await asyncio.to_thread(process.wait, 60)
        finally:
            process.kill()
    await no_process(tmp_path)
    if verb == "demo":

        async def nothing() -> bool:
            return not any((tmp_path / "local").glob("*"))

        await until(nothing, 10)
        return
    await command(tmp_path, "down")
    assert not any((tmp_path / "local").glob("*"))
