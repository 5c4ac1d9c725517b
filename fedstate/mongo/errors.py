"""What can go wrong when one mongod is spoken to, told apart by what a caller can do about it."""

from __future__ import annotations

from fedstate.errors import FedstateError


class MongoError(FedstateError):
    """A mongod did not do what it was asked. `host` is the address that was used; no message carries a password."""

    def __init__(self, host: str, message: str, *, code: int = 0) -> None:
        super().__init__(f"{host}: {message}")
        self.host = host
        self.message = message
        self.code = code


class Unreachable(MongoError):
    """Nothing answered in time. Whether a write took effect is unknown: read again before repeating it."""


class AuthFailed(MongoError):
    """The mongod answers but does not accept the credentials."""


class NotPrimary(MongoError):
    """The member is not, or is no longer, the primary."""


class NotInitialized(MongoError):
    """The mongod runs with a replica set name but has never had a configuration."""


class NotInConfig(MongoError):
    """The mongod has a configuration that does not name it: it was removed from its set."""


class ConfigRejected(MongoError):
    """The server refused a configuration. `retry` says that the same step may work once the set has settled."""

    RETRY_CODES = frozenset({103, 109, 301, 308})

    @property
    def retry(self) -> bool:
        """True for a lost race or a configuration still on its way, False where the document itself is wrong."""
        return self.code in self.RETRY_CODES


class CommandFailed(MongoError):
    """Any other refusal, with the server's code."""
