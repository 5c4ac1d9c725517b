"""Everything one look at an instance found out and decided: what status and events are made of. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fedstate.api.mongodb import MongoDB
from fedstate.api.replset import ReplsetPlan
from fedstate.dataplane.holdings import Holdings
from fedstate.dataplane.members import Roster
from fedstate.dataplane.rollout import RolloutStep
from fedstate.dataplane.setview import SetReading
from fedstate.dataplane.stance import Stance
from fedstate.dataplane.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that a human has to know: a CamelCase reason, and a sentence that names the field and the fix.

    A blocking one keeps the instance from becoming what the spec says; the others only deserve to be seen.
    """

    reason: str
    message: str
    blocking: bool = True
    storage: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look. What could not be found out is absent."""

    mongo: MongoDB
    stance: Stance
    holdings: Holdings
    previous: Mapping[str, Any] = field(default_factory=dict, repr=False)
    plan: ReplsetPlan | None = None
    reading: SetReading = field(default_factory=SetReading)
    roster: Roster | None = None
    revision: str = ""
    step: Step | None = None
    rollout: RolloutStep | None = None
    users_current: bool | None = None
    problems: tuple[Problem, ...] = ()
    acted: bool = False
    """Whether something was changed in this look, so that another one is due at once."""

    @property
    def spec_is_behind(self) -> bool:
        """Whether the spec is of an older plan than the one that lies here: members it asks for may have been moved elsewhere since."""
        stamp = self.mongo.federation
        return stamp is not None and self.plan is not None and stamp.plan_generation < self.plan.generation
