"""How many members each cluster gets: capacity first, quorum next, then evenness or proportion, and least movement.

Pure arithmetic over candidates; equal input gives equal output, whatever the order of the candidates.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from fedstate.api.placement import Placement

WEIGHTING = "Weighting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A cluster that may carry members. `room` is how many data members more it can take (None: no limit)."""

    name: str
    current: int
    room: int | None
    score: int
    region: str = ""
    ready: bool = True
    evacuate: bool = False

    @property
    def capacity(self) -> int | None:
        return None if self.room is None else self.current + self.room


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """`missing` members found no place; the placement is meaningful only if there are none."""

    placement: Placement
    missing: int
    arbiter_missing: bool = False

    @property
    def complete(self) -> bool:
        return self.missing == 0 and not self.arbiter_missing


def assign(
    candidates: Iterable[Candidate], members: int, *, mode: str, arbiter: bool, current_arbiter: str | None = None
) -> Assignment:
    """`members` data members over the candidates, starting from what each carries now.

    Growing only adds and shrinking only takes away; nothing moves, except out of clusters marked `evacuate`. No cluster
    gets more than it has room for. While three clusters or more can carry members, none is given half of the votes or
    more before every other one is full.
    """
    division = _Division(candidates, members, mode, arbiter)
    for emptied in division.evacuated():
        division.counts[emptied] = 0
    missing = 0
    while sum(division.counts.values()) > members:
        division.counts[division.fullest()] -= 1
    while sum(division.counts.values()) < members - missing:
        taker = division.emptiest()
        if taker is None:
            missing = members - sum(division.counts.values())
        else:
            division.counts[taker] += 1
    home = division.arbiter_home(current_arbiter) if arbiter else None
    placement = Placement.of({name: division.counts[name] for name in sorted(division.counts)}, home)
    return Assignment(placement=placement, missing=missing, arbiter_missing=arbiter and home is None)


class _Division:
    """The counts while members are dealt, and who gets or gives the next one."""

    def __init__(self, candidates: Iterable[Candidate], members: int, mode: str, arbiter: bool) -> None:
        self.candidates = {candidate.name: candidate for candidate in sorted(candidates, key=lambda candidate: candidate.name)}
        self.counts = {name: candidate.current for name, candidate in self.candidates.items()}
        self._cap = self._vote_cap(members + int(arbiter))
        self._weights = {
            name: max(1, members if candidate.capacity is None else candidate.capacity) if mode == WEIGHTING else 1
            for name, candidate in self.candidates.items()
        }

    def _share(self, halves: int, name: str) -> int | Fraction:
        """Half members per weight: what dealing by the odd numbers (Webster's method) compares."""
        weight = self._weights[name]
        return halves if weight == 1 else Fraction(halves, weight)

    def evacuated(self) -> list[str]:
        return [name for name, candidate in self.candidates.items() if candidate.evacuate]

    def _vote_cap(self, voters: int) -> int | None:
        """The most members a cluster may have while others have room; none where no division survives a loss anyway."""
        usable = sum(
            not candidate.evacuate and (candidate.current > 0 or candidate.room is None or candidate.room > 0)
            for candidate in self.candidates.values()
        )
        return max(1, (voters - 1) // 2) if usable >= 3 else None

    def _has_room(self, name: str, reserved: int = 0) -> bool:
        candidate = self.candidates[name]
        if candidate.evacuate:
            return False
        return candidate.capacity is None or self.counts[name] + reserved < candidate.capacity

    def _regions(self) -> Mapping[str, int]:
        totals: dict[str, int] = {}
        for name, candidate in self.candidates.items():
            totals[candidate.region] = totals.get(candidate.region, 0) + self.counts[name]
        return totals

    def emptiest(self) -> str | None:
        """Who gets the next member: below the vote cap, furthest below its share, in the emptiest region, scored best."""
        regions = self._regions()

        def key(name: str) -> tuple[bool, int | Fraction, int, int, str]:
            candidate, count = self.candidates[name], self.counts[name]
            over = self._cap is not None and count >= self._cap
            region = regions[candidate.region] if candidate.region else 0
            return over, self._share(2 * count + 1, name), region, -candidate.score, name

        return min((name for name in self.counts if self._has_room(name)), key=key, default=None)

    def fullest(self) -> str:
        """Who gives a member: one that is lost, then the one over the vote cap, furthest above its share, scored worst."""
        regions = self._regions()

        def key(name: str) -> tuple[bool, bool, int | Fraction, int, int, str]:
            candidate, count = self.candidates[name], self.counts[name]
            over = self._cap is not None and count > self._cap
            region = regions[candidate.region] if candidate.region else 0
            return not candidate.ready, over, self._share(2 * count - 1, name), region, -candidate.score, name

        return max((name for name, count in self.counts.items() if count > 0), key=key)

    def arbiter_home(self, current: str | None) -> str | None:
        """Where the arbiter is; a new one goes to the cluster with the fewest members that has room for one more."""
        if current in self.candidates and not self.candidates[current].evacuate:
            return current
        open_names = [name for name in self.counts if self._has_room(name) and self.candidates[name].ready]
        return min(open_names, key=lambda name: (self.counts[name], -self.candidates[name].score, name), default=None)
