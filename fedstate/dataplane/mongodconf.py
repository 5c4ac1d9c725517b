"""The mongod configuration file of an instance: what the operator needs, what the user wants, who wins where. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from fedstate.api.configfile import FILE_NAME as FILE_NAME
from fedstate.api.configfile import custom_text as custom_text
from fedstate.api.configfile import read_config
from fedstate.kube.objects import quantity_bytes

DATA_PATH = "/data/db"
KEYFILE_PATH = "/run/fedstate/keyfile"
PORT = 27017

BUILT_IN_CONFIGS = frozenset({"mongo-default-config", "mongo-operator-mongo-default-config"})
"""Names under which the announcement's operator installed its defaults; ours are built in, so these need not exist."""

_UNUSABLE = (
    "net.bindIp",
    "net.tls",
    "net.ssl",
    "processManagement.fork",
    "processManagement.pidFilePath",
    "security.clusterAuthMode",
    "sharding",
    "systemLog.destination",
    "systemLog.path",
    "systemLog.logAppend",
)
"""Settings with which a member would not start, not log where its log is read, or not be reached by the others."""

_GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class MongodConf:
    """The file's text, the variables for settings that are none of mongod's, and what could not be used."""

    text: str
    environment: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]


def mongod_conf(*, replset: str, settings: Sequence[tuple[str, str]], custom: str | None, memory_limit: str | None) -> MongodConf:
    """The user's file, over it the dotted settings of `spec.config`, over both what a member of the set cannot be without."""
    problems: list[str] = []
    document, unreadable = read_config(custom or "")
    if unreadable:
        problems.append(f"{FILE_NAME} {unreadable} and is not used")
    _defaults(document, memory_limit)
    for name, value in settings:
        if "." in name:
            _put(document, name, _scalar(value), problems)
    given = {name for name, _ in settings}
    for name in _UNUSABLE:
        if _get(document, name) is not None:
            problems.append(f"{name} is not used, since it does not fit a member of a set in a pod; {_remove(name, given)}")
            _drop(document, name)
    for name, value in _required(replset).items():
        if _get(document, name) not in (None, value):
            problems.append(f"{name} is set by FedState and cannot be changed; {_remove(name, given)}")
        _put(document, name, value, problems)
    environment = tuple((name, value) for name, value in settings if "." not in name)
    return MongodConf(text=yaml.safe_dump(document, sort_keys=True), environment=environment, problems=tuple(problems))


def _remove(name: str, given: set[str]) -> str:
    return f"remove it from {'spec.config' if name in given else f'{FILE_NAME} (spec.customConfigRef)'}"


def _required(replset: str) -> dict[str, Any]:
    return {
        "net.port": PORT,
        "net.bindIpAll": True,
        "replication.replSetName": replset,
        "security.authorization": "enabled",
        "security.keyFile": KEYFILE_PATH,
        "storage.dbPath": DATA_PATH,
    }


def _defaults(document: dict[str, Any], memory_limit: str | None) -> None:
    """mongod sizes its cache by the machine where it cannot see the container's limit; its own formula, on the limit."""
    name = "storage.wiredTiger.engineConfig.cacheSizeGB"
    if memory_limit is None or _get(document, name) is not None:
        return
    cache = max(0.25, 0.5 * (quantity_bytes(memory_limit) - _GIB) / _GIB)
    _put(document, name, round(cache, 2), [])


def _scalar(value: str) -> Any:
    """The value as YAML reads it, so that numbers and booleans are such; what is no YAML is text."""
    try:
        return yaml.safe_load(value) if value else value
    except yaml.YAMLError:
        return value


def _get(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return None
        value = value[part]
    return value


def _put(document: dict[str, Any], path: str, value: Any, problems: list[str]) -> None:
    *parents, last = path.split(".")
    for part in parents:
        child = document.setdefault(part, {})
        if not isinstance(child, dict):
            above = path[: path.index(f"{part}.") + len(part)]
            problems.append(f"{path} is not used, since {above} has a value of its own; remove one of them")
            return
        document = child
    document[last] = value


def _drop(document: dict[str, Any], path: str) -> None:
    parent, _, last = path.rpartition(".")
    holder = _get(document, parent) if parent else document
    if isinstance(holder, dict):
        holder.pop(last, None)
