"""Ways to lay equal pods onto nodes of which each takes so many of them. Pure arithmetic; the same question, the same answer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


FEW = 64
"""Up to so many nodes lists are faster than arrays."""


def evenly(fits: Ints, count: int) -> tuple[Ints, int]:
    """As equal a number on each node as possible; the emptier nodes first. No more than fit at all, and how many that are."""
    if fits.size <= FEW:
        taken, number = _evenly_on_few(fits.tolist(), count)
        return np.array(taken, dtype=np.int64), number
    number = min(count, int(fits.sum()))
    low = number // max(1, int(np.count_nonzero(fits)))
    high = low if int(np.minimum(fits, low + 1).sum()) > number else int(fits.max(initial=0))
    while low < high:
        level = (low + high + 1) // 2
        if int(np.minimum(fits, level).sum()) <= number:
            low = level
        else:
            high = level - 1
    counts: Ints = np.minimum(fits, low)
    rest = number - int(counts.sum())
    if rest:
        counts[np.argsort(-fits, kind="stable")[:rest]] += 1
    return counts, number


def _evenly_on_few(fits: list[int], count: int) -> tuple[list[int], int]:
    number, with_room = min(count, sum(fits)), len(fits) - fits.count(0)
    if number < with_room:
        taken = [0] * len(fits)
        for at in _emptiest(fits, number):
            taken[at] = 1
        return taken, number
    low = number // max(1, with_room)
    high = low if sum([each if each <= low else low + 1 for each in fits]) > number else max(fits, default=0)
    while low < high:
        level = (low + high + 1) // 2
        if sum([min(each, level) for each in fits]) <= number:
            low = level
        else:
            high = level - 1
    taken = [each if each < low else low for each in fits]
    for at in _emptiest(fits, number - sum(taken)):
        taken[at] += 1
    return taken, number


def _emptiest(fits: list[int], count: int) -> list[int]:
    """In the order of nodes among equals, which `reverse` keeps."""
    if count == 1:
        return [fits.index(max(fits))]
    return sorted(range(len(fits)), key=fits.__getitem__, reverse=True)[:count] if count else []


def tightly(fits: Ints, count: int) -> tuple[Ints, int]:
    """The fullest nodes first, each as far as it goes, so that the emptiest ones stay empty. No more than fit at all, and how many."""
    number = min(count, int(fits.sum()))
    order = np.argsort(fits, kind="stable")
    room = fits[order]
    taken = np.zeros_like(fits)
    taken[order] = np.clip(number - (np.cumsum(room) - room), 0, room)
    return taken, number
