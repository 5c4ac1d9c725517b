"""What the containers of a node share: the agent's tasks, its way to look at containers, its tools, its way to say something."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fedstate.kube.objects import Key, KubeObject
from fedstate.local.node.commands import Place
from fedstate.local.node.probes import Prober


class Says(Protocol):
    """Records an event about a pod; never blocks."""

    def __call__(self, pod: KubeObject, kind: str, reason: str, note: str) -> None: ...


class Changed(Protocol):
    """Has the pod looked at again soon."""

    def __call__(self, key: Key) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Given to every pod and container of the agent."""

    tasks: asyncio.TaskGroup
    prober: Prober
    say: Says
    changed: Changed
    tools: Path
    mongod: Path | None
    mongod_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What one container stands on: its variables, and where it runs."""

    values: Mapping[str, str]
    place: Place
