"""Pods laid onto nodes: lists and arrays, one kind and many, come to the same numbers."""

from random import Random
from unittest.mock import patch

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fedstate.scheduler.capacity import arranging
from fedstate.scheduler.capacity.arranging import evenly, tightly
from fedstate.scheduler.capacity.loads import KNOWN, Load, Loads, load_of, needs_of

FITS = st.lists(st.integers(0, 9), max_size=12)


@given(fits=FITS, count=st.integers(0, 120))
def test_members_are_laid_evenly_by_lists_as_by_arrays(fits: list[int], count: int) -> None:
    taken, number = evenly(np.array(fits, dtype=np.int64), count)
    with patch.object(arranging, "FEW", -1):
        also, same = evenly(np.array(fits, dtype=np.int64), count)
    assert (taken.tolist(), number) == (also.tolist(), same)
    assert number == min(count, sum(fits)) == sum(taken.tolist())
    assert all(got <= most for got, most in zip(taken.tolist(), fits, strict=True))
    with_room = [got for got, most in zip(taken.tolist(), fits, strict=True) if got < most]
    assert max(taken.tolist(), default=0) <= min(with_room, default=count) + 1


@given(fits=FITS, count=st.integers(0, 120))
def test_members_laid_tightly_are_no_more_than_fit(fits: list[int], count: int) -> None:
    taken, number = tightly(np.array(fits, dtype=np.int64), count)
    assert number == min(count, sum(fits)) == sum(taken.tolist())
    assert all(got <= most for got, most in zip(taken.tolist(), fits, strict=True))


def some_load(random: Random, nodes: int) -> Load:
    mask = np.array([random.random() < 0.7 for _ in range(nodes)], dtype=np.bool_) if random.random() < 0.5 else None
    return load_of(needs_of([random.choice((0, 0, 1, 3, 500)) for _ in KNOWN[1:]]), mask, single=random.random() < 0.3)


@settings(max_examples=100)
@given(random=st.integers(0, 1 << 40).map(Random))
def test_many_kinds_of_pods_fit_as_each_of_them_does(random: Random) -> None:
    nodes = random.randint(0, 5)
    free = np.array([[random.randint(0, 2000) for _ in range(nodes)] for _ in KNOWN], dtype=np.int64)
    loads = [some_load(random, nodes) for _ in range(random.randint(1, 6))]
    assert Loads(loads).fits(free) == [int(load.fits(free).sum()) for load in loads]
    before = free.copy()
    for load in loads:
        alone = [before[0].copy(), *([before[row] // amount for row, amount in load.needs])]
        expected = np.minimum.reduce(alone) if nodes else before[0]
        if load.mask is not None:
            expected = expected * load.mask
        assert load.fits(free).tolist() == (np.minimum(expected, 1) if load.single else expected).tolist()
