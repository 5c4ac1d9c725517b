"""What a request can fail with: an answer that says no (ApiError), or no answer (TransportError).

Nothing else raises these; bodies of unknown kind are never quoted, since they may hold secrets.
"""

from collections.abc import Mapping
from typing import Any

from fedstate.errors import FedstateError


class TransportError(FedstateError):
    """No answer: the server was not reached, went silent, or the connection broke."""


class ApiError(FedstateError):
    """The API server answered, and refused. `message` is the server's own sentence.

    `retry_after` is how many seconds the server asked to wait, if it did.
    """

    def __init__(
        self, status: int, reason: str, message: str, details: dict[str, Any] | None = None, *, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{message} ({status} {reason})" if reason else f"{message} ({status})")
        self.status = status
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after = retry_after

    @property
    def resource_version_too_large(self) -> bool:
        """The server has not yet seen the version asked for: ask for any, or for the newest."""
        causes = (self.details or {}).get("causes") or ()
        if any(cause.get("reason") == "ResourceVersionTooLarge" for cause in causes):
            return True
        return self.status == 504 and "Too large resource version" in self.message


class Unauthorized(ApiError):
    """The credentials were not accepted."""


class Forbidden(ApiError):
    """The credentials do not allow this."""


class NotFound(ApiError):
    """The object, or the whole kind, is not there."""


class Conflict(ApiError):
    """Somebody else changed the object since it was read, or owns the field."""

    routine = True


class AlreadyExists(Conflict):
    """An object of this name exists."""


class Expired(ApiError):
    """The resource version or continue token is older than the server remembers."""


class Invalid(ApiError):
    """The object breaks the rules of its kind."""


class TooManyRequests(ApiError):
    """The server asks for patience."""


class ServerError(ApiError):
    """The server failed (5xx)."""


_BY_STATUS: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Expired,
    422: Invalid,
    429: TooManyRequests,
}

# For answers that carry no Status, and so no sentence of their own.
_WITHOUT_STATUS = {
    401: "the credentials are not accepted",
    403: "the credentials do not allow this",
    404: "the server knows nothing at this path (is the CustomResourceDefinition of this kind installed?)",
    502: "a proxy before the server could not reach it",
    503: "the server is not available",
    504: "a proxy before the server waited in vain for it",
}


def api_error_from(status: int, body: Any, *, retry_after: str | None = None) -> ApiError:
    """The error that an answer with this HTTP status and decoded body means.

    `body` is trusted only if it is a `Status`; `retry_after` is the header of that name.
    """
    said: Mapping[str, Any] = body if isinstance(body, dict) and body.get("kind") == "Status" else {}
    status = int(said.get("code") or status)
    reason = str(said.get("reason") or "")
    message = str(said.get("message") or _WITHOUT_STATUS.get(status, "the API server gave no reason"))
    details = said.get("details") if isinstance(said.get("details"), dict) else None
    seconds = _seconds(retry_after if retry_after is not None else (details or {}).get("retryAfterSeconds"))
    if reason == "AlreadyExists":
        found: type[ApiError] = AlreadyExists
    else:
        found = ServerError if status >= 500 else _BY_STATUS.get(status, ApiError)
    return found(status, reason, message, details, retry_after=seconds)


def _seconds(value: Any) -> float | None:
    try:
        return max(0.0, float(value))
    except (TypeError, ValueError):
        return None
