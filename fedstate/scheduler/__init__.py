"""Which clusters carry how many members of an instance.

Reads Clusters and instances, writes the `schedulerResult` annotation and its reasons; the arithmetic is pure, in
decision and what it rests on, and taken by engine, which decides the same faster.
"""

from collections.abc import Sequence

from fedstate.api.karmada import CLUSTERS
from fedstate.control.component import ComponentContext, Runnable
from fedstate.control.controller import Controller
from fedstate.control.triggers import intent_changed, watch_self
from fedstate.kube.informer import Informer
from fedstate.kube.objects import KubeObject, deletion_timestamp_of, name_of
from fedstate.scheduler.engine import Engine
from fedstate.scheduler.ledger import Ledger
from fedstate.scheduler.middleware import Middleware, middlewares
from fedstate.scheduler.profile import load_profile
from fedstate.scheduler.reconciler import SchedulerReconciler
from fedstate.scheduler.snapshot import Fleet


def build(ctx: ComponentContext) -> list[Runnable]:
    """One controller per middleware, all of them over the same clusters and the same memory of what is given away."""
    fleet, ledger = Fleet(), Ledger()
    engine = Engine(fleet, ledger, load_profile(ctx.settings.scheduler_profile))
    parts: list[tuple[SchedulerReconciler, Controller]] = []
    for middleware in middlewares():
        instances = ctx.informers.informer(middleware.instances, ctx.settings.namespace)
        reconciler = SchedulerReconciler(ctx.client, ctx.events, middleware, instances.store, engine, ledger)
        controller = Controller(f"scheduler-{middleware.instances.plural}", reconciler)
        _follow_instances(instances, middleware, reconciler, controller)
        parts.append((reconciler, controller))
    _follow_clusters(ctx.informers.informer(CLUSTERS), fleet, ledger, parts)
    return [controller for _, controller in parts]


def _follow_instances(
    instances: Informer, middleware: Middleware, reconciler: SchedulerReconciler, controller: Controller
) -> None:
    """Of a status, only the parts that the scheduler writes or counts are a reason to look."""

    def concerns(old: KubeObject, new: KubeObject) -> bool:
        return (
            intent_changed(old, new)
            or middleware.running_of(old) != middleware.running_of(new)
            or (old.get("status") or {}).get("scheduling") != (new.get("status") or {}).get("scheduling")
        )

    def gone(old: KubeObject | None, new: KubeObject | None) -> None:
        """An instance that goes, or begins to, leaves room for those that wait."""
        if new is None or (old is not None and deletion_timestamp_of(old) != deletion_timestamp_of(new)):
            for key in reconciler.waiting:
                controller.queue.add(key)

    watch_self(instances, controller, only=concerns)
    instances.store.add_listener(gone)


def _follow_clusters(
    clusters: Informer, fleet: Fleet, ledger: Ledger, parts: Sequence[tuple[SchedulerReconciler, Controller]]
) -> None:
    def changed(old: KubeObject | None, new: KubeObject | None) -> None:
        """What waits for a place is tried again; what is placed is looked at only when its cluster is lost or comes back."""
        name = name_of(new or old or {})
        before = fleet.get(name)
        if new is None:
            fleet.remove(name)
        elif not fleet.put(new):
            return
        after = fleet.get(name)
        turned = before is None or after is None or before.ready != after.ready
        for reconciler, controller in parts:
            for key in dict.fromkeys((*reconciler.waiting, *(ledger.carriers(name) if turned else ()))):
                controller.queue.add(key)

    clusters.store.add_listener(changed)
