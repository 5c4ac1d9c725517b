"""Who asks, and whether they may. Tokens are given at the start; members of system:masters may everything, others only look around."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from fedstate.local.apiserver.errors import unauthorized

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
_OPEN_PATHS = ("/healthz", "/livez", "/readyz", "/version")
_DISCOVERY_PATHS = ("/api", "/apis", "/openapi", *_OPEN_PATHS)
_SELF_REVIEWS = {"selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews"}


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody a token stands for."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""

    @property
    def all_groups(self) -> tuple[str, ...]:
        """With the group that every authenticated user is in."""
        if self is ANONYMOUS or AUTHENTICATED in self.groups:
            return self.groups
        return (*self.groups, AUTHENTICATED)

    def info(self) -> dict[str, object]:
        """As `authentication.k8s.io` writes it."""
        info: dict[str, object] = {"username": self.name, "groups": list(self.all_groups)}
        if self.uid:
            info["uid"] = self.uid
        return info


ANONYMOUS = User(name="system:anonymous", groups=("system:unauthenticated",))


class Authenticator:
    """Finds the user of a bearer token."""

    def __init__(self, tokens: Mapping[str, User]) -> None:
        self._tokens = {token.encode(): user for token, user in tokens.items()}

    def user_of_token(self, token: str) -> User | None:
        """Compared in constant time."""
        given = token.encode()
        found = None
        for known, user in self._tokens.items():
            if hmac.compare_digest(known, given):
                found = user
        return found

    def user_of_request(self, authorization: str | None) -> User:
        """Anonymous without a token; 401 for a wrong one."""
        if not authorization:
            return ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        user = self.user_of_token(token.strip()) if scheme.lower() == "bearer" else None
        if user is None:
            raise unauthorized()
        return user


def may(groups: tuple[str, ...], verb: str, resource: str = "", group: str = "") -> bool:
    """Whether a member of these groups may do this to this resource."""
    if MASTERS in groups:
        return True
    return AUTHENTICATED in groups and verb == "create" and resource in _SELF_REVIEWS and group.endswith(".k8s.io")


def may_visit(groups: tuple[str, ...], path: str) -> bool:
    """Whether a member of these groups may read a path that is no resource."""
    if MASTERS in groups:
        return True
    allowed = _DISCOVERY_PATHS if AUTHENTICATED in groups else _OPEN_PATHS
    return any(path == prefix or path.startswith(prefix + "/") for prefix in allowed)
