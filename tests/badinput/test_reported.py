"""What is accepted and cannot be done is said, to the letter, in the conditions of the object and in events."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.badinput.conditions import said
from tests.badinput.controlplane import ControlPlane, running_control_plane
from tests.badinput.members import TROUBLES, Trouble
from tests.badinput.reported import REPORTED, Reported
from tests.dataplane.cell import Cell, mongodb

STARTED = 12
"""Looks after which a set of one member is up, and a federated part waits for its plan."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def control(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ControlPlane]:
    """One control plane for all cases, which come one after the other."""
    async with running_control_plane(tmp_path_factory.mktemp("control")) as control:
        yield control


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("row", REPORTED, ids=lambda row: row.situation.replace(" ", "-"))
async def test_an_instance_says_what_is_wrong(control: ControlPlane, row: Reported) -> None:
    namespace = f"shop-{REPORTED.index(row)}"
    wanted = [(kind, status, reason, message.replace("shop/", f"{namespace}/")) for kind, status, reason, message in row.says]
    async with control.clusters(row.clusters), control.instance(namespace, row.manifest, row.beside):
        await control.told(namespace, wanted)
        if row.told:
            await control.event(namespace, wanted[0][3])


@pytest.mark.parametrize("row", TROUBLES, ids=lambda row: row.situation.replace(" ", "-"))
async def test_a_part_of_an_instance_says_what_is_wrong(row: Trouble) -> None:
    obj = mongodb(**row.spec)
    obj["metadata"]["labels"].update(row.labels)
    cell = Cell(obj)
    row.before(cell)
    await cell.looks(STARTED)
    if row.later is not None:
        assert said({"status": cell.status}) != []
        assert not set(row.says) <= set(said({"status": cell.status}))
        row.later(cell)
        await cell.looks(row.looks)
    types = {kind for kind, *_ in row.says}
    assert [one for one in said({"status": cell.status}) if one[0] in types] == list(row.says)
