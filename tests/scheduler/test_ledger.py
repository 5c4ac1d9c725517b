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
