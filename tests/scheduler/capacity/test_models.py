"""The bound that a Cluster's resource models set."""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.scheduler.capacity.models import model_rooms
from fedstate.scheduler.snapshot import snapshot_of
from tests.scheduler.capacity.records import GI, shape
from tests.scheduler.clusters import GRADES, cluster, modelled


@pytest.mark.parametrize(
    ("counts", "one", "fits"),
    [
        ({0: 2}, shape(cpu=500, memory=4), 2),
        ({0: 2}, shape(cpu=500, memory=1), 6),
        ({0: 1, 1: 1}, shape(cpu=1000, memory=5), 3),
        ({2: 1}, shape(cpu=4000, memory=32), 0),
        ({3: 1}, shape(cpu=90000, memory=1), None),
        ({0: 2}, shape(cpu=9000), None),
        ({0: 2}, shape(cpu=4000, memory=32, other={"gpu": 1}), 0),
    ],
)
def test_a_node_has_less_than_the_next_grade_of_something(counts: dict[int, int], one: Any, fits: int | None) -> None:
    found, note = model_rooms(modelled(counts))
    assert found is not None
    assert (found.fits(one), note) == (fits, "")


def test_booked_members_that_ask_for_as_much_are_taken_off() -> None:
    found, _ = model_rooms(modelled({1: 3}))
    assert found is not None
    one, smaller, other = shape(cpu=1500, memory=10), shape(cpu=1500, memory=9), shape(cpu=1600, memory=1)
    assert (found.fits(one), found.beside({one: 2}).fits(one), found.beside({one: 9}).fits(one)) == (3, 1, 0)
    assert found.beside({smaller: 2}).fits(one) == 3
    assert found.beside({other: 2}).fits(one) == 3
    assert found.beside({shape(cpu=9000, memory=90): 1}).beside({one: 1}).fits(one) == 1
    assert "what is placed there already" in found.beside({one: 3}).why_not(one)


def test_the_reason_names_the_largest_node_that_there_is() -> None:
    found, _ = model_rooms(modelled({0: 3, 1: 1}))
    assert found is not None
    reason = "none of its nodes has so much free: by its resourceModels each has less than cpu 2 or less than memory 16Gi"
    assert found.why_not(shape(cpu=4000, memory=32)).startswith(reason.replace(" or less than", " or"))


def test_counts_that_leave_nodes_out_bound_nothing_and_the_source_says_so() -> None:
    obj = modelled({0: 2}, nodes=5)
    assert model_rooms(obj) == (None, "its resourceModels are not used, as they count 2 of 5 nodes")
    assert snapshot_of(obj).source.note == "its resourceModels are not used, as they count 2 of 5 nodes"
    obj["spec"]["resourceModels"][0]["ranges"] = [{"name": "cpu"}]
    assert model_rooms(obj) == (None, "its resourceModels cannot be read")
    assert model_rooms(cluster("a")) == (None, "")


def test_equal_models_are_equal_readings() -> None:
    assert snapshot_of(modelled({0: 2})) == snapshot_of(modelled({0: 2}))
    assert snapshot_of(modelled({0: 2})) != snapshot_of(modelled({1: 2}))


@settings(max_examples=150, deadline=None)
@given(random=st.integers(0, 1 << 40).map(Random))
def test_a_cluster_that_can_carry_a_member_is_never_refused(random: Random) -> None:
    nodes = [(random.randint(0, 9000), random.randint(0, 40 * GI)) for _ in range(random.randint(1, 5))]
    counts: dict[int, int] = {}
    for cpu, memory in nodes:
        grade = max(at for at, (cores, gi) in enumerate(GRADES) if cpu >= cores and memory >= gi * GI)
        counts[grade] = counts.get(grade, 0) + 1
    found, _ = model_rooms(modelled(counts))
    assert found is not None
    one = shape(cpu=random.choice([250, 999, 1000, 2500]), memory=random.choice([1, 3, 8]))
    request = dict(one.request)
    carried = [min(cpu // request["cpu"], memory // request["memory"]) for cpu, memory in nodes]
    placed = random.randint(0, sum(carried))
    fits = found.beside({one: placed}).fits(one)
    assert fits is None or fits >= sum(carried) - placed
