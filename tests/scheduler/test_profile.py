"""Profiles: what they choose, how their mistakes are told, and plugins and middleware of others."""

from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from fedstate.errors import FedstateError
from fedstate.kube.resources import Resource
from fedstate.scheduler import middleware, profile
from fedstate.scheduler.engine import Engine
from fedstate.scheduler.filters import Context, Filter
from fedstate.scheduler.ledger import Ledger
from fedstate.scheduler.middleware import MONGODB, middlewares
from fedstate.scheduler.profile import ProfileError, default_profile, load_profile, profile_of
from fedstate.scheduler.scores import ClusterScore, balanced_allocation, least_allocated, most_allocated
from fedstate.scheduler.snapshot import ClusterSnapshot, Fleet
from tests.scheduler.test_engine import plain_cluster, wanted

MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"scorers": {}}, "scorers: there is no such field; there are filters, scores, topology, resources, divide, permits"),
    ({"scores": {"Cheapest": 1}}, "scores: there is no Cheapest; there are ResourcesLeastAllocated, ResourcesMostAllocated"),
    ({"scores": {"TaintToleration": 101}}, "scores: must map names to whole numbers of at least 0, at most 100 together"),
    ({"scores": {"TaintToleration": True}}, "scores: must map names to whole numbers"),
    ({"topology": {"rack": 1}}, "topology: there is no rack; there are region, provider, zone"),
    (
        {"filters": ["TaintToleration"]},
        "filters: ClusterNames cannot be left out; only TaintToleration, APIEnablement and StorageClass can",
    ),
    ({"divide": {"Random": "Uniform"}}, "divide: must map Uniform and Weighting"),
    ({"divide": {"Uniform": "Best"}}, "divide.Uniform: there is no Best; there are Uniform, Weighting, ClusterWeights"),
    ({"permits": "SurvivesAnyLoss"}, "permits: must be a list of different names"),
]


@pytest.mark.parametrize(("said", "problem"), MISTAKES, ids=[problem for _, problem in MISTAKES])
def test_a_mistake_in_a_profile_names_the_field_and_what_would_do(said: dict[str, Any], problem: str) -> None:
    with pytest.raises(ProfileError) as caught:
        profile_of(said)
    assert str(caught.value).startswith(problem)


def test_a_profile_comes_from_a_file_that_names_only_what_differs(tmp_path: Path) -> None:
    file = tmp_path / "profile.yaml"
    file.write_text("scores: {ResourcesMostAllocated: 1}\npermits: [SurvivesAnyLoss]\n")
    found = load_profile(str(file))
    assert [score.name for score, _ in found.scores] == ["ResourcesMostAllocated"]
    assert found.topology == default_profile().topology
    file.write_text("[1]")
    with pytest.raises(ProfileError, match="must hold a mapping"):
        load_profile(str(file))
    with pytest.raises(ProfileError, match="No such file"):
        load_profile(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize(
    ("shares", "least", "most", "balanced"), [([80, 60], 60, 40, 80), ([0, 100], 0, 100, 0), ([], 0, 0, 0), ([50], 50, 50, 100)]
)
def test_scores_by_free_shares(shares: list[int], least: int, most: int, balanced: int) -> None:
    assert (least_allocated(shares), most_allocated(shares), balanced_allocation(shares)) == (least, most, balanced)


def members(said: dict[str, Any], *clusters: ClusterSnapshot, count: int = 1, **changes: Any) -> dict[str, int] | None:
    fleet = Fleet()
    for cluster in clusters:
        fleet.put_snapshot(cluster)
    decision = Engine(fleet, Ledger(), profile_of(said)).decide(wanted(count, **changes), MONGODB.template, now=0.0)
    return decision.placement.members if decision.placement else None


FULL, EMPTY = (
    replace(plain_cluster(name), free={"cpu": cpu, "memory": 32 << 30, "pods": 110}) for name, cpu in (("f", 4000), ("e", 15000))
)


def test_scores_decide_between_equals() -> None:
    assert members({"scores": {"ResourcesLeastAllocated": 1}}, FULL, EMPTY) == {"e": 1}
    assert members({"scores": {"ResourcesMostAllocated": 1}}, FULL, EMPTY) == {"f": 1}
    lopsided = replace(plain_cluster("d"), free={"cpu": 16000, "memory": 30 << 30, "pods": 110})
    assert members({"scores": {"ResourcesBalancedAllocation": 1}}, lopsided, plain_cluster("z")) == {"z": 1}
    disliked = replace(plain_cluster("a"), taints=({"key": "old", "effect": "PreferNoSchedule"},))
    assert members({"scores": {"TaintToleration": 1}}, disliked, plain_cluster("z")) == {"z": 1}
    silent = replace(plain_cluster("a"), free=None, allocatable=None)
    assert members({"scores": {"ResourcesReported": 1}}, silent, plain_cluster("z")) == {"z": 1}


def test_topology_keys_are_weighed() -> None:
    a = replace(plain_cluster("a"), region="x", provider="p")
    b = replace(plain_cluster("b"), region="x", provider="q")
    c = replace(plain_cluster("c"), region="y", provider="p")
    assert members({"topology": {"region": 2, "provider": 1}}, a, b, c, count=2) == {"a": 1, "c": 1}
    assert members({"topology": {"region": 1, "provider": 2}}, a, b, c, count=2) == {"a": 1, "b": 1}


def test_clusters_can_be_given_weights() -> None:
    heavy = replace(plain_cluster("z"), labels={"middleware.fedstate.io/weight": "4"})
    said = {"divide": {"Weighting": "ClusterWeights"}}
    assert members(said, plain_cluster("a"), heavy, count=5, mode="Weighting") == {"a": 1, "z": 4}
    assert members(said, plain_cluster("a"), heavy, count=5) == {"a": 3, "z": 2}


def test_a_permit_holds_back_what_one_loss_would_stop() -> None:
    said = {"permits": ["SurvivesAnyLoss"]}
    assert members(said, plain_cluster("a"), plain_cluster("b"), count=3) is None
    assert members(said, *(plain_cluster(name) for name in "abc"), count=3) == {"a": 1, "b": 1, "c": 1}


def weekend(cluster: ClusterSnapshot, context: Context) -> str | None:
    return "is off at the weekend" if cluster.labels.get("weekend") == "off" else None


WEEKEND = Filter(name="Weekend", rule=weekend)
BY_NAME = ClusterScore(name="Alphabet", score=lambda cluster, context: ord(cluster.name[0]))
SQLITE = replace(MONGODB, instances=Resource("example.com", "v1", "sqlites", "SQLite"))
NOT_A_PLUGIN = 7


def offer(monkeypatch: pytest.MonkeyPatch, **groups: str) -> None:
    def found(*, group: str) -> list[EntryPoint]:
        value = groups.get(group.replace(".", "_"))
        return [EntryPoint(name="theirs", value=f"{__name__}:{value}", group=group)] if value else []

    monkeypatch.setattr(profile, "entry_points", found)
    monkeypatch.setattr(middleware, "entry_points", found)


def test_plugins_of_others_are_named_in_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, fedstate_scheduler_filter="WEEKEND", fedstate_scheduler_score="BY_NAME")
    off = replace(plain_cluster("z"), labels={"weekend": "off"})
    filters = [each.name for each in default_profile().filters]
    assert members({"scores": {"Alphabet": 1}}, plain_cluster("a"), off) == {"z": 1}
    assert members({"scores": {"Alphabet": 1}, "filters": [*filters, "Weekend"]}, plain_cluster("a"), off) == {"a": 1}
    offer(monkeypatch, fedstate_scheduler_permit="NOT_A_PLUGIN")
    with pytest.raises(ProfileError, match="entry point theirs of fedstate.scheduler.permit is no permit plugin but 7"):
        profile_of({})


def test_another_middleware_is_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, fedstate_middleware="SQLITE")
    assert [each.instances.kind for each in middlewares()] == ["MultiCloudMongoDB", "SQLite"]
    offer(monkeypatch, fedstate_middleware="MONGODB")
    with pytest.raises(FedstateError, match="has a middleware already"):
        middlewares()
    offer(monkeypatch, fedstate_middleware="NOT_A_PLUGIN")
    with pytest.raises(FedstateError, match="is no Middleware"):
        middlewares()
