"""The objects of an instance that every cluster gets the same: the inert template, the member plan, copies of what the user refers to.

Copies, since Karmada lets one policy claim an object: two instances may share a ConfigMap, their policies may not. Pure.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from fedstate.api.federated import MultiCloudMongoDB
from fedstate.api.naming import (
    AUTH_ROOT_PASSWORD,
    LABEL_INSTANCE_UID,
    MONGODBS,
    auth_secret_name,
    hostconf_name,
    standard_labels,
)
from fedstate.api.replset import ReplsetPlan, hostconf_data
from fedstate.kube.objects import KubeObject

CONFIG_COMPONENT = "config"

_FIELDS = {
    "spec.members": "spec.replicaset",
    "spec.image": "spec.imageSetting.image",
    "spec.imagePullSecret": "spec.imageSetting.imagePullSecret",
    "spec.customConfigRef": "spec.config.configRef",
    "spec.persistence.storageClassName": "spec.storage.storageClass",
    "spec.persistence.storage": "spec.storage.storageSize",
    "spec.resources": "spec.resource",
    "spec.metricsExporterSpec": "spec.export",
    "spec.podSpec": "spec.member.podSpec",
}
"""What the owner of the instance calls the fields of the template."""
_FIELD = re.compile(rf"({'|'.join(re.escape(name) for name in sorted(_FIELDS, key=len, reverse=True))})(?![A-Za-z])")


def in_owners_terms(message: str) -> str:
    """What a data plane says of the template's fields, said of the instance's."""
    return _FIELD.sub(lambda found: _FIELDS[found[1]], message)


def config_copy_name(instance: str, data: Mapping[str, str]) -> str:
    """Named after its content, so that clusters can change from one to the next at different times."""
    content = json.dumps(dict(data), sort_keys=True).encode()
    return f"{instance}-config-{hashlib.sha256(content).hexdigest()[:10]}"


def pull_secret_name(instance: str) -> str:
    return f"{instance}-pull"


def template(instance: MultiCloudMongoDB, config: str = "") -> KubeObject:
    """The MongoDB that Karmada distributes, `config` naming the copy of the user's configuration.

    Its stamp is empty, so no data plane acts on it as it stands.
    """
    spec: dict[str, Any] = {
        "type": "ReplicaSet",
        "members": instance.replicaset,
        "arbiter": False,
        "rsInit": False,
        "federation": {},
        "image": instance.image,
        "imagePullPolicy": instance.image_pull_policy,
        "memberConfigRef": hostconf_name(instance.name),
        "persistence": _persistence(instance),
        "resources": instance.resources,
        "metricsExporterSpec": _exporter(instance),
        "rootPasswordSecretRef": {"name": auth_secret_name(instance.name), "key": AUTH_ROOT_PASSWORD},
        "dbUserSpec": {},
        "imagePullSecret": pull_secret_name(instance.name) if has_pull_secret(instance) else {},
        "customConfigRef": config,
        "podSpec": {name: value for name, value in instance.pod_spec.items() if value is not None},
    }
    return {
        "apiVersion": MONGODBS.api_version,
        "kind": MONGODBS.kind,
        "metadata": _metadata(instance.namespace, instance.name, instance.name, "database"),
        "spec": spec,
    }


def hostconf(namespace: str, instance: str, instance_uid: str, plan: ReplsetPlan) -> KubeObject:
    """The ConfigMap that tells every data plane which members the replica set has."""
    metadata = _metadata(namespace, hostconf_name(instance), instance, "hostconf")
    metadata["labels"][LABEL_INSTANCE_UID] = instance_uid
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": hostconf_data(plan)}


def config_copy(instance: MultiCloudMongoDB, data: Mapping[str, str]) -> KubeObject:
    """The user's MongoDB configuration under a name of the instance's own."""
    metadata = _metadata(instance.namespace, config_copy_name(instance.name, data), instance.name, CONFIG_COMPONENT)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data)}


def pull_secret_copy(instance: MultiCloudMongoDB, source: KubeObject | None) -> KubeObject:
    """The registry's credentials under a name of the instance's own: copied from `source`, or made from the inline user."""
    metadata = _metadata(instance.namespace, pull_secret_name(instance.name), instance.name, "pull-secret")
    if source is not None:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": source.get("type") or "kubernetes.io/dockerconfigjson",
            "metadata": metadata,
            "data": dict(source.get("data") or {}),
        }
    user, password = instance.image_pull_secret.user or "", instance.image_pull_secret.password or ""
    login = {
        "username": user,
        "password": password,
        "auth": base64.b64encode(f"{user}:{password}".encode()).decode(),
    }
    document = json.dumps({"auths": {registry_of(instance.image): login}}, separators=(",", ":"))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/dockerconfigjson",
        "metadata": metadata,
        "data": {".dockerconfigjson": base64.b64encode(document.encode()).decode()},
    }


def has_pull_secret(instance: MultiCloudMongoDB) -> bool:
    return bool(instance.image_pull_secret.name or instance.image_pull_secret.user)


def registry_of(image: str) -> str:
    """The registry an image is pulled from, as a Docker configuration names it."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first
    return "https://index.docker.io/v1/"


def _metadata(namespace: str, name: str, instance: str, component: str) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "labels": standard_labels(instance, component)}


def _persistence(instance: MultiCloudMongoDB) -> dict[str, Any]:
    persistence = {"storage": instance.storage.size, "reclaimPolicy": instance.storage.reclaim_policy}
    if instance.storage.storage_class:
        persistence["storageClassName"] = instance.storage.storage_class
    return persistence


def _exporter(instance: MultiCloudMongoDB) -> dict[str, Any]:
    exporter: dict[str, Any] = {"enable": instance.export_enabled}
    if instance.export_resources:
        exporter["resources"] = instance.export_resources
    return exporter
