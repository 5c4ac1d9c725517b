"""Status conditions: their shape, the closed lists of types and reasons, and how one replaces another.

The time comes in as an argument.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from fedstate.kube.objects import format_time


class ConditionType(StrEnum):
    """Types of MultiCloudMongoDB and MongoDB conditions."""

    SERVER_SCHEDULED_RESULT = "ServerScheduledResult"
    SERVER_CHECK = "ServerCheck"
    SERVER_INITIALIZED = "ServerInitialized"
    SERVER_WAITING_SCALE_DOWN = "ServerWaitingScaleDown"
    SERVER_READY = "ServerReady"
    SCHEDULED = "Scheduled"
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    QUORUM_SAFE = "QuorumSafe"
    MAJORITY_LOST = "MajorityLost"
    RECOVERY_REQUIRED = "RecoveryRequired"
    RS_INIT = "rsInit"
    USER_ROOT = "userRoot"
    USER_CLUSTER_ADMIN = "userClusterAdmin"
    USER_CLUSTER_MONITOR = "userClusterMonitor"
    STORAGE_READY = "StorageReady"
    METRICS_EXPORTER = "MetricsExporter"
    DECOMMISSIONED = "Decommissioned"


class Reason(StrEnum):
    """Every reason that a condition may give: the announcement's, the control plane's, and last those only a data plane has."""

    GET_SCHEDULER_SUCCESS = "GetSchedulerSuccess"
    GET_SCHEDULER_FAIL = "GetSchedulerFail"
    CHECK_SUCCESS = "CheckSuccess"
    CHECK_FAIL = "CheckFail"
    SERVER_INIT = "ServerInit"
    SERVER_WAITING_SCALE_DOWN = "ServerWaitingScaleDown"
    SERVER_READY = "ServerReady"
    SERVER_NOT_READY = "ServerNotReady"

    PLACED = "Placed"
    WAITING_FOR_CLUSTERS = "WaitingForClusters"
    NO_FEASIBLE_CLUSTER = "NoFeasibleCluster"
    INSUFFICIENT_CAPACITY = "InsufficientCapacity"
    PLACEMENT_INVALID = "PlacementInvalid"

    REPLICA_SET_READY = "ReplicaSetReady"
    MEMBERS_NOT_READY = "MembersNotReady"
    NO_PRIMARY = "NoPrimary"
    NOTHING_FRESH = "NothingFresh"
    PROGRESSING = "Progressing"
    SETTLED = "Settled"
    DELETING = "Deleting"
    INVALID_SPEC = "InvalidSpec"
    MISSING_REFERENCE = "MissingReference"
    SURVIVES_ANY_CLUSTER = "SurvivesAnyCluster"
    QUORUM_AT_RISK = "QuorumAtRisk"
    MAJORITY_PRESENT = "MajorityPresent"
    MAJORITY_LOST = "MajorityLost"
    APPROVAL_REQUIRED = "ApprovalRequired"
    NOT_REQUIRED = "NotRequired"
    DONE = "Done"
    PENDING = "Pending"
    FAILED = "Failed"

    INERT_TEMPLATE = "InertTemplate"
    FOREIGN_CLUSTER = "ForeignCluster"
    FOREIGN_INSTANCE = "ForeignInstance"
    NOT_DECOMMISSIONED = "NotDecommissioned"
    NO_ADDRESS = "NoAddress"
    SECRET_INVALID = "SecretInvalid"
    SECRET_MISSING = "SecretMissing"
    SIGN_IN_REFUSED = "SignInRefused"
    USER_REFUSED = "UserRefused"
    PLAN_UNREADABLE = "PlanUnreadable"
    PLAN_CONFLICT = "PlanConflict"
    RECOVERY_REQUIRED = "RecoveryRequired"
    CONFIG_REJECTED = "ConfigRejected"
    CONFIG_INVALID = "ConfigInvalid"
    CONFIG_IGNORED = "ConfigIgnored"
    STORAGE_CLASS_MISSING = "StorageClassMissing"
    REFUSED = "Refused"
    POD_FAILING = "PodFailing"


class InstanceState(StrEnum):
    """`status.state` of a MultiCloudMongoDB."""

    HEALTH = "Health"
    SUB_HEALTH = "SubHealth"
    UN_HEALTH = "UnHealth"
    UNKNOWN = "UnKnown"


class MemberState(StrEnum):
    """`status.state` of a MongoDB."""

    RUNNING = "Running"
    RECONCILING = "Reconciling"
    ERROR = "Error"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition; `status` is "True", "False" or "Unknown", `last_transition_time` an RFC 3339 text or empty."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: str = ""
    observed_generation: int = 0

    @property
    def is_true(self) -> bool:
        return self.status == "True"

    @classmethod
    def from_object(cls, condition: Mapping[str, Any]) -> "Condition":
        return cls(
            type=str(condition.get("type") or ""),
            status=str(condition.get("status") or "Unknown"),
            reason=str(condition.get("reason") or ""),
            message=str(condition.get("message") or ""),
            last_transition_time=str(condition.get("lastTransitionTime") or ""),
            observed_generation=int(condition.get("observedGeneration") or 0),
        )

    def to_object(self) -> dict[str, Any]:
        result: dict[str, Any] = {"type": str(self.type), "status": self.status, "lastTransitionTime": self.last_transition_time}
        if self.reason:
            result["reason"] = str(self.reason)
        if self.message:
            result["message"] = self.message
        if self.observed_generation:
            result["observedGeneration"] = self.observed_generation
        return result


def conditions_of(obj: Mapping[str, Any]) -> tuple[Condition, ...]:
    """The conditions in an object's status, in their order; none for an object without status."""
    status = obj.get("status") or {}
    return tuple(Condition.from_object(condition) for condition in status.get("conditions") or ())


def find_condition(conditions: Iterable[Condition], type_: str) -> Condition | None:
    return next((condition for condition in conditions if condition.type == type_), None)


def with_condition(conditions: Iterable[Condition], condition: Condition, now: datetime) -> tuple[Condition, ...]:
    """`conditions` with `condition` in the place of the one of its type; the transition time moves only if the status does."""
    existing = tuple(conditions)
    before = find_condition(existing, condition.type)
    if before is not None and before.status == condition.status and before.last_transition_time:
        stamped = replace(condition, last_transition_time=before.last_transition_time)
    else:
        stamped = replace(condition, last_transition_time=format_time(now))
    if before is None:
        return (*existing, stamped)
    return tuple(stamped if entry.type == condition.type else entry for entry in existing)
