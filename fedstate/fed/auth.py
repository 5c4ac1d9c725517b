"""The Secret with an instance's root password, keyfile and service passwords.

Made once; then only the root password follows its source, if the spec names one. Pure; randomness comes in.
"""

import base64
from collections.abc import Callable

from fedstate.api.naming import (
    AUTH_CLUSTER_ADMIN_PASSWORD,
    AUTH_CLUSTER_MONITOR_PASSWORD,
    AUTH_KEYFILE,
    AUTH_ROOT_PASSWORD,
    auth_secret_name,
    standard_labels,
)
from fedstate.kube.objects import KubeObject

KEYFILE_BYTES = 756
"""Base64 of them has 1008 characters; mongod takes at most 1024."""

Entropy = Callable[[int], bytes]

_PASSWORD_BYTES = 24
_KEYS = (AUTH_ROOT_PASSWORD, AUTH_KEYFILE, AUTH_CLUSTER_ADMIN_PASSWORD, AUTH_CLUSTER_MONITOR_PASSWORD)


def auth_secret(
    namespace: str, instance: str, *, existing: KubeObject | None, root_password: str | None, entropy: Entropy
) -> KubeObject:
    """The whole Secret: what `existing` holds stays as it is, but for a root password that is given; what it lacks is filled in."""
    data = dict((existing or {}).get("data") or {})
    if root_password:
        data[AUTH_ROOT_PASSWORD] = base64.b64encode(root_password.encode()).decode()
    for key in _KEYS:
        if not data.get(key):
            fresh = base64.b64encode(entropy(KEYFILE_BYTES)).decode() if key == AUTH_KEYFILE else _password(entropy)
            data[key] = base64.b64encode(fresh.encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": auth_secret_name(instance),
            "namespace": namespace,
            "labels": standard_labels(instance, "auth"),
        },
        "data": data,
    }


def is_complete(secret: KubeObject | None) -> bool:
    data = (secret or {}).get("data") or {}
    return all(data.get(key) for key in _KEYS)


def keyfile_of(secret: KubeObject | None) -> str | None:
    """The keyfile's content, or None if the Secret has none that can be read."""
    encoded = ((secret or {}).get("data") or {}).get(AUTH_KEYFILE)
    try:
        return base64.b64decode(encoded).decode() if encoded else None
    except ValueError:
        return None


def _password(entropy: Entropy) -> str:
    """32 characters, none of which a connection string would have to escape."""
    return base64.urlsafe_b64encode(entropy(_PASSWORD_BYTES)).decode()
