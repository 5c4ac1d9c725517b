"""The steps a replica set takes towards its plan, and what each one makes of a configuration document. Pure.

Does not decide which step comes next, and never builds a configuration from scratch but the first one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fedstate.api.replset import PlanMember
from fedstate.mongo.replica import SetConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The set is as planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing may be done now; `reason` is CamelCase, `message` a sentence that says what is waited for."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Initiate:
    """Give the set its first configuration, with this one member."""

    member: PlanMember


@dataclass(frozen=True, slots=True, kw_only=True)
class AddMember:
    """Add a data member without vote and priority, or an arbiter with the vote it cannot be without."""

    member: PlanMember


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantVote:
    """Give a member that has caught up its vote, and with it its priority, so that whoever is counted on can also lead.

    Beside an arbiter the priority is 0 and comes right after: the server refuses both at once where they would make two
    electable members and an arbiter (NewReplicaSetConfigurationIncompatible).
    """

    host: str
    priority: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeVote:
    """Take a member's vote and with it its priority."""

    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberTraits:
    """What may change of a member without touching any vote."""

    host: str
    priority: float
    hidden: bool
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPriorities:
    """Bring priorities, hidden flags and tags of several members to the plan at once."""

    members: tuple[MemberTraits, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeHost:
    """Give a member that moved its new address; its number stays."""

    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveMember:
    """Remove a member that is not the primary."""

    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDown:
    """Let another member become primary."""

    host: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDefaultRWConcern:
    """Make majority the explicit default write concern, which an arbiter's arrival would otherwise change in silence."""


Reconfiguration = AddMember | GrantVote | TakeVote | SetPriorities | ChangeHost | RemoveMember
Step = Settled | Wait | Initiate | StepDown | SetDefaultRWConcern | Reconfiguration


def first_config(replset_name: str, member: PlanMember) -> dict[str, Any]:
    """The configuration that initiates a set with one member, which is electable whatever the plan has for it later."""
    return {
        "_id": replset_name,
        "version": 1,
        "members": [
            {
                "_id": member.id,
                "host": member.host,
                "votes": 1,
                "priority": member.priority if member.priority > 0 else 1,
                "tags": dict(member.tags),
            }
        ],
    }


def changed_config(config: SetConfig, step: Reconfiguration) -> dict[str, Any]:
    """The whole next configuration: a copy of the live document, one version up, with one step's change in it."""
    document = copy.deepcopy(dict(config.document))
    document["version"] = config.version + 1
    members: list[dict[str, Any]] = document["members"]
    match step:
        case AddMember(member=member):
            members.append(_added(member))
        case GrantVote(host=host, priority=priority):
            _edit(members, host, lambda entry: entry.update(votes=1, priority=priority))
        case TakeVote(host=host):
            _edit(members, host, lambda entry: entry.update(votes=0, priority=0))
        case RemoveMember(host=host):
            members[:] = [entry for entry in members if entry["host"] != host]
        case ChangeHost(old=old, new=new):
            _edit(members, old, lambda entry: entry.update(host=new))
        case SetPriorities(members=traits):
            for trait in traits:
                _set_traits(members, trait)
    return document


def _set_traits(members: list[dict[str, Any]], trait: MemberTraits) -> None:
    _edit(members, trait.host, lambda entry: entry.update(priority=trait.priority, hidden=trait.hidden, tags=dict(trait.tags)))


def _edit(members: list[dict[str, Any]], host: str, change: Callable[[dict[str, Any]], None]) -> None:
    for entry in members:
        if entry["host"] == host:
            change(entry)


def _added(member: PlanMember) -> dict[str, Any]:
    if member.arbiter_only:
        return {"_id": member.id, "host": member.host, "arbiterOnly": True, "votes": 1, "priority": 0}
    entry = {"_id": member.id, "host": member.host, "votes": 0, "priority": 0, "hidden": member.hidden, "tags": dict(member.tags)}
    return entry
