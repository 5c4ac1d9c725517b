"""The demonstration instance: creates it, waits for what its status says, finds its primary. Prints nothing."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from dataclasses import dataclass
from typing import Any

from fedstate.api.naming import MONGODBS, MULTI_CLOUD_MONGODBS, auth_secret_name
from fedstate.errors import FedstateError
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import ApiError, TransportError
from fedstate.kube.objects import KubeObject, name_of
from fedstate.kube.resources import NAMESPACES, SECRETS
from fedstate.local import chaos, install
from fedstate.local.create import cluster_specs
from fedstate.local.layout import CONTROL_PLANE, InstanceSpec, Layout
from fedstate.local.spec import ClusterSpec
from fedstate.local.writer import connection_string

NAMESPACE = "demo"
NAME = "orders"
POLL = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member as the instance's status shows it."""

    cluster: str
    address: str
    role: str


def manifest(members: int) -> KubeObject:
    """The instance that `local up` and the demo create: small, without a word on storage class."""
    return {
        "apiVersion": MULTI_CLOUD_MONGODBS.api_version,
        "kind": MULTI_CLOUD_MONGODBS.kind,
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "replicaset": members,
            "imageSetting": {"image": "mongo:6.0"},
            "resource": {"requests": {"cpu": "200m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
            "storage": {"storageSize": "1Gi"},
            "export": {"enable": False},
        },
    }


async def create(client: KubeClient, members: int) -> None:
    """Create the instance (and its namespace), or bring the one that is there to this size."""
    await client.apply(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    await client.apply(MULTI_CLOUD_MONGODBS, manifest(members))


async def wait_healthy(
    client: KubeClient, *, namespace: str = NAMESPACE, name: str = NAME, members: int, timeout: float
) -> KubeObject:
    """Wait until the status says Health with that many members; raises FedstateError with what it says instead when the time is over."""
    seen: KubeObject = {}
    try:
        async with asyncio.timeout(timeout):
            while True:
                with contextlib.suppress(TransportError):
                    seen = await client.get(MULTI_CLOUD_MONGODBS, name, namespace)
                if healthy(seen, members):
                    return seen
                await asyncio.sleep(POLL)
    except TimeoutError:
        raise FedstateError(f"instance {namespace}/{name} was not healthy after {timeout:.0f} s: {summary(seen)}") from None


def healthy(instance: KubeObject, members: int) -> bool:
    """Whether the status, of the spec as it is now, says that all members are well."""
    status = instance.get("status", {})
    current = status.get("observedGeneration", 0) >= instance.get("metadata", {}).get("generation", 1)
    return bool(current and status.get("state") == "Health" and len(members_of(instance)) == members)


def members_of(instance: KubeObject) -> list[Member]:
    """The members in `status.result`, by cluster and address."""
    return [
        Member(cluster=result["cluster"], address=address, role=role)
        for result in instance.get("status", {}).get("result", [])
        for address, role in sorted((result.get("connectAddrWithRole") or {}).items())
    ]


def primary_of(instance: KubeObject) -> Member | None:
    """The one member in the role of the primary, if there is one."""
    primaries = [member for member in members_of(instance) if member.role == "PRIMARY"]
    return primaries[0] if len(primaries) == 1 else None


def elected(instance: KubeObject) -> tuple[str, int]:
    """The primary's address and the term it was elected for: another one is another election."""
    status = instance.get("status", {})
    return (status.get("primary") or {}).get("host", ""), (status.get("replicaSet") or {}).get("configTerm", 0)


def summary(instance: KubeObject) -> str:
    """State and every condition that is not as it should be, in a line."""
    status = instance.get("status", {})
    good_when_false = {"Reconciling", "Stalled", "MajorityLost", "RecoveryRequired", "ServerWaitingScaleDown"}
    problems = [
        f"{condition['type']}={condition['status']} {condition.get('reason', '')}: {condition.get('message', '')}"
        for condition in status.get("conditions", [])
        if (condition["status"] == "True") == (condition["type"] in good_when_false)
    ]
    return "; ".join([f"state {status.get('state') or 'not set'}", f"{len(members_of(instance))} members", *problems])


async def uri_of(client: KubeClient, instance: KubeObject) -> str:
    """Connection string for an administrator, through the addresses in the status."""
    namespace, name = instance["metadata"]["namespace"], instance["metadata"]["name"]
    secret: dict[str, Any] = await client.get(SECRETS, auth_secret_name(name), namespace)
    password = base64.b64decode(secret["data"]["rootPassword"]).decode()
    return connection_string(instance["status"]["externalAddr"], replica_set=name, user="root", password=password)


async def pod_of(spec: ClusterSpec, *, namespace: str, name: str, address: str) -> str:
    """Name of the pod behind a member's address, as its cluster reports it."""
    async with install.client_of(spec) as client:
        mongodb = await client.get(MONGODBS, name, namespace)
    for member in mongodb.get("status", {}).get("members", []):
        if member.get("host") == address and member.get("pod"):
            return str(member["pod"])
    raise FedstateError(f"cluster {spec.name} reports no pod behind {address}")


async def kill_member(layout: Layout, instance: InstanceSpec, *, namespace: str, name: str, member: str) -> str:
    """Kill the process of a member, given by `primary` or by its address; returns what was done."""
    specs = cluster_specs(layout, instance)
    async with install.client_of(specs[CONTROL_PLANE]) as client:
        there = {name_of(each): each for each in await client.list_all(MULTI_CLOUD_MONGODBS, namespace)}
    found = there.get(name)
    if found is None:
        raise FedstateError(
            f"namespace {namespace} has no database {name!r} (--instance); it has {', '.join(sorted(there)) or 'none'}"
        )
    members = members_of(found)
    victim = primary_of(found) if member == "primary" else next((m for m in members if m.address == member), None)
    if victim is None:
        known = ", ".join(f"{m.address} ({m.role})" for m in members) or "none"
        raise FedstateError(f"instance {namespace}/{name} shows no member {member!r}; it has {known}")
    pod = await pod_of(specs[victim.cluster], namespace=namespace, name=name, address=victim.address)
    return f"{chaos.kill_pod(layout, victim.cluster, namespace, pod)}, {victim.role} at {victim.address}"


async def wait_new_primary(client: KubeClient, before: KubeObject, *, timeout: float) -> KubeObject:
    """Wait until the status shows a primary that was elected after `before`: often another member, now and then the same one again."""
    seen = before
    try:
        async with asyncio.timeout(timeout):
            while primary_of(seen) is None or elected(seen) == elected(before):
                await asyncio.sleep(POLL)
                with contextlib.suppress(TransportError):
                    seen = await client.get(MULTI_CLOUD_MONGODBS, before["metadata"]["name"], before["metadata"]["namespace"])
    except TimeoutError:
        raise FedstateError(f"no new primary after {timeout:.0f} s: {summary(seen)}") from None
    return seen


async def instances(client: KubeClient) -> list[KubeObject]:
    """All instances of the control plane; empty while it does not answer."""
    try:
        return await client.list_all(MULTI_CLOUD_MONGODBS)
    except (ApiError, TransportError):
        return []
