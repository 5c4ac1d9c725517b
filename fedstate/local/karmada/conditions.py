"""Conditions of Karmada's objects, as plain dicts in the order of their types. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One condition without its time."""

    type: str
    status: bool
    reason: str
    message: str


def condition(conditions: Sequence[Mapping[str, Any]] | None, type_: str) -> Mapping[str, Any] | None:
    """The condition of that type, if there is one."""
    return next((item for item in conditions or () if item["type"] == type_), None)


def with_verdict(conditions: Sequence[Mapping[str, Any]] | None, verdict: Verdict, now: str) -> list[dict[str, Any]]:
    """The conditions with this one set; its time changes only with its status, and a new type comes last."""
    status = "True" if verdict.status else "False"
    previous = condition(conditions, verdict.type)
    since = previous["lastTransitionTime"] if previous and previous["status"] == status else now
    entry = {
        "lastTransitionTime": since,
        "message": verdict.message,
        "reason": verdict.reason,
        "status": status,
        "type": verdict.type,
    }
    if previous is None:
        return [*(dict(item) for item in conditions or ()), entry]
    return [entry if item["type"] == verdict.type else dict(item) for item in conditions or ()]
