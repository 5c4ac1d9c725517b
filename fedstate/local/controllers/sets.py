"""What a StatefulSet means: its pods, claims and revisions, and which of them to create or delete next. Pure."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fedstate.kube.objects import KubeObject, deletion_timestamp_of, labels_of, name_of, namespace_of, owner_reference, parse_time

REVISION_LABEL = "controller-revision-hash"
POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to do now: ordinals to create, pods to delete and why."""

    create: tuple[int, ...] = ()
    delete: tuple[KubeObject, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revisions:
    """Names of the revision that pods had before an update, and of the one they are to have."""

    current: str
    update: str


def typed(obj: KubeObject) -> KubeObject:
    """A StatefulSet with its kind, which objects from a list lack."""
    return {**obj, "apiVersion": "apps/v1", "kind": "StatefulSet"}


def revision_data(stateful_set: KubeObject) -> dict[str, Any]:
    """What a ControllerRevision keeps: the pod template."""
    return {"spec": {"template": {**stateful_set["spec"]["template"], "$patch": "replace"}}}


def as_go_writes_it(value: Any) -> bytes:
    """JSON as kube-apiserver writes it. It does so whenever it patches a revision, and compares the immutable data by its bytes."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for character in "&<>\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text.encode()


def revision_name(stateful_set: KubeObject, data: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    return f"{name_of(stateful_set)}-{digest[:10]}"


def revision_for(stateful_set: KubeObject, number: int) -> KubeObject:
    """The ControllerRevision of the set's template as it is now."""
    data = revision_data(stateful_set)
    name = revision_name(stateful_set, data)
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": name,
            "namespace": namespace_of(stateful_set),
            "labels": {**_template_labels(stateful_set), REVISION_LABEL: name},
            "ownerReferences": [owner_reference(typed(stateful_set))],
        },
        "data": data,
        "revision": number,
    }


def _template_labels(stateful_set: KubeObject) -> dict[str, str]:
    return dict(labels_of(stateful_set["spec"]["template"]))


def ordinal_of(stateful_set: KubeObject, pod: KubeObject) -> int | None:
    """The ordinal in a pod's name; None if the name is not one of this set."""
    match = re.fullmatch(re.escape(name_of(stateful_set)) + r"-(\d+)", name_of(pod))
    return int(match.group(1)) if match else None


def wanted_ordinals(stateful_set: KubeObject) -> range:
    spec = stateful_set["spec"]
    start = int((spec.get("ordinals") or {}).get("start") or 0)
    replicas = spec.get("replicas")
    return range(start, start + (1 if replicas is None else int(replicas)))


def claims_for(stateful_set: KubeObject, ordinal: int) -> list[KubeObject]:
    """The claims of one pod."""
    selected = (stateful_set["spec"].get("selector") or {}).get("matchLabels") or {}
    claims = []
    for template in stateful_set["spec"].get("volumeClaimTemplates") or ():
        claim = copy.deepcopy({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "spec": template["spec"]})
        claim["metadata"] = {
            "name": claim_name(stateful_set, template, ordinal),
            "namespace": namespace_of(stateful_set),
            "labels": {**labels_of(template), **selected},
            "annotations": dict((template.get("metadata") or {}).get("annotations") or {}),
        }
        claims.append(claim)
    return claims


def claim_name(stateful_set: KubeObject, template: KubeObject, ordinal: int) -> str:
    return f"{name_of(template)}-{name_of(stateful_set)}-{ordinal}"


def pod_for(stateful_set: KubeObject, ordinal: int, template: KubeObject, revision: str) -> KubeObject:
    """A pod of the set, from a template (which an earlier revision may have kept)."""
    name = f"{name_of(stateful_set)}-{ordinal}"
    spec = copy.deepcopy(template["spec"])
    claimed = {
        name_of(t): {"name": name_of(t), "persistentVolumeClaim": {"claimName": claim_name(stateful_set, t, ordinal)}}
        for t in stateful_set["spec"].get("volumeClaimTemplates") or ()
    }
    volumes = [*claimed.values(), *(v for v in spec.get("volumes") or () if v["name"] not in claimed)]
    if volumes:
        spec["volumes"] = volumes
    spec["hostname"] = name
    if stateful_set["spec"].get("serviceName"):
        spec["subdomain"] = stateful_set["spec"]["serviceName"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace_of(stateful_set),
            "labels": {**labels_of(template), POD_NAME_LABEL: name, POD_INDEX_LABEL: str(ordinal), REVISION_LABEL: revision},
            "annotations": dict((template.get("metadata") or {}).get("annotations") or {}),
            "finalizers": list((template.get("metadata") or {}).get("finalizers") or ()),
            "ownerReferences": [owner_reference(typed(stateful_set))],
        },
        "spec": spec,
    }


def is_ready(pod: KubeObject) -> bool:
    return ready_since(pod) is not None


def ready_since(pod: KubeObject) -> datetime | None:
    status = pod.get("status") or {}
    for condition in status.get("conditions") or ():
        if condition["type"] == "Ready" and condition["status"] == "True" and status.get("phase") == "Running":
            return parse_time(condition["lastTransitionTime"])
    return None


def is_available(pod: KubeObject, min_ready_seconds: int, now: datetime) -> bool:
    since = ready_since(pod)
    return since is not None and (not min_ready_seconds or now - since >= timedelta(seconds=min_ready_seconds))


def next_step(stateful_set: KubeObject, pods: Mapping[int, KubeObject], update_revision: str, now: datetime) -> Step:
    """What to do now; an empty Step while waiting. Ordered as the set's podManagementPolicy says."""
    spec = stateful_set["spec"]
    wanted = wanted_ordinals(stateful_set)
    parallel = spec.get("podManagementPolicy") == "Parallel"
    min_ready = int(spec.get("minReadySeconds") or 0)
    create, failed = [], []
    for ordinal in wanted:
        pod = pods.get(ordinal)
        if pod is None:
            create.append(ordinal)
        elif (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded") and deletion_timestamp_of(pod) is None:
            failed.append(pod)
        waits = pod is None or deletion_timestamp_of(pod) is not None or not is_available(pod, min_ready, now)
        if waits and not parallel:
            return Step(create=tuple(create), delete=tuple(failed), why="failed")
    if create or failed:
        return Step(create=tuple(create), delete=tuple(failed), why="failed")
    condemned = [pods[ordinal] for ordinal in sorted(pods, reverse=True) if ordinal not in wanted]
    if condemned:
        chosen = condemned if parallel else condemned[:1]
        return Step(delete=tuple(pod for pod in chosen if deletion_timestamp_of(pod) is None), why="scaled down")
    return _next_update(spec, [pods[ordinal] for ordinal in wanted], update_revision, (min_ready, now))


def _next_update(spec: Mapping[str, Any], pods: Sequence[KubeObject], update_revision: str, ready: tuple[int, datetime]) -> Step:
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return Step()
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    for index in range(len(pods) - 1, -1, -1):
        pod = pods[index]
        if index < partition:
            break
        if labels_of(pod).get(REVISION_LABEL) != update_revision and deletion_timestamp_of(pod) is None:
            return Step(delete=(pod,), why="updated")
        if deletion_timestamp_of(pod) is not None or not is_available(pod, *ready):
            break
    return Step()


def revision_of_ordinal(stateful_set: KubeObject, ordinal: int, revisions: Revisions) -> str:
    """The revision that a new pod of this ordinal gets: below the partition of a rolling update, the one before."""
    strategy = stateful_set["spec"].get("updateStrategy") or {}
    partition = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
    index = ordinal - wanted_ordinals(stateful_set).start
    return revisions.current if strategy.get("type") != "OnDelete" and index < partition else revisions.update


def status_of(stateful_set: KubeObject, pods: Mapping[int, KubeObject], revisions: Revisions, now: datetime) -> dict[str, Any]:
    """The set's status as its pods are now."""
    spec = stateful_set["spec"]
    present = list(pods.values())
    ready = [pod for pod in present if is_ready(pod)]
    updated = sum(labels_of(pod).get(REVISION_LABEL) == revisions.update for pod in present)
    wanted = len(wanted_ordinals(stateful_set))
    rolled = updated == len(present) == len(ready) == wanted
    current = revisions.update if rolled else revisions.current
    return {
        "observedGeneration": stateful_set["metadata"].get("generation", 1),
        "replicas": len(present),
        "readyReplicas": len(ready),
        "availableReplicas": sum(is_available(pod, int(spec.get("minReadySeconds") or 0), now) for pod in present),
        "currentReplicas": sum(labels_of(pod).get(REVISION_LABEL) == current for pod in present),
        "updatedReplicas": updated,
        "currentRevision": current,
        "updateRevision": revisions.update,
        "collisionCount": 0,
    }
