"""Clusters that still hold a former instance: how they are remembered until they have let go of it.

The memory is a ConfigMap beside the instance's other objects, so it outlives the instance. Pure.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from fedstate.api.naming import standard_labels
from fedstate.kube.objects import KubeObject

_KEY = "clusters.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """One cluster that has to clear away what it holds of the instance with this uid."""

    instance_uid: str
    vip: str
    since: str


def cleanup_name(instance: str) -> str:
    return f"{instance}-cleanup"


def cleanup_map(namespace: str, instance: str, pending: Mapping[str, Pending]) -> KubeObject:
    """The ConfigMap that remembers `pending`. Deleting it by hand makes FedState forget those clusters."""
    clusters = {
        cluster: {"instanceUID": entry.instance_uid, "vip": entry.vip, "since": entry.since}
        for cluster, entry in sorted(pending.items())
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": cleanup_name(instance),
            "namespace": namespace,
            "labels": standard_labels(instance, "cleanup"),
        },
        "data": {_KEY: json.dumps(clusters, separators=(",", ":"))},
    }


def pending_of(cleanup: KubeObject | None) -> dict[str, Pending]:
    """What a clean-up ConfigMap remembers; nothing for none, or for one that somebody has made unreadable."""
    try:
        clusters = json.loads((cleanup or {}).get("data", {}).get(_KEY, "{}"))
        return {
            str(cluster): Pending(
                instance_uid=str(entry["instanceUID"]), vip=str(entry.get("vip", "")), since=str(entry.get("since", ""))
            )
            for cluster, entry in clusters.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
