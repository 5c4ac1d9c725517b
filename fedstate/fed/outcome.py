"""What a look at an instance leads to: the requests to make, and what to say about it."""

from dataclasses import dataclass, field
from enum import StrEnum

from fedstate.fed.changes import Action
from fedstate.fed.roster import Roster


class Stage(StrEnum):
    """Where in its life an instance is, as the federation sees it."""

    UNPLACED = "unplaced"
    BLOCKED = "blocked"
    RUNNING = "running"
    DELETING = "deleting"
    CLEANING = "cleaning"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationPlan:
    """`waiting` is what others have to do first, `problems` what a human has to: sentences, for the status."""

    stage: Stage
    actions: tuple[Action, ...] = field(default=(), repr=False)
    roster: Roster | None = None
    waiting: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
