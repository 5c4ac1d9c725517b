"""Every object the data plane writes but the pods themselves: StatefulSets, Services, ConfigMaps, Secrets. Pure builders."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from fedstate.api.mongodb import MongoDB
from fedstate.api.naming import (
    AUTH_CLUSTER_ADMIN_PASSWORD,
    AUTH_CLUSTER_MONITOR_PASSWORD,
    AUTH_KEYFILE,
    AUTH_ROOT_PASSWORD,
    LABEL_COMPONENT,
    LABEL_INSTANCE,
    LABEL_INSTANCE_UID,
    LABEL_MEMBER,
    auth_secret_name,
    hostconf_name,
    member_name,
    standard_labels,
)
from fedstate.api.replset import ReplsetPlan, hostconf_data
from fedstate.dataplane.mongodconf import FILE_NAME, PORT
from fedstate.dataplane.naming import (
    ANNOTATION_INTENT,
    COMPONENT_ARBITER,
    COMPONENT_DATA,
    claim_template_name,
    mongod_conf_name,
    pull_secret_name,
)
from fedstate.dataplane.pods import EXPORTER_PORT, PodInputs, pod_template
from fedstate.kube.objects import KubeObject, quantity_bytes
from fedstate.kube.resources import CONFIG_MAPS, SECRETS, SERVICES, STATEFUL_SETS, Resource

ARBITER_STORAGE = "1Gi"

Entropy = Callable[[int], bytes]


def member_stateful_set(inputs: PodInputs, ordinal: int, *, arbiter: bool, instance_uid: str, storage: str) -> KubeObject:
    """The StatefulSet of one member. It never replaces its pod by itself: when that may happen, the replica set decides."""
    mongo = inputs.mongo
    labels = member_labels(mongo.name, ordinal, arbiter=arbiter, instance_uid=instance_uid)
    claim: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim_template_name(instance_uid), "labels": labels},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}},
    }
    if mongo.storage.storage_class:
        claim["spec"]["storageClassName"] = mongo.storage.storage_class
    spec = {
        "serviceName": member_name(mongo.name, ordinal),
        "replicas": 1,
        "updateStrategy": {"type": "OnDelete"},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
        "selector": {"matchLabels": selector(mongo.name, ordinal)},
        "template": pod_template(inputs, labels),
        "volumeClaimTemplates": [claim],
    }
    return _object(STATEFUL_SETS, mongo.namespace, member_name(mongo.name, ordinal), labels, {"spec": spec})


def member_storage(mongo: MongoDB, *, arbiter: bool) -> str:
    """The size of a member's volume; an arbiter keeps no data and gets little."""
    if arbiter and quantity_bytes(mongo.storage.size) > quantity_bytes(ARBITER_STORAGE):
        return ARBITER_STORAGE
    return mongo.storage.size


def member_service(mongo: MongoDB, ordinal: int, *, arbiter: bool, instance_uid: str) -> KubeObject:
    """The NodePort under which a member is reached. It answers before the member is ready: that is how a member becomes ready."""
    labels = member_labels(mongo.name, ordinal, arbiter=arbiter, instance_uid=instance_uid)
    ports = [{"name": "mongodb", "port": PORT, "targetPort": PORT, "protocol": "TCP"}]
    spec = {
        "type": "NodePort",
        "publishNotReadyAddresses": True,
        "selector": selector(mongo.name, ordinal),
        "ports": ports,
    }
    return _object(SERVICES, mongo.namespace, member_name(mongo.name, ordinal), labels, {"spec": spec})


def metrics_service(mongo: MongoDB, instance_uid: str) -> KubeObject:
    """One Service with the metrics ports of all members, for Prometheus to discover."""
    labels = {**standard_labels(mongo.name, "metrics"), LABEL_INSTANCE_UID: instance_uid}
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {LABEL_INSTANCE: mongo.name, "app.kubernetes.io/managed-by": "fedstate"},
        "ports": [{"name": "metrics", "port": EXPORTER_PORT, "targetPort": EXPORTER_PORT, "protocol": "TCP"}],
    }
    return _object(SERVICES, mongo.namespace, f"{mongo.name}-metrics", labels, {"spec": spec})


def mongod_config_map(inputs: PodInputs, instance_uid: str) -> KubeObject:
    """The configuration file of all members."""
    mongo = inputs.mongo
    labels = {**standard_labels(mongo.name, "config"), LABEL_INSTANCE_UID: instance_uid}
    return _object(CONFIG_MAPS, mongo.namespace, mongod_conf_name(mongo.name), labels, {"data": {FILE_NAME: inputs.conf.text}})


def hostconf_config_map(mongo: MongoDB, plan: ReplsetPlan, instance_uid: str) -> KubeObject:
    """The member plan of an instance that no federation plans for."""
    labels = {**standard_labels(mongo.name, "hostconf"), LABEL_INSTANCE_UID: instance_uid}
    return _object(CONFIG_MAPS, mongo.namespace, hostconf_name(mongo.name), labels, {"data": hostconf_data(plan)})


def auth_secret(mongo: MongoDB, existing: KubeObject | None, root_password: str | None, entropy: Entropy) -> KubeObject:
    """The Secret of an instance of its own: what it holds stays, but the root password follows the one that the user gives."""
    data: dict[str, str] = dict((existing or {}).get("data") or {})
    if root_password is not None:
        data[AUTH_ROOT_PASSWORD] = _encoded(root_password)
    for key in (AUTH_ROOT_PASSWORD, AUTH_CLUSTER_ADMIN_PASSWORD, AUTH_CLUSTER_MONITOR_PASSWORD):
        if not data.get(key):
            data[key] = _encoded(base64.urlsafe_b64encode(entropy(24)).decode())
    if not data.get(AUTH_KEYFILE):
        data[AUTH_KEYFILE] = _encoded(base64.b64encode(entropy(756)).decode())
    labels = {**standard_labels(mongo.name, "auth"), LABEL_INSTANCE_UID: mongo.uid}
    return _object(SECRETS, mongo.namespace, auth_secret_name(mongo.name), labels, {"type": "Opaque", "data": data})


def pull_secret(mongo: MongoDB, instance_uid: str) -> KubeObject | None:
    """The Secret made of credentials that were given inline; None where there are none."""
    user, password = mongo.image_pull_secret.user, mongo.image_pull_secret.password
    if not user or password is None:
        return None
    login = {"username": user, "password": password, "auth": _encoded(f"{user}:{password}")}
    document = json.dumps({"auths": {_registry(mongo.image): login}}, separators=(",", ":"))
    labels = {**standard_labels(mongo.name, "pull-secret"), LABEL_INSTANCE_UID: instance_uid}
    content = {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": _encoded(document)}}
    return _object(SECRETS, mongo.namespace, pull_secret_name(mongo) or "", labels, content)


def member_labels(instance: str, ordinal: int, *, arbiter: bool, instance_uid: str) -> dict[str, str]:
    """The labels of everything that belongs to one member."""
    component = COMPONENT_ARBITER if arbiter else COMPONENT_DATA
    return {**standard_labels(instance, component), LABEL_MEMBER: str(ordinal), LABEL_INSTANCE_UID: instance_uid}


def selector(instance: str, ordinal: int) -> dict[str, str]:
    """Selects the pod of one member."""
    return {LABEL_INSTANCE: instance, LABEL_MEMBER: str(ordinal)}


def pods_selector(instance: str) -> str:
    """Selects the pods of all data members, as the scale subresource wants it written."""
    return f"{LABEL_INSTANCE}={instance},{LABEL_COMPONENT}={COMPONENT_DATA}"


def _object(resource: Resource, namespace: str, name: str, labels: Mapping[str, str], content: Mapping[str, Any]) -> KubeObject:
    obj: KubeObject = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels)},
        **content,
    }
    if resource == SECRETS:
        return obj  # a hash of a short password can be guessed
    digest = hashlib.sha256(json.dumps(obj, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    obj["metadata"]["annotations"] = {ANNOTATION_INTENT: digest[:16]}
    return obj


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _registry(image: str) -> str:
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first
    return "https://index.docker.io/v1/"
