"""The driver behind MongoAdmin: the only module that imports one.

Owns timeouts, the translation of the driver's errors, and the open connections. Decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import errors as driver_errors

from fedstate.mongo.admin import Credential, Hello, LiveConfig, MongoAdmin, UserInfo, UserSpec
from fedstate.mongo.errors import (
    AuthFailed,
    CommandFailed,
    ConfigRejected,
    MongoError,
    NotInConfig,
    NotInitialized,
    NotPrimary,
    Unreachable,
)
from fedstate.mongo.replica import SetConfig, SetStatus

logger = logging.getLogger(__name__)

CALL_TIMEOUT = 5.0
DIAL_TIMEOUT = 1.5
FINGERPRINT_FIELD = "fedstateCredential"

_AUTH_CODES = frozenset({11, 13, 18})
_NOT_PRIMARY_CODES = frozenset({189, 10107, 10058, 11602, 13435, 13436})
_GONE_CODES = frozenset({91, 11600})
_CODE_NOT_INITIALIZED = 94
_CODE_INVALID_CONFIG = 93
_CODE_NO_SUCH_COMMAND = 59


class MotorAdmin:
    """MongoAdmin over one direct connection. A host that has not answered lately is dialled first, so that a dead one costs no thread."""

    def __init__(self, host: str, credential: Credential | None) -> None:
        self.host = host
        self._credential = credential
        self._client: AsyncIOMotorClient[dict[str, Any]] | None = None
        self._answered = False

    def close(self) -> None:
        """Close the connection. It opens again at the next call."""
        client, self._client, self._answered = self._client, None, False
        if client is not None:
            client.close()

    async def ping(self) -> None:
        await self._read({"ping": 1})

    async def hello(self) -> Hello:
        return Hello.from_document(await self._read({"hello": 1}))

    async def version(self) -> str:
        return str((await self._read({"buildInfo": 1})).get("version") or "")

    async def replset_get_status(self) -> SetStatus:
        return SetStatus.from_document(await self._read({"replSetGetStatus": 1}))

    async def replset_get_config(self, *, commitment: bool = False) -> LiveConfig:
        command: dict[str, Any] = {"replSetGetConfig": 1}
        if commitment:
            command["commitmentStatus"] = True
        reply = await self._read(command)
        return LiveConfig(config=SetConfig.from_document(reply["config"]), committed=reply.get("commitmentStatus"))

    async def initiate(self, config: Mapping[str, Any]) -> None:
        await self._write_config({"replSetInitiate": dict(config)})

    async def reconfig(self, config: Mapping[str, Any]) -> None:
        await self._write_config({"replSetReconfig": dict(config), "maxTimeMS": int(CALL_TIMEOUT * 1000) - 500})

    async def step_down(self, seconds: int = 60) -> None:
        catch_up = min(3, seconds - 1)
        with suppress(Unreachable):
            await self._command({"replSetStepDown": seconds, "secondaryCatchUpPeriodSecs": catch_up})
        if (await self.hello()).is_primary:
            raise CommandFailed(self.host, "is still the primary after replSetStepDown")

    async def freeze(self, seconds: int) -> None:
        await self._command({"replSetFreeze": seconds})

    async def users(self, names: Sequence[str]) -> tuple[UserInfo, ...]:
        wanted = [{"user": name, "db": "admin"} for name in names]
        reply = await self._read({"usersInfo": wanted})
        return tuple(_user_info(user) for user in reply.get("users", ()))

    async def create_user(self, user: UserSpec) -> None:
        await self._command({"createUser": user.name, **_user_fields(user)})

    async def update_user(self, user: UserSpec) -> None:
        await self._command({"updateUser": user.name, **_user_fields(user)})

    async def has_default_rw_concern(self) -> bool:
        try:
            reply = await self._read({"getDefaultRWConcern": 1})
        except CommandFailed as error:
            if error.code == _CODE_NO_SUCH_COMMAND:
                return True  # before 4.4 there is no default that an arbiter could change
            raise
        return reply.get("defaultWriteConcernSource") == "global" or "updateOpTime" in reply

    async def set_default_rw_concern(self) -> None:
        await self._command({"setDefaultRWConcern": 1, "defaultWriteConcern": {"w": "majority"}, "writeConcern": {"w": 1}})

    async def _read(self, command: dict[str, Any]) -> dict[str, Any]:
        """A member closes its connections when its role changes: that an idle one no longer works says nothing about the member."""
        answered = self._answered
        try:
            return await self._command(command)
        except Unreachable:
            if not answered:
                raise
        return await self._command(command)

    async def _write_config(self, command: dict[str, Any]) -> None:
        try:
            await self._command(command)
        except (CommandFailed, NotInConfig) as error:
            raise ConfigRejected(self.host, error.message, code=error.code) from error

    async def _command(self, command: dict[str, Any]) -> dict[str, Any]:
        async with self._translated_errors():
            if not self._answered:
                await self._dial()
            reply = await self._open().admin.command(command)
            self._answered = True
            return dict(reply)

    async def _dial(self) -> None:
        host, _, port = self.host.rpartition(":")
        async with asyncio.timeout(DIAL_TIMEOUT):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _open(self) -> AsyncIOMotorClient[dict[str, Any]]:
        if self._client is None:
            options: dict[str, Any] = {}
            if self._credential is not None:
                options = {
                    "username": self._credential.username,
                    "password": self._credential.password,
                    "authSource": self._credential.source,
                    "authMechanism": "SCRAM-SHA-256",
                }
            self._client = AsyncIOMotorClient(
                self.host,
                directConnection=True,
                appname="fedstate",
                connectTimeoutMS=2000,
                serverSelectionTimeoutMS=2000,
                socketTimeoutMS=int(CALL_TIMEOUT * 1000),
                waitQueueTimeoutMS=2000,
                maxPoolSize=2,
                maxIdleTimeMS=120_000,
                heartbeatFrequencyMS=30_000,
                serverMonitoringMode="poll",  # streaming would cost two more threads for each member
                retryReads=False,
                retryWrites=False,
                io_loop=asyncio.get_running_loop(),
                **options,
            )
        return self._client

    @asynccontextmanager
    async def _translated_errors(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(CALL_TIMEOUT):
                yield
        except (TimeoutError, OSError, ValueError) as error:
            self._answered = False
            raise Unreachable(self.host, f"no answer ({type(error).__name__})") from error
        except driver_errors.PyMongoError as error:
            translated = _translated(self.host, error)
            if isinstance(translated, Unreachable | AuthFailed):
                self._answered = False
            raise translated from error


class MotorConnections:
    """MongoConnections that keeps one admin per address, and replaces it when the credential changes."""

    def __init__(self) -> None:
        self._admins: dict[str, tuple[Credential | None, MotorAdmin]] = {}

    def admin(self, host: str, credential: Credential | None) -> MongoAdmin:
        """The admin of one mongod. Does not speak to it yet."""
        known = self._admins.get(host)
        if known is not None and known[0] == credential:
            return known[1]
        self.forget(host)
        admin = MotorAdmin(host, credential)
        self._admins[host] = (credential, admin)
        return admin

    def forget(self, host: str) -> None:
        """Close what is open to an address that is no longer needed."""
        known = self._admins.pop(host, None)
        if known is not None:
            known[1].close()

    async def close(self) -> None:
        """Close everything."""
        for host in list(self._admins):
            self.forget(host)


def _translated(host: str, error: driver_errors.PyMongoError) -> MongoError:
    if isinstance(error, driver_errors.NotPrimaryError):
        return NotPrimary(host, "is not the primary")
    if isinstance(error, driver_errors.OperationFailure):
        return _from_failure(host, error)
    if isinstance(error, driver_errors.ConfigurationError | driver_errors.InvalidURI):
        return CommandFailed(host, str(error))
    return Unreachable(host, f"no answer ({type(error).__name__})")


def _from_failure(host: str, error: driver_errors.OperationFailure) -> MongoError:
    code = error.code or 0
    details = error.details or {}
    message = f"{details.get('codeName', code)}: {details.get('errmsg', 'refused')}"
    if code in _AUTH_CODES:
        return AuthFailed(host, "does not accept the credentials of the operator", code=code)
    if code in _NOT_PRIMARY_CODES:
        return NotPrimary(host, message, code=code)
    if code in _GONE_CODES:
        return Unreachable(host, message, code=code)
    if code == _CODE_NOT_INITIALIZED:
        return NotInitialized(host, message, code=code)
    if code == _CODE_INVALID_CONFIG:
        return NotInConfig(host, message, code=code)
    return CommandFailed(host, message, code=code)


def _user_fields(user: UserSpec) -> dict[str, Any]:
    return {
        "pwd": user.password,
        "roles": [{"role": role, "db": database} for role, database in user.roles],
        "customData": {FINGERPRINT_FIELD: user.fingerprint},
        "writeConcern": {"w": "majority", "wtimeout": int(CALL_TIMEOUT * 1000) - 1000},
    }


def _user_info(document: Mapping[str, Any]) -> UserInfo:
    return UserInfo(
        name=str(document["user"]),
        roles=tuple(sorted((str(role["role"]), str(role["db"])) for role in document.get("roles", ()))),
        fingerprint=(document.get("customData") or {}).get(FINGERPRINT_FIELD),
    )
