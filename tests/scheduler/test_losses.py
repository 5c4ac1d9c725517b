"""When a cluster counts as lost to an instance: two witnesses, and time by the clock of this process."""

from dataclasses import replace
from typing import Any

import pytest

from fedstate.api.placement import Placement
from fedstate.kube.objects import Key
from fedstate.scheduler.losses import Absences, losses_told
from fedstate.scheduler.sight import Losses, Sight, mongodb_sight
from fedstate.scheduler.snapshot import ClusterSnapshot
from tests.scheduler.test_engine import TODAY, plain_cluster, wanted

KEY = Key("shop", "orders")
LED = Sight(led=True)
TEMPLATE = wanted(3, current=Placement.of({"a": 1, "b": 1, "c": 1}), toleration=300)


class Watch:
    """Looks at an instance whose clusters are ready until they are said to be away since some moment of Karmada's."""

    def __init__(self) -> None:
        self.absences = Absences()
        self.away: dict[str, str] = {}
        self.gone: set[str] = set()

    def cluster(self, name: str) -> ClusterSnapshot | None:
        if name in self.gone:
            return None
        return replace(plain_cluster(name), ready=name not in self.away, ready_since=self.away.get(name, ""))

    def at(self, now: float, sight: Sight = LED, **changes: Any) -> tuple[Losses, float | None]:
        return self.absences.losses(KEY, replace(TEMPLATE, **changes), sight, self.cluster, now)


def test_a_cluster_is_lost_when_both_witnesses_have_missed_it_for_as_long_as_is_tolerated() -> None:
    watch = Watch()
    assert watch.at(0.0) == (Losses(), None)
    watch.away["a"] = "12:00"
    found, due = watch.at(1000.0)
    assert (found.lost, due) == (frozenset(), 300.0)
    assert found.spared == {"a": "nothing is moved before this has lasted 300 s (spec.failover.tolerationSeconds)"}
    assert watch.at(1299.0)[1] == 1.0
    assert watch.at(1300.0) == (Losses(lost=frozenset("a")), None)


def test_the_words_do_not_change_with_time() -> None:
    watch = Watch()
    watch.away["a"] = "12:00"
    assert watch.at(0.0)[0] == watch.at(200.0)[0]


def test_a_cluster_that_was_back_in_between_is_waited_for_anew_even_if_nobody_saw_it_back() -> None:
    watch = Watch()
    watch.away["a"] = "12:00"
    watch.at(0.0)
    watch.away["a"] = "12:04"
    assert watch.at(299.0)[1] == 300.0
    del watch.away["a"]
    watch.at(400.0)
    watch.away["a"] = "12:04"
    assert watch.at(500.0)[1] == 300.0


def test_a_process_that_has_just_begun_counts_from_there() -> None:
    watch = Watch()
    watch.away["a"] = "1970-01-01T00:00:00Z"
    assert watch.at(10_000.0)[1] == 300.0


@pytest.mark.parametrize(
    ("sight", "changes", "reason"),
    [
        (LED, {"dynamic": False}, "spec.scheduler.allowDynamicScheduler is false"),
        (Sight(led=True, serving=frozenset("a")), {}, "still sees members there"),
        (Sight(led=True, unknown=frozenset("a")), {}, "nothing tells whether anybody serves there"),
        (Sight(), {}, "no primary with a majority"),
    ],
)
def test_members_stay_for_a_reason_that_is_said(sight: Sight, changes: dict[str, Any], reason: str) -> None:
    watch = Watch()
    watch.away["a"] = "12:00"
    watch.at(0.0)
    found, due = watch.at(10_000.0, sight, **changes)
    assert (found.lost, due) == (frozenset(), None)
    assert reason in found.spared["a"]


def test_members_that_are_seen_again_end_the_wait_and_members_that_nobody_can_see_do_not() -> None:
    watch = Watch()
    watch.away["a"] = "12:00"
    watch.at(0.0)
    watch.at(100.0, Sight(led=True, unknown=frozenset("a")))
    assert watch.at(300.0)[0].lost == frozenset("a")
    watch.at(301.0, Sight(led=True, serving=frozenset("a")))
    assert watch.at(302.0)[1] == 300.0


def test_a_wait_goes_on_while_there_is_no_majority_and_ends_when_there_is_one() -> None:
    watch = Watch()
    watch.away |= {"a": "12:00", "b": "12:00"}
    watch.at(0.0, Sight())
    assert watch.at(400.0, Sight())[0].lost == frozenset()
    del watch.away["b"]
    assert watch.at(401.0)[0].lost == frozenset("a")


def test_a_cluster_that_has_left_karmada_is_waited_for_like_one_that_is_not_ready() -> None:
    watch = Watch()
    watch.gone.add("a")
    assert watch.at(0.0)[1] == 300.0
    assert watch.at(300.0)[0].lost == frozenset("a")


def test_without_a_majority_the_owner_reads_why_nothing_moves_even_if_every_cluster_is_there() -> None:
    assert not Watch().at(0.0, Sight())[0].led


def test_an_explanation_takes_the_time_of_karmada() -> None:
    watch = Watch()
    watch.away = {"a": "2025-12-31T23:54:00Z", "b": "2025-12-31T23:59:00Z", "c": "soon"}
    found = losses_told(TEMPLATE, LED, watch.cluster, TODAY)
    assert found.lost == frozenset("a")
    assert set(found.spared) == {"b", "c"}


def member(cluster: str, role: str, *, configured: bool = True) -> dict[str, Any]:
    return {"cluster": cluster, "role": role, "configured": configured}


@pytest.mark.parametrize(
    ("majority", "primary", "members", "sight"),
    [
        ("False", True, [member("a", "PRIMARY"), member("b", "DOWN")], Sight(led=True, serving=frozenset("a"))),
        ("False", True, [member("a", "DOWN"), member("a", "STARTUP2")], Sight(led=True, serving=frozenset("a"))),
        ("False", True, [member("a", "UNKNOWN")], Sight(led=True, unknown=frozenset("a"))),
        ("False", True, [member("a", "UNKNOWN", configured=False)], Sight(led=True)),
        ("False", False, [member("a", "SECONDARY")], Sight(serving=frozenset("a"))),
        ("Unknown", True, [member("a", "PRIMARY")], Sight(serving=frozenset("a"))),
        ("True", True, [member("a", "PRIMARY")], Sight(serving=frozenset("a"))),
    ],
)
def test_what_a_set_sees_is_read_from_its_status(
    majority: str, primary: bool, members: list[dict[str, Any]], sight: Sight
) -> None:
    conditions = [{"type": "MajorityLost", "status": majority, "reason": "x", "message": ""}]
    status: dict[str, Any] = {"conditions": conditions, "replicaSet": {"members": members}}
    if primary:
        status["primary"] = {"host": "h"}
    assert mongodb_sight({"status": status}) == sight


def test_an_instance_that_says_nothing_can_bear_nothing() -> None:
    assert mongodb_sight({}) == Sight()
