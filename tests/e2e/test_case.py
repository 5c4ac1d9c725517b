"""The announcement's case, driven by kubectl: five members over two clusters, what its status shows, how it grows, shrinks and goes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from fedstate.kube.objects import KubeObject
from fedstate.local.writer import writing
from tests.e2e.case_system import (
    ENGINES,
    MANIFESTS,
    condition,
    documents,
    get,
    insert,
    items,
    make_namespace,
    manifest,
    missing_paths,
    processes_of_pods,
    refuses,
    replica_set_status,
    started,
    until,
)
from tests.e2e.system import System, dump

pytestmark = [pytest.mark.e2e, pytest.mark.mongod, pytest.mark.kubectl, pytest.mark.timeout(240)]

FIRST, SECOND = "10-29-14-21", "10-29-14-25"
NAMESPACE, NAME = "federation-mongo-operator", "multicloudmongodb-sample"
CLASS = "managed-nfs-storage"
NFS_CLASS = {
    "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": CLASS}, "provisioner": "local.fedstate.io",
}  # fmt: skip
PLACEMENT = f'{{"ClusterWithReplicaset":[{{"cluster":"{FIRST}","replicaset":4}},{{"cluster":"{SECOND}","replicaset":1}}]}}'
SECONDS = 120.0


@pytest.fixture(scope="module", params=ENGINES)
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Two clusters, the second with room for exactly one member of the announced size."""
    sizes = (f"{FIRST},nodes=2,cpu=6,memory=8Gi", f"{SECOND},nodes=1,cpu=1900m,memory=2Gi")
    arguments = [word for size in sizes for word in ("--cluster", size)]
    with started(tmp_path_factory.mktemp("case"), "--engine", request.param, *arguments) as running:
        yield running


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What was seen of the announced instance: before the storage class was there, and healthy."""

    unplaced: KubeObject
    half_made: dict[str, list[str]]
    instance: KubeObject
    members: dict[str, KubeObject]
    described: dict[str, str]
    live: dict[str, Any]


@pytest.fixture(scope="module")
def case(system: System) -> Case:
    """The announced manifest applied as it is; the storage class that it names comes after it."""
    return asyncio.run(_case(system))


async def _case(system: System) -> Case:
    await make_namespace(system, NAMESPACE)
    await system.kubectl("apply", "-n", NAMESPACE, "-f", str(MANIFESTS / "multicloudmongodb-case.yaml"))

    async def unplaced() -> KubeObject | None:
        found = await get(system, "mcm", NAME, "-n", NAMESPACE)
        return found if condition(found, "Scheduled").get("reason") == "NoFeasibleCluster" else None

    seen = await until(unplaced, SECONDS)
    assert seen is not None
    half_made = {
        cluster: [
            f"{o['kind']}/{o['metadata']['name']}"
            for o in await items(system, "pods,sts,svc,pvc", "-n", NAMESPACE, cluster=cluster)
        ]
        for cluster in (FIRST, SECOND)
    }

    async def small_one_has_it() -> bool:
        clusters = (await system.explain(NAME, NAMESPACE))["clusters"]
        return any(cluster["cluster"] == SECOND and cluster["feasible"] for cluster in clusters)

    # The small cluster first: as soon as the large one has the class, all members would fit there.
    await system.kubectl("apply", "-f", "-", cluster=SECOND, stdin=yaml.safe_dump(NFS_CLASS))
    await until(small_one_has_it, SECONDS)
    await system.kubectl("apply", "-f", "-", cluster=FIRST, stdin=yaml.safe_dump(NFS_CLASS))
    await system.wait_healthy(NAME, NAMESPACE, 5)
    instance = await until(lambda: at_rest(system, NAME, NAMESPACE), SECONDS)
    assert instance is not None
    return Case(
        unplaced=seen, half_made=half_made, instance=instance,
        members={cluster: await get(system, "fmdb", NAME, "-n", NAMESPACE, cluster=cluster) for cluster in (FIRST, SECOND)},
        described={cluster: await system.kubectl("describe", "pods", "-n", NAMESPACE, cluster=cluster) for cluster in (FIRST, SECOND)},
        live=dict(await replica_set_status(await system.uri(instance))),
    )  # fmt: skip


async def at_rest(system: System, name: str, namespace: str) -> KubeObject | None:
    """The instance once every data plane too says that nothing is left to do."""
    found = await get(system, "mcm", name, "-n", namespace)
    status = found["status"]
    resting = status["state"] == "Health" and all(result["state"] == "Running" for result in status["result"])
    return found if resting and condition(found, "Reconciling").get("status") == "False" else None


def test_a_storage_class_that_no_cluster_has_is_named_with_the_fix_and_nothing_is_half_made(case: Case) -> None:
    said = condition(case.unplaced, "Scheduled")["message"]
    fix = f"has no StorageClass {CLASS} (create it there, or name in spec.storage.storageClass one that it has"
    assert f"{FIRST}: {fix}" in said
    assert f"{SECOND}: {fix}" in said
    assert condition(case.unplaced, "Ready")["status"] == "False"
    assert case.half_made == {FIRST: [], SECOND: []}


def test_the_instance_has_the_announced_placement_defaults_and_finalizer(case: Case) -> None:
    announced = manifest("multicloudmongodb-case.observed.yaml")
    metadata, spec = case.instance["metadata"], case.instance["spec"]
    assert metadata["annotations"]["schedulerResult"] == PLACEMENT == announced["metadata"]["annotations"]["schedulerResult"]
    assert metadata["finalizers"] == announced["metadata"]["finalizers"]
    # No password is invented into the spec: it is in the Secret alone. The policy of the volumes is said, and keeps them; so is that
    # members may move.
    wanted = {key: value for key, value in announced["spec"].items() if key != "auth"}
    wanted["storage"] = {**wanted["storage"], "reclaimPolicy": "Retain"}
    wanted["export"] = {**wanted["export"], "enable": False}
    wanted["scheduler"] = {**wanted["scheduler"], "allowDynamicScheduler": True}
    assert spec == wanted


def test_the_status_has_every_announced_field_and_word(case: Case) -> None:
    announced = manifest("multicloudmongodb-case.observed.yaml")["status"]
    status = case.instance["status"]
    for result in announced["result"]:
        result["connectAddrWithRole"] = {}
    assert missing_paths(announced, status) == []
    for wanted in announced["conditions"]:
        seen = condition(case.instance, wanted["type"])
        assert {key: seen[key] for key in ("status", "reason", "message")} == {
            key: wanted[key] for key in ("status", "reason", "message")
        }
    assert status["state"] == "Health"
    for wanted, seen in zip(announced["result"], status["result"], strict=True):
        compared = ("applied", "cluster", "replicasetSpec", "replicasetStatus", "state")
        assert {key: seen[key] for key in compared} == {key: wanted[key] for key in compared}
        assert seen["currentRevision"].startswith(f"{NAME}-")
        assert len(seen["connectAddrWithRole"]) == wanted["replicasetSpec"]


def test_what_the_status_says_is_what_a_plain_client_sees(case: Case) -> None:
    live = {member["name"]: member["stateStr"] for member in case.live["members"]}
    status = case.instance["status"]
    roles = {address: role for result in status["result"] for address, role in result["connectAddrWithRole"].items()}
    assert roles == live
    assert sorted(live.values()) == ["PRIMARY", *["SECONDARY"] * 4]
    assert sorted(status["externalAddr"].split(",")) == sorted(live)
    assert status["primary"]["host"] == next(address for address, role in live.items() if role == "PRIMARY")
    for cluster, mongodb in case.members.items():
        shown = {member["name"]: member["stateStr"] for member in mongodb["status"]["replset"]}
        assert shown == live, f"as {cluster} shows it"


def test_the_loss_that_two_clusters_cannot_survive_is_said(case: Case) -> None:
    said = condition(case.instance, "QuorumSafe")
    assert (said["status"], said["reason"]) == ("False", "QuorumAtRisk")
    assert said["message"].startswith(f"The loss of {FIRST} would leave no majority to elect a primary; ")
    assert case.instance["status"]["survives"] == "1/2"
    assert case.instance["status"]["scheduling"]["cannotSurviveLossOf"] == [FIRST]


def test_the_member_object_has_every_announced_field(case: Case) -> None:
    announced, seen = manifest("mongodb-case.observed.yaml"), case.members[FIRST]
    # The root password stays in the Secret that Karmada brings along; the spec names it.
    del announced["spec"]["rootPassword"]
    assert seen["spec"]["rootPasswordSecretRef"] == {"name": f"{NAME}-auth", "key": "rootPassword"}
    assert missing_paths(announced["spec"], seen["spec"]) == []
    assert missing_paths(announced["status"], seen["status"]) == []
    same = (
        "image",
        "memberConfigRef",
        "members",
        "metricsExporterSpec",
        "resources",
        "rsInit",
        "type",
        "imagePullSecret",
        "dbUserSpec",
    )
    assert {key: seen["spec"][key] for key in same} == {key: announced["spec"][key] for key in same}
    assert seen["status"]["state"] == "Running"
    for kind in ("rsInit", "userRoot", "userClusterAdmin"):
        assert {key: condition(seen, kind)[key] for key in ("status", "message")} == {"status": "True", "message": "replset-0"}
    info = seen["status"]["currentInfo"]
    assert {key: info[key] for key in ("members", "resources")} == announced["status"]["currentInfo"]
    assert case.members[SECOND]["spec"]["members"] == 1
    assert case.members[SECOND]["spec"]["rsInit"] is False


def test_the_member_object_carries_what_karmada_and_the_data_plane_set(case: Case) -> None:
    announced, seen = manifest("mongodb-case.observed.yaml")["metadata"], case.members[FIRST]["metadata"]
    assert seen["finalizers"] == announced["finalizers"]
    for key, value in announced["annotations"].items():
        assert key in seen["annotations"]
        assert key == "resourcetemplate.karmada.io/uid" or seen["annotations"][key] == value
    assert seen["labels"]["app.kubernetes.io/instance"] == NAME
    vip = next(result["vip"] for result in case.instance["status"]["result"] if result["cluster"] == FIRST)
    assert seen["labels"]["app.multicloudmongodb.io/vip"] == vip
    # Karmada has since moved the names of its objects from labels to annotations; one label, resourcebinding.karmada.io/key, is gone.
    for key in (
        "propagationpolicy.karmada.io/name",
        "propagationpolicy.karmada.io/namespace",
        "work.karmada.io/namespace",
        "work.karmada.io/name",
    ):
        assert seen["annotations"][key] == announced["labels"][key]


def test_the_events_of_a_pod_say_which_mongod_stands_for_the_image(case: Case) -> None:
    for text in case.described.values():
        assert "image mongo:3.6 runs as mongod 6." in text


def small(name: str, namespace: str, members: int, **storage: str) -> str:
    """An instance that several of fit into the clusters."""
    return yaml.safe_dump(
        {
            "apiVersion": "middleware.fedstate.io/v1alpha1",
            "kind": "MultiCloudMongoDB",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "replicaset": members,
                "imageSetting": {"image": "mongo:6.0"},
                "resource": {"requests": {"cpu": "100m", "memory": "128Mi"}},
                "storage": {"storageClass": "standard", "storageSize": "1Gi", **storage},
            },
        }
    )


async def test_an_instance_scales_out_and_in_under_writes_and_loses_none(system: System) -> None:
    if system.instance.engine != "embedded":
        pytest.skip("says nothing that depends on the API server, and takes a minute")
    await make_namespace(system, "scaling")
    await system.kubectl("apply", "-f", "-", stdin=small("orders", "scaling", 5))
    healthy = await system.wait_healthy("orders", "scaling", 5)
    seen = set(healthy["status"]["externalAddr"].split(","))
    async with writing(await system.uri(healthy)) as writer:
        for members in (7, 3):
            await system.kubectl("scale", "mcm", "orders", "-n", "scaling", f"--replicas={members}")
            healthy = await system.wait_healthy("orders", "scaling", members)
            addresses = healthy["status"]["externalAddr"].split(",")
            assert len(addresses) == members
            seen |= set(addresses)
            await writer.wait_acknowledged(10)
        await until(lambda: at_rest(system, "orders", "scaling"), SECONDS)
        live = await replica_set_status(await system.uri(healthy))
        assert sorted(member["name"] for member in live["members"]) == sorted(addresses)
        assert await writer.missing() == []
        assert len(writer.acknowledged) > 20
    assert await system.kubectl("get", "mcm", "orders", "-n", "scaling", "-o", "jsonpath={.status.members}") == "3/3"
    for address in seen - set(addresses):
        assert await refuses(address), f"{address} has left the set and still answers"
    await system.kubectl("delete", "mcm", "orders", "-n", "scaling")


async def leftovers(system: System, name: str, namespace: str) -> dict[str, list[str]]:
    """Everything with the instance's name in it, by cluster, but claims, volumes and events."""
    kinds = {
        "control-plane": "mcm,fmdb,secrets,configmaps,propagationpolicies,overridepolicies,resourcebindings",
        FIRST: "fmdb,pods,statefulsets,services,secrets,configmaps,controllerrevisions",
        SECOND: "fmdb,pods,statefulsets,services,secrets,configmaps,controllerrevisions",
    }
    found = {}
    for cluster, listed in kinds.items():
        objects = await items(system, listed, "-n", namespace, cluster=cluster)
        if cluster == "control-plane":
            objects += await items(system, "works", "-A")
        found[cluster] = [f"{o['kind']}/{o['metadata']['name']}" for o in objects if name in dump(o)]
    return found


async def claims(system: System, namespace: str) -> dict[str, KubeObject]:
    """All claims of the namespace in both clusters, by cluster and name."""
    return {
        f"{cluster}/{claim['metadata']['name']}": claim
        for cluster in (FIRST, SECOND)
        for claim in await items(system, "pvc", "-n", namespace, cluster=cluster)
    }


async def volumes(system: System, namespace: str) -> set[str]:
    """Claims that volumes of both clusters are bound to."""
    found = [volume for cluster in (FIRST, SECOND) for volume in await items(system, "pv", cluster=cluster)]
    return {v["spec"]["claimRef"]["name"] for v in found if v["spec"]["claimRef"]["namespace"] == namespace}


async def test_a_deleted_instance_leaves_its_volumes_and_nothing_else_and_a_new_one_starts_empty(system: System) -> None:
    name, namespace = "ledger", "ending"
    await make_namespace(system, namespace)
    await system.kubectl("apply", "-f", "-", stdin=small(name, namespace, 3))
    first = await system.wait_healthy(name, namespace, 3)
    await insert(await system.uri(first), "books", "entries", [1, 2, 3])
    assert len(processes_of_pods(system, namespace)) == 3

    async def gone() -> bool:
        return not any((await leftovers(system, name, namespace)).values()) and not processes_of_pods(system, namespace)

    await system.kubectl("delete", "mcm", name, "-n", namespace, "--timeout=60s")
    await until(gone, 20)
    for address in first["status"]["externalAddr"].split(","):
        assert await refuses(address)
    kept = await claims(system, namespace)
    assert len(kept) == 3
    assert {claim["metadata"]["labels"]["middleware.fedstate.io/retained"] for claim in kept.values()} == {"true"}
    assert {claim["status"]["phase"] for claim in kept.values()} == {"Bound"}

    await system.kubectl("apply", "-f", "-", stdin=small(name, namespace, 3, reclaimPolicy="Delete"))
    second = await system.wait_healthy(name, namespace, 3)
    assert await documents(await system.uri(second), "books", "entries") == []
    assert len(set(await claims(system, namespace)) - set(kept)) == 3
    await system.kubectl("delete", "mcm", name, "-n", namespace, "--timeout=60s")
    await until(gone, 20)

    async def only_the_kept() -> bool:
        names = {claim["metadata"]["name"] for claim in kept.values()}
        return set(await claims(system, namespace)) == set(kept) and await volumes(system, namespace) == names

    await until(only_the_kept, 20)
