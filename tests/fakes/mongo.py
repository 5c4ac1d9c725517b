"""A replica set in memory that refuses what a real server refuses, and moves only when told to.

Behaves like mongod 6 where the operator could go wrong: compare-and-swap, one voter at a time, arbiters, newly added members,
commitment, quorum checks, the implicit write concern. `tick` lets heartbeats, initial syncs and elections happen.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fedstate.mongo.admin import Credential, Hello, LiveConfig, UserInfo, UserSpec
from fedstate.mongo.errors import (
    AuthFailed,
    CommandFailed,
    ConfigRejected,
    NotInConfig,
    NotInitialized,
    NotPrimary,
    Unreachable,
)
from fedstate.mongo.replica import ARBITER, PRIMARY, SECONDARY, MemberState, SetConfig, SetStatus, majority

STARTUP2 = 5
DOWN = 8
REMOVED = 10
_NAMES = {
    0: "STARTUP",
    PRIMARY: "PRIMARY",
    SECONDARY: "SECONDARY",
    STARTUP2: "STARTUP2",
    ARBITER: "ARBITER",
    DOWN: "(not reachable/healthy)",
}

INVALID = 93
INCOMPATIBLE = 103
NOT_COMMITTED = 308
NO_QUORUM = 74


@dataclass
class FakeMongod:
    """One process: up or down, with the configuration it has received."""

    host: str
    up: bool = True
    state: int = 0
    config: dict[str, Any] | None = None
    password: str | None = None
    syncs_in: int = 1
    version: str = "6.0.5"


@dataclass
class FakeSet:
    """All processes that can reach each other. History keeps every configuration that was ever installed."""

    mongods: dict[str, FakeMongod] = field(default_factory=dict)
    primary: str | None = None
    term: int = 0
    users: dict[str, UserSpec] = field(default_factory=dict)
    rw_concern: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
    step_downs: int = 0
    ids: int = 0

    def add(self, host: str, **traits: Any) -> FakeMongod:
        """Start an empty mongod."""
        mongod = FakeMongod(host=host, **traits)
        self.mongods[host] = mongod
        return mongod

    def config_of(self, host: str) -> dict[str, Any]:
        config = self.reach(host).config
        if config is None:
            raise NotInitialized(host, "no replset config has been received", code=94)
        return config

    def reach(self, host: str) -> FakeMongod:
        mongod = self.mongods.get(host)
        if mongod is None or not mongod.up:
            raise Unreachable(host, "no answer")
        return mongod

    def is_up(self, host: str) -> bool:
        mongod = self.mongods.get(host)
        return mongod is not None and mongod.up

    def initiate(self, host: str, config: Mapping[str, Any]) -> None:
        mongod = self.reach(host)
        if mongod.config is not None:
            raise ConfigRejected(host, "already initialized", code=23)
        document = copy.deepcopy(dict(config))
        for member in document["members"]:
            self.reach(member["host"])
        self.ids += 1
        self.term += 1
        document |= {"term": self.term, "settings": {"replicaSetId": f"set-{self.ids}"}}
        self._install(mongod, document)
        self.history.append(document)
        mongod.state, self.primary = PRIMARY, host

    def reconfig(self, host: str, config: Mapping[str, Any]) -> None:
        self._must_be_primary(host)
        old = self.config_of(host)
        new = copy.deepcopy(dict(config))
        if int(new["version"]) <= int(old["version"]):
            raise ConfigRejected(host, "version is not newer", code=INCOMPATIBLE)
        if not self.committed():
            raise ConfigRejected(host, "the current config is not committed yet", code=NOT_COMMITTED)
        self._check_shape(host, new)
        self._check_change(host, old, new)
        self._check_quorum(host, new)
        for member in new["members"]:
            known = any(entry["_id"] == member["_id"] for entry in old["members"])
            if not known and member.get("votes", 1) and not member.get("arbiterOnly"):
                member["newlyAdded"] = True
        new["term"] = self.term
        self._install(self.mongods[host], new)
        self.history.append(new)

    def committed(self) -> bool:
        """A majority of voters has the primary's configuration."""
        if self.primary is None:
            return False
        config = self.mongods[self.primary].config
        assert config is not None
        voters = _voters(config)
        have = [m for m in voters if self.is_up(m["host"]) and self.mongods[m["host"]].config == config]
        return len(have) >= majority(len(voters))

    def step_down(self, host: str) -> None:
        self._must_be_primary(host)
        heir = self._electable(self.config_of(host), without=host)
        if heir is None:
            raise CommandFailed(host, "No electable secondaries caught up", code=50)
        self.mongods[host].state = SECONDARY
        self.step_downs += 1
        self._elect(heir)

    def tick(self) -> None:
        """Heartbeats, initial syncs and, if need be, an election."""
        self._check_primary()
        if self.primary is None:
            self._election()
        if self.primary is None:
            return
        config = self.config_of(self.primary)
        for mongod in self.mongods.values():
            if mongod.up and mongod.host != self.primary:
                self._follow(mongod, config)
        self._promote_newly_added(config)

    def _follow(self, mongod: FakeMongod, config: dict[str, Any]) -> None:
        member = next((m for m in config["members"] if m["host"] == mongod.host), None)
        if member is None:
            if mongod.config is not None:
                mongod.state = REMOVED
                self._install(mongod, config)
            return
        self._install(mongod, config)
        if member.get("arbiterOnly"):
            mongod.state = ARBITER
        elif mongod.state in (0, REMOVED):
            mongod.state = STARTUP2
        elif mongod.state == STARTUP2:
            mongod.syncs_in -= 1
            if mongod.syncs_in < 0:
                mongod.state = SECONDARY
        else:
            mongod.state = SECONDARY

    def _promote_newly_added(self, config: dict[str, Any]) -> None:
        for member in config["members"]:
            if member.get("newlyAdded") and self.is_up(member["host"]) and self.mongods[member["host"]].state == SECONDARY:
                promoted = copy.deepcopy(config)
                promoted["version"] += 1
                for entry in promoted["members"]:
                    if entry["_id"] == member["_id"]:
                        del entry["newlyAdded"]
                assert self.primary is not None
                self._install(self.mongods[self.primary], promoted)
                self.history.append(promoted)
                return

    def _check_primary(self) -> None:
        if self.primary is None:
            return
        config = self.mongods[self.primary].config
        assert config is not None
        healthy = [m for m in _voters(config) if self.is_up(m["host"])]
        if not self.is_up(self.primary) or len(healthy) < majority(len(_voters(config))):
            if self.is_up(self.primary):
                self.mongods[self.primary].state = SECONDARY
            self.primary = None

    def _election(self) -> None:
        configs = [m.config for m in self.mongods.values() if m.up and m.config is not None and m.state != REMOVED]
        for config in sorted(configs, key=lambda c: (c["term"], c["version"]), reverse=True):
            voters = _voters(config)
            healthy = [m for m in voters if self.is_up(m["host"]) and self.mongods[m["host"]].config is not None]
            heir = self._electable(config, without=None)
            if heir is not None and len(healthy) >= majority(len(voters)):
                self._elect(heir)
                return

    def _electable(self, config: dict[str, Any], without: str | None) -> str | None:
        fit = [
            m
            for m in _voters(config)
            if m.get("priority", 1) > 0
            and m["host"] != without
            and self.is_up(m["host"])
            and self.mongods[m["host"]].state in (PRIMARY, SECONDARY)
        ]
        return max(fit, key=lambda m: (m.get("priority", 1), -m["_id"]))["host"] if fit else None

    def _elect(self, host: str) -> None:
        self.term += 1
        self.primary = host
        mongod = self.mongods[host]
        mongod.state = PRIMARY
        assert mongod.config is not None
        self._install(mongod, mongod.config | {"term": self.term})

    def _install(self, mongod: FakeMongod, config: dict[str, Any]) -> None:
        mongod.config = config

    def _must_be_primary(self, host: str) -> None:
        self.reach(host)
        if self.primary != host:
            raise NotPrimary(host, "is not the primary", code=10107)

    def _check_shape(self, host: str, new: dict[str, Any]) -> None:
        members = new["members"]
        voters = _voters(new, counted=False)
        problems = {
            "1..50 members": not 1 <= len(members) <= 50,
            "1..7 voters": not 1 <= len(voters) <= 7,
            "an electable member": not any(m.get("priority", 1) > 0 for m in members),
            "non-voters have priority 0": any(not m.get("votes", 1) and m.get("priority", 1) for m in members),
            "hidden members have priority 0": any(m.get("hidden") and m.get("priority", 1) for m in members),
            "arbiters vote with priority 0": any(
                m.get("arbiterOnly") and (not m.get("votes", 1) or m.get("priority", 0)) for m in members
            ),
            "one arbiter": sum(bool(m.get("arbiterOnly")) for m in members) > 1,
            "unique numbers": len({m["_id"] for m in members}) != len(members),
            "unique hosts": len({m["host"] for m in members}) != len(members),
            "the primary stays electable": not any(m["host"] == host and m.get("priority", 1) > 0 for m in members),
        }
        for rule, broken in problems.items():
            if broken:
                raise ConfigRejected(host, f"InvalidReplicaSetConfig: {rule}", code=INVALID)

    def _check_change(self, host: str, old: dict[str, Any], new: dict[str, Any]) -> None:
        if new["settings"] != old["settings"] or new["_id"] != old["_id"]:
            raise ConfigRejected(host, "another set", code=INCOMPATIBLE)
        before, after = ({m["_id"] for m in _voters(config, counted=False)} for config in (old, new))
        if len(before ^ after) > 1:
            raise ConfigRejected(host, "more than one voter changes", code=INVALID)
        old_hosts = {m["host"]: m for m in old["members"]}
        for member in new["members"]:
            known = old_hosts.get(member["host"])
            if known and (known["_id"], known.get("arbiterOnly", False)) != (member["_id"], member.get("arbiterOnly", False)):
                raise ConfigRejected(host, "number or arbiterOnly of a host changed", code=INCOMPATIBLE)
        if not self.rw_concern and _implicit_majority(old) != _implicit_majority(new):
            raise ConfigRejected(host, "would change the implicit default write concern", code=INCOMPATIBLE)

    def _check_quorum(self, host: str, new: dict[str, Any]) -> None:
        voters = _voters(new, counted=False)
        if sum(self.is_up(m["host"]) for m in voters) < majority(len(voters)):
            raise ConfigRejected(host, "Quorum check failed", code=NO_QUORUM)

    def status_from(self, host: str) -> SetStatus:
        """The set as one of its members sees it."""
        config = self.config_of(host)
        if not any(m["host"] == host for m in config["members"]):
            raise NotInConfig(host, "not a member", code=93)
        members = tuple(self._state_of(member, host) for member in config["members"])
        return SetStatus(set_name=config["_id"], my_state=self.mongods[host].state, term=self.term, members=members)

    def _state_of(self, member: dict[str, Any], viewer: str) -> MemberState:
        mongod = self.mongods.get(member["host"])
        up = mongod is not None and mongod.up
        config = mongod.config if mongod is not None and up else None
        state = mongod.state if mongod is not None and up else DOWN
        return MemberState(
            id=member["_id"],
            host=member["host"],
            state=state,
            state_name=_NAMES.get(state, "REMOVED"),
            healthy=up,
            is_self=member["host"] == viewer,
            optime=None if state in (ARBITER, DOWN) else (0.0 if state in (0, STARTUP2) else 1000.0),
            config_version=config["version"] if config else -1,
            config_term=config["term"] if config else -1,
        )


def _voters(config: Mapping[str, Any], *, counted: bool = True) -> list[dict[str, Any]]:
    return [m for m in config["members"] if m.get("votes", 1) and not (counted and m.get("newlyAdded"))]


def _implicit_majority(config: Mapping[str, Any]) -> bool:
    voters = _voters(config, counted=False)
    data = [m for m in voters if not m.get("arbiterOnly")]
    return len(data) == len(voters) or len(data) > majority(len(voters))


class FakeAdmin:
    """MongoAdmin over a FakeSet."""

    def __init__(self, replica_set: FakeSet, host: str, credential: Credential | None = None) -> None:
        self.host = host
        self._set = replica_set
        self._credential = credential

    def _enter(self) -> FakeMongod:
        mongod = self._set.reach(self.host)
        if mongod.password is not None and (self._credential is None or self._credential.password != mongod.password):
            raise AuthFailed(self.host, "does not accept the credentials", code=18)
        return mongod

    async def ping(self) -> None:
        self._enter()

    async def hello(self) -> Hello:
        mongod = self._enter()
        config = mongod.config
        member = config is not None and any(m["host"] == self.host for m in config["members"])
        return Hello(
            set_name=config["_id"] if member and config is not None else None,
            is_primary=self._set.primary == self.host,
            is_secondary=mongod.state == SECONDARY,
            is_arbiter=mongod.state == ARBITER,
            me=self.host if member else None,
            primary=self._set.primary if member else None,
        )

    async def version(self) -> str:
        return self._enter().version

    async def replset_get_status(self) -> SetStatus:
        self._enter()
        return self._set.status_from(self.host)

    async def replset_get_config(self, *, commitment: bool = False) -> LiveConfig:
        self._enter()
        config = SetConfig.from_document(self._set.config_of(self.host))
        if commitment and self._set.primary != self.host:
            raise NotPrimary(self.host, "commitmentStatus is known on the primary only", code=10107)
        return LiveConfig(config=config, committed=self._set.committed() if commitment else None)

    async def initiate(self, config: Mapping[str, Any]) -> None:
        self._enter()
        self._set.initiate(self.host, config)

    async def reconfig(self, config: Mapping[str, Any]) -> None:
        self._enter()
        self._set.reconfig(self.host, config)

    async def step_down(self, seconds: int = 60) -> None:
        self._enter()
        self._set.step_down(self.host)

    async def freeze(self, seconds: int) -> None:
        self._enter()

    async def users(self, names: Sequence[str]) -> tuple[UserInfo, ...]:
        self._enter()
        found = [self._set.users[name] for name in names if name in self._set.users]
        return tuple(UserInfo(name=user.name, roles=user.roles, fingerprint=user.fingerprint) for user in found)

    async def create_user(self, user: UserSpec) -> None:
        self._enter()
        self._set._must_be_primary(self.host)
        if user.name in self._set.users:
            raise CommandFailed(self.host, "user already exists", code=51003)
        self._set.users[user.name] = user

    async def update_user(self, user: UserSpec) -> None:
        self._enter()
        self._set._must_be_primary(self.host)
        self._set.users[user.name] = user

    async def has_default_rw_concern(self) -> bool:
        self._enter()
        return self._set.rw_concern

    async def set_default_rw_concern(self) -> None:
        self._enter()
        self._set._must_be_primary(self.host)
        self._set.rw_concern = True


class FakeConnections:
    """MongoConnections over a FakeSet; remembers what was forgotten."""

    def __init__(self, replica_set: FakeSet) -> None:
        self.replica_set = replica_set
        self.forgotten: list[str] = []

    def admin(self, host: str, credential: Credential | None) -> FakeAdmin:
        return FakeAdmin(self.replica_set, host, credential)

    def forget(self, host: str) -> None:
        self.forgotten.append(host)

    async def close(self) -> None:
        return None
