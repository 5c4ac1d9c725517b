"""Composes the data plane from what the process gives it, and says which changes are a reason to look."""

from __future__ import annotations

from datetime import UTC, datetime

from fedstate.control.component import ComponentContext, Runnable
from fedstate.control.controller import Controller
from fedstate.control.triggers import intent_changed, watch_mapped, watch_self
from fedstate.dataplane.inputs import Inputs, instance_keys
from fedstate.dataplane.provision import Provision
from fedstate.dataplane.readings import SetReader
from fedstate.dataplane.reconciler import Collaborators, MongoDBReconciler
from fedstate.dataplane.reporting import Reporter
from fedstate.dataplane.steering import Steering
from fedstate.dataplane.teardown import Teardown
from fedstate.dataplane.writer import Writer
from fedstate.mongo.admin import MongoConnections
from fedstate.mongo.driver import MotorConnections

WORKERS = 8


class DataPlane:
    """The controller, and the connections to members that end with it."""

    name = "dataplane"

    def __init__(self, controller: Controller, connections: MongoConnections) -> None:
        self.controller = controller
        self._connections = connections

    async def run(self) -> None:
        try:
            await self.controller.run()
        finally:
            await self._connections.close()


def build(ctx: ComponentContext) -> list[Runnable]:
    """The data plane of one cluster."""
    return [data_plane(ctx, MotorConnections())]


def data_plane(ctx: ComponentContext, connections: MongoConnections) -> DataPlane:
    """The same over any connections."""
    inputs, writer = Inputs(ctx.client, ctx.informers, ctx.settings.namespace), Writer(ctx.client)
    parts = Collaborators(
        inputs=inputs,
        writer=writer,
        reader=SetReader(connections),
        steering=Steering(connections),
        provision=Provision(inputs, writer),
        teardown=Teardown(inputs, writer),
        reporter=Reporter(writer, ctx.events, lambda: datetime.now(UTC)),
        events=ctx.events,
        cluster_name=ctx.settings.cluster_name,
        vip=ctx.settings.vip,
    )
    controller = Controller("dataplane", MongoDBReconciler(parts), workers=WORKERS)
    watch_self(inputs.mongodbs, controller, only=intent_changed)
    for informer in inputs.owned.values():
        watch_mapped(informer, controller, instance_keys)
    return DataPlane(controller, connections)
