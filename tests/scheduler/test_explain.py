"""What `fedstate explain-placement` finds and prints."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fedstate.cli.placement import as_json, as_text, suppose
from fedstate.errors import FedstateError
from fedstate.kube.objects import KubeObject, format_time
from fedstate.scheduler.explain import ControlPlane, Explanation, explained
from fedstate.scheduler.middleware import MONGODB
from fedstate.scheduler.profile import default_profile
from tests.api.objects import instance
from tests.scheduler.clusters import LOST, ONE_CPU, cluster

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def reported(obj: KubeObject, seconds: int) -> KubeObject:
    written = {"subresource": "status", "time": format_time(NOW - timedelta(seconds=seconds))}
    obj["metadata"]["managedFields"] = [written, {"time": format_time(NOW)}]
    return obj


def explanation(spec: dict[str, Any], *clusters: KubeObject, others: list[KubeObject] | None = None) -> Explanation:
    plane = ControlPlane(clusters=clusters, others=others or [], now=NOW)
    return explained(instance(ONE_CPU | spec), plane, MONGODB, default_profile())


def test_every_cluster_tells_verdict_scores_source_and_age() -> None:
    found = explanation(
        {"replicaset": 5},
        reported(cluster("a", used="8"), 40),
        reported(cluster("b", cpu="1"), 7300),
        cluster("c", vip=None),
        cluster("d", cpu=None),
        reported(cluster("e", conditions=[LOST]), 600),
    )
    lines = as_text(found).splitlines()
    assert lines[0] == "5 members on 3 clusters: a 2, b 1, d 2."
    plugins = [
        "ResourcesLeastAllocatedx4",
        "ResourcesBalancedAllocationx1",
        "TaintTolerationx4",
        "ClusterAffinityx8",
        "Stickinessx6",
    ]
    assert lines[2].split() == ["CLUSTER", "MEMBERS", "VOTES", "FITS", "VERDICT", "SCORE", *plugins, "DATA"]
    cells = {line.split()[0]: line.split() for line in lines[3:8]}
    assert cells["a"] == [
        "a",
        "2",
        "2",
        "8",
        "fits",
        "63",
        "50",
        "52",
        "100",
        "100",
        "0",
        "resourceSummary,",
        "changed",
        "40s",
        "ago",
    ]
    assert cells["b"][-3:] == ["changed", "2h", "ago"]
    assert cells["c"][3:7] == ["16", "rejected", "by", "ClusterAddress"]
    assert " ".join(cells["d"]).endswith("none: Karmada collects no resources of it")
    assert "stale: not collected while the cluster is not Ready, changed 10m ago" in " ".join(cells["e"])
    assert "  e: ClusterReady: not Ready (ClusterNotReachable)" in lines
    assert lines[-4:] == [
        "WITHOUT   ELECTS A PRIMARY   COMMITS MAJORITY WRITES",
        "a         yes                yes",
        "b         yes                yes",
        "d         yes                yes",
    ]


def test_filled_nodes_change_the_next_placement_and_the_explanation_says_so() -> None:
    before = explanation({}, *(cluster(name) for name in "abc"))
    after = explanation({}, cluster("a", used="15.5"), cluster("b"), cluster("c"))
    assert before.message == "3 members on 3 clusters: a 1, b 1, c 1."
    assert "b 2, c 1" in after.message
    entry = {row["cluster"]: row for row in as_json(after)["clusters"]}["a"]
    assert (entry["rule"], entry["reason"]) == ("ResourcesFit", "fits 0 members: needs cpu 1, free 0.5 (spec.resource)")
    assert as_json(after)["losses"]["b"] == {"electsPrimary": False, "commitsMajorityWrites": False}


def test_what_others_hold_is_taken_off() -> None:
    taken = {"schedulerResult": '{"ClusterWithReplicaset":[{"cluster":"a","replicaset":3}]}'}
    found = explanation({}, cluster("a", cpu="4"), others=[instance(ONE_CPU, name="other", uid="u9", annotations=taken)])
    assert not found.decision.complete
    assert "  a: cpu 3, memory 1.5Gi, pods 3" in as_text(found).splitlines()


def test_a_supposed_spec_and_supposed_clusters_replace_what_is_there() -> None:
    placed = {"schedulerResult": '{"ClusterWithReplicaset":[{"cluster":"a","replicaset":3}]}'}
    live = instance(ONE_CPU, annotations=placed)
    grown = {"kind": "MultiCloudMongoDB", "metadata": {"name": "orders"}, "spec": {"replicaset": 5}}
    wanted, clusters = suppose("orders", "shop", [live], [cluster("a")], [grown, cluster("b")])
    plane = ControlPlane(clusters=clusters, others=[], now=NOW)
    found = explained(wanted, plane, MONGODB, default_profile())
    assert found.message.startswith("5 members on 2 clusters: a 3, b 2.")


@pytest.mark.parametrize(
    ("supposed", "problem"),
    [
        ([], "there is no MultiCloudMongoDB orders in namespace shop; -n NAMESPACE gives another"),
        (
            [{"kind": "Pod", "metadata": {"name": "p"}}],
            "--dry-run-with: Pod p is neither a Cluster nor the MultiCloudMongoDB orders",
        ),
    ],
)
def test_what_cannot_be_explained_is_said(supposed: list[KubeObject], problem: str) -> None:
    with pytest.raises(FedstateError) as caught:
        suppose("orders", "shop", [], [], supposed)
    assert str(caught.value) == problem
