"""What a cluster's estimator has answered: a number for each shape that was asked about. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from fedstate.scheduler.amounts import amount_text
from fedstate.scheduler.capacity.rooms import MemberShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """So many members fitted, at that time."""

    members: int
    since: datetime


def as_asked(shape: MemberShape) -> MemberShape:
    """The shape without what no estimator understands: shapes that then are equal get one answer."""
    return replace(shape, alone=False, storage_class=None) if shape.alone or shape.storage_class is not None else shape


@dataclass(frozen=True, slots=True, kw_only=True)
class EstimatedRooms:
    """A cluster as its estimator answered, as Rooms: nothing is known of a shape that it was not asked about.

    `answers` are by shapes as asked. The numbers count every node that takes the shape, and neither volumes nor that members
    of an instance may refuse each other's nodes: they are the most that fits.
    """

    answers: Mapping[MemberShape, Answer]
    booked: tuple[tuple[MemberShape, int], ...] = ()

    def beside(self, booked: Mapping[MemberShape, int]) -> EstimatedRooms:
        """Booked members take at least the room that they can take, on whichever nodes they will be."""
        return replace(self, booked=(*self.booked, *booked.items())) if booked else self

    def fits(self, shape: MemberShape) -> int | None:
        asked = as_asked(shape)
        answer = self.answers.get(asked)
        if answer is None:
            return None
        return max(0, answer.members - self._taken(asked))

    def why_not(self, shape: MemberShape) -> str:
        asked = as_asked(shape)
        amounts = " and ".join(f"{name} {amount_text(name, amount)}" for name, amount in asked.request) or "a pod"
        chosen = " among those that its node selector and affinity allow" if asked.node_selector or asked.terms else ""
        answer = self.answers.get(asked)
        if answer is not None and answer.members > 0:
            taken = self._taken(asked)
            return (
                f"nodes had room for {answer.members} with {amounts}{chosen}, and members placed since then take that of {taken}"
            )
        return f"no node has {amounts} free{chosen}, says its estimator"

    def _taken(self, shape: MemberShape) -> int:
        """In members of the shape. On a node each booked one displaces at most this many, so that their sum is never too little."""
        request = dict(shape.request)
        return sum(count * _displaced(dict(booked.request), request) for booked, count in self.booked)


def _displaced(booked: Mapping[str, int], request: Mapping[str, int]) -> int:
    """A pod's slot at least; otherwise as many as the resource takes of which it asks for most, in requests, rounded up."""
    return max((1, *(-(-booked.get(name, 0) // amount) for name, amount in request.items() if amount > 0)))
