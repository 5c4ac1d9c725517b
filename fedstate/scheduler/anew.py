"""Members placed anew, as their owner asked: the division that a first placement would strive for, with the least movement.

Pure arithmetic over candidates. Starts from what runs and moves a member only to where the next one would rather be put than there,
so what comes out does not change when it is asked for again.
"""

from collections.abc import Callable, Iterable

from fedstate.scheduler.assignment import Assignment, Candidate, Division, assigned, dealt


def assign_anew(
    candidates: Iterable[Candidate], members: int, *, arbiter: bool, current_arbiter: str | None, limit: Callable[[int], int]
) -> Assignment:
    """As `assign`, but that members of clusters which have room for fewer than others move there. Those of clusters that are not
    ready stay: nobody could be told to let them go.
    """
    division = dealt(candidates, members, limit(members + int(arbiter)))
    while _moved_one(division):
        pass
    home = _arbiter_home(division, current_arbiter) if arbiter else None
    return assigned(division, members, home, arbiter=arbiter)


def _moved_one(division: Division) -> bool:
    """Moves the member that gains most by it. Every move lowers what all members together suffer, so there is a last one."""
    best = None
    for name, count in division.counts.items():
        giver = division.candidates[name]
        if not count or not giver.ready:
            continue
        division.change(name, -1)
        stays, taker = division.standing(giver, count - 1), division.next_taker()
        if taker is not None and taker != name:
            goes = division.standing(division.candidates[taker], division.counts[taker])
            if goes[:-1] < stays[:-1] and (best is None or stays > best[0]):
                best = stays, name, taker
        division.change(name, 1)
    if best is None:
        return False
    _, name, taker = best
    division.change(name, -1)
    division.change(taker, 1)
    return True


def _arbiter_home(division: Division, current: str | None) -> str | None:
    """The arbiter stays unless another cluster has fewer members, or its failure domains have."""
    home, best = division.arbiter_home(current), division.arbiter_home(None)
    if home != current or best is None or current is None or not division.candidates[current].ready:
        return home
    here, there = (division.arbiter_standing(division.candidates[name])[:2] for name in (current, best))
    return best if there < here else current
