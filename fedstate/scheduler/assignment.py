"""How many members each cluster gets: capacity first, quorum next, then evenness or proportion, and least movement.

Pure arithmetic over candidates; equal input gives equal output, whatever the order of the candidates. Every cluster is asked
every time: this is the plain form of what `engine` does faster, and the judge of it.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from fedstate.api.placement import Placement
from fedstate.scheduler.quorum import ENOUGH_CLUSTERS, less_than_half

Standing = tuple[bool, float, int, int, str]
"""Over the limit of votes, members per weight, crowd of the failure domains, score (worst first), name: the least is next."""


class Candidate(NamedTuple):
    """A cluster that may carry members. `room` is how many data members more it can take (None: no limit).

    `held` members, at most, run there already, and each of them that stays is worth `bonus` beside the score.
    """

    name: str
    current: int
    room: int | None
    score: int
    weight: int = 1
    domains: tuple[tuple[str, int], ...] = ()
    ready: bool = True
    evacuate: bool = False
    held: int = 0
    bonus: int = 0

    @property
    def capacity(self) -> int | None:
        return None if self.room is None else self.current + self.room

    @property
    def usable(self) -> bool:
        return not self.evacuate and (self.current > 0 or self.room is None or self.room > 0)


class Assignment(NamedTuple):
    """`missing` members found no place; the placement is meaningful only if there are none."""

    placement: Placement
    missing: int
    arbiter_missing: bool = False

    @property
    def complete(self) -> bool:
        return self.missing == 0 and not self.arbiter_missing


def assign(
    candidates: Iterable[Candidate],
    members: int,
    *,
    arbiter: bool,
    current_arbiter: str | None = None,
    limit: Callable[[int], int] = less_than_half,
) -> Assignment:
    """`members` data members over the candidates, starting from what each carries now.

    Growing only adds and shrinking only takes away; nothing moves, except out of clusters marked `evacuate`. No cluster
    gets more than it has room for. While three clusters or more can carry members, none is given more than the limit
    before every other one is full.
    """
    division = dealt(candidates, members, limit(members + int(arbiter)))
    home = division.arbiter_home(current_arbiter) if arbiter else None
    return assigned(division, members, home, arbiter=arbiter)


def dealt(candidates: Iterable[Candidate], members: int, most: int) -> "Division":
    """As many of `members` as there is room for, from what runs now; above `most` in a cluster only while there are few."""
    ordered = sorted(candidates, key=lambda candidate: candidate.name)
    division = Division(ordered, most if sum(candidate.usable for candidate in ordered) >= ENOUGH_CLUSTERS else None)
    division.shrink(members)
    while division.total < members:
        taker = division.next_taker()
        if taker is None:
            break
        division.change(taker, 1)
    return division


def assigned(division: "Division", members: int, home: str | None, *, arbiter: bool) -> Assignment:
    """The outcome of a division of `members`, with the arbiter at `home` if one is wanted."""
    return Assignment(
        placement=Placement.of({name: division.counts[name] for name in sorted(division.counts)}, home),
        missing=members - division.total,
        arbiter_missing=arbiter and home is None,
    )


class Division:
    """The counts while members are dealt, and who gets or gives the next one. Evacuated candidates start without any."""

    def __init__(self, candidates: Iterable[Candidate], cap: int | None) -> None:
        self.candidates: dict[str, Candidate] = {}
        self.counts: dict[str, int] = {}
        self.total = 0
        self._cap = cap
        self._crowds: dict[str, int] = {}
        for candidate in candidates:
            self.add(candidate)

    def add(self, candidate: Candidate) -> None:
        self.candidates[candidate.name] = candidate
        self.counts[candidate.name] = 0
        if candidate.current and not candidate.evacuate:
            self.change(candidate.name, candidate.current)

    def change(self, name: str, members: int) -> None:
        self.counts[name] += members
        self.total += members
        for domain, _ in self.candidates[name].domains:
            self._crowds[domain] = self._crowds.get(domain, 0) + members

    def crowd(self, candidate: Candidate) -> int:
        """How crowded the candidate's failure domains are, each by its weight."""
        return sum(weight * self._crowds.get(domain, 0) for domain, weight in candidate.domains)

    def has_room(self, name: str) -> bool:
        candidate = self.candidates[name]
        if candidate.evacuate:
            return False
        return candidate.capacity is None or self.counts[name] < candidate.capacity

    def standing(self, candidate: Candidate, count: int) -> Standing:
        """Who gets the next member: below the limit, furthest below its share (by Webster's method), in empty failure domains."""
        over = self._cap is not None and count >= self._cap
        score = candidate.score + (candidate.bonus if count < candidate.held else 0)
        return over, (2 * count + 1) / candidate.weight, self.crowd(candidate), -score, candidate.name

    def next_taker(self) -> str | None:
        open_names = [name for name in self.counts if self.has_room(name)]
        return min(open_names, key=lambda name: self.standing(self.candidates[name], self.counts[name]), default=None)

    def shrink(self, members: int) -> None:
        """Takes members away until there are no more than `members`: from lost clusters first, then where most are too many."""

        def key(name: str) -> tuple[bool, bool, float, int, int, str]:
            candidate, count = self.candidates[name], self.counts[name]
            over = self._cap is not None and count > self._cap
            share = (2 * count - 1) / candidate.weight
            return not candidate.ready, over, share, self.crowd(candidate), -candidate.score, name

        while self.total > members:
            self.change(max((name for name, count in self.counts.items() if count > 0), key=key), -1)

    def arbiter_home(self, current: str | None) -> str | None:
        """Where the arbiter is; a new one goes where fewest members, and so fewest votes, are and one more fits."""
        if current in self.candidates and not self.candidates[current].evacuate:
            return current
        open_names = [name for name in self.counts if self.has_room(name) and self.candidates[name].ready]
        return min(open_names, key=lambda name: self.arbiter_standing(self.candidates[name]), default=None)

    def arbiter_standing(self, candidate: Candidate) -> tuple[int, int, int, str]:
        return self.counts.get(candidate.name, 0), self.crowd(candidate), -candidate.score, candidate.name
