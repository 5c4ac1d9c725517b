"""What to do next for one instance: an ordered list of requests, each safe to repeat and safe to be the last.

Pure. The order in `_distribution` is the order in which Karmada has to see things; the policy is last but one for it.
"""

from dataclasses import replace

from fedstate.api.federated import MultiCloudMongoDB
from fedstate.api.karmada import OVERRIDE_POLICIES, PROPAGATION_POLICIES, vip_problem
from fedstate.api.naming import FINALIZER_MULTI, MONGODBS, MULTI_CLOUD_MONGODBS, auth_secret_name, hostconf_name
from fedstate.api.placement import Placement
from fedstate.fed import members
from fedstate.fed.auth import Entropy, auth_secret, is_complete
from fedstate.fed.changes import Action, applied, deleted, finalizers_set
from fedstate.fed.cleanup import cleanup_map
from fedstate.fed.ending import plan_for_cleanup, plan_for_deletion
from fedstate.fed.observed import Observed
from fedstate.fed.outcome import FederationPlan, Stage
from fedstate.fed.policies import clusters_of, override_policy, propagation_policy, tasks_of
from fedstate.fed.recovery import keyfile_is_lost, plan_is_lost, recovered_plan
from fedstate.fed.rollout import held_config_names, rollout_for, unchanged, with_rollout
from fedstate.fed.roster import Roster, let_go, roster_for, vip_for
from fedstate.kube.objects import KubeObject, finalizers_of
from fedstate.kube.resources import CONFIG_MAPS, SECRETS


def plan_for(observed: Observed, entropy: Entropy) -> FederationPlan:
    """The next steps; `entropy` is drawn from only when a new instance needs its secrets."""
    if observed.raw is None:
        return plan_for_cleanup(observed)
    if observed.deleting:
        return plan_for_deletion(observed)
    instance = observed.instance
    if instance is None:
        return FederationPlan(stage=Stage.BLOCKED, problems=(observed.spec_problem or "the spec cannot be read",))
    placement, problems = usable_placement(observed)
    fresh = observed.objects.template is None
    if fresh:
        problems = (*observed.references.problems, *problems)
    if placement is None or (fresh and problems):
        stage = Stage.BLOCKED if problems else Stage.UNPLACED
        waiting = () if problems else ("a placement (the annotation schedulerResult)",)
        return FederationPlan(stage=stage, actions=tuple(_claim(observed)), waiting=waiting, problems=problems)
    lost = keyfile_is_lost(observed)
    if lost is not None:
        return FederationPlan(stage=Stage.BLOCKED, actions=tuple(_claim(observed)), problems=(lost,))
    if plan_is_lost(observed):
        recovered = recovered_plan(observed)
        if recovered is None:
            return FederationPlan(stage=Stage.BLOCKED, actions=tuple(_claim(observed)), problems=(_plan_lost(observed),))
        observed = replace(observed, plan=recovered)
    roster, template = _rolled_out(observed, instance, roster_for(observed, placement))
    actions = [*_claim(observed), *_secrets(observed, instance, entropy)]
    actions += [*_distribution(observed, instance, roster, template), *_forgotten(observed, placement)]
    return FederationPlan(
        stage=Stage.RUNNING,
        actions=tuple(actions),
        roster=roster,
        waiting=roster.waiting,
        problems=(*problems, *observed.references.problems) if not fresh else problems,
    )


def _plan_lost(observed: Observed) -> str:
    return (
        f"the member plan of a running replica set is lost, and its live configuration cannot be read to make it again; "
        f"restore the ConfigMap {hostconf_name(observed.name)}, or bring back a member that this control plane reaches"
    )


def usable_placement(observed: Observed) -> tuple[Placement | None, tuple[str, ...]]:
    """The placement to arrive at, and what is wrong with the one that is asked for.

    A placement that cannot be followed changes nothing: what runs stays as it was placed before.
    """
    asked = observed.instance.placement if observed.instance is not None else None
    problems = () if asked is None else placement_problems(observed, asked)
    if observed.placement_problem is not None:
        problems = (observed.placement_problem,)
    if asked is not None and not problems:
        return asked, ()
    standing = {task.cluster: task for task in tasks_of(observed.objects.override).values() if not task.decommission}
    if not standing or observed.objects.template is None:
        return None, problems
    carries_arbiter = next((cluster for cluster, task in standing.items() if task.arbiter), None)
    return Placement.of({cluster: task.members for cluster, task in standing.items()}, carries_arbiter), problems


def placement_problems(observed: Observed, placement: Placement) -> tuple[str, ...]:
    """Why `placement` cannot be followed, in sentences that name what has to change."""
    where = "metadata.annotations.schedulerResult"
    if placement.total == 0:
        return (f"{where}: places no data member on any cluster",)
    current = tasks_of(observed.objects.override)
    problems = []
    for entry in placement.clusters:
        vip = vip_for(observed, entry.cluster, current)
        if entry.cluster not in observed.clusters and entry.cluster not in current:
            problems.append(f"{where}: cluster {entry.cluster} is not joined to Karmada; join it, or place its members elsewhere")
        elif not vip:
            problems.append(f"{where}: cluster {entry.cluster} has no VIP; set the label vip on the Cluster {entry.cluster}")
        elif (problem := vip_problem(vip)) is not None:
            problems.append(f"Cluster {entry.cluster}: {problem}; correct its label vip")
    return tuple(problems)


def _claim(observed: Observed) -> list[Action]:
    raw = observed.raw or {}
    present = finalizers_of(raw)
    return [] if FINALIZER_MULTI in present else [finalizers_set(MULTI_CLOUD_MONGODBS, raw, [*present, FINALIZER_MULTI])]


def _rolled_out(observed: Observed, instance: MultiCloudMongoDB, roster: Roster) -> tuple[Roster, KubeObject | None]:
    """The roster with what clusters keep of the old template, and the template to apply; None to leave it as it is."""
    if observed.references.problems:
        return with_rollout(observed, roster, unchanged(observed)), None
    config = observed.references.config
    template = members.template(instance, members.config_copy_name(instance.name, config) if config is not None else "")
    rollout = rollout_for(observed, roster, template)
    return with_rollout(observed, roster, rollout), template if rollout.template_may_follow else None


def _distribution(observed: Observed, instance: MultiCloudMongoDB, roster: Roster, template: KubeObject | None) -> list[Action]:
    """Secrets and plan, then the rules, then the policy, the template last.

    A cluster must have its rule before the policy names it, and keeps the rule until the policy no longer does.
    """
    namespace, name, objects = observed.namespace, observed.name, observed.objects
    actions: list[Action] = []
    if roster.plan is not None:
        desired = members.hostconf(namespace, name, observed.uid, roster.plan)
        actions += applied(CONFIG_MAPS, objects.hostconf, desired, unchanged_since_read=True)
    override = override_policy(namespace, name, roster.tasks.values(), instance_uid=observed.uid, plan=roster.plan)
    # Bound to what was read: a process that was held up for long must not bring back an order that has been withdrawn.
    actions += applied(OVERRIDE_POLICIES, objects.override, override, unchanged_since_read=objects.override is not None)
    configs = _configs_in_use(observed, roster, template)
    policy = propagation_policy(
        namespace, name, clusters=roster.staying, dependencies=_dependencies(instance, configs), preserve=True
    )
    actions += applied(PROPAGATION_POLICIES, objects.propagation, policy)
    if template is not None:
        actions += applied(MONGODBS, objects.template, template)
    if not observed.references.problems:
        actions += [] if members.has_pull_secret(instance) else deleted(SECRETS, objects.pull_secret)
    for config in sorted(set(objects.configs) - configs):
        actions += deleted(CONFIG_MAPS, objects.configs[config])
    return actions


def _configs_in_use(observed: Observed, roster: Roster, template: KubeObject | None) -> set[str]:
    """The copies that the user's object, the template as it is or will be, or some cluster's rule speaks of."""
    names = held_config_names(roster.tasks) | held_config_names(tasks_of(observed.objects.override))
    names |= {str((obj.get("spec") or {}).get("customConfigRef") or "") for obj in (observed.objects.template, template) if obj}
    if observed.references.config is not None:
        names.add(members.config_copy_name(observed.name, observed.references.config))
    return {name for name in names if name}


def _secrets(observed: Observed, instance: MultiCloudMongoDB, entropy: Entropy) -> list[Action]:
    objects, references = observed.objects, observed.references
    actions: list[Action] = []
    given = references.root_password or instance.root_password
    if given or not is_complete(objects.auth):
        secret = auth_secret(instance.namespace, instance.name, existing=objects.auth, root_password=given, entropy=entropy)
        # Bound to what was read: a keyfile from an old cache must never come back with a new password.
        actions += applied(SECRETS, objects.auth, secret, unchanged_since_read=True)
    if references.config is not None:
        copy = members.config_copy(instance, references.config)
        actions += applied(CONFIG_MAPS, objects.configs.get(copy["metadata"]["name"]), copy)
    if members.has_pull_secret(instance) and (references.pull_secret is not None or instance.image_pull_secret.user):
        actions += applied(SECRETS, objects.pull_secret, members.pull_secret_copy(instance, references.pull_secret))
    return actions


def _dependencies(instance: MultiCloudMongoDB, configs: set[str]) -> list[tuple[str, str]]:
    dependencies = [("Secret", auth_secret_name(instance.name)), ("ConfigMap", hostconf_name(instance.name))]
    dependencies += [("ConfigMap", config) for config in sorted(configs)]
    if members.has_pull_secret(instance):
        dependencies.append(("Secret", members.pull_secret_name(instance.name)))
    return dependencies


def _forgotten(observed: Observed, placement: Placement) -> list[Action]:
    """Former instances' clusters leave the memory once they have confirmed and are out of the policy, or wanted again."""
    bound = set(clusters_of(observed.objects.propagation)) | set(observed.reports)
    rest = {
        cluster: entry
        for cluster, entry in observed.pending.items()
        if not let_go(observed, cluster, entry.instance_uid) or (cluster not in placement.members and cluster in bound)
    }
    if rest == observed.pending:
        return []
    if not rest:
        return deleted(CONFIG_MAPS, observed.objects.cleanup)
    return applied(CONFIG_MAPS, observed.objects.cleanup, cleanup_map(observed.namespace, observed.name, rest))
