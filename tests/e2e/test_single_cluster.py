"""One member cluster on its own: the data plane makes databases of plain MongoDB objects while no control plane runs."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fedstate.kube.objects import KubeObject
from fedstate.local import lifecycle
from fedstate.local.layout import CONTROL_PLANE
from fedstate.local.processes import alive, kill, read_record
from fedstate.local.writer import connection_string
from tests.e2e.case_system import (
    MANIFESTS,
    condition,
    documents,
    get,
    insert,
    items,
    make_namespace,
    processes_of_pods,
    refuses,
    replica_set_status,
    started,
    until,
)
from tests.e2e.system import System, dump

pytestmark = [pytest.mark.e2e, pytest.mark.mongod, pytest.mark.kubectl, pytest.mark.timeout(180)]

SOLO = "solo"
SECONDS = 60.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """One member cluster; everything of the control plane is killed and stays down."""
    with started(tmp_path_factory.mktemp("single"), "--cluster", f"{SOLO},nodes=1") as running:
        asyncio.run(_without_control_plane(running))
        yield running


async def _without_control_plane(system: System) -> None:
    layout = system.layout
    layout.down_marker(CONTROL_PLANE).touch()
    records = [read_record(path) for path in layout.cluster(CONTROL_PLANE).rglob("*.pid")]
    for record in records:
        assert record is not None
        kill(record)
        await lifecycle.wait_ended(record, 10)
    supervisor = lifecycle.running(layout)
    assert supervisor is not None
    kill(supervisor, signal.SIGHUP, group=False)


@pytest.fixture(autouse=True)
def no_control_plane(system: System) -> Iterator[None]:
    """What a test proves, it proves without a control plane."""
    yield
    records = [read_record(path) for path in system.layout.cluster(CONTROL_PLANE).rglob("*.pid")]
    assert not [record for record in records if record is not None and alive(record)]


async def running(system: System, name: str, namespace: str, members: int) -> KubeObject:
    """Wait until the data plane says that all members serve."""

    async def rests() -> KubeObject | None:
        found = await get(system, "fmdb", name, "-n", namespace, cluster=SOLO)
        status = found.get("status", {})
        return found if status.get("state") == "Running" and status.get("readyMembers") == members else None

    found = await until(rests, SECONDS)
    assert found is not None
    return found


def uri_of(instance: KubeObject, password: str) -> str:
    addresses = ",".join(member["host"] for member in instance["status"]["members"])
    return connection_string(addresses, replica_set=instance["metadata"]["name"], user="root", password=password)


async def deleted(system: System, instance: KubeObject) -> None:
    """Delete the object, and see that nothing of it is left but its volumes."""
    name, namespace = instance["metadata"]["name"], instance["metadata"]["namespace"]
    await system.kubectl("delete", "fmdb", name, "-n", namespace, "--timeout=60s", cluster=SOLO)

    async def gone() -> bool:
        kinds = "fmdb,pods,statefulsets,services,secrets,configmaps,controllerrevisions"
        left = [o for o in await items(system, kinds, "-n", namespace, cluster=SOLO) if name in dump(o)]
        return not left and not processes_of_pods(system, namespace)

    await until(gone, 20)
    claims = await items(system, "pvc", "-n", namespace, cluster=SOLO)
    assert len(claims) == len(instance["status"]["members"])
    for claim in claims:
        assert claim["metadata"]["labels"]["middleware.fedstate.io/retained"] == "true"
        assert claim["status"]["phase"] == "Bound"
    for member in instance["status"]["members"]:
        assert await refuses(member["host"])


async def test_the_announced_single_cluster_database_works_as_it_is(system: System) -> None:
    await make_namespace(system, "single", SOLO)
    await system.kubectl("apply", "-n", "single", "-f", str(MANIFESTS / "mongodb-single-cluster.yaml"), cluster=SOLO)
    instance = await running(system, "mongodb-sample", "single", 1)
    status = instance["status"]
    for kind in ("rsInit", "userRoot", "userClusterAdmin"):
        assert {key: condition(instance, kind)[key] for key in ("status", "message")} == {
            "status": "True",
            "message": "replset-0",
        }
    assert [member["stateStr"] for member in status["replset"]] == ["PRIMARY"]
    assert status["currentRevision"].startswith("mongodb-sample-")
    uri = uri_of(instance, "123456")
    await insert(uri, "books", "entries", [1, 2])
    assert await documents(uri, "books", "entries") == [1, 2]
    row = (await system.kubectl("get", "fmdb", "-n", "single", cluster=SOLO)).splitlines()[1].split()
    assert row[:4] == ["mongodb-sample", "Running", "1", "1"]
    await deleted(system, instance)


async def test_three_members_elect_a_primary_and_show_it(system: System) -> None:
    await make_namespace(system, "three", SOLO)
    manifest = {
        "apiVersion": "middleware.fedstate.io/v1alpha1", "kind": "MongoDB", "metadata": {"name": "trio", "namespace": "three"},
        "spec": {"members": 3, "image": "mongo:6.0", "rootPassword": "a%b:c@d", "metricsExporterSpec": {"enable": False},
                 "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}, "persistence": {"storage": "1Gi"}},
    }  # fmt: skip
    await system.kubectl("apply", "-f", "-", cluster=SOLO, stdin=yaml.safe_dump(manifest))
    instance = await running(system, "trio", "three", 3)
    live = await replica_set_status(uri_of(instance, "a%b:c@d"))
    assert sorted(member["stateStr"] for member in live["members"]) == ["PRIMARY", "SECONDARY", "SECONDARY"]
    assert {m["name"]: m["stateStr"] for m in live["members"]} == {
        m["name"]: m["stateStr"] for m in instance["status"]["replset"]
    }
    await insert(uri_of(instance, "a%b:c@d"), "books", "entries", [7])
    assert "a%b:c@d" not in json.dumps(instance["status"])
    await deleted(system, instance)


async def test_a_configuration_that_is_missing_is_named_and_the_instance_goes_on_when_it_comes(
    system: System, tmp_path: Path
) -> None:
    await make_namespace(system, "custom", SOLO)
    manifest = {
        "apiVersion": "middleware.fedstate.io/v1alpha1", "kind": "MongoDB", "metadata": {"name": "tuned", "namespace": "custom"},
        "spec": {"members": 1, "customConfigRef": "mine", "metricsExporterSpec": {"enable": False}},
    }  # fmt: skip
    await system.kubectl("apply", "-f", "-", cluster=SOLO, stdin=yaml.safe_dump(manifest))

    async def stalled() -> KubeObject | None:
        found = await get(system, "fmdb", "tuned", "-n", "custom", cluster=SOLO)
        return found if condition(found, "Stalled").get("status") == "True" else None

    found = await until(stalled, SECONDS)
    assert found is not None
    said = condition(found, "Stalled")["message"]
    assert said == "spec.customConfigRef: ConfigMap mine does not exist in namespace custom; create it or remove the field"
    assert await items(system, "pods,sts,pvc", "-n", "custom", cluster=SOLO) == []
    file = tmp_path / "mongod.conf"
    file.write_text("operationProfiling: {slowOpThresholdMs: 321}\n")
    await system.kubectl("create", "configmap", "mine", "-n", "custom", f"--from-file={file}", cluster=SOLO)
    instance = await running(system, "tuned", "custom", 1)
    assert "slowOpThresholdMs: 321" in await system.kubectl(
        "get", "configmap", "tuned-mongod", "-n", "custom", "-o", "yaml", cluster=SOLO
    )
    await deleted(system, instance)
