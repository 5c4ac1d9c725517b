"""The embedded controllers on an embedded API server."""

from pathlib import Path
from typing import Any

import pytest

from fedstate.kube.objects import KubeObject, owner_reference
from fedstate.kube.resources import CONFIG_MAPS, CONTROLLER_REVISIONS, PERSISTENT_VOLUME_CLAIMS, PODS, SECRETS, STATEFUL_SETS
from tests.local.localcluster import NAMESPACE, LocalCluster, is_ready, local_cluster

SCRIPT = "trap 'exit 0' TERM; while :; do sleep 0.05; done"


def stateful_set(replicas: int) -> KubeObject:
    container = {
        "name": "c",
        "image": "busybox",
        "command": ["sh", "-c", SCRIPT],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "x", "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "serviceName": "x",
            "selector": {"matchLabels": {"app": "x"}},
            "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [container]}},
            "volumeClaimTemplates": [claim],
        },
    }


async def until_status(cluster: LocalCluster, **wanted: Any) -> None:
    async def reached() -> bool:
        found = await cluster.get(STATEFUL_SETS, "x")
        return found is not None and all((found.get("status") or {}).get(field) == value for field, value in wanted.items())

    await cluster.until(reached)


async def test_a_stateful_set_is_made_rolled_scaled_and_collected(tmp_path: Path) -> None:
    async with local_cluster(tmp_path) as cluster:
        await cluster.client.create(STATEFUL_SETS, stateful_set(2))
        await until_status(cluster, readyReplicas=2, observedGeneration=1)
        before = await cluster.until_pod("x-1", is_ready)
        env = [{"op": "add", "path": "/spec/template/spec/containers/0/env", "value": [{"name": "A", "value": "1"}]}]
        await cluster.client.json_patch(STATEFUL_SETS, "x", env, namespace=NAMESPACE)
        await until_status(cluster, readyReplicas=2, updatedReplicas=2, observedGeneration=2)
        after = await cluster.until_pod("x-1", is_ready)
        assert after["metadata"]["uid"] != before["metadata"]["uid"]
        assert len((await cluster.client.list(CONTROLLER_REVISIONS, NAMESPACE))["items"]) == 2
        await cluster.client.merge_patch(STATEFUL_SETS, "x", {"spec": {"replicas": 1}}, namespace=NAMESPACE)
        await cluster.until_gone(PODS, "x-1")
        assert await cluster.get(PERSISTENT_VOLUME_CLAIMS, "data-x-1") is not None
        await cluster.client.delete(STATEFUL_SETS, "x", namespace=NAMESPACE)
        await cluster.until_gone(PODS, "x-0")


def config_map(name: str, *owners: dict[str, Any]) -> KubeObject:
    metadata = {"name": name, "namespace": NAMESPACE, "ownerReferences": list(owners)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def secret(name: str, *owners: dict[str, Any]) -> KubeObject:
    return {**config_map(name, *owners), "kind": "Secret"}


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
async def test_dependents_go_with_the_last_of_their_owners(tmp_path: Path, propagation: str) -> None:
    async with local_cluster(tmp_path, agent=False) as cluster:
        first = await cluster.client.create(CONFIG_MAPS, config_map("first"))
        second = await cluster.client.create(CONFIG_MAPS, config_map("second"))
        child = await cluster.client.create(SECRETS, secret("child", owner_reference(first)))
        await cluster.client.create(
            SECRETS, secret("grandchild", owner_reference({**child, "apiVersion": "v1", "kind": "Secret"}))
        )
        await cluster.client.create(SECRETS, secret("both", owner_reference(first, controller=False), owner_reference(second)))
        await cluster.client.delete(CONFIG_MAPS, "first", namespace=NAMESPACE, propagation=propagation)
        for resource, name in ((CONFIG_MAPS, "first"), (SECRETS, "child"), (SECRETS, "grandchild")):
            await cluster.until_gone(resource, name)

        async def released() -> bool:
            found = await cluster.get(SECRETS, "both")
            assert found is not None
            return [owner["name"] for owner in found["metadata"]["ownerReferences"]] == ["second"]

        await cluster.until(released)


async def test_orphaned_dependents_stay_without_their_owner(tmp_path: Path) -> None:
    async with local_cluster(tmp_path, agent=False) as cluster:
        owner = await cluster.client.create(CONFIG_MAPS, config_map("owner"))
        await cluster.client.create(SECRETS, secret("child", owner_reference(owner)))
        await cluster.client.delete(CONFIG_MAPS, "owner", namespace=NAMESPACE, propagation="Orphan")
        await cluster.until_gone(CONFIG_MAPS, "owner")
        child = await cluster.get(SECRETS, "child")
        assert child is not None
        assert not child["metadata"].get("ownerReferences")


async def test_an_object_whose_owner_never_was_is_collected_but_not_one_whose_owners_kind_is_unknown(tmp_path: Path) -> None:
    async with local_cluster(tmp_path, agent=False) as cluster:
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "no", "uid": "00000000-0000-0000-0000-000000000000"}
        unknown = {**owner, "apiVersion": "example.com/v1", "kind": "NotServed"}
        await cluster.client.create(SECRETS, secret("kept", unknown))
        await cluster.client.create(SECRETS, secret("child", owner))
        await cluster.until_gone(SECRETS, "child")
        assert await cluster.get(SECRETS, "kept") is not None
