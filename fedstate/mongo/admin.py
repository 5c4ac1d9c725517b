"""What the operator asks of one mongod: a protocol, and the small values it speaks in.

Nothing here knows a driver, so everything above can be tested without one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fedstate.mongo.replica import SetConfig, SetStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """Who signs in. The password never shows in a representation."""

    username: str
    password: str = field(repr=False)
    source: str = "admin"


def system_credential(keyfile: str) -> Credential:
    """The internal user every member accepts: its password is the keyfile's content without white space."""
    return Credential(username="__system", password="".join(keyfile.split()), source="local")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What a mongod says of itself without being asked for more: usable on a member in any state."""

    set_name: str | None
    is_primary: bool
    is_secondary: bool
    is_arbiter: bool
    me: str | None
    primary: str | None

    @property
    def has_config(self) -> bool:
        """True once the mongod has received a replica set configuration."""
        return self.set_name is not None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Hello:
        """Read the reply of the `hello` command; fields it lacks are taken as absent."""
        return cls(
            set_name=document.get("setName"),
            is_primary=bool(document.get("isWritablePrimary")),
            is_secondary=bool(document.get("secondary")),
            is_arbiter=bool(document.get("arbiterOnly")),
            me=document.get("me"),
            primary=document.get("primary"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveConfig:
    """A configuration as a member holds it; `committed` is known on the primary only."""

    config: SetConfig
    committed: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserInfo:
    """A database user: its roles, and the fingerprint of the credentials it was last given by this operator."""

    name: str
    roles: tuple[tuple[str, str], ...]
    fingerprint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSpec:
    """A user as it should be. `fingerprint` identifies the password without revealing it."""

    name: str
    password: str = field(repr=False)
    roles: tuple[tuple[str, str], ...]
    fingerprint: str


class MongoAdmin(Protocol):
    """One mongod, addressed directly and never through its set. Every call ends within a few seconds or raises MongoError."""

    host: str

    async def ping(self) -> None:
        """Return when the mongod answers."""

    async def hello(self) -> Hello:
        """Say what the mongod is, in whatever state."""

    async def version(self) -> str:
        """The version of the mongod, for example 6.0.5."""

    async def replset_get_status(self) -> SetStatus:
        """The set as this member sees it; NotInitialized or NotInConfig where there is nothing to see."""

    async def replset_get_config(self, *, commitment: bool = False) -> LiveConfig:
        """The configuration of this member; with `commitment` (primary only) also whether it is committed."""

    async def initiate(self, config: Mapping[str, Any]) -> None:
        """Give a fresh mongod its first configuration."""

    async def reconfig(self, config: Mapping[str, Any]) -> None:
        """Replace the configuration by compare-and-swap on its version and term. Never forced."""

    async def step_down(self, seconds: int = 60) -> None:
        """Make the primary a secondary for a while. Returns only once it is known not to be primary."""

    async def freeze(self, seconds: int) -> None:
        """Keep a secondary from seeking election for a while; 0 ends it."""

    async def users(self, names: Sequence[str]) -> tuple[UserInfo, ...]:
        """Those of the named users that exist."""

    async def create_user(self, user: UserSpec) -> None:
        """Create a user of database admin."""

    async def update_user(self, user: UserSpec) -> None:
        """Give an existing user the password and the roles of the spec."""

    async def has_default_rw_concern(self) -> bool:
        """True when somebody has set a cluster-wide default write concern."""

    async def set_default_rw_concern(self) -> None:
        """Make majority the cluster-wide default write concern."""


class MongoConnections(Protocol):
    """Hands out an admin for an address; the same one again as long as the credential is the same."""

    def admin(self, host: str, credential: Credential | None) -> MongoAdmin:
        """The admin of one mongod. Does not speak to it yet."""

    def forget(self, host: str) -> None:
        """Close what is open to an address that is no longer needed."""

    async def close(self) -> None:
        """Close everything."""
