"""Which clusters carry how many members of an instance.

Reads Clusters and instances, writes the `schedulerResult` annotation and its reasons; the arithmetic is pure, in
decision and what it rests on, and taken by engine, which decides the same faster.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fedstate.api.karmada import CLUSTERS
from fedstate.control.component import ComponentContext, Runnable
from fedstate.control.controller import Controller
from fedstate.control.workqueue import WorkQueue
from fedstate.scheduler.capacity.layers import Layers
from fedstate.scheduler.capacity.member import Connect
from fedstate.scheduler.capacity.members import connect
from fedstate.scheduler.capacity.sources import Sources
from fedstate.scheduler.engine import Engine
from fedstate.scheduler.ledger import Ledger
from fedstate.scheduler.middleware import middlewares
from fedstate.scheduler.profile import load_profile
from fedstate.scheduler.reconciler import SchedulerReconciler
from fedstate.scheduler.snapshot import Fleet
from fedstate.scheduler.triggers import Desk, follow_bookings, follow_clusters, follow_instances, readings_changed

IN_FLIGHT = 64
"""Placements on their way to the API server at the same time; more do not go faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Background:
    name: str
    work: Callable[[WorkQueue], Awaitable[None]]
    queue: WorkQueue

    async def run(self) -> None:
        await self.work(self.queue)


def build(ctx: ComponentContext, *, connect: Connect = connect) -> list[Runnable]:
    """One controller per middleware, all of them over the same clusters and the same memory of what is given away.

    `connect` makes the clients of member clusters.
    """
    fleet, ledger = Fleet(), Ledger()
    ledger.visible = fleet.visible
    engine = Engine(fleet, ledger, load_profile(ctx.settings.scheduler_profile))
    clusters = ctx.informers.informer(CLUSTERS)
    desks: list[Desk] = []
    layers = Layers(fleet, ledger, readings_changed(desks), time.monotonic)
    sources = Sources(ctx.client, clusters.store, layers, ctx.settings.capacity, connect=connect)
    runnables: list[Runnable] = [sources]
    for middleware in middlewares():
        instances = ctx.informers.informer(middleware.instances, ctx.settings.namespace)
        reconciler = SchedulerReconciler(ctx.client, ctx.events, middleware, instances.store, engine, ledger)
        reconciler.prepare = sources.prepare
        controller = Controller(f"scheduler-{middleware.instances.plural}", reconciler, workers=IN_FLIGHT)
        desk = Desk(middleware=middleware, reconciler=reconciler, controller=controller)
        follow_instances(instances, desk)
        desks.append(desk)
        runnables += [
            controller,
            _Background(name=f"{controller.name} stories", work=reconciler.stories.run, queue=controller.queue),
            _Background(name=f"{controller.name} waiting", work=reconciler.waiting.run, queue=controller.queue),
        ]
    follow_bookings(ledger, engine, desks)
    follow_clusters(clusters, fleet, ledger, desks)
    return runnables
