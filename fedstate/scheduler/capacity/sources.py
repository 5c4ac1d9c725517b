"""All sources of capacity as the scheduler uses them: watched all the time, or asked before a decision.

What a source knows, and what has failed, is its own business; decides nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

from fedstate.control.component import CapacitySettings
from fedstate.errors import FedstateError
from fedstate.kube.client import KubeClient
from fedstate.kube.objects import Key, KubeObject, key_of, name_of
from fedstate.kube.resources import SERVICES
from fedstate.kube.store import Store
from fedstate.scheduler.capacity.estimator import Credentials, Directory, EstimatedRooms, Estimators
from fedstate.scheduler.capacity.estimator.discovery import AddressError, parse_table
from fedstate.scheduler.capacity.estimator.estimators import OnReading
from fedstate.scheduler.capacity.layers import Layers, best_of
from fedstate.scheduler.capacity.member import Connect
from fedstate.scheduler.capacity.members import Members, connect
from fedstate.scheduler.capacity.once import read_members
from fedstate.scheduler.capacity.rooms import Reading, Source
from fedstate.scheduler.middleware import Demand

_log = logging.getLogger(__name__)

FIRST_DECISION_WITHIN = 10.0
"""Seconds after the start for which members' nodes are waited for, before anything is decided on coarser numbers."""

SERVICES_EVERY = 30.0
"""Seconds between two looks at which clusters have an estimator; they come with a cluster and stay."""

STALE_EVERY = 5.0


class Sources:
    """A Runnable. The first decision waits, inside `prepare`, until the members are read or it is known why they are not."""

    name = "scheduler-capacity"

    def __init__(
        self, control: KubeClient, clusters: Store, layers: Layers, settings: CapacitySettings, *, connect: Connect = connect
    ) -> None:
        self._control = control
        self._clusters = clusters
        self._begun = asyncio.Event()
        self._services: dict[Key, KubeObject] = {}
        self._layers = layers
        self._namespace = settings.estimator_namespace
        self._members = Members(control, clusters, layers.nodes, connect=connect) if "nodes" in settings.sources else None
        self._estimators = _estimators(settings, self._services, self._estimated) if "estimator" in settings.sources else None
        clusters.add_listener(self._cluster_changed)

    async def prepare(self, demand: Demand, namespace: str) -> None:
        """To be awaited before a decision about an instance of that namespace; returns at once where there is nothing to ask."""
        if not self._begun.is_set():
            await self._begun.wait()
        if self._estimators is not None:
            names = [name_of(cluster) for cluster in self._clusters.list()]
            await self._estimators.ask(demand.shape, namespace, names)

    async def run(self) -> None:
        """Runs until cancelled; then no connection is left."""
        async with asyncio.TaskGroup() as group:
            if self._estimators is not None:
                await self._find_services()
                group.create_task(self._keep_estimators(self._estimators), name="estimators")
            if self._members is not None:
                group.create_task(self._members.run(), name=self._members.name)
                await self._first_readings(self._members)
            self._begun.set()
            await asyncio.Event().wait()

    async def _first_readings(self, members: Members) -> None:
        try:
            async with asyncio.timeout(FIRST_DECISION_WITHIN):
                await members.settled.wait()
        except TimeoutError:
            _log.warning("not all members' nodes are read yet, deciding on what is known", extra={"members": members.unsettled()})

    def _estimated(self, cluster: str, rooms: EstimatedRooms | None, source: Source) -> None:
        self._layers.estimate(cluster, _reading(rooms, source))

    def _cluster_changed(self, old: KubeObject | None, new: KubeObject | None) -> None:
        if new is None and old is not None and self._estimators is not None:
            self._estimators.forget(name_of(old))
            self._layers.estimate(name_of(old), None)

    async def _keep_estimators(self, estimators: Estimators) -> NoReturn:
        loop = asyncio.get_running_loop()
        looked_at = loop.time()
        async with estimators:
            while True:
                await asyncio.sleep(STALE_EVERY)
                estimators.drop_stale()
                if loop.time() - looked_at >= SERVICES_EVERY:
                    looked_at = loop.time()
                    await self._find_services()

    async def _find_services(self) -> None:
        """Those that cannot be read are as if there were none: estimators are then found by name."""
        try:
            found = await _services(self._control, self._namespace)
        except FedstateError as error:
            _log.warning("services of estimators cannot be read", extra={"namespace": self._namespace, "error": str(error)})
            return
        self._services.clear()
        self._services.update(found)


async def read_once(
    control: KubeClient, clusters: Sequence[KubeObject], demand: Demand, namespace: str, settings: CapacitySettings
) -> dict[str, Reading]:
    """What the scheduler would have before a decision about this demand, for those who decide only once."""
    nodes = await read_members(control, clusters) if "nodes" in settings.sources else {}
    estimated: dict[str, Reading | None] = {}
    if "estimator" in settings.sources:
        services: dict[Key, KubeObject] = {}
        with suppress(FedstateError):
            services.update(await _services(control, settings.estimator_namespace))

        def heard(cluster: str, rooms: EstimatedRooms | None, source: Source) -> None:
            estimated[cluster] = _reading(rooms, source)

        async with _estimators(settings, services, heard) as estimators:
            await estimators.ask(demand.shape, namespace, [name_of(cluster) for cluster in clusters])
    best = {name_of(one): best_of(estimated.get(name_of(one)), nodes.get(name_of(one))) for one in clusters}
    return {name: reading for name, reading in best.items() if reading is not None}


def _reading(rooms: EstimatedRooms | None, source: Source) -> Reading | None:
    return Reading(source=source, rooms=rooms) if rooms is not None or source.note else None


async def _services(control: KubeClient, namespace: str) -> dict[Key, KubeObject]:
    return {key_of(service): service for service in await control.list_all(SERVICES, namespace)}


def _estimators(settings: CapacitySettings, services: Mapping[Key, KubeObject], on_reading: OnReading) -> Estimators:
    try:
        table = parse_table(settings.estimator_addresses)
    except AddressError as error:
        raise FedstateError(f"--estimator-addresses: {error}") from error
    directory = Directory(
        service=services.get,
        table=table,
        namespace=settings.estimator_namespace,
        prefix=settings.estimator_service_prefix,
        by_name=True,
    )
    credentials = None
    if settings.estimator_ca_file or settings.estimator_cert_file or settings.estimator_skip_verify:
        credentials = Credentials(
            ca_file=settings.estimator_ca_file or None,
            cert_file=settings.estimator_cert_file or None,
            key_file=settings.estimator_key_file or None,
            verify=not settings.estimator_skip_verify,
        )
    return Estimators(directory, on_reading, credentials=credentials)
