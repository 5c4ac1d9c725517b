"""How an instance ends: every cluster clears away what it holds and confirms it, then Karmada's objects go, then ours.

A dead cluster does not hold up the deletion: it is remembered, and told when it returns. Pure.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from fedstate.api.karmada import OVERRIDE_POLICIES, PROPAGATION_POLICIES
from fedstate.api.naming import (
    FINALIZER_MULTI,
    MONGODBS,
    MULTI_CLOUD_MONGODBS,
    auth_secret_name,
    binding_name,
    hostconf_name,
)
from fedstate.fed.changes import Action, applied, deleted, finalizers_set
from fedstate.fed.cleanup import Pending, cleanup_map
from fedstate.fed.members import pull_secret_name
from fedstate.fed.observed import Observed
from fedstate.fed.outcome import FederationPlan, Stage
from fedstate.fed.policies import (
    Task,
    clusters_of,
    dependencies_of,
    override_policy,
    preserves,
    propagation_policy,
    tasks_of,
)
from fedstate.fed.roster import decommission_task, held_clusters, let_go, vip_for
from fedstate.kube.objects import Key, KubeObject, annotations_of, deletion_timestamp_of, finalizers_of, format_time, parse_time
from fedstate.kube.resources import CONFIG_MAPS, SECRETS

DEAD_CLUSTER_GRACE = timedelta(seconds=60)
"""How long a deletion waits for a cluster that does not answer before it goes on without it."""


def plan_for_deletion(observed: Observed) -> FederationPlan:
    """The next steps of an instance that its owner has deleted."""
    raw = observed.raw or {}
    if FINALIZER_MULTI not in finalizers_of(raw):
        return FederationPlan(stage=Stage.GONE)
    pending = _holders(observed)
    stamps = _stamped(observed, pending)
    silent, answering = _unconfirmed(observed, pending)
    waiting = [f"cluster {cluster} to clear away what it holds" for cluster in answering]
    if answering or (silent and not _grace_is_over(observed)):
        waiting += [f"the return of {cluster}: {observed.trouble_with(cluster)}" for cluster in silent]
        return FederationPlan(stage=Stage.DELETING, actions=tuple(stamps), waiting=tuple(waiting))
    release = finalizers_set(MULTI_CLOUD_MONGODBS, raw, [name for name in finalizers_of(raw) if name != FINALIZER_MULTI])
    if silent:
        left_behind = {cluster: pending[cluster] for cluster in silent}
        actions = [*stamps, *_remembered(observed, left_behind), *_without_dependencies(observed, silent), release]
        return FederationPlan(stage=Stage.DELETING, actions=tuple(actions), waiting=tuple(waiting))
    return _wound_up(observed, Stage.DELETING, [release])


def plan_for_cleanup(observed: Observed) -> FederationPlan:
    """The next steps for the clusters that still hold something of an instance that is gone."""
    if observed.objects.cleanup is None or not observed.pending:
        return FederationPlan(stage=Stage.GONE)
    silent, answering = _unconfirmed(observed, observed.pending)
    rest = {cluster: observed.pending[cluster] for cluster in (*silent, *answering)}
    if not rest:
        return _wound_up(observed, Stage.CLEANING, [])
    waiting = [f"cluster {cluster} to clear away what it holds" for cluster in answering]
    waiting += [f"the return of {cluster}: {observed.trouble_with(cluster)}" for cluster in silent]
    actions = _stamped(observed, observed.pending)
    if set(clusters_of(observed.objects.propagation)) != set(rest):
        actions += _without_dependencies(observed, rest)
    elif set(observed.reports) <= set(rest):
        actions += _remembered(observed, rest)
    return FederationPlan(stage=Stage.CLEANING, actions=tuple(actions), waiting=tuple(waiting))


def _holders(observed: Observed) -> dict[str, Pending]:
    """Every cluster that may hold something, and of which instance."""
    current = tasks_of(observed.objects.override)
    own = {
        cluster: Pending(instance_uid=observed.uid, vip=vip_for(observed, cluster, current), since=format_time(observed.now))
        for cluster in held_clusters(observed)
    }
    return {**own, **observed.pending}


def _stamped(observed: Observed, pending: Mapping[str, Pending]) -> list[Action]:
    """The OverridePolicy with an order to clear away for every one of the clusters.

    Those that the policy has let go keep theirs until Karmada's binding no longer names them: without a rule they would get the
    template as it stands, and their data planes would not know that the object is theirs to delete.
    """
    if not pending or observed.objects.template is None:
        # Without a template Karmada renders nothing; a rule made now, from an old look, would stay behind for ever.
        return []
    current = tasks_of(observed.objects.override)
    tasks: list[Task] = [decommission_task(cluster, current.get(cluster), entry) for cluster, entry in pending.items()]
    tasks += [
        current[name] for name in sorted((held_clusters(observed) & set(current)) - set(pending)) if current[name].decommission
    ]
    desired = override_policy(
        observed.namespace, observed.name, tasks, instance_uid=observed.uid or _former_uid(pending), plan=observed.plan
    )
    standing = observed.objects.override
    return applied(OVERRIDE_POLICIES, standing, desired, unchanged_since_read=standing is not None)


def _former_uid(pending: Mapping[str, Pending]) -> str:
    return next(iter(sorted(entry.instance_uid for entry in pending.values())), "")


def _unconfirmed(observed: Observed, pending: Mapping[str, Pending]) -> tuple[list[str], list[str]]:
    """Clusters that have not confirmed: those that do not answer, and those that do."""
    current = tasks_of(observed.objects.override)
    silent: list[str] = []
    answering: list[str] = []
    for cluster, entry in sorted(pending.items()):
        task = current.get(cluster)
        ordered = task is not None and task.decommission and task.instance_uid == entry.instance_uid
        nothing_there = observed.objects.template is None and cluster not in observed.reports
        if nothing_there or (ordered and let_go(observed, cluster, entry.instance_uid)):
            continue
        (answering if observed.alive(cluster) else silent).append(cluster)
    return silent, answering


def _grace_is_over(observed: Observed) -> bool:
    since = deletion_timestamp_of(observed.raw or {})
    return since is None or observed.now - parse_time(since) >= DEAD_CLUSTER_GRACE


def _remembered(observed: Observed, pending: Mapping[str, Pending]) -> list[Action]:
    return applied(CONFIG_MAPS, observed.objects.cleanup, cleanup_map(observed.namespace, observed.name, pending))


def _without_dependencies(observed: Observed, clusters: Iterable[str]) -> list[Action]:
    """Only the order to clear away still goes out, and only to `clusters`; passwords and plans go now."""
    policy = propagation_policy(observed.namespace, observed.name, clusters=clusters, dependencies=(), preserve=True)
    return [*applied(PROPAGATION_POLICIES, observed.objects.propagation, policy), *_dependencies_deleted(observed)]


def _dependencies_deleted(observed: Observed) -> list[Action]:
    objects = observed.objects
    return [
        *deleted(SECRETS, objects.auth),
        *deleted(SECRETS, objects.pull_secret),
        *deleted(CONFIG_MAPS, objects.hostconf),
        *(action for config in objects.configs.values() for action in deleted(CONFIG_MAPS, config)),
    ]


def _wound_up(observed: Observed, stage: Stage, last: list[Action]) -> FederationPlan:
    """Nobody holds anything any more: Karmada may now delete the member objects with the template, and then all is deleted."""
    objects = observed.objects
    if objects.template is not None:
        if objects.propagation is not None and preserves(objects.propagation):
            policy = propagation_policy(
                observed.namespace,
                observed.name,
                clusters=clusters_of(objects.propagation),
                dependencies=dependencies_of(objects.propagation),
                preserve=False,
            )
            actions = applied(PROPAGATION_POLICIES, objects.propagation, policy)
            return FederationPlan(stage=stage, actions=tuple(actions), waiting=("Karmada to release the member objects",))
        if (objects.binding is not None and preserves(objects.binding)) or not observed.works_follow:
            return FederationPlan(stage=stage, waiting=("Karmada to release the member objects",))
        actions = [*deleted(MONGODBS, objects.template), *_dependencies_deleted(observed)]
        return FederationPlan(stage=stage, actions=tuple(actions), waiting=("the template to go",))
    actions = [
        *_dependencies_deleted(observed),
        *deleted(PROPAGATION_POLICIES, objects.propagation),
        *deleted(OVERRIDE_POLICIES, objects.override),
        *deleted(CONFIG_MAPS, objects.cleanup),
        *last,
    ]
    return FederationPlan(stage=stage, actions=tuple(actions))


def holds_back(work: KubeObject, key: Key) -> bool:
    """Whether Karmada's Work would still leave in its cluster what it carries of the instance.

    One that is being deleted goes by what it was told when that began, and waiting for it changes nothing.
    """
    return _is_of(work, key) and preserves(work) and deletion_timestamp_of(work) is None


def _is_of(work: KubeObject, key: Key) -> bool:
    annotations = annotations_of(work)
    names = {
        binding_name(key.name),
        f"{auth_secret_name(key.name)}-secret",
        f"{pull_secret_name(key.name)}-secret",
        f"{hostconf_name(key.name)}-configmap",
    }
    binding = annotations.get("resourcebinding.karmada.io/name") or ""
    ours = binding in names or (binding.startswith(f"{key.name}-config-") and binding.endswith("-configmap"))
    return ours and annotations.get("resourcebinding.karmada.io/namespace") == key.namespace
