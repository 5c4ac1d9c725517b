"""How a member cluster's API server is reached: with the credentials of its Cluster's Secret, or through Karmada's cluster proxy.

Reads of a Secret only what it needs, and keeps none of it but in the configuration that it makes.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fedstate.api.karmada import CLUSTERS
from fedstate.errors import FedstateError
from fedstate.kube.client import KubeClient
from fedstate.kube.config import ClusterConfig
from fedstate.kube.errors import Forbidden, NotFound
from fedstate.kube.objects import KubeObject, name_of
from fedstate.kube.resources import SECRETS

PULL = "Pull"


class NoAccess(FedstateError):
    """A Cluster or its Secret does not say how to reach the member; the message names the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """`route` says in words whose rights are used. Equal values reach the same server as the same identity."""

    config: ClusterConfig
    route: str


async def access_to(cluster: KubeObject, control: KubeClient) -> Access:
    """The way to a member, as its Cluster says now. Raises NoAccess, or what reading the Secret raised.

    Pull members, those without a Secret, and those whose Secret may not be read are reached through the proxy.
    """
    spec = cluster.get("spec") or {}
    reference = spec.get("secretRef") or {}
    name, namespace = str(reference.get("name") or ""), str(reference.get("namespace") or "")
    if spec.get("syncMode") == PULL or not name or not namespace or not spec.get("apiEndpoint"):
        return _through_proxy(cluster, control)
    try:
        secret = await control.get(SECRETS, name, namespace)
    except Forbidden:
        return _through_proxy(cluster, control)
    except NotFound as error:
        raise NoAccess(f"Secret {namespace}/{name} of its spec.secretRef does not exist") from error
    where = f"Secret {namespace}/{name}"
    return Access(config=_config(spec, secret.get("data") or {}, where), route=f"the credentials in {where}")


def _through_proxy(cluster: KubeObject, control: KubeClient) -> Access:
    server = control.config.server + CLUSTERS.path(name=name_of(cluster), subresource="proxy")
    return Access(config=replace(control.config, server=server), route="the control plane's cluster proxy")


def _config(spec: Mapping[str, Any], data: Mapping[str, Any], where: str) -> ClusterConfig:
    token = _decoded(data, "token", where).decode(errors="replace").strip()
    if not token or not token.isascii() or not token.isprintable():
        raise NoAccess(f"{where} has no usable data.token")
    insecure = bool(spec.get("insecureSkipTLSVerification"))
    authority = b"" if insecure else _decoded(data, "caBundle", where)
    return ClusterConfig(
        server=str(spec["apiEndpoint"]).rstrip("/"),
        ca_data=authority or None,
        token=token,
        insecure=insecure,
        proxy=str(spec.get("proxyURL") or "") or None,
    )


def _decoded(data: Mapping[str, Any], field: str, where: str) -> bytes:
    try:
        return b64decode(str(data.get(field) or ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoAccess(f"data.{field} of {where} is no base64") from error
