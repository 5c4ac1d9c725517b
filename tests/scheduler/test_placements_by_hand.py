"""Placements worked out by hand: what the owner of an instance would expect, cluster by cluster, whatever decides it.

A cluster is written as what it is worth: `5` has room for five members, `-` for any number (its resources are not known).
Every row is decided in lists, in arrays and in the plain form.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from fedstate.api.federated import Preference
from fedstate.api.placement import Placement
from fedstate.api.votes import survivals, vote_layout
from fedstate.scheduler.decision import Decision, View, decide
from fedstate.scheduler.engine import Engine
from fedstate.scheduler.ledger import Ledger
from fedstate.scheduler.middleware import MONGODB, Demand
from fedstate.scheduler.profile import default_profile
from fedstate.scheduler.sight import Losses
from fedstate.scheduler.snapshot import ClusterSnapshot, Fleet
from tests.scheduler.test_engine import TODAY, TOLERATION, plain_cluster, wanted

CPU = 1000
HUGE = 1_000_000
"""What a cluster of the table has in all: so much that one member more or less does not change its score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`rooms` of a, b, c, ...; `want` what each of them gets; `votes` of them; `stops`: the clusters whose loss stops elections
    or majority writes. `lost` clusters are not Ready; those that are `gone` too are given up. With `anew` the owner has asked for
    another division. Clusters that are `liked` are preferred by 3, `fancied` ones by 1.
    """

    members: int
    rooms: str
    want: str
    votes: str = ""
    stops: str = ""
    arbiter: bool = False
    home: str | None = None
    mode: str = "Uniform"
    have: str = ""
    had_home: str | None = None
    regions: str = ""
    tainted: str = ""
    tolerates: bool = False
    lost: str = ""
    most: int | None = None
    only: str = ""
    without: str = ""
    gone: str = ""
    anew: bool = False
    liked: str = ""
    fancied: str = ""
    missing: int = 0

    def __str__(self) -> str:
        shown = [f"{self.members} on {self.rooms}"]
        shown += [f"{name}={value}" for name in self.__slots__[4:] if (value := getattr(self, name))]
        return " ".join(shown)


NONE = "none"

TABLE = [
    # One cluster: everything in it, and its loss stops everything.
    Row(members=1, rooms="9", want="1", votes="1", stops="a"),
    Row(members=3, rooms="9", want="3", votes="3", stops="a"),
    Row(members=5, rooms="9", want="5", votes="5", stops="a"),
    Row(members=7, rooms="9", want="7", votes="7", stops="a"),
    Row(members=9, rooms="9", want="9", votes="7", stops="a"),
    Row(members=2, rooms="9", want="2", votes="1", stops="a"),
    Row(members=5, rooms="4", want=NONE, missing=1),
    # Two clusters: as even as possible; the larger one cannot be lost.
    Row(members=3, rooms="9 9", want="2 1", votes="2 1", stops="a"),
    Row(members=5, rooms="9 9", want="3 2", votes="3 2", stops="a"),
    Row(members=7, rooms="9 9", want="4 3", votes="4 3", stops="a"),
    Row(members=9, rooms="9 9", want="5 4", votes="4 3", stops="a"),
    Row(members=4, rooms="9 9", want="2 2", votes="2 1", stops="a"),
    Row(members=5, rooms="20 1", want="4 1", votes="4 1", stops="a"),  # the announcement's case
    Row(members=5, rooms="1 20", want="1 4", votes="1 4", stops="b"),
    Row(members=5, rooms="2 2", want=NONE, missing=1),
    Row(members=3, rooms="0 9", want="0 3", votes="0 3", stops="b"),
    # Three clusters: none has half of the votes.
    Row(members=3, rooms="9 9 9", want="1 1 1", votes="1 1 1"),
    Row(members=5, rooms="9 9 9", want="2 2 1", votes="2 2 1"),
    Row(members=7, rooms="9 9 9", want="3 2 2", votes="3 2 2"),
    Row(members=9, rooms="9 9 9", want="3 3 3", votes="3 2 2"),
    Row(members=4, rooms="9 9 9", want="2 1 1", votes="1 1 1"),
    Row(members=6, rooms="9 9 9", want="2 2 2", votes="2 2 1"),
    Row(members=1, rooms="9 9 9", want="1 0 0", votes="1 0 0", stops="a"),
    Row(members=2, rooms="9 9 9", want="1 1 0", votes="1 0 0", stops="a"),
    Row(members=5, rooms="9 1 1", want="3 1 1", votes="1 1 1"),
    Row(members=7, rooms="9 1 1", want="5 1 1", votes="1 1 1"),
    Row(members=7, rooms="9 2 1", want="4 2 1", votes="2 2 1"),
    Row(members=9, rooms="9 2 2", want="5 2 2", votes="3 2 2"),
    Row(members=5, rooms="2 2 2", want="2 2 1", votes="2 2 1"),
    Row(members=7, rooms="2 2 2", want=NONE, missing=1),
    Row(members=5, rooms="- - -", want="2 2 1", votes="2 2 1"),
    # Four and five clusters.
    Row(members=3, rooms="9 9 9 9", want="1 1 1 0", votes="1 1 1 0"),
    Row(members=5, rooms="9 9 9 9", want="2 1 1 1", votes="2 1 1 1"),
    Row(members=7, rooms="9 9 9 9", want="2 2 2 1", votes="2 2 2 1"),
    Row(members=9, rooms="9 9 9 9", want="3 2 2 2", votes="2 2 2 1"),
    Row(members=3, rooms="9 9 9 9 9", want="1 1 1 0 0", votes="1 1 1 0 0"),
    Row(members=5, rooms="9 9 9 9 9", want="1 1 1 1 1", votes="1 1 1 1 1"),
    Row(members=7, rooms="9 9 9 9 9", want="2 2 1 1 1", votes="2 2 1 1 1"),
    Row(members=9, rooms="9 9 9 9 9", want="2 2 2 2 1", votes="2 2 1 1 1"),
    Row(members=7, rooms="1 1 1 1 9", want="1 1 1 1 3", votes="1 1 1 1 3"),
    Row(members=9, rooms="1 1 1 1 9", want="1 1 1 1 5", votes="1 1 1 1 3"),
    Row(members=9, rooms="1 1 1 1 4", want=NONE, missing=1),
    # An arbiter goes where no data is; it keeps elections, not majority writes.
    Row(members=2, rooms="9 9 9", want="1 1 0", votes="1 1 0", arbiter=True, home="c", stops="ab"),
    Row(members=4, rooms="9 9 1", want="2 1 1", votes="2 1 1", arbiter=True, home="b", stops="a"),
    Row(members=4, rooms="2 2 1", want="2 1 1", votes="2 1 1", arbiter=True, home="b", stops="a"),
    Row(members=2, rooms="9 9", want="1 1", votes="1 1", arbiter=True, home="a", stops="ab"),
    Row(members=2, rooms="1 1", want=NONE, arbiter=True, missing=1),
    Row(members=4, rooms="9 9 9 9 9", want="1 1 1 1 0", votes="1 1 1 1 0", arbiter=True, home="e"),
    Row(members=6, rooms="9 9 9 9", want="2 2 1 1", votes="2 2 1 1", arbiter=True, home="c"),
    # Weighting: in proportion to what fits, below half of the votes.
    Row(members=6, rooms="20 10", want="4 2", votes="3 2", stops="a", mode="Weighting"),
    Row(members=5, rooms="30 10 10", want="2 2 1", votes="2 2 1", mode="Weighting"),
    Row(members=7, rooms="30 10 10", want="3 2 2", votes="3 2 2", mode="Weighting"),
    Row(members=9, rooms="20 10 10", want="4 3 2", votes="3 2 2", mode="Weighting"),
    Row(members=3, rooms="100 10", want="3 0", votes="3 0", stops="a", mode="Weighting"),
    Row(members=4, rooms="3 1", want="3 1", votes="2 1", stops="a", mode="Weighting"),
    Row(members=5, rooms="10 10 10 10 10", want="1 1 1 1 1", votes="1 1 1 1 1", mode="Weighting"),
    Row(members=7, rooms="40 20 10", want="3 3 1", votes="3 3 1", mode="Weighting"),
    # Failure domains: an empty region before one that carries members.
    Row(members=2, rooms="9 9 9", want="1 0 1", votes="1 0 0", stops="a", regions="xxy"),
    Row(members=3, rooms="9 9 9 9 9", want="1 0 1 0 1", votes="1 0 1 0 1", regions="xxyyz"),
    Row(members=3, rooms="9 9 9 9", want="1 1 1 0", votes="1 1 1 0", regions="xyxy"),
    Row(members=5, rooms="9 9 9 9", want="2 1 1 1", votes="2 1 1 1", regions="xyxy"),
    # Clusters that are ruled out.
    Row(members=3, rooms="9 9 9", want="2 0 1", votes="2 0 1", stops="a", tainted="b"),
    Row(members=3, rooms="9 9 9", want="1 1 1", votes="1 1 1", tainted="b", tolerates=True),
    Row(members=3, rooms="9 9 9", want="0 2 1", votes="0 2 1", stops="b", lost="a"),
    Row(members=3, rooms="9 9 9", want=NONE, missing=3, tainted="ab", lost="c"),
    Row(members=3, rooms="9 9 9 9", want="0 1 1 1", votes="0 1 1 1", without="a"),
    Row(members=3, rooms="9 9 9 9", want="2 0 0 1", votes="2 0 0 1", stops="a", only="ad"),
    Row(members=5, rooms="9 9", want=NONE, missing=1, most=2),
    Row(members=5, rooms="9 9 1", want="2 2 1", votes="2 2 1", most=2),
    # What is placed stays; growing adds, shrinking takes away where most are too many.
    Row(members=3, rooms="9 9 9", want="2 1 0", votes="2 1 0", stops="a", have="2 1 0"),
    Row(members=5, rooms="9 9 9", want="2 2 1", votes="2 2 1", have="2 1 0"),
    Row(members=7, rooms="9 0 9", want="3 1 3", votes="3 1 3", have="3 1 1"),
    Row(members=3, rooms="9 9 9", want="1 1 1", votes="1 1 1", have="2 2 1"),
    Row(members=3, rooms="9 9 9", want="2 1 0", votes="2 1 0", stops="a", have="2 1 2", lost="c"),
    Row(members=3, rooms="9 9 9", want="1 1 1", votes="1 1 1", have="1 1 1", lost="a"),
    Row(members=3, rooms="9 9 9 9", want="0 1 1 1", votes="0 1 1 1", have="1 1 1 0", without="a"),
    Row(members=3, rooms="9 0 0", want="2 0 1", votes="2 0 1", stops="a", have="1 1 1", without="b"),
    Row(members=3, rooms="0 0 0", want="1 1 1", votes="1 1 1", have="1 1 1", without="b"),
    Row(members=4, rooms="9 9 9", want="2 2 0", votes="2 2 0", arbiter=True, home="c", have="2 2 0", had_home="c", stops="ab"),
    # A lost cluster that is given up: what the others carry stays, and what is missing is dealt to them as if it were new.
    # Two clusters are left, so that no limit of votes holds; b and c carry one each, and the first by name gets the third.
    Row(members=3, rooms="9 9 9", want="0 2 1", votes="0 2 1", stops="b", have="1 1 1", lost="a", gone="a"),
    # The empty cluster is the furthest below its share.
    Row(members=3, rooms="9 9 9 9", want="0 1 1 1", votes="0 1 1 1", have="1 1 1 0", lost="a", gone="a"),
    # d first, as it has none; then c and d have one each, b two: the first by name.
    Row(members=5, rooms="9 9 9 9", want="0 2 2 1", votes="0 2 2 1", have="2 2 1 0", lost="a", gone="a"),
    # c first, as it has fewer; then both have two.
    Row(members=5, rooms="9 9 9", want="0 3 2", votes="0 3 2", stops="b", have="2 2 1", lost="a", gone="a"),
    # Two members to place, room for one: all or nothing.
    Row(members=5, rooms="9 0 0 1", want="2 2 1 0", votes="2 2 1 0", have="2 2 1 0", lost="a", gone="a"),
    # The same by the owner's own limit: b has its two, c may take one more.
    Row(members=5, rooms="9 9 9", want="2 2 1", votes="2 2 1", have="2 2 1", lost="a", gone="a", most=2),
    # Two clusters at once, three members: e gets two, then c, d and e have two each.
    Row(members=7, rooms="9 9 9 9 9", want="0 0 3 2 2", votes="0 0 3 2 2", have="2 1 2 2 0", lost="ab", gone="ab"),
    # b is lost too and not given up: it keeps its member and gets no more; c has reached two of five votes, so that d gets both.
    Row(members=5, rooms="9 9 9 9", want="0 1 2 2", votes="0 1 2 2", have="2 1 2 0", lost="ab", gone="a"),
    # The cluster of the arbiter: the arbiter goes where no data is.
    Row(
        members=4,
        rooms="9 9 9 9",
        want="2 2 0 0",
        votes="2 2 0 0",
        arbiter=True,
        home="d",
        have="2 2 0 0",
        had_home="c",
        stops="ab",
        lost="c",
        gone="c",
    ),
    # Five places each for b, c and d in all: d first, then c and d are equal, and b stands at two of five votes.
    Row(members=5, rooms="0 3 4 5", want="0 2 2 1", votes="0 2 2 1", mode="Weighting", have="2 2 1 0", lost="a", gone="a"),
    # The region of the lost cluster is empty now: b and e are as good as it was, and b comes first.
    Row(members=3, rooms="9 9 9 9 9", want="0 1 1 1 0", votes="0 1 1 1 0", have="1 0 1 1 0", regions="xxyzx", lost="a", gone="a"),
    # Of two empty clusters the preferred one.
    Row(members=3, rooms="9 9 9 9 9", want="0 1 1 0 1", votes="0 1 1 0 1", have="1 1 1 0 0", lost="a", gone="a", liked="e"),
    # One cluster is lost and another ruled out: both are left.
    Row(members=3, rooms="9 9 9 9 9", want="0 0 1 1 1", votes="0 0 1 1 1", have="1 1 1 0 0", lost="a", gone="a", without="b"),
    # The same with room for one: what is lost goes first.
    Row(members=3, rooms="9 9 0 1", want="0 1 1 1", votes="0 1 1 1", have="1 1 1 0", lost="a", gone="a", without="b"),
    # Shrinking by what was lost needs nobody else.
    Row(members=3, rooms="0 0 0", want="0 2 1", votes="0 2 1", stops="b", have="2 2 1", lost="a", gone="a"),
    # Asked to place anew: b has more than two of five votes and gives one to the empty a; then no move makes it more even.
    Row(members=5, rooms="9 9 9", want="1 2 2", votes="1 2 2", have="0 3 2", anew=True),
    # 1 2 2 is as even as 2 2 1: nothing moves.
    Row(members=5, rooms="9 9 9", want="1 2 2", votes="1 2 2", have="1 2 2", anew=True),
    Row(members=3, rooms="9 9 9 9", want="1 1 1 0", votes="1 1 1 0", have="0 2 1 0", anew=True),
    # A first placement would take a, b and c; any three are as good.
    Row(members=3, rooms="9 9 9 9 9", want="0 0 1 1 1", votes="0 0 1 1 1", have="0 0 1 1 1", anew=True),
    # One cluster is preferred to all others, so one member goes there; c is the last of three equal ones.
    Row(members=3, rooms="9 9 9 9", want="1 1 0 1", votes="1 1 0 1", have="1 1 1 0", liked="d", anew=True),
    # Preferred by a quarter of all weights is not worth a move.
    Row(members=3, rooms="9 9 9 9 9", want="1 1 1 0 0", votes="1 1 1 0 0", have="1 1 1 0 0", liked="c", fancied="d", anew=True),
    # Rules hold for what runs too: b is tainted by now, d is empty.
    Row(members=3, rooms="9 9 9 9", want="1 0 1 1", votes="1 0 1 1", have="1 1 1 0", tainted="b", anew=True),
    # Without b two clusters would be left, of which one could not be lost: refused.
    Row(members=3, rooms="9 9 9", want="1 1 1", votes="1 1 1", have="1 1 1", tainted="b", anew=True),
    # a is empty and full of others' pods: 0 3 2 is the best there is.
    Row(members=5, rooms="0 0 0", want="0 3 2", votes="0 3 2", stops="b", have="0 3 2", anew=True),
    Row(members=5, rooms="9 9 9", want="1 2 2", votes="1 2 2", have="0 3 2", most=2, anew=True),
    # The owner's limit leaves room for four: refused.
    Row(members=5, rooms="9 9", want="3 2", votes="3 2", stops="a", have="3 2", most=2, anew=True),
    # The arbiter goes to the first cluster with fewer members. Without a, two of four copies are left, and three have to acknowledge.
    Row(
        members=4,
        rooms="9 9 9",
        want="2 1 1",
        votes="2 1 1",
        arbiter=True,
        home="b",
        have="2 1 1",
        had_home="a",
        stops="a",
        anew=True,
    ),
    # Twelve places in a, three each in b and c: a would get more and stops at its four of nine votes.
    Row(members=9, rooms="9 0 0", want="4 3 2", votes="3 2 2", mode="Weighting", have="3 3 3", anew=True),
    # a is lost and not given up, so its members stay; the others are evened out among b, c and d.
    Row(members=5, rooms="9 9 9 9", want="2 1 1 1", votes="2 1 1 1", have="2 2 1 0", lost="a", anew=True),
    Row(members=5, rooms="9 9 9 9", want="0 2 2 1", votes="0 2 2 1", have="2 2 1 0", lost="a", gone="a", anew=True),
    # Two of one region, while z has none: b moves, as the last of those two.
    Row(members=3, rooms="9 9 9 9", want="1 0 1 1", votes="1 0 1 1", have="1 1 1 0", regions="xxyz", anew=True),
    # Preferences decide between clusters that are equal in votes, evenness and regions.
    Row(members=1, rooms="9 9 9", want="0 0 1", votes="0 0 1", stops="c", liked="c"),
    Row(members=3, rooms="9 9 9 9 9", want="1 0 0 1 1", votes="1 0 0 1 1", liked="de"),
    Row(members=5, rooms="9 9 9", want="2 1 2", votes="2 1 2", liked="c"),
    Row(members=1, rooms="9 9 9", want="0 1 0", votes="0 1 0", stops="b", liked="b", fancied="c"),
    Row(members=2, rooms="9 9 9", want="0 1 1", votes="0 1 0", stops="b", liked="b", fancied="c"),
    Row(members=2, rooms="9 9 9", want="1 0 1", votes="1 0 0", stops="a", liked="ab", regions="xxy"),
    Row(members=3, rooms="9 9 9 0", want="1 1 1 0", votes="1 1 1 0", liked="d"),
    # What runs does not move because something is preferred.
    Row(members=3, rooms="9 9 9 9", want="1 1 1 0", votes="1 1 1 0", have="1 1 1 0", liked="d"),
]


def clusters(row: Row) -> list[ClusterSnapshot]:
    found = []
    for name, room, region in zip("abcde", row.rooms.split(), row.regions or "     ", strict=False):
        cluster = plain_cluster(name, cpu=HUGE * CPU)
        free = None if room == "-" else {"cpu": int(room) * CPU, "memory": 64 << 30, "pods": 110}
        taints = ({"key": "maint", "effect": "NoSchedule"},) if name in row.tainted else ()
        labels = {key: "yes" for key in ("liked", "fancied") if name in getattr(row, key)}
        ready = name not in row.lost
        found.append(replace(cluster, free=free, taints=taints, region=region.strip(), ready=ready, labels=labels))
    return found


def demand_of(row: Row) -> Demand:
    demand = wanted(row.members, arbiter=row.arbiter, mode=row.mode, request={"cpu": CPU})
    spread = replace(
        demand.spread,
        cluster_names=tuple(row.only),
        exclude_cluster_names=tuple(row.without),
        tolerations=(TOLERATION,) if row.tolerates else (),
        max_members_per_cluster=row.most,
        preferences=tuple(
            Preference(weight=w, node_select=((key, "yes"),)) for key, w in (("liked", 3), ("fancied", 1)) if getattr(row, key)
        ),
    )
    have = {name: int(count) for name, count in zip("abcde", row.have.split(), strict=False)}
    return replace(
        demand,
        spread=spread,
        current=Placement.of(have, row.had_home) if row.have else None,
        losses=Losses(lost=frozenset(row.gone)),
        rebalance="now" if row.anew else "",
    )


def decisions(row: Row) -> dict[str, Decision]:
    demand, fleet = demand_of(row), Fleet()
    for cluster in clusters(row):
        fleet.put_snapshot(cluster)
    engines = {kind: Engine(fleet, Ledger(), default_profile(), vector=kind == "arrays") for kind in ("lists", "arrays")}
    found = {kind: engine.decide(demand, MONGODB.template, now=0.0, today=TODAY) for kind, engine in engines.items()}
    view = View(clusters=fleet.clusters, vip_owners=fleet.vip_owners, reserved={})
    return found | {"plain": decide(demand, MONGODB.template, view)}


def numbers(counts: Mapping[str, int], row: Row) -> str:
    return " ".join(str(counts.get(name, 0)) for name, _ in zip("abcde", row.rooms.split(), strict=False))


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_a_placement_is_the_one_worked_out_by_hand(row: Row) -> None:
    for kind, decision in decisions(row).items():
        placement = decision.placement
        assert decision.missing == row.missing, kind
        if row.want == NONE:
            assert placement is None, kind
            continue
        assert placement is not None, kind
        votes = vote_layout(placement.members, placement.arbiter_cluster)
        lost = survivals(votes, placement.arbiter_cluster)
        assert (numbers(placement.members, row), placement.arbiter_cluster) == (row.want, row.home), kind
        assert numbers(votes, row) == row.votes
        assert "".join(name for name, survival in lost.items() if not survival.full) == row.stops


def test_the_table_is_as_long_as_was_promised() -> None:
    assert len(TABLE) >= 60
    assert len({str(row) for row in TABLE}) == len(TABLE)
