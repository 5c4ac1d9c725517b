"""Which kinds an API server serves: a lookup by apiVersion and kind, and the list that a Cluster object shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fedstate.kube.client import KubeClient
from fedstate.kube.errors import NotFound
from fedstate.kube.resources import Resource
from fedstate.local.karmada.names import api_group

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


class KindMap:
    """The kinds of one API server; what it does not know it asks for, each time."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._known: dict[tuple[str, str], Resource] = {}

    async def find(self, api_version: str, kind: str) -> Resource | None:
        """The resource of a kind; None if the server does not serve it now."""
        found = self._known.get((api_version, kind))
        if found is None:
            await self._learn(api_version)
            found = self._known.get((api_version, kind))
        return found

    def forget(self, resource: Resource) -> None:
        """Ask again about this kind at its next use."""
        self._known.pop((resource.api_version, resource.kind), None)

    async def _learn(self, api_version: str) -> None:
        group, version = api_group(api_version)
        for entry in await _resource_list(self._client, api_version):
            self._known[api_version, entry["kind"]] = Resource(group, version, entry["name"], entry["kind"], entry["namespaced"])


async def _resource_list(client: KubeClient, api_version: str) -> list[Mapping[str, Any]]:
    path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    try:
        listing = await client.request("GET", path)
    except NotFound:
        return []
    return [entry for entry in listing.get("resources") or () if "/" not in entry["name"]]


async def enablements(client: KubeClient) -> list[dict[str, Any]]:
    """Everything that the server serves, as `status.apiEnablements` lists it."""
    served: dict[str, list[dict[str, str]]] = {}
    for path in ("/api", "/apis"):
        answer = await client.request("GET", path, headers={"Accept": _AGGREGATED})
        if answer.get("kind") == "APIGroupDiscoveryList":
            served |= _from_aggregated(answer)
        else:
            for api_version in _versions(answer):
                served[api_version] = [_entry(item["name"], item["kind"]) for item in await _resource_list(client, api_version)]
    return [
        {"groupVersion": version, "resources": sorted(served[version], key=lambda entry: entry["name"])}
        for version in sorted(served)
        if served[version]
    ]


def _from_aggregated(answer: Mapping[str, Any]) -> dict[str, list[dict[str, str]]]:
    found = {}
    for group in answer.get("items") or ():
        name = (group.get("metadata") or {}).get("name") or ""
        for version in group.get("versions") or ():
            api_version = f"{name}/{version['version']}" if name else version["version"]
            found[api_version] = [
                _entry(item["resource"], item["responseKind"]["kind"]) for item in version.get("resources") or ()
            ]
    return found


def _versions(answer: Mapping[str, Any]) -> Iterable[str]:
    if answer.get("kind") == "APIVersions":
        return list(answer.get("versions") or ())
    return [version["groupVersion"] for group in answer.get("groups") or () for version in group["versions"]]


def _entry(name: str, kind: str) -> dict[str, str]:
    return {"kind": kind, "name": name}
