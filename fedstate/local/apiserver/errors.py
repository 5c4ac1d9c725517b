"""What the API server refuses, as the Status objects that Kubernetes clients read. Wording follows kube-apiserver, since kubectl prints it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fedstate.errors import FedstateError
from fedstate.local.apiserver.objects.fielderrors import FieldError, invalid_message


class StatusError(FedstateError):
    """A request that ends with a Status of failure."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def body(self) -> dict[str, Any]:
        """The Status object to send."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status


def qualified(name: str, group: str) -> str:
    """`pods`, or `clusters.cluster.karmada.io` outside the core group."""
    return f"{name}.{group}" if group else name


def _details(name: str, group: str, kind: str) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    details["kind"] = kind
    return details


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(group: str, plural: str, name: str, why: str) -> StatusError:
    """`why` says who may not, or which rule says no."""
    subject = qualified(plural, group) + (f' "{name}"' if name else "")
    return StatusError(403, "Forbidden", f"{subject} is forbidden: {why}", _details(name, group, plural))


def not_found(group: str, plural: str, name: str) -> StatusError:
    return StatusError(404, "NotFound", f'{qualified(plural, group)} "{name}" not found', _details(name, group, plural))


def no_such_resource() -> StatusError:
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> StatusError:
    message = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", message, {})


def not_acceptable() -> StatusError:
    offered = "application/json, application/yaml"
    return StatusError(406, "NotAcceptable", f"406: Not Acceptable\n\nAvailable representations: {offered}", {})


def already_exists(group: str, plural: str, name: str) -> StatusError:
    return StatusError(409, "AlreadyExists", f'{qualified(plural, group)} "{name}" already exists', _details(name, group, plural))


def conflict(group: str, plural: str, name: str, why: str) -> StatusError:
    """`why` says what the request believed and what is true."""
    subject = qualified(plural, group)
    return StatusError(
        409, "Conflict", f'Operation cannot be fulfilled on {subject} "{name}": {why}', _details(name, group, plural)
    )


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def expired(message: str) -> StatusError:
    return StatusError(410, "Expired", message)


def unsupported_media_type(accepted: str = "") -> StatusError:
    """`accepted` lists what is spoken, where the client should be told."""
    if accepted:
        why = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        return StatusError(415, "UnsupportedMediaType", why)
    return StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def invalid(kind: str, group: str, name: str, causes: Sequence[FieldError]) -> StatusError:
    """An object that breaks the rules of its kind; every cause is listed."""
    details = _details(name, group, kind)
    details["causes"] = [cause.cause() for cause in causes]
    return StatusError(422, "Invalid", invalid_message(kind, group, name, causes), details)


def too_large(limit: int) -> StatusError:
    return StatusError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}", {})


def too_many_requests(message: str, details: dict[str, Any] | None = None) -> StatusError:
    return StatusError(429, "TooManyRequests", message, details)


def internal(message: str) -> StatusError:
    return StatusError(500, "InternalError", f"Internal error occurred: {message}", {"causes": [{"message": message}]})


def version_too_large(wanted: int, current: int) -> StatusError:
    """The client has seen a newer state than this server has: it should wait a second."""
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    return StatusError(504, "Timeout", f"Timeout: Too large resource version: {wanted}, current: {current}", details)
