"""How many members each cluster is told to run at this moment, and the member plan that goes with it.

Owns the order expand, catch up, shrink, and how a cluster is taken out. Pure; knows nothing of how it is written down.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fedstate.api.naming import replset_name
from fedstate.api.placement import Placement
from fedstate.api.replset import PlanMember, ReplsetPlan, ReportedMember, compose_plan
from fedstate.fed.cleanup import Pending
from fedstate.fed.observed import Observed
from fedstate.fed.policies import Task, clusters_of, tasks_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """The tasks of all clusters that hold or are to hold the instance.

    `leaving` are those that the placement no longer names; `left` those of them that hold nothing any more.
    """

    tasks: Mapping[str, Task]
    plan: ReplsetPlan | None
    leaving: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()

    @property
    def staying(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.tasks) - set(self.left)))


def held_clusters(observed: Observed) -> set[str]:
    """Every cluster that may hold something of the instance."""
    binding = observed.objects.binding or {}
    bound = {str(target.get("name")) for target in (binding.get("spec") or {}).get("clusters") or ()}
    return {*clusters_of(observed.objects.propagation), *bound, *observed.pending}


def roster_for(observed: Observed, placement: Placement) -> Roster:
    """What to run where, given the placement to arrive at."""
    return _Roster(observed, placement).compose()


class _Roster:
    def __init__(self, observed: Observed, placement: Placement) -> None:
        self.observed = observed
        self.wanted = dict(placement.members)
        self.arbiter_cluster = placement.arbiter_cluster
        self.current = tasks_of(observed.objects.override)
        self.previous = observed.plan
        self.reported = _reported(observed)
        self.waiting: list[str] = []

    def compose(self) -> Roster:
        former = {cluster for cluster, entry in self.observed.pending.items() if entry.instance_uid != self.observed.uid}
        for cluster in sorted(former & set(self.wanted)):
            self.waiting.append(f"cluster {cluster} to clear away a former instance of this name")
        leaving = (held_clusters(self.observed) | self._planned_clusters()) - set(self.wanted) - former
        targets = self._targets(leaving, former)
        plan = self._next_plan(targets, former, self._fading(leaving))
        tasks = {c: self._task(c, members, plan) for c, members in targets.items() if c not in former and c in self.wanted}
        for cluster in leaving & held_clusters(self.observed):
            tasks[cluster] = self._leaving_task(cluster, targets.get(cluster, 0), plan)
        left = {cluster for cluster in leaving if cluster in tasks and self._has_left(cluster, tasks[cluster])}
        for cluster in former:
            tasks[cluster] = decommission_task(cluster, self.current.get(cluster), self.observed.pending[cluster])
            if cluster not in self.wanted and let_go(self.observed, cluster, tasks[cluster].instance_uid):
                left.add(cluster)
        return Roster(
            tasks=tasks, plan=plan, leaving=tuple(sorted(leaving)), left=tuple(sorted(left)), waiting=tuple(self.waiting)
        )

    def _planned_clusters(self) -> set[str]:
        return {member.cluster for member in (self.previous.members if self.previous else ())}

    def _present(self, cluster: str) -> list[PlanMember]:
        """Planned data members that their cluster has not lost."""
        known = {member.member for member in self.reported if member.cluster == cluster}
        planned = [m for m in (self.previous.members if self.previous else ()) if m.cluster == cluster and not m.arbiter_only]
        return [member for member in planned if not known or member.member in known]

    def _targets(self, leaving: set[str], former: set[str]) -> dict[str, int]:
        """Members to run per cluster: more before less."""
        surplus = {c for c in {*self.wanted, *leaving} - former if len(self._present(c)) > self.wanted.get(c, 0)}
        hindrance = self._hindrance_to_shrinking() if surplus else ""
        if hindrance:
            self.waiting.append(hindrance)
        targets = {}
        for cluster in {*self.wanted, *leaving} - former:
            wanted = self.wanted.get(cluster, 0)
            targets[cluster] = max(wanted, len(self._present(cluster))) if hindrance else wanted
        return targets

    def _hindrance_to_shrinking(self) -> str:
        """Why no member may leave yet; empty if members may."""
        observed = self.observed
        if not observed.initialised:
            return ""
        if observed.primary_host is None:
            return "a primary before members can leave"
        for cluster, wanted in self.wanted.items():
            present = self._present(cluster)
            serving = [member for member in present if observed.serving(member.host, cluster)]
            if len(serving) >= wanted:
                continue
            lost = not observed.alive(cluster) and all(observed.in_live_config(member.host) for member in present)
            if not lost or len(present) < wanted:
                return f"{wanted} members in cluster {cluster} to serve before others leave (now {len(serving)})"
        return ""

    def _fading(self, leaving: set[str]) -> frozenset[str]:
        """Lost clusters on their way out; one that returns then does not get back the votes that it has lost."""
        voteless = {m.cluster for m in (self.previous.members if self.previous else ()) if not m.votes}
        return frozenset(cluster for cluster in leaving if not self.observed.alive(cluster) or cluster in voteless)

    def _next_plan(self, targets: Mapping[str, int], former: set[str], fading: frozenset[str]) -> ReplsetPlan:
        """Victims are picked only where the lower number of members has already been taken in."""
        wanted = {cluster: self._agreed(cluster, target) for cluster, target in targets.items()}
        arbiter = self.arbiter_cluster if self.arbiter_cluster not in former else None
        plan = compose_plan(
            previous=self.previous,
            replset_name=replset_name(self.observed.name),
            wanted=wanted,
            arbiter_cluster=arbiter,
            reported=self.reported,
            primary_host=self.observed.primary_host,
            initiator=self._initiator(),
            fading=fading,
        )
        # Under the same generation: nothing has to follow it, it only has to be there when all else is forgotten.
        return replace(plan, replica_set_id=self.observed.replica_set_id)

    def _agreed(self, cluster: str, target: int) -> int:
        """`target`, unless the cluster's data plane could still fill the place of a member that leaves."""
        present = len(self._present(cluster))
        if present <= target:
            return target
        task, report = self.current.get(cluster), self.observed.own_report(cluster)
        if task is not None and task.members > target:
            return present
        if not self.observed.alive(cluster) or report is None:
            return target
        asked = report.members_asked
        if asked is None or asked > target:
            self.waiting.append(f"cluster {cluster} to take in that it is to run {target} members")
            return present
        return target

    def _initiator(self) -> str:
        """Chosen once. It changes only while nobody can have been told to initiate."""
        previous, observed = self.previous, self.observed
        if previous is not None and previous.initiator and (previous.members or previous.initiator in self.wanted):
            if not observed.initialised and not observed.alive(previous.initiator):
                self.waiting.append(
                    f"the return of {previous.initiator}, which is to begin the replica set and may have done so unseen: "
                    f"{observed.trouble_with(previous.initiator)}; to begin without it, delete the instance and create it again"
                )
            return previous.initiator
        order = {cluster: index for index, cluster in enumerate(self.wanted)}
        return max(self.wanted, key=lambda cluster: (self.wanted[cluster], -order[cluster]), default="")

    def _task(self, cluster: str, members: int, plan: ReplsetPlan) -> Task:
        return Task(
            cluster=cluster,
            members=members,
            arbiter=cluster == self.arbiter_cluster,
            rs_init=cluster == plan.initiator,
            vip=vip_for(self.observed, cluster, self.current),
            instance_uid=self.observed.uid,
            generation=plan.generation,
            decommission=False,
        )

    def _leaving_task(self, cluster: str, members: int, plan: ReplsetPlan) -> Task:
        task = self._task(cluster, members, plan)
        hosts = {m.host for m in self.reported if m.cluster == cluster and m.host}
        hosts |= {gone.host for gone in plan.retiring if gone.cluster == cluster}
        planned = any(member.cluster == cluster for member in plan.members)
        current = self.current.get(cluster)
        already = current is not None and current.decommission and current.instance_uid == self.observed.uid
        if planned or (not already and not self._out_of_config(hosts, plan)):
            self.waiting.append(f"the members in cluster {cluster} to leave the replica set")
            return task
        if not let_go(self.observed, cluster, self.observed.uid):
            alive = self.observed.alive(cluster)
            self.waiting.append(
                f"cluster {cluster} to clear away what it holds"
                if alive
                else f"the return of {cluster}: {self.observed.trouble_with(cluster)}"
            )
        return decommission_task(cluster, task, Pending(instance_uid=self.observed.uid, vip=task.vip, since=""))

    def _out_of_config(self, hosts: set[str], plan: ReplsetPlan) -> bool:
        """Whether the configuration in force has none of the hosts, nor any that the plan cannot tell whose it is."""
        view = self.observed.view
        if not self.observed.initialised:
            return True
        if view is None or view.config is None or not view.committed:
            return False
        live = {member.host for member in view.config.members}
        return not live & hosts and live <= {m.host for m in plan.members} | {gone.host for gone in plan.retiring}

    def _has_left(self, cluster: str, task: Task) -> bool:
        current = self.current.get(cluster)
        stamped = current is not None and current.decommission
        return task.decommission and stamped and let_go(self.observed, cluster, self.observed.uid)


def decommission_task(cluster: str, current: Task | None, pending: Pending) -> Task:
    """The order to clear away everything of the instance that `pending` names."""
    return Task(
        cluster=cluster,
        members=0,
        arbiter=False,
        rs_init=False,
        vip=pending.vip or (current.vip if current else ""),
        instance_uid=pending.instance_uid,
        generation=current.generation if current else 0,
        decommission=True,
    )


def let_go(observed: Observed, cluster: str, instance_uid: str) -> bool:
    """Whether the cluster has confirmed that it holds nothing of that instance, or never got anything."""
    report = observed.reports.get(cluster)
    if report is None:
        binding = observed.objects.binding or {}
        bound = {target.get("name") for target in (binding.get("spec") or {}).get("clusters") or ()}
        return cluster not in bound and (observed.objects.template is None or cluster not in observed.clusters)
    if not report.applied and not report.status:
        # Nothing was ever applied there, or Karmada has forgotten what was: the plan remembers.
        plan = observed.plan
        return plan is None or cluster not in {m.cluster for m in plan.members} | {gone.cluster for gone in plan.retiring}
    return report.decommissioned and report.about(instance_uid)


def vip_for(observed: Observed, cluster: str, current: Mapping[str, Task]) -> str:
    """The cluster's VIP now, or the one it was last known by."""
    facts, task = observed.clusters.get(cluster), current.get(cluster)
    return (facts.vip if facts is not None else None) or (task.vip if task is not None else "")


def _reported(observed: Observed) -> list[ReportedMember]:
    """Members by the clusters' own reports; what a dead cluster said last is kept, but not as ready."""
    result = []
    for cluster in sorted(observed.reports):
        report = observed.own_report(cluster)
        for member in report.members if report is not None else ():
            seen = observed.view.status.by_host(member.host) if observed.view is not None and member.host else None
            alive = observed.alive(cluster)
            role = (seen.state_name if seen.healthy else "DOWN") if seen is not None else (member.role if alive else "UNKNOWN")
            result.append(
                ReportedMember(
                    cluster=cluster,
                    member=member.name,
                    ordinal=member.ordinal,
                    host=member.host,
                    ready=member.ready and alive,
                    role=role,
                    arbiter=member.arbiter,
                )
            )
    return result + _unreported_retiring(observed, {member.identity for member in result})


def _unreported_retiring(observed: Observed, known: set[tuple[str, str]]) -> list[ReportedMember]:
    """Retiring members that only seem gone: still in the live configuration, or in a cluster that says nothing at all."""
    kept = []
    for gone in observed.plan.retiring if observed.plan is not None else ():
        silent = observed.own_report(gone.cluster) is None and gone.cluster in held_clusters(observed)
        if gone.identity not in known and (silent or observed.in_live_config(gone.host)):
            kept.append(
                ReportedMember(cluster=gone.cluster, member=gone.member, ordinal=0, host=gone.host, ready=False, role="UNKNOWN")
            )
    return kept
