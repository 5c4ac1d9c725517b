"""Where an API server is and how to sign in to it: kubeconfig files, in-cluster credentials, plain values.

The only module that imports kubernetes_asyncio, and only for a kubeconfig with a plugin: its import costs 60 MB and a second.
"""

import asyncio
import base64
import logging
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from fedstate.errors import FedstateError
from fedstate.kube.kubeconfig import ConfigError, Entry, SelectedContext, select

__all__ = [
    "ClusterConfig",
    "ConfigError",
    "FileToken",
    "ReloadedToken",
    "TokenSource",
    "cluster_config_from",
    "in_cluster_available",
    "in_cluster_config",
    "load_kubeconfig",
]

_log = logging.getLogger(__name__)

SERVICE_ACCOUNT_DIRECTORY = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_MAX_AGE = 60.0
EXEC_TIMEOUT = 60.0


class TokenSource(Protocol):
    """Gives the value of the Authorization header."""

    async def authorization(self, *, fresh: bool = False) -> str | None:
        """The header now; `fresh` after a 401, when the one given before was refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """One API server and one identity on it. Secrets are left out of its repr."""

    server: str
    ca_data: bytes | None = field(default=None, repr=False)
    token: TokenSource | str | None = field(default=None, repr=False)
    client_cert_data: bytes | None = field(default=None, repr=False)
    client_key_data: bytes | None = field(default=None, repr=False)
    insecure: bool = False
    tls_server_name: str | None = None
    proxy: str | None = None
    namespace: str = "default"


class FileToken:
    """A token in a file that somebody else rotates: read again when older than a minute.

    A file that cannot be read is logged, and the token known before stays in use.
    """

    def __init__(self, path: Path, *, max_age: float = TOKEN_MAX_AGE, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._max_age = max_age
        self._clock = clock
        self._token = ""
        self._read_at = float("-inf")

    async def authorization(self, *, fresh: bool = False) -> str | None:
        if fresh or self._clock() - self._read_at > self._max_age:
            await self._read()
        return f"Bearer {self._token}" if self._token else None

    async def _read(self) -> None:
        try:
            token = (await asyncio.to_thread(self._path.read_text)).strip()
        except OSError as error:
            _log.warning("token file cannot be read, keeping the token known before", extra={"error": str(error)})
            return
        self._read_at = self._clock()
        if token:
            self._token = token


class ReloadedToken:
    """Credentials that a kubeconfig's exec plugin or OIDC provider makes: made again after a 401 or `max_age` seconds.

    A failing reload is logged, and the credentials known before stay in use.
    """

    def __init__(
        self,
        header: str,
        reload: Callable[[], Awaitable[str | None]],
        *,
        max_age: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._header: str | None = header
        self._reload = reload
        self._max_age = max_age
        self._clock = clock
        self._made_at = clock()
        self._round = 0
        self._lock = asyncio.Lock()

    async def authorization(self, *, fresh: bool = False) -> str | None:
        if fresh or self._clock() - self._made_at > self._max_age:
            round_seen = self._round
            async with self._lock:
                # Whoever waited here while somebody else renewed has what that one got, were it nothing new.
                if round_seen == self._round:
                    await self._make()
                    self._round += 1
        return self._header

    async def _make(self) -> None:
        try:
            self._header = await self._reload()
        except (FedstateError, OSError) as error:
            _log.warning("credentials cannot be renewed, keeping those known before", extra={"error": str(error)})
            return
        self._made_at = self._clock()


class FixedHeader:
    """An Authorization header that never changes."""

    def __init__(self, header: str) -> None:
        self._header = header

    async def authorization(self, *, fresh: bool = False) -> str | None:
        return self._header


def cluster_config_from(
    server: str, ca_pem: bytes | str | None, token: str | None, *, namespace: str = "default"
) -> ClusterConfig:
    """The configuration for a server reached with a bearer token; without `ca_pem` the system's authorities are trusted."""
    ca_data = ca_pem.encode() if isinstance(ca_pem, str) else ca_pem
    return ClusterConfig(server=server.rstrip("/"), ca_data=ca_data or None, token=token or None, namespace=namespace)


def in_cluster_available() -> bool:
    """Whether this process runs in a pod with a service account."""
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and (SERVICE_ACCOUNT_DIRECTORY / "token").exists()


def in_cluster_config(directory: Path = SERVICE_ACCOUNT_DIRECTORY) -> ClusterConfig:
    """The configuration of the pod's service account, whose token rotates."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ConfigError("this process does not run in a pod (KUBERNETES_SERVICE_HOST is not set); give --kubeconfig")
    try:
        ca_data = (directory / "ca.crt").read_bytes()
    except OSError as error:
        raise ConfigError(f"the pod's service account is not mounted: {error}; set automountServiceAccountToken") from error
    namespace_file = directory / "namespace"
    return ClusterConfig(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        ca_data=ca_data,
        token=FileToken(directory / "token"),
        namespace=namespace_file.read_text().strip() if namespace_file.exists() else "default",
    )


async def load_kubeconfig(path: str | None = None, context: str | None = None) -> ClusterConfig:
    """The configuration that a kubeconfig (default: $KUBECONFIG, else ~/.kube/config) gives for `context` or its current one."""
    where = path or os.environ.get("KUBECONFIG") or "~/.kube/config"
    files = [Path(part).expanduser() for part in where.split(os.pathsep) if part]
    if not any(file.is_file() for file in files):
        raise ConfigError(f"no kubeconfig at {where}; give --kubeconfig FILE or set KUBECONFIG")
    try:
        selected = await asyncio.to_thread(select, where, context)
        if selected.cluster.text("server"):
            return await _config(selected, where, context)
    except ConfigError as error:
        raise ConfigError(f"kubeconfig {where} cannot be used: {error}") from error
    except (TypeError, KeyError, ValueError) as error:
        raise ConfigError(f"kubeconfig {where} cannot be used: it is not formed as one ({error!r})") from error
    raise ConfigError(f"kubeconfig {where} cannot be used: its cluster has no server")


async def _config(selected: SelectedContext, where: str, context: str | None) -> ClusterConfig:
    cluster, user = selected.cluster, selected.user
    certificate, key = user.content("client-certificate"), user.content("client-key")
    token = _plain_token(user)
    if selected.needs_plugin:
        made = await _with_plugin(where, context)
        certificate, key = made.certificate or certificate, made.key or key
        if made.header:

            async def again() -> str | None:
                return (await _with_plugin(where, context)).header

            token = ReloadedToken(made.header, again)
    return ClusterConfig(
        server=cluster.text("server").rstrip("/"),
        ca_data=cluster.content("certificate-authority"),
        token=token,
        client_cert_data=certificate,
        client_key_data=key,
        insecure=bool(cluster.value.get("insecure-skip-tls-verify")),
        tls_server_name=cluster.text("tls-server-name") or None,
        proxy=cluster.text("proxy-url") or None,
        namespace=selected.namespace,
    )


def _plain_token(user: Entry) -> TokenSource | str | None:
    file = user.path("tokenFile")
    if file is not None:
        return FileToken(file)
    if user.text("token"):
        return user.text("token")
    if user.text("username") and user.text("password"):
        pair = f"{user.text('username')}:{user.text('password')}".encode()
        return FixedHeader("Basic " + base64.b64encode(pair).decode())
    return None


class _Made(NamedTuple):
    """What a plugin gave."""

    header: str | None
    certificate: bytes | None
    key: bytes | None


async def _with_plugin(where: str, context: str | None) -> _Made:
    # An explicit Configuration: the library would otherwise write a process-wide default.
    from kubernetes_asyncio.client import Configuration
    from kubernetes_asyncio.config import ConfigException
    from kubernetes_asyncio.config.kube_config import KubeConfigLoader, KubeConfigMerger

    try:
        merged = await asyncio.to_thread(lambda: KubeConfigMerger(where).config)
        loaded = Configuration()
        # A base path of None makes relative file names relative to the file that names them.
        loader = KubeConfigLoader(merged, active_context=context, config_base_path=None)
        async with asyncio.timeout(EXEC_TIMEOUT):
            await loader.load_and_set(loaded)
    except TimeoutError as error:
        raise ConfigError(f"its credentials plugin gave no answer within {EXEC_TIMEOUT:.0f} s") from error
    except (ConfigException, OSError, ValueError, TypeError, KeyError, AssertionError, AttributeError) as error:
        raise ConfigError(str(error)) from error
    header = loaded.api_key.get("BearerToken")
    return _Made(str(header) if header else None, _read(loaded.cert_file), _read(loaded.key_file))


def _read(file: str | None) -> bytes | None:
    return Path(file).read_bytes() if file else None
