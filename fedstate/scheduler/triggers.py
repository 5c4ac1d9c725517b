"""From a changed instance or cluster to the instances that the scheduler looks at because of it, each in its turn.

Plain functions on the stores of informers; nothing is awaited.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedstate.control.controller import Controller
from fedstate.kube.informer import Informer
from fedstate.kube.objects import KubeObject, key_of, name_of
from fedstate.scheduler.capacity.rooms import MemberShape
from fedstate.scheduler.engine import Engine
from fedstate.scheduler.ledger import Ledger
from fedstate.scheduler.middleware import Middleware
from fedstate.scheduler.reconciler import SchedulerReconciler
from fedstate.scheduler.snapshot import Fleet
from fedstate.scheduler.turns import CHANGED, STORY, only_placed, turn_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What places the instances of one middleware."""

    middleware: Middleware
    reconciler: SchedulerReconciler
    controller: Controller


def follow_instances(instances: Informer, desk: Desk) -> None:
    """Of a status, only the parts that the scheduler writes or counts are a reason to look; what it wrote itself is none."""
    queue, reconciler, running_of = desk.controller.queue, desk.reconciler, desk.middleware.running_of

    def changed(old: KubeObject | None, new: KubeObject | None) -> None:
        key = key_of(new or old or {})
        turn = turn_of(old, new, synced=instances.synced.is_set())
        if turn is not None:
            if not only_placed(old, new, reconciler.sent(key)):
                queue.add(key, priority=turn)
        elif old is not None and new is not None:
            scheduling = (new.get("status") or {}).get("scheduling")
            rewritten = scheduling != (old.get("status") or {}).get("scheduling") and not reconciler.is_echo(key, scheduling)
            if desk.middleware.sight_of(old) != desk.middleware.sight_of(new):
                queue.add(key, priority=CHANGED)
            elif rewritten or running_of(old) != running_of(new):
                queue.add(key, priority=STORY)

    instances.store.add_listener(changed)


def follow_clusters(clusters: Informer, fleet: Fleet, ledger: Ledger, desks: Sequence[Desk]) -> None:
    def changed(old: KubeObject | None, new: KubeObject | None) -> None:
        """Who waits may be helped; what is placed is looked at only when its cluster is lost or comes back."""
        name = name_of(new or old or {})
        before = fleet.get(name)
        if new is None:
            fleet.remove(name)
        elif not fleet.put(new):
            return
        after = fleet.get(name)
        turned = before is None or after is None or before.ready != after.ready
        for desk in desks:
            desk.reconciler.waiting.cluster_changed()
            for key in ledger.carriers(name) if turned else ():
                desk.controller.queue.add(key, priority=CHANGED)

    clusters.store.add_listener(changed)


def readings_changed(desks: Sequence[Desk]) -> Callable[[bool], None]:
    """To be called after a reading of a cluster has changed, with whether more than amounts has."""

    def changed(more: bool) -> None:
        for desk in desks:
            if more:
                desk.reconciler.waiting.cluster_changed()
            else:
                desk.reconciler.waiting.room_changed()

    return changed


def follow_bookings(ledger: Ledger, engine: Engine, desks: Sequence[Desk]) -> None:
    """The engine charges every booking; one that ends may help those who wait."""

    def booked(cluster: str, shape: MemberShape, members: int) -> None:
        engine.charge(cluster, shape, members)
        if members < 0:
            for desk in desks:
                desk.reconciler.waiting.room_changed()

    ledger.on_change = booked
