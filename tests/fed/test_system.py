"""The reconciler on API servers, through the Karmada stand-in: one life of an instance from its creation to its deletion."""

from base64 import b64encode
from pathlib import Path

import pytest

from fedstate.api.karmada import OVERRIDE_POLICIES, PROPAGATION_POLICIES, RESOURCE_BINDINGS
from fedstate.api.naming import MONGODBS, MULTI_CLOUD_MONGODBS
from fedstate.kube.client import KubeClient
from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import CONFIG_MAPS, SECRETS
from tests.fed.cell import heartbeat_time
from tests.fed.system import NAME, NAMESPACE, System, running_system
from tests.local.karmada.federation import eventually, gone

FIVE = (
    '{"ClusterWithReplicaset":[{"cluster":"m1","replicaset":2},{"cluster":"m2","replicaset":2},{"cluster":"m3","replicaset":1}]}'
)
THREE = '{"ClusterWithReplicaset":[{"cluster":"m1","replicaset":2},{"cluster":"m2","replicaset":1}]}'


@pytest.mark.timeout(60)
async def test_an_instance_lives_and_ends_on_real_api_objects(tmp_path: Path) -> None:
    async with running_system(tmp_path) as system:
        await system.control.create(SECRETS, _password("one"))
        await system.create(5, FIVE, auth={"rootPasswordSecretRef": {"name": "pw"}})
        status = await system.wait_until(lambda status: status["state"] == "Health")
        assert status["members"] == "5/5"
        assert system.replset.initiated == 1
        await _idle_means_no_writes(system)
        await _a_changed_password_reaches_every_cluster(system)
        await system.place(3, THREE)
        status = await system.wait_until(lambda status: status["state"] == "Health" and len(status["result"]) == 2)
        assert status["members"] == "3/3"
        assert system.cells["m3"].processes == {}
        await system.control.delete(MULTI_CLOUD_MONGODBS, NAME, namespace=NAMESPACE)
        await gone(system.instance)
        for client in (system.control, *system.members.values()):
            await gone(lambda client=client: client.get(MONGODBS, NAME, NAMESPACE))  # type: ignore[misc]
        for client in (system.control, system.members["m1"], system.members["m2"]):
            await gone(lambda client=client: client.get(SECRETS, f"{NAME}-auth", NAMESPACE))  # type: ignore[misc]
        for resource in (OVERRIDE_POLICIES, PROPAGATION_POLICIES):
            await gone(lambda resource=resource: system.control.get(resource, NAME, NAMESPACE))  # type: ignore[misc]


def _password(text: str) -> KubeObject:
    data = {"rootPassword": b64encode(text.encode()).decode()}
    return {"metadata": {"name": "pw", "namespace": NAMESPACE}, "data": data}


async def _a_changed_password_reaches_every_cluster(system: System) -> None:
    before = (await system.control.get(SECRETS, f"{NAME}-auth", NAMESPACE))["data"]
    assert before["rootPassword"] == _password("one")["data"]["rootPassword"]
    await system.control.merge_patch(SECRETS, "pw", {"data": _password("two")["data"]}, namespace=NAMESPACE)
    system.beating = True
    for client in (system.control, *system.members.values()):

        async def follows(client: KubeClient = client) -> bool:
            found = (await client.get(SECRETS, f"{NAME}-auth", NAMESPACE))["data"]
            return bool(found == before | _password("two")["data"])

        await eventually(follows)
    system.beating = False


async def _idle_means_no_writes(system: System) -> None:
    """The operator looks again at every heartbeat, and finds nothing to write."""

    async def versions() -> list[str]:
        found = []
        for resource, name in (
            (MULTI_CLOUD_MONGODBS, NAME),
            (OVERRIDE_POLICIES, NAME),
            (PROPAGATION_POLICIES, NAME),
            (SECRETS, f"{NAME}-auth"),
            (CONFIG_MAPS, f"{NAME}-hostconf"),
        ):
            obj = await system.control.get(resource, name, NAMESPACE)
            found.append(f"{resource}/{name}/{obj['metadata']['resourceVersion']}")
        return found

    async def heartbeats(count: int) -> None:
        wanted = {name: cell.heartbeat + count for name, cell in system.cells.items()}

        async def seen() -> bool:
            items = (await system.control.get(RESOURCE_BINDINGS, f"{NAME}-mongodb", NAMESPACE))["status"]["aggregatedStatus"]
            beats = {item["clusterName"]: item["status"]["heartbeatTime"] for item in items}
            return all(beats[name] >= heartbeat_time(count) for name, count in wanted.items())

        await eventually(seen)

    system.beating = True
    await heartbeats(8)
    before = await versions()
    await heartbeats(5)
    assert await versions() == before
    system.beating = False
