"""This process's own look at a replica set, over the addresses that clients use.

Asks the primary it knows; only when that one is no primary any more, everybody. Never waits long for anybody.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from fedstate.fed.observed import ReplsetView
from fedstate.kube.objects import Key
from fedstate.mongo.admin import Credential, MongoConnections, system_credential
from fedstate.mongo.errors import MongoError
from fedstate.mongo.replica import PRIMARY, SetStatus

_log = logging.getLogger(__name__)

LOOK_TIMEOUT = 4.0
FRESH_FOR = 1.0
_AT_ONCE = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Last:
    at: float
    view: ReplsetView | None
    hosts: frozenset[str]
    primary: str | None


class ReplsetViews:
    """Looks at replica sets, remembering for each only who its primary was and what was seen a moment ago."""

    def __init__(self, connections: MongoConnections) -> None:
        self._connections = connections
        self._last: dict[Key, _Last] = {}

    async def look(self, key: Key, hosts: Sequence[str], keyfile: str | None) -> ReplsetView | None:
        """The set as its primary sees it, else as the member sees it that sees most; None if nobody could be asked."""
        clock = asyncio.get_running_loop().time()
        last = self._last.get(key)
        if last is not None and last.hosts == frozenset(hosts) and clock - last.at < FRESH_FOR:
            return last.view
        for host in (last.hosts if last is not None else frozenset()) - set(hosts):
            self._connections.forget(host)
        view, primary = None, None
        if hosts and keyfile:
            credential = system_credential(keyfile)
            view, primary = await self._ask(hosts, credential, last.primary if last is not None else None)
        self._last[key] = _Last(at=clock, view=view, hosts=frozenset(hosts), primary=primary)
        return view

    def forget(self, key: Key) -> None:
        last = self._last.pop(key, None)
        for host in last.hosts if last is not None else ():
            self._connections.forget(host)

    async def _ask(
        self, hosts: Sequence[str], credential: Credential, primary: str | None
    ) -> tuple[ReplsetView | None, str | None]:
        if primary in hosts and primary is not None:
            status = await self._status(primary, credential)
            if status is not None and status.my_state == PRIMARY:
                return await self._view(primary, status, credential), primary
        answers = await self._everybody(hosts, credential)
        if not answers:
            return None, None
        host = max(answers, key=lambda host: _worth(answers[host]))
        leads = answers[host].my_state == PRIMARY
        return await self._view(host, answers[host], credential), host if leads else None

    async def _everybody(self, hosts: Sequence[str], credential: Credential) -> dict[str, SetStatus]:
        limit = asyncio.Semaphore(_AT_ONCE)
        answers: dict[str, SetStatus] = {}

        async def ask(host: str) -> None:
            async with limit:
                status = await self._status(host, credential)
                if status is not None:
                    answers[host] = status

        async with asyncio.TaskGroup() as group:
            for host in hosts:
                group.create_task(ask(host), name=f"look at {host}")
        return answers

    async def _status(self, host: str, credential: Credential) -> SetStatus | None:
        try:
            async with asyncio.timeout(LOOK_TIMEOUT):
                return await self._connections.admin(host, credential).replset_get_status()
        except (MongoError, TimeoutError) as error:
            _log.debug("a member gave no view of its set", extra={"host": host, "error": str(error)})
            return None

    async def _view(self, host: str, status: SetStatus, credential: Credential) -> ReplsetView:
        try:
            async with asyncio.timeout(LOOK_TIMEOUT):
                admin = self._connections.admin(host, credential)
                live = await admin.replset_get_config(commitment=status.my_state == PRIMARY)
        except (MongoError, TimeoutError) as error:
            _log.debug("a member did not give its configuration", extra={"host": host, "error": str(error)})
            return ReplsetView(status=status)
        return ReplsetView(status=status, config=live.config, committed=live.committed)


def _worth(status: SetStatus) -> tuple[bool, int, int]:
    return status.my_state == PRIMARY, status.term, sum(member.healthy for member in status.members)
