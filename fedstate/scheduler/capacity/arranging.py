"""Ways to lay equal pods onto nodes of which each takes so many of them. Pure arithmetic; the same question, the same answer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def evenly(fits: Ints, count: int) -> Ints:
    """As equal a number on each node as possible; the emptier nodes first. `count` is not more than fits at all."""
    low = count // max(1, int(np.count_nonzero(fits)))
    high = low if int(np.minimum(fits, low + 1).sum()) > count else int(fits.max(initial=0))
    while low < high:
        level = (low + high + 1) // 2
        if int(np.minimum(fits, level).sum()) <= count:
            low = level
        else:
            high = level - 1
    taken = np.minimum(fits, low)
    rest = count - int(taken.sum())
    if rest:
        taken[np.argsort(-fits, kind="stable")[:rest]] += 1
    return taken


def tightly(fits: Ints, count: int) -> Ints:
    """The fullest nodes first, each as far as it goes, so that the emptiest ones stay empty."""
    order = np.argsort(fits, kind="stable")
    room = fits[order]
    taken = np.zeros_like(fits)
    taken[order] = np.clip(count - (np.cumsum(room) - room), 0, room)
    return taken
