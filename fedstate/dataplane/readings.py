"""Asks the members of a set what they are, all at once and each within seconds. Decides nothing, changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from fedstate.api.replset import ReplsetPlan
from fedstate.dataplane.setview import MemberReading, Probe, SetReading, SetView
from fedstate.kube.objects import Key
from fedstate.mongo.admin import Credential, Hello, LiveConfig, MongoConnections
from fedstate.mongo.errors import AuthFailed, MongoError, NotInConfig, NotInitialized
from fedstate.mongo.replica import PRIMARY, SetStatus

AT_ONCE = 8

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Whom to ask: the addresses of own running members, the plan, and what is known from before.

    `instance` is what connections are kept for: those to addresses that it no longer has are closed.
    """

    instance: Key
    own_hosts: Sequence[str]
    plan: ReplsetPlan | None
    credential: Credential
    initialized_before: bool
    user_names: Sequence[str]
    set_name: str


class SetReader:
    """Reads sets through a cache of connections."""

    def __init__(self, connections: MongoConnections) -> None:
        self._connections = connections
        self._known: dict[Key, frozenset[str]] = {}

    def forget(self, instance: Key) -> None:
        """Close every connection to the members of an instance that is gone from here."""
        self._keep(instance, frozenset())

    def _keep(self, instance: Key, hosts: frozenset[str]) -> None:
        for host in self._known.pop(instance, frozenset()) - hosts:
            self._connections.forget(host)
        if hosts:
            self._known[instance] = hosts

    async def read(self, question: Question) -> SetReading:
        """Ask own members first, others only for what own ones cannot say."""
        plan = question.plan
        hosts = set(question.own_hosts)
        if plan is not None:
            hosts |= {member.host for member in plan.members} | {member.host for member in plan.retiring}
        self._keep(question.instance, frozenset(hosts))
        members = await _ask_all(question.own_hosts, lambda host: self._member(host, question))
        address, status = _own_primary(members)
        if address is not None and status is not None:
            return await self._beside_primary(question, members, address, status)
        return await self._without_primary(question, members)

    async def _beside_primary(
        self, question: Question, members: Mapping[str, MemberReading], address: str, status: SetStatus
    ) -> SetReading:
        admin = self._connections.admin(address, question.credential)
        myself = status.myself
        assert myself is not None
        reading = SetReading(
            members=members,
            primary_address=address,
            view=SetView(
                primary_host=myself.host, primary_is_own=True, status=status, initialized_before=question.initialized_before
            ),
        )
        try:
            live = await admin.replset_get_config(commitment=True)
            users = await admin.users(question.user_names)
            explicit = await admin.has_default_rw_concern()
        except MongoError:
            return reading
        probes = await self._probes(question, members, live)
        view = replace(
            reading.view,
            config=live.config,
            committed=bool(live.committed),
            default_rw_concern=explicit,
            probes=probes,
        )
        return replace(reading, view=view, users=users)

    async def _probes(self, question: Question, members: Mapping[str, MemberReading], live: LiveConfig) -> dict[str, Probe]:
        """What answers at the planned addresses that the live configuration lacks."""
        planned = question.plan.members if question.plan is not None else ()
        missing = [member.host for member in planned if live.config.by_host(member.host) is None]
        others = await _ask_all([h for h in missing if h not in members], lambda host: self._member(host, question))
        probes = {host: {**members, **others}[host].probe for host in missing if host in members or host in others}
        same = [host for host, probe in probes.items() if probe is Probe.SAME_SET]
        ids = await _ask_all(same, lambda host: self._set_id(host, question))
        return probes | {host: Probe.FOREIGN for host, found in ids.items() if found != live.config.replica_set_id}

    async def _without_primary(self, question: Question, members: Mapping[str, MemberReading]) -> SetReading:
        planned = [member.host for member in question.plan.members] if question.plan is not None else []
        retiring = [member.host for member in question.plan.retiring] if question.plan is not None else []
        known = {r.status.primary.host for r in members.values() if r.status is not None and r.status.primary is not None}
        probes = {host: reading.probe for host, reading in members.items() if host in planned}
        if not known:
            others = [host for host in [*planned, *retiring] if host not in members]
            hellos = await _ask_all(others, lambda host: self._hello(host, question))
            known = {host for host, hello in hellos.items() if hello is not None and hello.is_primary}
            known |= {hello.primary for hello in hellos.values() if hello is not None and hello.primary}
            # A removed member's hello says no more than a fresh one's: only its status tells whether it has a configuration.
            asked = await _ask_all([host for host in others if host in planned], lambda host: self._member(host, question))
            probes |= {host: reading.probe for host, reading in asked.items()}
        view = SetView(probes=probes, initialized_before=question.initialized_before)
        for host in sorted(known):
            live = await self._config(host, question, commitment=True)
            if live is not None:
                known_view = replace(view, primary_host=host, config=live.config, committed=bool(live.committed))
                return SetReading(members=members, view=known_view)
        return SetReading(members=members, view=view)

    async def _member(self, host: str, question: Question) -> MemberReading:
        admin = self._connections.admin(host, question.credential)
        try:
            status = await admin.replset_get_status()
        except NotInitialized:
            return MemberReading(probe=Probe.EMPTY)
        except NotInConfig:
            return MemberReading(probe=Probe.SAME_SET)
        except AuthFailed as error:
            return MemberReading(probe=Probe.REFUSED, detail=str(error))
        except MongoError as error:
            return MemberReading(probe=Probe.UNREACHABLE, detail=str(error))
        if status.set_name != question.set_name:
            return MemberReading(probe=Probe.FOREIGN, detail=f"{host} is a member of {status.set_name}")
        return MemberReading(probe=Probe.SAME_SET, status=status, version=await self._version(host, question))

    async def _version(self, host: str, question: Question) -> str:
        """Asked anew each time: a restart may bring another one, and does not have to be noticed here."""
        try:
            return await self._connections.admin(host, question.credential).version()
        except MongoError:
            return ""

    async def _hello(self, host: str, question: Question) -> Hello | None:
        try:
            return await self._connections.admin(host, question.credential).hello()
        except MongoError:
            return None

    async def _config(self, host: str, question: Question, *, commitment: bool = False) -> LiveConfig | None:
        try:
            return await self._connections.admin(host, question.credential).replset_get_config(commitment=commitment)
        except MongoError:
            return None

    async def _set_id(self, host: str, question: Question) -> str:
        live = await self._config(host, question)
        return live.config.replica_set_id if live is not None else ""


async def _ask_all(hosts: Iterable[str], ask: Callable[[str], Awaitable[_T]]) -> dict[str, _T]:
    """One answer per address, a few addresses at a time."""
    limit = asyncio.Semaphore(AT_ONCE)
    answers: dict[str, _T] = {}

    async def one(host: str) -> None:
        async with limit:
            answers[host] = await ask(host)

    async with asyncio.TaskGroup() as group:
        for host in dict.fromkeys(hosts):
            group.create_task(one(host), name=f"ask {host}")
    return answers


def _own_primary(members: Mapping[str, MemberReading]) -> tuple[str | None, SetStatus | None]:
    """The own member that is primary; of two that say so, the one of the later election."""
    found = [
        (r.status.term, host, r.status) for host, r in members.items() if r.status is not None and r.status.my_state == PRIMARY
    ]
    if not found:
        return None, None
    _, host, status = max(found, key=lambda entry: entry[:2])
    return host, status
