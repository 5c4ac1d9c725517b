"""Puts FedState's own objects into the API servers of a local instance, as an administrator would; every step may be repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import fedstate
from fedstate.errors import FedstateError
from fedstate.kube.client import KubeClient
from fedstate.kube.config import cluster_config_from
from fedstate.kube.errors import ApiError, TransportError
from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
    Resource,
)
from fedstate.local import karmada
from fedstate.local.layout import CONTROL_PLANE
from fedstate.local.spec import ClusterSpec

RESOURCES: Mapping[str, Resource] = {
    resource.kind: resource
    for resource in (CUSTOM_RESOURCE_DEFINITIONS, VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS)
}
ESTABLISH_TIMEOUT = 30.0


def manifests() -> Path:
    """The directory of the manifests: in the installed package, or in the checkout beside it."""
    package = Path(fedstate.__file__).parent
    for candidate in (package / "manifests", package.parent / "manifests"):
        if (candidate / "crds").is_dir():
            return candidate
    raise FedstateError(f"the manifests are missing: neither {package}/manifests nor {package.parent}/manifests has crds/")


def client_of(spec: ClusterSpec) -> KubeClient:
    """A client with the administrator's rights in a local cluster."""
    config = cluster_config_from(spec.server, Path(spec.ca_cert).read_bytes(), spec.admin_token)
    return KubeClient(config, user_agent="fedstate-local/install", field_manager="fedstate-local")


async def install(specs: Mapping[str, ClusterSpec], down: frozenset[str]) -> None:
    """Custom resource definitions and admission policies into every cluster that is up, then join the members to the control plane."""
    async with asyncio.TaskGroup() as group:
        for name, spec in specs.items():
            if name not in down:
                group.create_task(_install_into(spec), name=f"install {name}")
    async with client_of(specs[CONTROL_PLANE]) as control:
        for name, spec in specs.items():
            if name not in (CONTROL_PLANE, *down):
                await _join(control, spec)


async def _install_into(spec: ClusterSpec) -> None:
    async with client_of(spec) as client:
        files = sorted((manifests() / "crds").glob("*.yaml"))
        if spec.role == "control-plane":
            await karmada.install_crds(client)
        else:
            files += sorted((manifests() / "member").glob("*.yaml"))
        names = [await _apply(client, document) for file in files for document in documents(file)]
        for name in filter(None, names):
            await _established(client, name)


async def _apply(client: KubeClient, document: KubeObject) -> str:
    """Apply one object; the name of the definition if it is one."""
    resource = RESOURCES.get(document["kind"])
    if resource is None:
        raise FedstateError(f"local mode does not install objects of kind {document['kind']} ({document['metadata']['name']})")
    await client.apply(resource, document)
    return str(document["metadata"]["name"]) if resource is CUSTOM_RESOURCE_DEFINITIONS else ""


def documents(file: Path) -> list[dict[str, Any]]:
    """All objects of a YAML file."""
    return [document for document in yaml.safe_load_all(file.read_text()) if document]


async def _established(client: KubeClient, name: str) -> None:
    async with asyncio.timeout(ESTABLISH_TIMEOUT):
        while True:
            conditions = (await client.get(CUSTOM_RESOURCE_DEFINITIONS, name)).get("status", {}).get("conditions") or []
            if any(c["type"] == "Established" and c["status"] == "True" for c in conditions):
                return
            await asyncio.sleep(0.05)  # told only by the object's state


async def _join(control: KubeClient, spec: ClusterSpec) -> None:
    await karmada.join(
        control, name=spec.name, api_endpoint=spec.server, token=spec.admin_token, ca_pem=Path(spec.ca_cert).read_bytes(),
        region=spec.region, zone=spec.zone, provider=spec.provider, labels={"vip": spec.vip, "deploy": "mongo"},
    )  # fmt: skip


async def ready(spec: ClusterSpec) -> bool:
    """Whether the cluster's API server says that it is ready."""
    async with client_of(spec) as client:
        try:
            async with asyncio.timeout(2):
                return await client.text("/readyz") == "ok"
        except (ApiError, TransportError, TimeoutError):
            return False
