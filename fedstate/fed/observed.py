"""Everything the federation's plan and status are computed from, as one frozen value per look.

Reads API objects and the replica set's own answers. Decides nothing, fetches nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fedstate.api.conditions import Condition, ConditionType, MemberState, Reason, conditions_of, find_condition
from fedstate.api.federated import MultiCloudMongoDB
from fedstate.api.karmada import aggregated_statuses, cluster_ready, vip_of
from fedstate.api.replset import ReplsetPlan
from fedstate.fed.cleanup import Pending
from fedstate.kube.objects import KubeObject, deletion_timestamp_of, uid_of
from fedstate.mongo.replica import SetConfig, SetStatus

SERVING_ROLES = frozenset({"PRIMARY", "SECONDARY", "ARBITER"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """A member cluster as Karmada sees it."""

    name: str
    ready: bool
    reason: str
    vip: str | None

    @classmethod
    def from_object(cls, cluster: KubeObject) -> "ClusterFacts":
        ready, reason = cluster_ready(cluster)
        return cls(name=str(cluster["metadata"]["name"]), ready=ready, reason=reason, vip=vip_of(cluster))


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberReport:
    """One replica-set member as the data plane of its cluster last described it."""

    name: str
    ordinal: int
    host: str
    ready: bool
    role: str
    configured: bool
    retiring: bool
    arbiter: bool
    revision: str
    unreadable: bool = False
    """It runs, but its data plane cannot speak to it."""

    @classmethod
    def from_status(cls, entry: Mapping[str, Any]) -> "MemberReport":
        name = str(entry.get("name") or "")
        ordinal = entry.get("ordinal")
        return cls(
            name=name,
            ordinal=int(ordinal if ordinal is not None else name.rpartition("-")[2] or 0),
            host=str(entry.get("host") or ""),
            ready=bool(entry.get("ready")),
            role=str(entry.get("role") or ""),
            configured=bool(entry.get("configured")),
            retiring=bool(entry.get("retiring")),
            arbiter=bool(entry.get("arbiter")) or entry.get("role") == "ARBITER",
            revision=str(entry.get("revision") or ""),
            unreadable=bool(entry.get("message")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterReport:
    """What one cluster's data plane last reported through Karmada. `silent` means: too old to be believed."""

    cluster: str
    applied: bool
    applied_message: str
    silent: bool
    status: Mapping[str, Any] = field(repr=False)

    @property
    def state(self) -> str:
        return str(self.status.get("state") or "")

    @property
    def members(self) -> tuple[MemberReport, ...]:
        return tuple(MemberReport.from_status(entry) for entry in self.status.get("members") or ())

    @property
    def instance_uid(self) -> str:
        return str((self.status.get("federation") or {}).get("instanceUID") or "")

    @property
    def plan_generation(self) -> int:
        """The newest stamp that the cluster has followed in full; 0 before it followed any."""
        return int((self.status.get("federation") or {}).get("planGeneration") or 0)

    @property
    def newest_generation(self) -> int:
        """The newest plan that the cluster is known to have had."""
        return max(self.plan_generation, int((self.status.get("federation") or {}).get("hostconfGeneration") or 0))

    @property
    def members_asked(self) -> int | None:
        """The number of members in the spec that the data plane has acted upon."""
        members = (self.status.get("currentInfo") or {}).get("members")
        return None if members is None else int(members)

    @property
    def revision(self) -> str:
        return str(self.status.get("currentRevision") or "")

    @property
    def decommissioned(self) -> bool:
        return bool(self.status.get("decommissioned"))

    @property
    def heartbeat(self) -> str:
        return str(self.status.get("heartbeatTime") or "")

    @property
    def replica_set(self) -> Mapping[str, Any]:
        return self.status.get("replicaSet") or {}

    @property
    def stalled(self) -> Condition | None:
        """What keeps the data plane there from going on until a human does something; None while nothing does."""
        stalled = find_condition(conditions_of({"status": self.status}), ConditionType.STALLED)
        return stalled if stalled is not None and stalled.is_true else None

    @property
    def remark(self) -> str:
        """What deserves to be seen although the members there serve."""
        ready = find_condition(conditions_of({"status": self.status}), ConditionType.READY)
        return ready.message if ready is not None and ready.is_true else ""

    def about(self, instance_uid: str) -> bool:
        """Whether the report is that cluster's own word on that very instance."""
        federation = self.status.get("federation") or {}
        return self.instance_uid == instance_uid and federation.get("cluster") in (None, "", self.cluster)

    @property
    def initialised(self) -> bool:
        """Whether a replica set has ever been seen from there."""
        if self.replica_set.get("id") or self.status.get("replset") or any(member.configured for member in self.members):
            return True
        conditions = conditions_of({"status": self.status})
        return any(condition.type == ConditionType.RS_INIT and condition.is_true for condition in conditions)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplsetView:
    """The replica set seen from this process: status and, if a member gave it, the live configuration."""

    status: SetStatus
    config: SetConfig | None = None
    committed: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Karmada:
    """The objects of one instance on the control plane as they stand; None for what is not there.

    `configs` are the copies of the user's configuration, by name: several while a change goes from cluster to cluster.
    """

    auth: KubeObject | None = None
    hostconf: KubeObject | None = None
    configs: Mapping[str, KubeObject] = field(default_factory=dict)
    pull_secret: KubeObject | None = None
    override: KubeObject | None = None
    propagation: KubeObject | None = None
    template: KubeObject | None = None
    binding: KubeObject | None = None
    cleanup: KubeObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """What the user's spec refers to, read at the moment it was needed. `problems` are sentences for the user."""

    root_password: str | None = field(default=None, repr=False)
    config: Mapping[str, str] | None = None
    pull_secret: KubeObject | None = field(default=None, repr=False)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One look at one instance.

    `raw` is None when only clean-ups of a former instance are left, `instance` also when its spec cannot be read.
    """

    namespace: str
    name: str
    raw: KubeObject | None = field(repr=False)
    instance: MultiCloudMongoDB | None
    spec_problem: str | None
    placement_problem: str | None
    references: References
    clusters: Mapping[str, ClusterFacts]
    reports: Mapping[str, ClusterReport]
    objects: Karmada = field(repr=False)
    plan: ReplsetPlan | None
    pending: Mapping[str, Pending]
    view: ReplsetView | None
    works_follow: bool
    now: datetime

    @property
    def uid(self) -> str:
        return uid_of(self.raw or {})

    @property
    def deleting(self) -> bool:
        return deletion_timestamp_of(self.raw or {}) is not None

    @property
    def conditions(self) -> tuple[Condition, ...]:
        return conditions_of(self.raw or {})

    def alive(self, cluster: str) -> bool:
        """Whether something done to the cluster now will be acted upon there: Karmada reaches it and its data plane is not silent."""
        facts, report = self.clusters.get(cluster), self.reports.get(cluster)
        return facts is not None and facts.ready and not (report is not None and report.silent)

    def own_report(self, cluster: str) -> ClusterReport | None:
        """The cluster's report if it is about this instance, and not about a former one of the same name."""
        report = self.reports.get(cluster)
        return report if report is not None and report.about(self.uid) else None

    @property
    def stalled(self) -> Mapping[str, Condition]:
        """By cluster, what its data plane says that only a human can mend; of those clusters that can be believed."""
        found = {cluster: self.reports[cluster].stalled for cluster in sorted(self.reports) if self.alive(cluster)}
        return {
            cluster: condition
            for cluster, condition in found.items()
            if condition is not None and (self.reports[cluster].about(self.uid) or condition.reason == Reason.FOREIGN_INSTANCE)
        }

    def trouble_with(self, cluster: str) -> str:
        """Why the cluster is not alive, in words."""
        facts, report = self.clusters.get(cluster), self.reports.get(cluster)
        if facts is None:
            return f"cluster {cluster} is not joined to Karmada"
        if not facts.ready:
            return f"cluster {cluster} is not ready ({facts.reason})"
        if report is not None and report.silent:
            return (
                f"the data-plane operator of cluster {cluster} has been silent since {report.heartbeat or 'it was first asked'}"
            )
        return f"cluster {cluster} has not answered yet"

    @property
    def initialised(self) -> bool:
        """Whether the replica set is known to have been initiated, now or at any time before."""
        if self.view is not None or (self.plan is not None and self.plan.replica_set_id):
            return True
        if any(report.initialised for report in self.reports.values() if report.about(self.uid)):
            return True
        done = (c for c in self.conditions if c.type == ConditionType.SERVER_INITIALIZED)
        return any(condition.is_true for condition in done)

    @property
    def replica_set_id(self) -> str:
        """The server's id of the set: as the plan has kept it, else as the set or all data planes with one voice say."""
        if self.plan is not None and self.plan.replica_set_id:
            return self.plan.replica_set_id
        if self.view is not None and self.view.config is not None:
            return self.view.config.replica_set_id
        told = {str(report.replica_set.get("id") or "") for report in self.reports.values() if report.about(self.uid)} - {""}
        return told.pop() if len(told) == 1 else ""

    @property
    def primary_host(self) -> str | None:
        """The primary: as this process sees it, else as the freshest data planes say."""
        if self.view is not None:
            primary = self.view.status.primary
            return primary.host if primary is not None else None
        for cluster, report in self.reports.items():
            if not self.alive(cluster) or not report.about(self.uid):
                continue
            for member in report.members:
                if member.role == "PRIMARY" and member.host:
                    return member.host
        return None

    def role_of(self, host: str, cluster: str) -> str:
        """The member's role: PRIMARY, SECONDARY, …; "UNKNOWN" where nothing fresh tells."""
        if self.view is not None:
            member = self.view.status.by_host(host)
            if member is not None:
                return member.state_name if member.healthy else "DOWN"
        report = self.own_report(cluster)
        if report is None or not self.alive(cluster):
            return "DOWN" if self._missed_by_primary(host) else "UNKNOWN"
        role = next((member.role for member in report.members if member.host == host), "")
        return role or "UNKNOWN"

    def _missed_by_primary(self, host: str) -> bool:
        """Whether the data plane beside the primary says that the set has lost sight of the member."""
        for cluster in self.reports:
            report = self.own_report(cluster)
            if report is None or not self.alive(cluster) or not any(member.role == "PRIMARY" for member in report.members):
                continue
            entries = report.status.get("replset") or ()
            return any(entry.get("name") == host and not entry.get("health") for entry in entries)
        return False

    def serving(self, host: str, cluster: str) -> bool:
        return self.role_of(host, cluster) in SERVING_ROLES

    @property
    def config_in_force(self) -> bool:
        """Whether a majority of the voters is known to hold the configuration in which all that is planned has been done.

        Until then the loss of the primary can take back the last vote that was given. By this process's own look at the
        primary, else by the word of the data plane beside it.
        """
        if self.view is not None and self.view.committed is not None:
            return self.view.committed
        reports = (self.own_report(cluster) for cluster in self.reports if self.alive(cluster))
        return any(
            report is not None and report.state == MemberState.RUNNING and report.replica_set.get("committed") is True
            for report in reports
        )

    def in_live_config(self, host: str) -> bool | None:
        """Whether the set's live configuration has the host; None if nothing tells."""
        if self.view is not None:
            if self.view.config is not None:
                return self.view.config.by_host(host) is not None
            return self.view.status.by_host(host) is not None
        return None


def reports_of(binding: KubeObject | None, silent: frozenset[str]) -> dict[str, ClusterReport]:
    """The reports in a ResourceBinding; `silent` names the clusters whose heartbeat has stopped."""
    if binding is None:
        return {}
    return {
        cluster: ClusterReport(
            cluster=cluster,
            applied=item.applied,
            applied_message=item.applied_message,
            silent=cluster in silent,
            status=item.status or {},
        )
        for cluster, item in aggregated_statuses(binding).items()
    }
