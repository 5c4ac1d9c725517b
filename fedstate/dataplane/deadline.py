"""How long the data plane waits for its own API server before it gives its worker to another instance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fedstate.kube.errors import TransportError

SECONDS = 5.0


@asynccontextmanager
async def answered_soon() -> AsyncIterator[None]:
    """TransportError, as for any missing answer, when the body takes longer."""
    try:
        async with asyncio.timeout(SECONDS):
            yield
    except TimeoutError as error:
        raise TransportError(f"no answer from the API server within {SECONDS:.0f} s") from error
