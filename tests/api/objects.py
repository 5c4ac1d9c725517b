"""Instances and clusters for tests, as an API server would hand them out."""

from typing import Any

from fedstate.kube.objects import KubeObject


def instance(spec: dict[str, Any] | None = None, **metadata: Any) -> KubeObject:
    return {
        "apiVersion": "middleware.fedstate.io/v1alpha1",
        "kind": "MultiCloudMongoDB",
        "metadata": {"name": "orders", "namespace": "shop", "uid": "u1", "generation": 3, "resourceVersion": "7"} | metadata,
        "spec": {"replicaset": 3} | (spec or {}),
    }


def mongodb(spec: dict[str, Any] | None = None, **metadata: Any) -> KubeObject:
    return {
        "apiVersion": "middleware.fedstate.io/v1alpha1",
        "kind": "MongoDB",
        "metadata": {"name": "orders", "namespace": "shop", "uid": "u2", "generation": 1} | metadata,
        "spec": {"members": 3} | (spec or {}),
    }
