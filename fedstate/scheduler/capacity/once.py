"""Member clusters read once, page by page, for those who ask a single question and keep nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from fedstate.errors import FedstateError
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import ApiError, Forbidden
from fedstate.kube.listing import Lister, Selection
from fedstate.kube.objects import Key, KubeObject, name_of
from fedstate.kube.recordkinds import NODE_RECORDS, POD_RECORDS, STORAGE_CLASS_RECORDS, RecordKind
from fedstate.kube.records import Record
from fedstate.scheduler.capacity.access import Access, access_to
from fedstate.scheduler.capacity.caches import LIVE_PODS, missing_rights, said
from fedstate.scheduler.capacity.member import SUMS, Connect
from fedstate.scheduler.capacity.members import connect
from fedstate.scheduler.capacity.rooms import Reading, Source
from fedstate.scheduler.capacity.tally import NodeTally

R = TypeVar("R", bound=Record)

SECONDS = 5.0
"""A member that is not read by then is left to its sums."""

AT_ONCE = 16


class _NotRead(FedstateError):
    """Why a member cannot be read, in words."""


async def read_members(
    control: KubeClient, clusters: Sequence[KubeObject], *, connect: Connect = connect, seconds: float = SECONDS
) -> dict[str, Reading]:
    """A reading of every cluster by its nodes; where there is none, one that says why. Fails for nothing a member does."""
    slots = asyncio.Semaphore(AT_ONCE)
    readings: dict[str, Reading] = {}

    async def read(cluster: KubeObject) -> None:
        async with slots:
            try:
                async with asyncio.timeout(seconds):
                    readings[name_of(cluster)] = await _read(control, cluster, connect)
            except TimeoutError:
                readings[name_of(cluster)] = _unread(f"no answer within {seconds:g} s")
            except (FedstateError, OSError, ValueError) as error:
                readings[name_of(cluster)] = _unread(said(error, "the credentials of its Cluster"))

    async with asyncio.TaskGroup() as group:
        for cluster in clusters:
            group.create_task(read(cluster), name=f"read {name_of(cluster)}")
    return readings


def _unread(why: str) -> Reading:
    return Reading(source=Source(kind=SUMS, note=f"its nodes are not read: {why}"))


async def _read(control: KubeClient, cluster: KubeObject, connect: Connect) -> Reading:
    access = await access_to(cluster, control)
    tally, note = NodeTally(), ""
    async with connect(access.config) as client:
        for node in await _all(client, access, NODE_RECORDS):
            tally.put_node(node)
        for pod in await _all(client, access, POD_RECORDS, LIVE_PODS):
            tally.put_pod(pod)
        try:
            for storage_class in await _all(client, access, STORAGE_CLASS_RECORDS):
                tally.put_class(storage_class)
        except (_NotRead, ApiError) as error:
            note = f"its storage classes are not read: {error}"
    return tally.reading(since=datetime.now(UTC), note=note, knows_classes=not note)


async def _all(client: KubeClient, access: Access, kind: RecordKind[Any, R], fields: str = "") -> list[R]:
    found: dict[Key, R] = {}
    try:
        await Lister(client, Selection(resource=kind.resource, field_selector=fields), kind).read("", found)
    except Forbidden as error:
        raise _NotRead(missing_rights([kind.resource], access.route)) from error
    return list(found.values())
