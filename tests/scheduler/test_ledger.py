"""What is given away and not yet in a cluster's sum."""

from fedstate.kube.objects import Key
from fedstate.scheduler.capacity.rooms import MemberShape
from fedstate.scheduler.ledger import COUNTED_AFTER, Ledger

A, B = Key("shop", "a"), Key("shop", "b")
ONE = MemberShape(request=(("cpu", 1000),))


def test_placed_members_are_reserved_until_they_have_run_for_a_while() -> None:
    ledger = Ledger()
    ledger.observe(A, {}, ONE, {}, 0.0)
    ledger.observe(A, {"c": 2}, ONE, {}, 1.0)
    assert ledger.reserved("c", 100.0) == {"pods": 2, "cpu": 2000}
    ledger.observe(A, {"c": 2}, ONE, {"c": 1}, 100.0)
    assert ledger.reserved("c", 101.0) == {"pods": 2, "cpu": 2000}
    assert ledger.reserved("c", 100.0 + COUNTED_AFTER) == {"pods": 1, "cpu": 1000}
    ledger.observe(A, {"c": 2}, ONE, {"c": 2}, 200.0)
    assert ledger.reserved("c", 201.0) == {"pods": 1, "cpu": 1000}
    assert ledger.reserved("c", 200.0 + COUNTED_AFTER) == {}


def test_what_runs_when_it_is_first_seen_is_in_the_sum_already() -> None:
    ledger = Ledger()
    ledger.observe(A, {"c": 3}, ONE, {"c": 2}, 0.0)
    assert ledger.reserved("c", 0.0) == {"pods": 1, "cpu": 1000}


def test_instances_add_up_and_are_forgotten() -> None:
    ledger = Ledger()
    ledger.observe(A, {"c": 1, "d": 1}, ONE, {}, 0.0)
    ledger.observe(B, {"c": 2}, ONE, {}, 0.0)
    assert ledger.reserved("c", 0.0) == {"pods": 3, "cpu": 3000}
    assert set(ledger.carriers("c")) == {A, B}
    ledger.forget(A)
    assert ledger.carriers("d") == ()
    assert ledger.reserved("c", 0.0) == {"pods": 2, "cpu": 2000}
    ledger.forget(A)


def test_a_cluster_left_is_a_cluster_free() -> None:
    ledger = Ledger()
    ledger.observe(A, {"c": 1}, ONE, {}, 0.0)
    ledger.observe(A, {"d": 1}, ONE, {}, 1.0)
    assert ledger.reserved("c", 1.0) == {}
    assert ledger.reserved("d", 1.0) == {"pods": 1, "cpu": 1000}


def test_a_member_that_goes_down_is_reserved_again() -> None:
    ledger = Ledger()
    ledger.observe(A, {"c": 2}, ONE, {"c": 2}, 0.0)
    ledger.observe(A, {"c": 2}, ONE, {"c": 1}, 50.0)
    assert ledger.reserved("c", 50.0) == {"pods": 1, "cpu": 1000}


def test_members_are_booked_by_their_shapes() -> None:
    ledger, other = Ledger(), MemberShape(request=(("cpu", 1000),), alone=True)
    booked: list[tuple[str, MemberShape, int]] = []
    ledger.on_change = lambda cluster, shape, members: booked.append((cluster, shape, members))
    ledger.observe(A, {"c": 2}, ONE, {}, 0.0)
    ledger.observe(B, {"c": 1}, other, {}, 0.0)
    assert ledger.booked("c") == {ONE: 2, other: 1}
    ledger.observe(A, {"c": 2}, other, {}, 1.0)
    assert ledger.booked("c") == {other: 3}
    ledger.forget(A)
    ledger.forget(B)
    assert (ledger.booked("c"), ledger.booked("d")) == ({}, {})
    assert booked == [("c", ONE, 2), ("c", other, 1), ("c", ONE, -2), ("c", other, 2), ("c", other, -2), ("c", other, -1)]


def test_members_that_are_seen_count_at_once_and_those_that_are_not_seen_never_do() -> None:
    ledger, seen = Ledger(), {"c": 0}
    ledger.visible = lambda cluster, key: seen.get(cluster)
    ledger.observe(A, {"c": 2, "d": 1}, ONE, {"c": 2, "d": 1}, 0.0)
    assert (ledger.booked("c"), ledger.booked("d")) == ({ONE: 2}, {})
    seen["c"] = 1
    ledger.refresh("c", [A, B], 1.0)
    assert ledger.reserved("c", 1.0) == {"pods": 1, "cpu": 1000}
    seen["c"] = 3
    ledger.refresh("c", [A], 2.0)
    assert ledger.booked("c") == {}
    del seen["c"]
    ledger.refresh("c", [A], 3.0)
    assert ledger.booked("c") == {}
