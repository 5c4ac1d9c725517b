"""Operators killed at random moments, by a seed that a failure names."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from fedstate.errors import FedstateError
from fedstate.local import chaos
from fedstate.local.layout import CONTROL_PLANE
from tests.e2e.system import System

LONGEST_PAUSE = 4.0
LONGEST_LIFE = 10.0
"""An operator that is never left alive could do nothing; one that dies within these seconds after its start has done a part."""


@asynccontextmanager
async def operators_killed(system: System) -> AsyncIterator[list[str]]:
    """While the block runs, SIGKILL to operators at moments that `FEDSTATE_SEED` (else chance) decides; yields what was done."""
    seed = int(os.environ.get("FEDSTATE_SEED") or secrets.randbelow(2**31))
    done: list[str] = []
    task = asyncio.create_task(_kill(system, random.Random(seed), done), name="killer of operators")
    try:
        yield done
    except BaseException as error:
        error.add_note(f"operators were killed {len(done)} times; FEDSTATE_SEED={seed} chooses the same ones again")
        raise
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()


async def _kill(system: System, dice: random.Random, done: list[str]) -> None:
    victims: Sequence[str] = (CONTROL_PLANE, *system.instance.clusters)
    while True:
        await asyncio.sleep(dice.uniform(0, LONGEST_PAUSE))  # the moment is the point
        victim, life = dice.choice(victims), dice.uniform(0, LONGEST_LIFE)
        with suppress(FedstateError, FileNotFoundError):  # it is down already
            if time.time() - system.layout.operator_record(victim).stat().st_mtime >= life:
                done.append(chaos.kill_operator(system.layout, system.instance, victim))
