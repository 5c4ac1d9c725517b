from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.local.karmada.federation import Federation, running_federation


@pytest.fixture
async def federation(tmp_path: Path) -> AsyncIterator[Federation]:
    async with running_federation(tmp_path) as running:
        yield running
