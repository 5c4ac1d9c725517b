"""Changes that restart members reach one cluster after another. Pure.

The others keep the old values in their rules. A cluster is done when it reports the stamp of its turn and has come to rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fedstate.api.replset import PlanMember, ReplsetPlan
from fedstate.fed.observed import SERVING_ROLES, Observed
from fedstate.fed.policies import Task, tasks_of
from fedstate.fed.roster import Roster
from fedstate.kube.objects import KubeObject
from fedstate.mongo.replica import majority

ROLLED_FIELDS = (
    "image",
    "imagePullPolicy",
    "imagePullSecret",
    "resources",
    "customConfigRef",
    "metricsExporterSpec",
    "podSpec",
)
"""The template has all of them at all times, so that a rule can put the old value of each in the place of the new one."""

Held = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """Which old values which cluster keeps, and whether the template may already say the new ones."""

    held: Mapping[str, Held]
    template_may_follow: bool
    waiting: tuple[str, ...] = ()


def rollout_for(observed: Observed, roster: Roster, desired: KubeObject) -> Rollout:
    """The next step from what every cluster is told now to what `desired` says."""
    template = observed.objects.template
    if template is None or not observed.initialised:
        return Rollout(held={}, template_may_follow=True)
    return _Step(observed, roster, _rolled(template), _rolled(desired)).next()


def with_rollout(observed: Observed, roster: Roster, rollout: Rollout) -> Roster:
    """`roster` with the values held back; under a new plan generation if any cluster is told something else than before."""
    current = tasks_of(observed.objects.override)
    tasks = {
        name: task if task.decommission else replace(task, held_back=rollout.held.get(name, ()))
        for name, task in roster.tasks.items()
    }
    plan = roster.plan
    changed = any(
        not task.decommission and name in current and current[name].held_back != task.held_back for name, task in tasks.items()
    )
    if changed and plan is not None and observed.plan is not None and plan.generation == observed.plan.generation:
        plan = replace(plan, generation=plan.generation + 1)
        tasks = {name: task if task.decommission else replace(task, generation=plan.generation) for name, task in tasks.items()}
    return replace(roster, tasks=tasks, plan=plan, waiting=(*roster.waiting, *rollout.waiting))


def unchanged(observed: Observed) -> Rollout:
    """Everything as it is told now."""
    held = {name: task.held_back for name, task in tasks_of(observed.objects.override).items()}
    return Rollout(held=held, template_may_follow=False)


def held_config_names(tasks: Mapping[str, Task]) -> set[str]:
    """The copies of configurations that some cluster still runs with."""
    values = (value for task in tasks.values() for name, value in task.held_back if name == "customConfigRef")
    return {str(value) for value in values if value}


class _Step:
    def __init__(self, observed: Observed, roster: Roster, actual: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        self.observed = observed
        self.plan = roster.plan
        self.actual = actual
        self.wanted = wanted
        self.current = {
            name: task
            for name, task in tasks_of(observed.objects.override).items()
            if name in roster.tasks and not task.decommission and not roster.tasks[name].decommission
        }
        told = {name: {**actual, **dict(task.held_back)} for name, task in self.current.items()}
        self.held: dict[str, Held] = {
            name: tuple(
                (field, values[field]) for field in ROLLED_FIELDS if field in values and values[field] != wanted.get(field)
            )
            for name, values in told.items()
        }
        self.outdated = sorted(name for name, held in self.held.items() if held)

    def next(self) -> Rollout:
        if not self.outdated:
            return Rollout(held={}, template_may_follow=True)
        if self.actual != self.wanted:
            return self._held_fast()
        turn = self._turn()
        held = {name: values for name, values in self.held.items() if name != turn}
        rest = ", ".join(name for name in self.outdated if name != turn)
        waiting = [f"the change of members to reach {rest}, one cluster at a time"] if rest else []
        if rest:
            unseen = [name for name in self._at_work() if not self.observed.alive(name)]
            waiting += [f"the return of {name}, which may be changing its members" for name in unseen]
        return Rollout(held=held, template_may_follow=True, waiting=tuple(waiting))

    def _held_fast(self) -> Rollout:
        """The template may change only after every cluster that answers has the rule that keeps it as it is."""
        open_ones = [
            name
            for name in self.outdated
            if self.current[name].held_back != self.held[name] or (self.observed.alive(name) and not self._followed(name))
        ]
        waiting = (f"{', '.join(open_ones)} to be ready for a change that goes from cluster to cluster",) if open_ones else ()
        return Rollout(held=self.held, template_may_follow=not open_ones, waiting=waiting)

    def _turn(self) -> str | None:
        """The cluster that may change now: one whose members are down anyway first, the primary's last, none while another is at it."""
        # Where nobody serves, nobody who serves can be restarted: that turn may come while another cluster is at it.
        down = [name for name in self.outdated if self.observed.alive(name) and self._members_down(name) == "all"]
        if down:
            return down[0]
        answering = [name for name in self.outdated if self.observed.alive(name) and self._followed(name)]
        # One that is out of sight may still be at it.
        if self._at_work():
            return None
        ailing = [name for name in self.outdated if self.observed.alive(name) and self._members_down(name)]
        if ailing:
            return ailing[0]
        if not answering or not _can_spare_one(self.observed, self.plan):
            return None
        leads = self.observed.primary_host
        homes = {member.host: member.cluster for member in (self.plan.members if self.plan is not None else ())}
        return min(answering, key=lambda name: (homes.get(leads or "") == name, name))

    def _at_work(self) -> list[str]:
        """The clusters that have been told of the change and are not known to be done with it."""
        return [name for name in self.current if name not in self.outdated and not self._at_rest(name)]

    def _members_down(self, cluster: str) -> str:
        """ "all", "some" or "" of its members are known to serve nobody; not to see them is not to know it."""
        own = [member for member in (self.plan.members if self.plan is not None else ()) if member.cluster == cluster]
        down = [member for member in own if self._is_down(member)]
        return "" if not down else "all" if len(down) == len(own) else "some"

    def _is_down(self, member: PlanMember) -> bool:
        role = self.observed.role_of(member.host, member.cluster)
        if role != "UNKNOWN":
            return role not in SERVING_ROLES
        report = self.observed.own_report(member.cluster)
        reported = (entry for entry in (report.members if report is not None else ()) if entry.name == member.member)
        return any(not entry.ready and not entry.unreadable for entry in reported)

    def _followed(self, cluster: str) -> bool:
        report = self.observed.own_report(cluster)
        return report is not None and report.plan_generation >= self.current[cluster].generation

    def _in_trouble(self, cluster: str) -> bool:
        report = self.observed.own_report(cluster)
        return report is not None and report.state == "Error"

    def _at_rest(self, cluster: str) -> bool:
        report = self.observed.own_report(cluster)
        return report is not None and self._followed(cluster) and report.state == "Running"


def _rolled(obj: KubeObject) -> dict[str, Any]:
    spec = obj.get("spec") or {}
    return {field: spec[field] for field in ROLLED_FIELDS if field in spec}


def _can_spare_one(observed: Observed, plan: ReplsetPlan | None) -> bool:
    voters = [member for member in (plan.members if plan is not None else ()) if member.votes > 0]
    serving = sum(observed.serving(member.host, member.cluster) for member in voters)
    # A set of one or two members cannot spare any, and has to change all the same.
    return observed.primary_host is not None and (serving == len(voters) or serving - 1 >= majority(len(voters)))
