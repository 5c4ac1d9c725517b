"""What a user of Karmada does to have a control plane and members: its kinds, join, unjoin."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterable, Mapping
from importlib.resources import files

import yaml

from fedstate.api.karmada import CLUSTERS
from fedstate.api.naming import FIELD_MANAGER_LOCAL
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import NotFound, ServerError
from fedstate.kube.objects import KubeObject, name_of, owner_reference
from fedstate.kube.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    NAMESPACES,
    SECRETS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
    Resource,
)
from fedstate.local.karmada import names

SERVED_POLL = 0.1


_INSTALLED = {
    resource.kind: resource
    for resource in (CUSTOM_RESOURCE_DEFINITIONS, VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS)
}


async def install_crds(client: KubeClient) -> None:
    """Karmada's kinds on the control plane, and what it refuses of them; those that are there are brought up to date."""
    for manifest in ("crds.yaml", "admission.yaml"):
        for obj in yaml.safe_load_all(files(__package__).joinpath(manifest).read_text()):
            await client.apply(_INSTALLED[obj["kind"]], obj, field_manager=FIELD_MANAGER_LOCAL)


async def wait_served(client: KubeClient, resources: Iterable[Resource]) -> None:
    """Returns when the control plane serves the kinds: a definition takes a moment to become one."""
    for resource in resources:
        while True:
            try:
                await client.list(resource, limit=1)
                break
            except (NotFound, ServerError):
                await asyncio.sleep(SERVED_POLL)


async def join(
    client: KubeClient,
    *,
    name: str,
    api_endpoint: str,
    token: str,
    ca_pem: str | bytes,
    region: str = "",
    zone: str = "",
    provider: str = "",
    labels: Mapping[str, str] | None = None,
) -> None:
    """Make `name` a member, or bring its credentials and labels up to date. Its Secret goes with the Cluster."""
    await client.apply(NAMESPACES, {"metadata": {"name": names.CLUSTER_NAMESPACE}}, field_manager=FIELD_MANAGER_LOCAL)
    spec = {
        "id": name,
        "syncMode": "Push",
        "apiEndpoint": api_endpoint,
        "secretRef": {"name": name, "namespace": names.CLUSTER_NAMESPACE},
        "provider": provider,
        "region": region,
        "zones": [zone] if zone else [],
    }
    cluster = {
        "metadata": {"name": name, "labels": dict(labels or {})},
        "spec": {field: value for field, value in spec.items() if value},
    }
    created = await client.apply(CLUSTERS, cluster, field_manager=FIELD_MANAGER_LOCAL)
    await client.apply(SECRETS, _secret(created, token, ca_pem), field_manager=FIELD_MANAGER_LOCAL)


def _secret(cluster: KubeObject, token: str, ca_pem: str | bytes) -> KubeObject:
    authority = ca_pem.encode() if isinstance(ca_pem, str) else ca_pem
    return {
        "metadata": {
            "name": name_of(cluster),
            "namespace": names.CLUSTER_NAMESPACE,
            "ownerReferences": [owner_reference(cluster, controller=False, block_deletion=False)],
        },
        "type": "Opaque",
        "data": {"token": b64encode(token.encode()).decode(), "caBundle": b64encode(authority).decode()},
    }


async def unjoin(client: KubeClient, name: str) -> None:
    """Ask for the end of a membership. The stand-in lets the Cluster go when its Works are gone; none of that name is as good."""
    try:
        await client.delete(CLUSTERS, name)
    except NotFound:
        return
