"""What a StatefulSet does next."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fedstate.local.controllers import sets
from fedstate.local.controllers.sets import Revisions

NOW = datetime(2026, 1, 2, tzinfo=UTC)
TEMPLATE = {
    "metadata": {"labels": {"app": "x"}},
    "spec": {"containers": [{"name": "c"}], "volumes": [{"name": "data"}, {"name": "other"}]},
}


def stateful_set(replicas: int = 3, **spec: Any) -> Any:
    claims = [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]
    return {
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "x", "namespace": "ns", "uid": "u", "generation": 2},
        "spec": {"replicas": replicas, "serviceName": "svc", "template": TEMPLATE, "volumeClaimTemplates": claims, **spec},
    }  # fmt: skip


def pod(ordinal: int, *, ready: bool = True, revision: str = "new", leaving: bool = False, phase: str = "Running") -> Any:
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": "2026-01-01T00:00:00Z"}
    metadata: dict[str, Any] = {"name": f"x-{ordinal}", "labels": {sets.REVISION_LABEL: revision}}
    if leaving:
        metadata["deletionTimestamp"] = "2026-01-02T00:00:00Z"
    return {"metadata": metadata, "status": {"phase": phase, "conditions": [condition]}}


def step(the_set: Any, *pods: Any) -> tuple[tuple[int, ...], list[str]]:
    by_ordinal = {int(p["metadata"]["name"][2:]): p for p in pods}
    found = sets.next_step(the_set, by_ordinal, "new", NOW)
    return found.create, [p["metadata"]["name"] for p in found.delete]


PARALLEL: Any = {"podManagementPolicy": "Parallel"}
PARTITION: Any = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}


@pytest.mark.parametrize(
    ("the_set", "pods", "create", "delete"),
    [
        (stateful_set(), [], (0,), []),
        (stateful_set(**PARALLEL), [], (0, 1, 2), []),
        (stateful_set(), [pod(0, ready=False)], (), []),
        (stateful_set(), [pod(0)], (1,), []),
        (stateful_set(ordinals={"start": 5}), [], (5,), []),
        (stateful_set(), [pod(0), pod(2)], (1,), []),
        (stateful_set(1), [pod(0), pod(1), pod(2)], (), ["x-2"]),
        (stateful_set(1), [pod(0), pod(1), pod(2, leaving=True)], (), []),
        (stateful_set(1, **PARALLEL), [pod(0), pod(1), pod(2)], (), ["x-2", "x-1"]),
        (stateful_set(0), [pod(0)], (), ["x-0"]),
        (stateful_set(2), [pod(0, revision="old"), pod(1, revision="old")], (), ["x-1"]),
        (stateful_set(2), [pod(0, revision="old"), pod(1, ready=False)], (), []),
        (stateful_set(3, **PARTITION), [pod(0, revision="old"), pod(1, revision="old"), pod(2)], (), []),
        (stateful_set(1, updateStrategy={"type": "OnDelete"}), [pod(0, revision="old")], (), []),
        (stateful_set(1), [pod(0, ready=False, phase="Failed")], (), ["x-0"]),
        (stateful_set(2, minReadySeconds=10**6), [pod(0)], (), []),
    ],
)
def test_pods_come_and_go_one_by_one_or_all_at_once_as_the_policy_says(
    the_set: Any, pods: list[Any], create: tuple[int, ...], delete: list[str]
) -> None:
    assert step(the_set, *pods) == (create, delete)


def test_a_pod_gets_its_names_labels_and_claims() -> None:
    made = sets.pod_for(stateful_set(), 1, TEMPLATE, "x-abc")
    assert made["metadata"]["labels"] == {
        "app": "x", "statefulset.kubernetes.io/pod-name": "x-1", "apps.kubernetes.io/pod-index": "1", "controller-revision-hash": "x-abc",
    }  # fmt: skip
    assert made["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-x-1"}}, {"name": "other"}]
    assert (made["spec"]["hostname"], made["spec"]["subdomain"]) == ("x-1", "svc")
    assert made["metadata"]["ownerReferences"][0]["controller"] is True
    assert [c["metadata"]["name"] for c in sets.claims_for(stateful_set(), 1)] == ["data-x-1"]


def test_the_revision_depends_on_the_template_alone() -> None:
    def name(the_set: Any) -> str:
        return sets.revision_name(the_set, sets.revision_data(the_set))

    assert name(stateful_set(1)) == name(stateful_set(5))
    assert name(stateful_set(template={**TEMPLATE, "metadata": {}})) != name(stateful_set())


def test_a_revision_is_written_as_go_writes_it() -> None:
    assert sets.as_go_writes_it({"b": "a && <é>", "a": [1]}) == '{"a":[1],"b":"a \\u0026\\u0026 \\u003cé\\u003e"}'.encode()


def test_below_the_partition_a_new_pod_has_the_old_revision() -> None:
    revisions = Revisions(current="old", update="new")
    assert [sets.revision_of_ordinal(stateful_set(**PARTITION), n, revisions) for n in range(3)] == ["old", "old", "new"]


def test_status_counts_and_an_update_is_over_when_every_pod_is_new_and_ready() -> None:
    revisions = Revisions(current="old", update="new")
    status = sets.status_of(stateful_set(2), {0: pod(0, revision="old"), 1: pod(1)}, revisions, NOW)
    assert (status["replicas"], status["readyReplicas"], status["updatedReplicas"], status["currentReplicas"]) == (2, 2, 1, 1)
    assert status["currentRevision"] == "old"
    assert sets.status_of(stateful_set(1), {0: pod(0)}, revisions, NOW)["currentRevision"] == "new"
