"""Placements follow the members' nodes: what fills up there, and becomes free again, decides about the next one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from fedstate.api.placement import Placement
from fedstate.kube.objects import KubeObject
from tests.e2e.case_system import condition, get, make_namespace, started, until
from tests.e2e.system import System

pytestmark = [pytest.mark.e2e, pytest.mark.mongod, pytest.mark.kubectl, pytest.mark.timeout(120)]

SHOP, OTHERS = "shop", "others"
CLUSTERS = ("a", "b")
SOON = 30.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Two member clusters of two nodes with two cores each."""
    sizes = [word for name in CLUSTERS for word in ("--cluster", f"{name},nodes=2,cpu=2")]
    with started(tmp_path_factory.mktemp("capacity"), *sizes) as running:
        yield running


async def create(system: System, name: str, cpu: str) -> None:
    spec = {
        "replicaset": 1,
        "imageSetting": {"image": "mongo:6.0"},
        "resource": {"requests": {"cpu": cpu, "memory": "64Mi"}},
        "storage": {"storageSize": "1Gi"},
    }
    await apply(system, "control-plane", "middleware.fedstate.io/v1alpha1", "MultiCloudMongoDB", SHOP, name, spec)


async def occupy(system: System, cluster: str, cpu: str) -> None:
    """A pod of somebody else on each node, which nobody schedules."""
    for number in (1, 2):
        container = {"name": "c", "image": "busybox", "command": ["sleep", "600"], "resources": {"requests": {"cpu": cpu}}}
        spec = {"nodeName": f"{cluster}-node-{number}", "containers": [container]}
        await apply(system, cluster, "v1", "Pod", OTHERS, f"other-{cpu}-{number}", spec)


async def apply(system: System, cluster: str, version: str, kind: str, namespace: str, name: str, spec: Any) -> None:
    obj = {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}
    await system.kubectl("apply", "-f", "-", cluster=cluster, stdin=yaml.safe_dump(obj))


async def leave(system: System, cluster: str, pod: str) -> None:
    await system.kubectl("delete", "pod", pod, "-n", OTHERS, "--now", cluster=cluster)


async def placed(system: System, name: str) -> str:
    """The cluster of its only member, as soon as there is one."""

    async def home() -> str | None:
        found = (await get(system, "mcm", name, "-n", SHOP))["metadata"].get("annotations", {}).get("schedulerResult")
        return Placement.from_annotation(found).clusters[0].cluster if found else None

    return str(await until(home, SOON))


async def refused(system: System, name: str) -> str:
    """The reason why it has no place, as soon as it is told."""

    async def message() -> str | None:
        said = condition(await get(system, "mcm", name, "-n", SHOP), "Scheduled")
        return str(said["message"]) if said.get("status") == "False" else None

    return str(await until(message, SOON))


def row(explanation: KubeObject, cluster: str) -> KubeObject:
    return next(dict(one) for one in explanation["clusters"] if one["cluster"] == cluster)


async def test_filled_nodes_change_the_next_placement_and_what_is_freed_is_used_by_who_waits(system: System) -> None:
    await make_namespace(system, SHOP)
    for name in CLUSTERS:
        await make_namespace(system, OTHERS, name)
    await create(system, "first", "250m")
    home = await placed(system, "first")
    other = next(name for name in CLUSTERS if name != home)

    # All of the first one's home is taken: the next one goes elsewhere.
    await occupy(system, home, "1750m")
    assert row(await system.explain("first", SHOP), home)["fits"] == 1
    await create(system, "second", "500m")
    assert await placed(system, "second") == other

    # Two halves are no whole: by its sums the cluster would do, and no node of it does.
    await occupy(system, other, "1")
    assert row(await system.explain("second", SHOP), other)["fits"] == 3
    await create(system, "third", "1200m")
    said = await refused(system, "third")
    assert f"{home}: fits 0 members: needs cpu 1.2, free 0.25 (spec.resource)" in said
    assert f"{other}: fits 0 members: no node has cpu 1.2 free: the most is 1 on {other}-node-" in said
    explanation = await system.explain("third", SHOP)
    for name in CLUSTERS:
        found = row(explanation, name)
        assert (found["fits"], found["rule"], found["source"], found["sourceNote"]) == (0, "ResourcesFit", "nodes", "")
    assert "no node has cpu 1.2 free: the most is 1 on " in row(explanation, other)["reason"]
    found = row(await system.explain("third", SHOP, "--capacity-sources", "summary"), other)
    assert (found["fits"], found["source"]) == (1, "resourceSummary")

    # Nothing else happens than that somebody leaves.
    await leave(system, other, "other-1-1")
    assert await placed(system, "third") == other
