"""Things that run for ever, run for the length of a `with` block."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self


class Running:
    """Runs the coroutines in a TaskGroup inside `async with`, and cancels them at its end; a failure of one is raised there."""

    def __init__(self, *coroutines: Coroutine[Any, Any, Any]) -> None:
        self._coroutines = coroutines
        self._group = asyncio.TaskGroup()
        self.tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self.tasks = [
            self._group.create_task(coroutine, name=getattr(coroutine, "__qualname__", None)) for coroutine in self._coroutines
        ]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for task in self.tasks:
            task.cancel()
        await self._group.__aexit__(kind, error, trace)


async def settle() -> None:
    """Lets everything that can go on without time passing go on."""
    for _ in range(50):
        await asyncio.sleep(0)
