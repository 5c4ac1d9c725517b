"""What Karmada is told about an instance: which clusters get its objects, and what each cluster's copy of the template says.

Builders of the two policies and the readers of what they say now. Pure; when to change them is the plan's business.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fedstate.api.karmada import OVERRIDE_POLICIES, PROPAGATION_POLICIES
from fedstate.api.naming import (
    ANNOTATION_VIP,
    HOSTCONF_REPLSET,
    LABEL_INSTANCE_UID,
    LABEL_VIP,
    MONGODBS,
    policy_name,
    standard_labels,
)
from fedstate.api.replset import ReplsetPlan
from fedstate.errors import FedstateError
from fedstate.kube.objects import KubeObject, annotations_of, labels_of

ANNOTATION_PLAN = "middleware.fedstate.io/plan"
"""A second copy of the member plan, on the OverridePolicy: member ids must survive the loss of the ConfigMap."""

_LABEL_VALUE = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
_VIP_LABEL_PATH = "/metadata/labels/" + LABEL_VIP.replace("~", "~0").replace("/", "~1")
_VIP_ANNOTATION_PATH = "/metadata/annotations/" + ANNOTATION_VIP.replace("~", "~0").replace("/", "~1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one cluster is to run: the content of its rule in the OverridePolicy."""

    cluster: str
    members: int
    arbiter: bool
    rs_init: bool
    vip: str
    instance_uid: str
    generation: int
    decommission: bool
    held_back: tuple[tuple[str, Any], ...] = ()
    """Spec fields that keep an older value than the template's until it is this cluster's turn to change them."""


def override_policy(
    namespace: str, instance: str, tasks: Iterable[Task], *, instance_uid: str, plan: ReplsetPlan | None
) -> KubeObject:
    """One policy with one rule per cluster. A cluster without a rule gets the inert template."""
    metadata: dict[str, Any] = {
        "name": policy_name(instance),
        "namespace": namespace,
        "labels": {**standard_labels(instance, "policy"), LABEL_INSTANCE_UID: instance_uid},
    }
    if plan is not None:
        metadata["annotations"] = {ANNOTATION_PLAN: plan.to_json()}
    return {
        "apiVersion": OVERRIDE_POLICIES.api_version,
        "kind": OVERRIDE_POLICIES.kind,
        "metadata": metadata,
        "spec": {
            "resourceSelectors": [_selector(MONGODBS.api_version, MONGODBS.kind, namespace, instance)],
            "overrideRules": [_rule(task) for task in sorted(tasks, key=lambda task: task.cluster)],
        },
    }


def propagation_policy(
    namespace: str, instance: str, *, clusters: Iterable[str], dependencies: Sequence[tuple[str, str]], preserve: bool
) -> KubeObject:
    """Everything of the instance to every named cluster. `dependencies` are (kind, name) of core/v1 objects beside the template.

    Every taint is tolerated: only the scheduler moves members, Karmada never does.
    """
    selectors = [_selector(MONGODBS.api_version, MONGODBS.kind, namespace, instance)]
    selectors += [_selector("v1", kind, namespace, name) for kind, name in dependencies]
    return {
        "apiVersion": PROPAGATION_POLICIES.api_version,
        "kind": PROPAGATION_POLICIES.kind,
        "metadata": {
            "name": policy_name(instance),
            "namespace": namespace,
            "labels": standard_labels(instance, "policy"),
        },
        "spec": {
            "resourceSelectors": selectors,
            "dependentOverrides": [policy_name(instance)],
            "conflictResolution": "Overwrite",
            "preserveResourcesOnDeletion": preserve,
            "placement": {
                "clusterAffinity": {"clusterNames": sorted(clusters)},
                "clusterTolerations": [{"operator": "Exists"}],
                "replicaScheduling": {"replicaSchedulingType": "Duplicated"},
            },
        },
    }


def tasks_of(override: KubeObject | None) -> dict[str, Task]:
    """The tasks that an OverridePolicy sets now; rules that FedState did not write are left out."""
    tasks = {}
    for rule in ((override or {}).get("spec") or {}).get("overrideRules") or ():
        task = _task(rule)
        if task is not None:
            tasks[task.cluster] = task
    return tasks


def clusters_of(propagation: KubeObject | None) -> tuple[str, ...]:
    """The clusters a PropagationPolicy names now."""
    placement = ((propagation or {}).get("spec") or {}).get("placement") or {}
    return tuple((placement.get("clusterAffinity") or {}).get("clusterNames") or ())


def preserves(policy_or_binding: KubeObject | None) -> bool:
    """Whether Karmada would leave the member objects where they are when this goes."""
    return bool(((policy_or_binding or {}).get("spec") or {}).get("preserveResourcesOnDeletion"))


def dependencies_of(propagation: KubeObject | None) -> list[tuple[str, str]]:
    """The (kind, name) of the core/v1 objects that a PropagationPolicy selects now."""
    selectors = ((propagation or {}).get("spec") or {}).get("resourceSelectors") or ()
    return [(str(entry["kind"]), str(entry["name"])) for entry in selectors if entry.get("apiVersion") == "v1"]


def plan_in_force(hostconf: KubeObject | None, override: KubeObject | None, instance_uid: str) -> ReplsetPlan | None:
    """The newest readable member plan of that very instance, from the ConfigMap or from the copy on the OverridePolicy."""
    texts = (
        (hostconf, ((hostconf or {}).get("data") or {}).get(HOSTCONF_REPLSET)),
        (override, annotations_of(override or {}).get(ANNOTATION_PLAN)),
    )
    plans = []
    for holder, text in texts:
        if holder is not None and text and labels_of(holder).get(LABEL_INSTANCE_UID) == instance_uid:
            with suppress(FedstateError):
                plans.append(ReplsetPlan.from_json(text))
    return max(plans, key=lambda plan: plan.generation, default=None)


def _selector(api_version: str, kind: str, namespace: str, name: str) -> dict[str, str]:
    return {"apiVersion": api_version, "kind": kind, "namespace": namespace, "name": name}


def _rule(task: Task) -> dict[str, Any]:
    stamp = {
        "cluster": task.cluster,
        "instanceUID": task.instance_uid,
        "planGeneration": task.generation,
        "decommission": task.decommission,
    }
    # "add" sets a field whether or not the template has it; a "replace" of a missing one would cut this cluster off silently.
    values: list[tuple[str, Any]] = [
        ("/spec/members", task.members),
        ("/spec/arbiter", task.arbiter),
        ("/spec/rsInit", task.rs_init),
        ("/spec/federation", stamp),
    ]
    values += [(f"/spec/{name}", value) for name, value in task.held_back]
    if task.vip:
        values.append((_VIP_LABEL_PATH if _LABEL_VALUE.match(task.vip) else _VIP_ANNOTATION_PATH, task.vip))
    return {
        "targetCluster": {"clusterNames": [task.cluster]},
        "overriders": {"plaintext": [{"path": path, "operator": "add", "value": value} for path, value in values]},
    }


def _task(rule: Mapping[str, Any]) -> Task | None:
    patches = (rule.get("overriders") or {}).get("plaintext") or ()
    values = {str(patch.get("path")): patch.get("value") for patch in patches}
    stamp = values.get("/spec/federation")
    if not isinstance(stamp, Mapping) or not stamp.get("cluster"):
        return None
    own = {"/spec/members", "/spec/arbiter", "/spec/rsInit", "/spec/federation"}
    return Task(
        cluster=str(stamp["cluster"]),
        members=int(values.get("/spec/members") or 0),
        arbiter=bool(values.get("/spec/arbiter")),
        rs_init=bool(values.get("/spec/rsInit")),
        vip=str(values.get(_VIP_LABEL_PATH) or values.get(_VIP_ANNOTATION_PATH) or ""),
        instance_uid=str(stamp.get("instanceUID") or ""),
        generation=int(stamp.get("planGeneration") or 0),
        decommission=bool(stamp.get("decommission")),
        held_back=tuple(
            (path.removeprefix("/spec/"), value)
            for path, value in values.items()
            if path.startswith("/spec/") and path not in own
        ),
    )
