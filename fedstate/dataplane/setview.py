"""What is known of a replica set at one moment, from where the operator stands. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from fedstate.mongo.admin import UserInfo
from fedstate.mongo.replica import SetConfig, SetStatus


class Probe(StrEnum):
    """What a mongod at an address turned out to be."""

    EMPTY = "Empty"
    SAME_SET = "SameSet"
    FOREIGN = "Foreign"
    REFUSED = "Refused"
    UNREACHABLE = "Unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetView:
    """What is known of the set at one moment. `config`, `committed` and `status` come from the primary or are absent."""

    primary_host: str | None = None
    primary_is_own: bool = False
    config: SetConfig | None = None
    committed: bool = False
    status: SetStatus | None = None
    default_rw_concern: bool = False
    probes: Mapping[str, Probe] = field(default_factory=dict)
    initialized_before: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberReading:
    """What one member answered; `status` and `version` only where it is part of a set."""

    probe: Probe
    status: SetStatus | None = None
    version: str = ""
    detail: str = ""

    @property
    def role(self) -> str:
        """The member's state in the server's words; empty while it has no configuration or does not answer."""
        myself = self.status.myself if self.status is not None else None
        if myself is not None:
            return myself.state_name
        return "REMOVED" if self.probe is Probe.SAME_SET else ""

    @property
    def ready(self) -> bool:
        """True for a member that serves, and for one that waits to be taken in."""
        myself = self.status.myself if self.status is not None else None
        return self.probe is Probe.EMPTY or (myself is not None and myself.serving)


UNREAD = MemberReading(probe=Probe.UNREACHABLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetReading:
    """One look at a set. `primary_address` is where the primary was reached, if it is one of our own."""

    members: Mapping[str, MemberReading] = field(default_factory=dict)
    view: SetView = field(default_factory=SetView)
    primary_address: str | None = None
    users: tuple[UserInfo, ...] = ()

    def of(self, host: str) -> MemberReading:
        return self.members.get(host, UNREAD)

    @property
    def status(self) -> SetStatus | None:
        """The set as the primary sees it, else as the own member that has seen most."""
        if self.view.status is not None:
            return self.view.status
        known = [reading.status for reading in self.members.values() if reading.status is not None]
        return max(known, key=lambda status: (status.term, status.primary is not None), default=None)
