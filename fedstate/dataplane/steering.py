"""Carries out one step of a replica set, and keeps its users as the Secret has them. Decides nothing; a refusal becomes a problem to report."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from fedstate.api.replset import ReplsetPlan
from fedstate.dataplane.credentials import Credentials, users_to_write
from fedstate.dataplane.look import Problem
from fedstate.dataplane.setview import SetReading
from fedstate.dataplane.steps import (
    AddMember,
    ChangeHost,
    GrantVote,
    Initiate,
    RemoveMember,
    SetDefaultRWConcern,
    SetPriorities,
    Settled,
    Step,
    StepDown,
    TakeVote,
    Wait,
    changed_config,
    first_config,
)
from fedstate.mongo.admin import MongoAdmin, MongoConnections
from fedstate.mongo.errors import CommandFailed, ConfigRejected, MongoError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What was done: an event's reason and note, or a problem where it was refused."""

    reason: str = ""
    note: str = ""
    problem: Problem | None = None


class Steering:
    """Write access to the replica set."""

    def __init__(self, connections: MongoConnections) -> None:
        self._connections = connections

    async def carry_out(self, step: Step, plan: ReplsetPlan, reading: SetReading, credentials: Credentials) -> Deed | None:
        """Do what the step says; None where it says to wait. A lost race or a lost connection is not a problem: the next look tells."""
        if isinstance(step, Settled | Wait):
            return None
        try:
            await self._do(step, plan, reading, credentials)
        except ConfigRejected as error:
            logger.warning("a configuration was refused", extra={"step": type(step).__name__, "error": str(error)})
            if error.retry:
                return Deed()
            return Deed(problem=Problem(reason="ConfigRejected", message=f"the server refused {type(step).__name__}: {error}"))
        except MongoError as error:
            logger.warning("a step did not succeed", extra={"step": type(step).__name__, "error": str(error)})
            return Deed()
        deed = _told(step)
        logger.info("a step was taken", extra={"step": type(step).__name__, "note": deed.note})
        return deed

    async def _do(self, step: Step, plan: ReplsetPlan, reading: SetReading, credentials: Credentials) -> None:
        match step:
            case Initiate(member=member):
                config = first_config(plan.replset_name, member)
                await self._connections.admin(member.host, credentials.system).initiate(config)
            case StepDown():
                await self._primary(reading, credentials).step_down()
            case SetDefaultRWConcern():
                await self._primary(reading, credentials).set_default_rw_concern()
            case AddMember() | GrantVote() | TakeVote() | SetPriorities() | ChangeHost() | RemoveMember():
                assert reading.view.config is not None
                await self._primary(reading, credentials).reconfig(changed_config(reading.view.config, step))

    async def step_down(self, reading: SetReading, credentials: Credentials) -> bool:
        """Let another member become primary before this one's pod is replaced; False if none could."""
        try:
            await self._primary(reading, credentials).step_down()
        except MongoError as error:
            logger.warning("the primary did not step down", extra={"error": str(error)})
            return False
        return True

    async def ensure_users(self, reading: SetReading, credentials: Credentials) -> tuple[bool | None, tuple[Deed, ...]]:
        """Whether all users are as the Secret has them (None: not to be known from here), and what was changed."""
        if reading.primary_address is None or reading.view.config is None:
            return None, ()
        create, update = users_to_write(credentials, reading.users)
        admin = self._primary(reading, credentials)
        deeds: list[Deed] = []
        try:
            for user in create:
                await admin.create_user(user)
                deeds.append(Deed(reason="UserCreated", note=f"user {user.name} was created"))
            for user in update:
                await admin.update_user(user)
                deeds.append(Deed(reason="PasswordRotated", note=f"user {user.name} was given the password of the Secret"))
        except CommandFailed as error:
            # Never the server's own text: it may quote the command, and with it the password.
            message = f"{error.host} refused to write a user (code {error.code}); the passwords in the Secret may not be allowed"
            return False, (*deeds, Deed(problem=Problem(reason="UserRefused", message=message)))
        except MongoError:
            return False, tuple(deeds)
        return True, tuple(deeds)

    def _primary(self, reading: SetReading, credentials: Credentials) -> MongoAdmin:
        assert reading.primary_address is not None
        return self._connections.admin(reading.primary_address, credentials.system)


def _told(step: Step) -> Deed:
    match step:
        case Initiate(member=member):
            return Deed(reason="Initiated", note=f"the replica set was initiated with {member.host}")
        case AddMember(member=member):
            return Deed(
                reason="MemberAdded", note=f"{member.host} was added{' as arbiter' if member.arbiter_only else ' without a vote'}"
            )
        case GrantVote(host=host):
            return Deed(reason="VoteGranted", note=f"{host} has caught up and votes now")
        case TakeVote(host=host):
            return Deed(reason="VoteTaken", note=f"{host} votes no longer")
        case SetPriorities(members=members):
            return Deed(
                reason="PrioritiesSet", note=f"priorities of {', '.join(member.host for member in members)} follow the plan"
            )
        case ChangeHost(old=old, new=new):
            return Deed(reason="AddressChanged", note=f"{old} is now {new}")
        case RemoveMember(host=host):
            return Deed(reason="MemberRemoved", note=f"{host} was removed from the configuration")
        case StepDown(host=host, why=why):
            return Deed(reason="StepDown", note=f"{host} stepped down: {why}")
        case SetDefaultRWConcern():
            return Deed(reason="DefaultWriteConcernSet", note="majority is now the explicit default write concern")
    return Deed()
