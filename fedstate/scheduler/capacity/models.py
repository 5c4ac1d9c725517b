"""An upper bound of the members that fit, from the resource models of a Cluster object: how many nodes are how free. Pure.

Karmada counts each node under the highest grade all of whose minimums its free resources reach. So of one resource at least
it has less than the next grade's minimum, and takes no more members than the one of these resources allows that allows most.
Karmada itself goes by the grade's own minimums, and so takes a node with 3.9 cores for one with 2 and one of the first grade
for none: a cluster that could carry a member would be refused. A bound from above never is wrong in that way.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fedstate.api import karmada
from fedstate.kube.objects import KubeObject
from fedstate.scheduler.amounts import amount_text, amounts_of
from fedstate.scheduler.capacity.rooms import MemberShape, Rooms

Request = tuple[tuple[str, int], ...]

MOST_REQUESTS = 1024


class Grades:
    """Resource models, one copy for all clusters that have the same.

    `ceilings`, by grade but the last one: the next grade's minimums, of which a node reaches at most all but one.
    """

    __slots__ = ("_known", "ceilings")

    def __init__(self, ceilings: tuple[Request, ...]) -> None:
        self.ceilings = ceilings
        self._known: dict[Request, tuple[int | None, ...]] = {}

    def most_per_node(self, request: Request) -> tuple[int | None, ...]:
        """By grade; None where a member asks for nothing of a resource of which a node may have too little for the next one."""
        found = self._known.get(request)
        if found is None:
            if len(self._known) >= MOST_REQUESTS:
                self._known.clear()
            asked = dict(request)
            found = self._known[request] = (*(_most_below(ceiling, asked) for ceiling in self.ceilings), None)
        return found


def _most_below(ceiling: Request, asked: Mapping[str, int]) -> int | None:
    limits = [(least - 1) // asked[name] if asked.get(name) else None for name, least in ceiling if least > 0]
    known = [limit for limit in limits if limit is not None]
    return max(known) if known and len(known) == len(limits) else None


_grades = lru_cache(256)(Grades)


class ModelRooms:
    """A Rooms of `counts` nodes by grade. Says what a cluster cannot carry, and leaves the rest to the sums."""

    __slots__ = ("_booked", "_counts", "_grades")

    def __init__(self, grades: Grades, counts: tuple[int, ...], booked: tuple[tuple[Request, int], ...] = ()) -> None:
        self._grades = grades
        self._counts = counts
        self._booked = booked

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelRooms) and self._facts == other._facts

    def __hash__(self) -> int:
        return hash(self._facts)

    @property
    def _facts(self) -> tuple[object, ...]:
        return self._grades, self._counts, self._booked

    def beside(self, booked: Mapping[MemberShape, int]) -> Rooms:
        if not booked:
            return self
        taken = tuple([(shape.request, count) for shape, count in booked.items() if count > 0])
        return ModelRooms(self._grades, self._counts, (*self._booked, *taken))

    def fits(self, shape: MemberShape) -> int | None:
        bound = self._bound(shape.request)
        return None if bound is None else max(0, bound - self._instead(shape.request))

    def why_not(self, shape: MemberShape) -> str:
        if self._bound(shape.request):
            return "by its resourceModels its nodes hold no more than what is placed there already (spec.resource)"
        grade = max(at for at, count in enumerate(self._counts) if count) if any(self._counts) else None
        if grade is None:
            return "it has no nodes"
        less = " or ".join(f"{name} {amount_text(name, amount)}" for name, amount in self._grades.ceilings[grade])
        return f"none of its nodes has so much free: by its resourceModels each has less than {less} (spec.resource)"

    def _bound(self, request: Request) -> int | None:
        """Of an empty cluster; None if the models set no bound to such members."""
        bound = 0
        for count, each in zip(self._counts, self._grades.most_per_node(request), strict=True):
            if count:
                if each is None:
                    return None
                bound += count * each
        return bound

    def _instead(self, request: Request) -> int:
        """The booked members that ask for as much of everything: in place of each of them one of these would fit."""
        return sum(
            count
            for other, count in self._booked
            if other == request or all(dict(other).get(name, 0) >= amount for name, amount in request)
        )


def model_rooms(cluster: KubeObject) -> tuple[ModelRooms | None, str]:
    """The bound that the Cluster object gives, or None and why not; without a word where it has no models.

    Karmada stops counting at the first node without a free place for a pod: counts that do not cover all nodes bound nothing.
    """
    spec, status = cluster.get("spec") or {}, cluster.get("status") or {}
    models, counted = spec.get("resourceModels"), (karmada.resource_summary_of(cluster) or {}).get("allocatableModelings")
    if not models or not counted:
        return None, ""
    try:
        grades = sorted((int(model["grade"]), _minimums(model)) for model in models)
        counts = {int(one["grade"]): int(one.get("count") or 0) for one in counted}
        nodes = int((status.get("nodeSummary") or {}).get("totalNum") or 0)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None, "its resourceModels cannot be read"
    by_grade = tuple([counts.get(grade, 0) for grade, _ in grades])
    if sum(by_grade) != nodes:
        return None, f"its resourceModels are not used, as they count {sum(by_grade)} of {nodes} nodes"
    return ModelRooms(_grades(tuple([minimums for _, minimums in grades[1:]])), by_grade), ""


def _minimums(model: Mapping[str, Any]) -> Request:
    return tuple(sorted(amounts_of({str(one["name"]): one["min"] for one in model["ranges"]}).items()))
