"""What is known of a replica set at one moment, from where the operator stands. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

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
