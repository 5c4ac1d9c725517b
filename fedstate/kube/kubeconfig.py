"""What a kubeconfig, or several merged as kubectl merges them, says about one context. Reads; signs in nowhere.

Plugins are left to whoever runs them: most kubeconfigs have none, and reading those needs no library.
"""

import base64
import binascii
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fedstate.errors import FedstateError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class ConfigError(FedstateError):
    """The cluster configuration cannot be used; the message says which part and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A cluster or a user, and the directory that file names in it are relative to."""

    value: dict[str, Any]
    directory: Path

    def text(self, field: str) -> str:
        value = self.value.get(field)
        return "" if value is None else str(value)

    def path(self, field: str) -> Path | None:
        return self.directory / self.text(field) if self.text(field) else None

    def content(self, field: str) -> bytes | None:
        """The bytes given as `<field>-data`, else those of the file that `field` names."""
        data = self.text(f"{field}-data")
        if data:
            try:
                return base64.b64decode(data, validate=False)
            except binascii.Error as error:
                raise ConfigError(f"{field}-data is not base64: {error}") from error
        file = self.path(field)
        try:
            return file.read_bytes() if file is not None else None
        except OSError as error:
            raise ConfigError(f"{field}: {file} cannot be read: {error.strerror}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedContext:
    """The cluster, the user and the namespace of one context."""

    cluster: Entry
    user: Entry
    namespace: str

    @property
    def needs_plugin(self) -> bool:
        return "exec" in self.user.value or "auth-provider" in self.user.value


def select(where: str, context: str | None) -> SelectedContext:
    """The named or current context of the files in `where` (a list as in KUBECONFIG); the first to name something counts."""
    clusters: dict[str, Entry] = {}
    users: dict[str, Entry] = {}
    contexts: dict[str, Entry] = {}
    current = context or ""
    for part in filter(None, where.split(os.pathsep)):
        file = Path(part).expanduser()
        if not file.is_file():
            continue
        content = _load(file)
        current = current or str(content.get("current-context") or "")
        for into, plural, singular in (
            (clusters, "clusters", "cluster"),
            (users, "users", "user"),
            (contexts, "contexts", "context"),
        ):
            for item in content.get(plural) or ():
                into.setdefault(str(item["name"]), Entry(value=dict(item.get(singular) or {}), directory=file.parent))
    if not current:
        raise ConfigError("it has no current-context; give --context")
    chosen = _named(contexts, "context", current)
    user = chosen.text("user")
    return SelectedContext(
        cluster=_named(clusters, "cluster", chosen.text("cluster")),
        user=_named(users, "user", user) if user else Entry(value={}, directory=Path()),
        namespace=chosen.text("namespace") or "default",
    )


def _load(file: Path) -> dict[str, Any]:
    try:
        content = yaml.load(file.read_bytes(), Loader=_LOADER)
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{file} does not hold a kubeconfig")
    return content


def _named(entries: dict[str, Entry], kind: str, name: str) -> Entry:
    if name not in entries:
        raise ConfigError(f"it has no {kind} {name!r}; there are: {', '.join(sorted(entries)) or 'none'}")
    return entries[name]
