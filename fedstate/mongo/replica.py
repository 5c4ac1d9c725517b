"""A replica set's configuration and state as values, read from the server's documents. Pure.

Owns the arithmetic of majorities. Knows no plan: what a set should look like is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

PRIMARY = 1
SECONDARY = 2
STARTUP2 = 5
ARBITER = 7
_A_DAY = 86_400.0
"""Before this time of the epoch nothing was ever written, whatever zone the driver's times are read in."""
SERVING_STATES = frozenset({PRIMARY, SECONDARY, ARBITER})


def majority(voters: int) -> int:
    """How many of so many voters elect a primary."""
    return voters // 2 + 1


def write_majority(voters: int, data_voters: int) -> int:
    """How many data-bearing voters a majority write waits for."""
    return min(majority(voters), data_voters)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberConfig:
    """One member of a configuration. `votes` is what the server counts: a member it still holds as newly added has none."""

    id: int
    host: str
    votes: int
    priority: float
    arbiter_only: bool = False
    hidden: bool = False
    newly_added: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_data_voter(self) -> bool:
        """True when the member votes and acknowledges majority writes."""
        return self.votes > 0 and not self.arbiter_only

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> MemberConfig:
        """Read one element of `members`."""
        newly_added = bool(document.get("newlyAdded"))
        arbiter = bool(document.get("arbiterOnly"))
        return cls(
            id=int(document["_id"]),
            host=str(document["host"]),
            votes=0 if newly_added else int(document.get("votes", 1)),
            priority=0.0 if newly_added else float(document.get("priority", 0 if arbiter else 1)),
            arbiter_only=arbiter,
            hidden=bool(document.get("hidden")),
            newly_added=newly_added,
            tags=dict(document.get("tags") or {}),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SetConfig:
    """A replica set configuration. `document` is the whole of it, for writing back with a change."""

    set_name: str
    version: int
    term: int
    replica_set_id: str
    members: tuple[MemberConfig, ...]
    document: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> SetConfig:
        """Read a configuration document as replSetGetConfig returns it."""
        return cls(
            set_name=str(document["_id"]),
            version=int(document["version"]),
            term=int(document.get("term", -1)),
            replica_set_id=str((document.get("settings") or {}).get("replicaSetId", "")),
            members=tuple(MemberConfig.from_document(member) for member in document["members"]),
            document=document,
        )

    def by_host(self, host: str) -> MemberConfig | None:
        """The member with that address, if there is one."""
        return next((member for member in self.members if member.host == host), None)

    def by_id(self, member_id: int) -> MemberConfig | None:
        """The member with that number, if there is one."""
        return next((member for member in self.members if member.id == member_id), None)

    @property
    def voters(self) -> tuple[MemberConfig, ...]:
        """The members that vote."""
        return tuple(member for member in self.members if member.votes > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberState:
    """One member as another one sees it."""

    id: int
    host: str
    state: int
    state_name: str
    healthy: bool
    is_self: bool = False
    optime: float | None = None
    config_version: int = -1
    config_term: int = -1
    sync_source: str = ""

    @property
    def serving(self) -> bool:
        """True when it is up and does what its role asks."""
        return self.healthy and self.state in SERVING_STATES

    @property
    def is_wiped(self) -> bool:
        """True while it is in the set and makes its first copy of the data: it has nothing yet, not even of what it once acknowledged."""
        return self.healthy and self.state == STARTUP2 and self.optime is not None and self.optime < _A_DAY

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> MemberState:
        """Read one element of `members` of replSetGetStatus."""
        optime = document.get("optimeDate")
        return cls(
            id=int(document["_id"]),
            host=str(document["name"]),
            state=int(document["state"]),
            state_name=str(document.get("stateStr", "")),
            healthy=bool(document.get("health")),
            is_self=bool(document.get("self")),
            optime=optime.timestamp() if isinstance(optime, datetime) else None,
            config_version=int(document.get("configVersion", -1)),
            config_term=int(document.get("configTerm", -1)),
            sync_source=str(document.get("syncSourceHost") or ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SetStatus:
    """A set as one of its members sees it."""

    set_name: str
    my_state: int
    term: int
    members: tuple[MemberState, ...]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> SetStatus:
        """Read the reply of replSetGetStatus."""
        return cls(
            set_name=str(document["set"]),
            my_state=int(document["myState"]),
            term=int(document.get("term", -1)),
            members=tuple(MemberState.from_document(member) for member in document["members"]),
        )

    @property
    def myself(self) -> MemberState | None:
        """The member that gave this view."""
        return next((member for member in self.members if member.is_self), None)

    @property
    def primary(self) -> MemberState | None:
        """The primary that this member knows of."""
        return next((member for member in self.members if member.state == PRIMARY and member.healthy), None)

    def by_host(self, host: str) -> MemberState | None:
        """The member with that address, if it is known."""
        return next((member for member in self.members if member.host == host), None)

    def lag(self, host: str) -> float | None:
        """Seconds by which a member's data is behind the primary's; None where either is unknown."""
        primary, member = self.primary, self.by_host(host)
        if primary is None or member is None or primary.optime is None or member.optime is None:
            return None
        return max(0.0, primary.optime - member.optime)


def healthy_voters(config: SetConfig, status: SetStatus) -> tuple[MemberConfig, ...]:
    """The voters that serve at this moment."""
    serving = {member.host for member in status.members if member.serving}
    return tuple(member for member in config.voters if member.host in serving)


def has_majority(config: SetConfig, status: SetStatus) -> bool:
    """True while enough voters serve to elect a primary."""
    return len(healthy_voters(config, status)) >= majority(len(config.voters))


def data_voters(members: Iterable[MemberConfig]) -> int:
    """How many of the members vote and hold data."""
    return sum(1 for member in members if member.is_data_voter)
