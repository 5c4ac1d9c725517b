"""The users of an instance and what they sign in with, read from its Secret. Pure; no password shows in a representation."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

from fedstate.api.naming import (
    AUTH_CLUSTER_ADMIN_PASSWORD,
    AUTH_CLUSTER_MONITOR_PASSWORD,
    AUTH_KEYFILE,
    AUTH_ROOT_PASSWORD,
)
from fedstate.dataplane.naming import CLUSTER_ADMIN, CLUSTER_MONITOR, ROOT
from fedstate.kube.objects import KubeObject, name_of
from fedstate.mongo.admin import Credential, UserInfo, UserSpec, system_credential

USER_NAMES = (ROOT, CLUSTER_ADMIN, CLUSTER_MONITOR)

_ROLES: dict[str, tuple[tuple[str, str], ...]] = {
    ROOT: (("root", "admin"),),
    CLUSTER_ADMIN: (("clusterAdmin", "admin"),),
    CLUSTER_MONITOR: (("clusterMonitor", "admin"), ("read", "local")),
}
_KEYS = {
    ROOT: AUTH_ROOT_PASSWORD,
    CLUSTER_ADMIN: AUTH_CLUSTER_ADMIN_PASSWORD,
    CLUSTER_MONITOR: AUTH_CLUSTER_MONITOR_PASSWORD,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The content of the Secret `x-auth`."""

    keyfile: str = field(repr=False)
    users: tuple[UserSpec, ...]

    @property
    def system(self) -> Credential:
        """What the operator itself signs in with."""
        return system_credential(self.keyfile)


def read_credentials(secret: KubeObject) -> tuple[Credentials | None, str]:
    """The credentials, or None and what is wrong with which key of which Secret."""
    values: dict[str, str] = {}
    for key in (AUTH_KEYFILE, *_KEYS.values()):
        encoded = (secret.get("data") or {}).get(key)
        try:
            values[key] = base64.b64decode(encoded, validate=True).decode() if encoded else ""
        except (binascii.Error, ValueError):
            return None, f"key {key} of Secret {name_of(secret)} cannot be read as text; restore it"
        if not values[key].strip():
            return None, f"Secret {name_of(secret)} has no key {key}; restore it"
    keyfile = values[AUTH_KEYFILE]
    if not 6 <= len("".join(keyfile.split())) <= 1024:
        return None, f"key {AUTH_KEYFILE} of Secret {name_of(secret)} must have 6 to 1024 characters; restore it"
    users = tuple(
        UserSpec(name=name, password=values[key], roles=_ROLES[name], fingerprint=_fingerprint(keyfile, values[key]))
        for name, key in _KEYS.items()
    )
    return Credentials(keyfile=keyfile, users=users), ""


def secret_text(secret: KubeObject | None, key: str) -> str | None:
    """One value of a Secret; None where it is missing or no text."""
    encoded = ((secret or {}).get("data") or {}).get(key)
    try:
        return base64.b64decode(encoded, validate=True).decode() if encoded else None
    except (binascii.Error, ValueError):
        return None


def users_to_write(credentials: Credentials, existing: Iterable[UserInfo]) -> tuple[tuple[UserSpec, ...], tuple[UserSpec, ...]]:
    """Users to create and users to change: those whose password or roles are not the Secret's."""
    found = {user.name: user for user in existing}
    create = tuple(user for user in credentials.users if user.name not in found)
    update = tuple(user for user in credentials.users if user.name in found and not _is_current(user, found[user.name]))
    return create, update


def _is_current(user: UserSpec, found: UserInfo) -> bool:
    return found.fingerprint == user.fingerprint and set(user.roles) <= set(found.roles)


def _fingerprint(keyfile: str, password: str) -> str:
    """Tells passwords apart without giving anybody who lacks the keyfile something to guess against."""
    return hmac.new("".join(keyfile.split()).encode(), password.encode(), hashlib.sha256).hexdigest()[:32]
