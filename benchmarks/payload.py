"""Pods as a kube-apiserver sends them: about 8 KB with their bookkeeping, or about 1.5 KB without."""

import json
from typing import Any

NAME = "web-6d4b75cb6d-@@@@@@@@"


def _managed(manager: str, entries: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        f'k:{{"type":"Condition{number}"}}': {".": {}, "f:lastProbeTime": {}, "f:status": {}} for number in range(entries)
    }
    return {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:status": {"f:conditions": fields}},
    }


def _container(number: int) -> dict[str, Any]:
    return {
        "name": f"c{number}",
        "image": f"registry.example.org/team/service-{number}:1.2.3",
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "env": [{"name": f"VARIABLE_{n}", "value": f"some value of variable number {n}"} for n in range(8)],
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "250m", "memory": "512Mi"}},
        "volumeMounts": [{"name": "token", "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
        "livenessProbe": {"httpGet": {"path": "/live", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    }


def _status(containers: int) -> dict[str, Any]:
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    started = {"running": {"startedAt": "2026-01-01T00:00:05Z"}}
    return {
        "phase": "Running",
        "conditions": [
            {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": "2026-01-01T00:00:05Z"}
            for kind in kinds
        ],
        "hostIP": "10.0.0.7",
        "podIP": "10.1.2.3",
        "podIPs": [{"ip": "10.1.2.3"}],
        "startTime": "2026-01-01T00:00:00Z",
        "qosClass": "Burstable",
        "containerStatuses": [
            {
                "name": f"c{number}",
                "state": started,
                "lastState": {},
                "ready": True,
                "restartCount": 0,
                "image": f"registry.example.org/team/service-{number}:1.2.3",
                "imageID": f"registry.example.org/team/service-{number}@sha256:{'0123456789abcdef' * 4}",
                "containerID": f"containerd://{'0123456789abcdef' * 4}",
                "started": True,
            }
            for number in range(containers)
        ],
    }


def pod(size: str = "full") -> dict[str, Any]:
    """A pod whose name is NAME; `full` or `small`."""
    containers = 2 if size == "full" else 1
    made: dict[str, Any] = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": NAME,
            "generateName": "web-6d4b75cb6d-",
            "namespace": "default",
            "uid": "4c2f4b1e-0000-4000-8000-0000@@@@@@@@",
            "resourceVersion": "1@@@@@@@@",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app": "web", "app.kubernetes.io/instance": "web", "pod-template-hash": "6d4b75cb6d"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6d4b75cb6d", "uid": "u", "controller": True}
            ],
        },
        "spec": {
            "volumes": [{"name": "token", "emptyDir": {}}, {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            "containers": [_container(number) for number in range(containers)],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "nodeName": "node-17",
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
        },
        "status": _status(containers),
    }
    if size == "small":
        for container in made["spec"]["containers"]:
            for key in ("env", "livenessProbe", "volumeMounts", "ports"):
                del container[key]
        made["status"] = {"phase": "Running", "podIP": "10.1.2.3", "startTime": "2026-01-01T00:00:00Z", "message": "x" * 300}
        return made
    made["metadata"]["managedFields"] = [_managed("kube-controller-manager", 23), _managed("kubelet", 23)]
    return made


def loose_pod(name: str, labels: dict[str, str]) -> dict[str, Any]:
    """A pod that a kube-apiserver takes and nobody runs: no scheduler has that name, and no Service means those labels.

    With the bookkeeping that the server adds it is about as large as the others, once its status is written.
    """
    made = pod("full")
    spec = {key: value for key, value in made["spec"].items() if key != "nodeName"}
    spec["volumes"] = [{"name": "token", "emptyDir": {}}]
    spec["schedulerName"] = "fedstate-bench-nobody"
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": spec,
        "status": made["status"],
    }


class Lines:
    """The text of a pod, or of an event with one, for any number and without encoding it again."""

    def __init__(self, size: str, kind: str = "") -> None:
        made = pod(size)
        text = json.dumps({"type": kind, "object": made} if kind else made, separators=(",", ":"))
        self._parts = text.encode().split(b"@@@@@@@@")

    def __call__(self, number: int) -> bytes:
        return b"%08d".join(self._parts) % ((number,) * (len(self._parts) - 1))
