"""The pod of one member: containers, volumes, probes, security, and the revision that says when it has to be made anew. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from fedstate.api.mongodb import MongoDB
from fedstate.api.naming import AUTH_CLUSTER_MONITOR_PASSWORD, AUTH_KEYFILE, LABEL_INSTANCE, auth_secret_name
from fedstate.dataplane.mongodconf import DATA_PATH, FILE_NAME, KEYFILE_PATH, PORT, MongodConf, mongod_conf
from fedstate.dataplane.naming import (
    ANNOTATION_OPERATOR,
    ANNOTATION_REVISION,
    CLUSTER_MONITOR,
    mongod_conf_name,
    pull_secret_name,
)

EXPORTER_IMAGE = "percona/mongodb_exporter:0.43.1"
EXPORTER_PORT = 9216
MONGOD_CONTAINER = "mongod"
TERMINATION_GRACE = 60
MONGODB_UID = 999
"""The user of the official images; the operator has no way to ask an image."""

_AUTH_DIRECTORY = "/etc/fedstate/auth"
_CONF_DIRECTORY = "/etc/mongod"
_HOST_NAME = "kubernetes.io/hostname"

# mongod insists on a keyfile of its own that nobody else can read, which no Secret volume can give it.
_PREPARE = f"""set -eu
keyfile={KEYFILE_PATH}
cp {_AUTH_DIRECTORY}/{AUTH_KEYFILE} $keyfile.new
chmod 0400 $keyfile.new
if [ "$(id -u)" = 0 ]; then
  owner="$(id -u mongodb 2>/dev/null || id -u mongod 2>/dev/null || echo {MONGODB_UID})"
  chown "$owner" $keyfile.new
  if [ "$(stat -c %u {DATA_PATH})" != "$owner" ]; then chown -R "$owner" {DATA_PATH}; fi
elif [ ! -w {DATA_PATH} ]; then
  echo "the volume at {DATA_PATH} is not writable for user $(id -u): its driver ignores fsGroup; make it writable, or let" \\
    "the pod start as root by setting spec.podSpec.securityContext to {{runAsUser: 0}}" >&2
  exit 1
fi
mv -f $keyfile.new $keyfile
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodInputs:
    """What the pods of an instance have in common."""

    mongo: MongoDB
    conf: MongodConf
    claim_name: str


def pod_revision(inputs: PodInputs) -> str:
    """Changes exactly when running pods no longer are what new ones would be."""
    content = {"spec": _pod_spec(inputs), "conf": inputs.conf.text}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return f"{inputs.mongo.name}-{digest[:10]}"


@cache
def operator_revision() -> str:
    """Changes exactly when another version of the operator makes other pods of the same spec."""
    plain = MongoDB.from_object({"metadata": {"name": "x", "namespace": "x"}, "spec": {"members": 1}})
    conf = mongod_conf(replset="x", settings=(), custom=None, memory_limit="2Gi")
    return pod_revision(PodInputs(mongo=plain, conf=conf, claim_name="data"))


def pod_template(inputs: PodInputs, labels: Mapping[str, str]) -> dict[str, Any]:
    """The template of a member's StatefulSet."""
    annotations = {ANNOTATION_REVISION: pod_revision(inputs), ANNOTATION_OPERATOR: operator_revision()}
    if inputs.mongo.metrics_enabled:
        annotations |= {"prometheus.io/scrape": "true", "prometheus.io/port": str(EXPORTER_PORT)}
    return {"metadata": {"labels": dict(labels), "annotations": annotations}, "spec": _pod_spec(inputs)}


def _pod_spec(inputs: PodInputs) -> dict[str, Any]:
    mongo, own = inputs.mongo, inputs.mongo.pod_spec
    containers = [_mongod(inputs)]
    if mongo.metrics_enabled:
        containers.append(_exporter(mongo))
    spec: dict[str, Any] = {
        "terminationGracePeriodSeconds": TERMINATION_GRACE,
        "automountServiceAccountToken": False,
        "securityContext": own.get("securityContext") or _pod_security(),
        "affinity": own.get("affinity") or _spread_by_node(mongo),
        "topologySpreadConstraints": own.get("topologySpreadConstraints") or _spread_by_host_name(mongo),
        "initContainers": [_prepare(inputs)],
        "containers": containers,
        "volumes": _volumes(mongo),
    }
    for name in ("nodeSelector", "tolerations", "priorityClassName", "serviceAccountName"):
        if own.get(name):
            spec[name] = own[name]
    pull_secret = pull_secret_name(mongo)
    if pull_secret:
        spec["imagePullSecrets"] = [{"name": pull_secret}]
    return spec


def _prepare(inputs: PodInputs) -> dict[str, Any]:
    return {
        "name": "prepare",
        "image": inputs.mongo.image,
        "imagePullPolicy": inputs.mongo.image_pull_policy,
        "command": ["sh", "-c", _PREPARE],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **_container_security(inputs.mongo),
        **_resources(inputs.mongo.resources),
        "volumeMounts": [
            {"name": "auth", "mountPath": _AUTH_DIRECTORY, "readOnly": True},
            {"name": "keyfile", "mountPath": KEYFILE_PATH.rpartition("/")[0]},
            {"name": inputs.claim_name, "mountPath": DATA_PATH},
        ],
    }


def _mongod(inputs: PodInputs) -> dict[str, Any]:
    mongo = inputs.mongo
    container: dict[str, Any] = {
        "name": MONGOD_CONTAINER,
        "image": mongo.image,
        "imagePullPolicy": mongo.image_pull_policy,
        "args": ["mongod", "--config", f"{_CONF_DIRECTORY}/{FILE_NAME}"],
        "ports": [{"name": "mongodb", "containerPort": PORT, "protocol": "TCP"}],
        # The port opens when recovery after a crash is over, which may take long; what a member is worth its set says.
        "startupProbe": {**_dial(), "periodSeconds": 2, "failureThreshold": 1800},
        "livenessProbe": {**_dial(), "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **_container_security(mongo),
        **_resources(mongo.resources),
        "volumeMounts": [
            {"name": inputs.claim_name, "mountPath": DATA_PATH},
            {"name": "keyfile", "mountPath": KEYFILE_PATH.rpartition("/")[0]},
            {"name": "conf", "mountPath": _CONF_DIRECTORY, "readOnly": True},
        ],
    }
    if inputs.conf.environment:
        container["env"] = [{"name": name, "value": value} for name, value in inputs.conf.environment]
    return container


def _exporter(mongo: MongoDB) -> dict[str, Any]:
    password = {"secretKeyRef": {"name": auth_secret_name(mongo.name), "key": AUTH_CLUSTER_MONITOR_PASSWORD}}
    return {
        "name": "metrics",
        "image": EXPORTER_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "--compatible-mode",
            "--mongodb.direct-connect",
            "--mongodb.global-conn-pool",
            *(
                f"--collector.{name}"
                for name in ("diagnosticdata", "replicasetstatus", "replicasetconfig", "dbstats", "topmetrics")
            ),
            f"--web.listen-address=:{EXPORTER_PORT}",
        ],
        "env": [
            {"name": "MONGODB_URI", "value": f"mongodb://127.0.0.1:{PORT}/?authSource=admin"},
            {"name": "MONGODB_USER", "value": CLUSTER_MONITOR},
            {"name": "MONGODB_PASSWORD", "valueFrom": password},
        ],
        "ports": [{"name": "metrics", "containerPort": EXPORTER_PORT, "protocol": "TCP"}],
        **_container_security(mongo),
        **_resources(mongo.metrics_resources),
    }


def _volumes(mongo: MongoDB) -> list[dict[str, Any]]:
    keyfile = [{"key": AUTH_KEYFILE, "path": AUTH_KEYFILE}]
    return [
        {"name": "auth", "secret": {"secretName": auth_secret_name(mongo.name), "items": keyfile, "defaultMode": 0o440}},
        {"name": "keyfile", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": "conf", "configMap": {"name": mongod_conf_name(mongo.name)}},
    ]


def _dial() -> dict[str, Any]:
    return {"tcpSocket": {"port": PORT}}


def _resources(resources: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    return {"resources": {kind: dict(amounts) for kind, amounts in resources.items()}} if resources else {}


def _pod_security() -> dict[str, Any]:
    return {
        "runAsNonRoot": True,
        "runAsUser": MONGODB_UID,
        "runAsGroup": MONGODB_UID,
        "fsGroup": MONGODB_UID,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _container_security(mongo: MongoDB) -> dict[str, Any]:
    """With a security context of the user's own, containers keep the rights that it may count on."""
    if mongo.pod_spec.get("securityContext"):
        return {}
    return {"securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}


def _spread_by_node(mongo: MongoDB) -> dict[str, Any]:
    term = {"labelSelector": {"matchLabels": {LABEL_INSTANCE: mongo.name}}, "topologyKey": _HOST_NAME}
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]}}


def _spread_by_host_name(mongo: MongoDB) -> list[dict[str, Any]]:
    return [
        {
            "maxSkew": 1,
            "topologyKey": _HOST_NAME,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {LABEL_INSTANCE: mongo.name}},
        }
    ]
