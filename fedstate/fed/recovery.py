"""The member plan read back from the live replica set, for when every copy of it is lost. Pure."""

from fedstate.api.naming import auth_secret_name, replset_name
from fedstate.api.replset import PlanMember, ReplsetPlan
from fedstate.fed.auth import keyfile_of
from fedstate.fed.observed import Observed
from fedstate.fed.policies import tasks_of


def plan_is_lost(observed: Observed) -> bool:
    """Whether there is a replica set but no plan, or an older one than clusters have had, as after a restored backup.

    A plan that followed from none, or from that one, would use member ids again and take out members that are needed.
    """
    if not observed.initialised or observed.objects.template is None:
        return False
    reports = (observed.own_report(cluster) for cluster in observed.reports)
    newest = max((report.newest_generation for report in reports if report is not None), default=0)
    return observed.plan is None or observed.plan.generation < newest


def keyfile_is_lost(observed: Observed) -> str | None:
    """What to do about a replica set whose Secret is gone; None while all is well. A new keyfile would divide its members."""
    if not observed.initialised or keyfile_of(observed.objects.auth) is not None:
        return None
    name = auth_secret_name(observed.name)
    return (
        f"Secret {observed.namespace}/{name} with the keyfile of a running replica set is lost, and a new keyfile would divide "
        f"its members; create the Secret again from the copy in any member cluster, labels included"
    )


def recovered_plan(observed: Observed) -> ReplsetPlan | None:
    """The plan that the live configuration fulfils; None unless each of its members can be told to be some cluster's."""
    config = observed.view.config if observed.view is not None else None
    homes = {
        member.host: (cluster, member.name)
        for cluster in observed.reports
        if (report := observed.own_report(cluster)) is not None
        for member in report.members
        if member.host
    }
    if config is None or any(member.host not in homes for member in config.members):
        return None
    tasks = tasks_of(observed.objects.override)
    followed = [report.newest_generation for report in observed.reports.values()]
    told = ((observed.raw or {}).get("status") or {}).get("replicaSet") or {}
    generations = [*followed, *(task.generation for task in tasks.values()), int(told.get("planGeneration") or 0)]
    return ReplsetPlan(
        replset_name=replset_name(observed.name),
        generation=max(generations) + 1,
        initiator=next((cluster for cluster, task in tasks.items() if task.rs_init), homes[config.members[0].host][0]),
        members=tuple(
            PlanMember(
                id=member.id,
                host=member.host,
                cluster=homes[member.host][0],
                member=homes[member.host][1],
                votes=member.votes,
                priority=member.priority,
                arbiter_only=member.arbiter_only,
                hidden=member.hidden,
                tags=member.tags or ({} if member.arbiter_only else {"cluster": homes[member.host][0]}),
            )
            for member in sorted(config.members, key=lambda member: member.id)
        ),
        next_member_id=max(int(told.get("nextMemberId") or 0), *(member.id + 1 for member in config.members)),
        replica_set_id=config.replica_set_id,
    )
