"""The status of an instance: the announcement's fields under its names, and what has been added to them. Pure.

Holds nothing that changes while nothing happens, so that an idle instance is never written.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from fedstate.api.naming import LABEL_INSTANCE, LABEL_NAME, replset_name
from fedstate.api.placement import Placement
from fedstate.api.replset import PlanMember, ReplsetPlan
from fedstate.api.versions import shown_versions
from fedstate.fed.health import Health, health_of
from fedstate.fed.members import in_owners_terms
from fedstate.fed.observed import ClusterReport, Observed
from fedstate.fed.outcome import FederationPlan
from fedstate.fed.plan import usable_placement
from fedstate.fed.policies import tasks_of
from fedstate.fed.roster import let_go, vip_for
from fedstate.fed.verdicts import OWNED, Case, conditions_for
from fedstate.kube.objects import KubeObject, format_time, generation_of

OWNED_FIELDS = (
    "state",
    "observedGeneration",
    "members",
    "readyMembers",
    "selector",
    "survives",
    "version",
    "primary",
    "externalAddr",
    "connectionString",
    "result",
    "replicaSet",
    "decommissioning",
)
_LAG_STEP = 10


def status_for(observed: Observed, plan: FederationPlan) -> dict[str, Any]:
    """Everything in the status that the federation owns, as it should be now."""
    placement = usable_placement(observed)[0]
    member_plan = plan.roster.plan if plan.roster is not None else observed.plan
    health = health_of(observed, member_plan, placement)
    case = Case(observed=observed, plan=plan, health=health, placement=placement)
    ready = _ready_members(observed, member_plan)
    wanted = observed.instance.replicaset if observed.instance is not None else 0
    status: dict[str, Any] = {
        "state": str(health.state),
        "observedGeneration": generation_of(observed.raw or {}),
        "members": f"{ready}/{wanted}",
        "readyMembers": ready,
        "selector": f"{LABEL_NAME}=mongodb,{LABEL_INSTANCE}={observed.name}",
        "result": [_result(observed, cluster, member_plan, placement) for cluster in _result_clusters(observed, plan, placement)],
        "replicaSet": _replica_set(observed, member_plan, health),
        "conditions": [condition.to_object() for condition in conditions_for(case)],
    }
    if health.survivals:
        status["survives"] = f"{health.survivable}/{len(health.survivals)}"
    if health.primary is not None:
        status["primary"] = _primary(observed, health.primary)
    addresses = _addresses(member_plan, placement)
    if addresses:
        status["externalAddr"] = ",".join(addresses)
        status["connectionString"] = f"mongodb://{','.join(addresses)}/?replicaSet={replset_name(observed.name)}"
    version = _version(observed)
    if version:
        status["version"] = version
    owing = _decommissioning(observed, plan)
    if owing:
        status["decommissioning"] = owing
    return status


def owned_part(raw: KubeObject) -> dict[str, Any]:
    """What of the object's present status the federation wrote."""
    status = raw.get("status") or {}
    part = {name: status[name] for name in OWNED_FIELDS if name in status}
    part["conditions"] = [entry for entry in status.get("conditions") or () if entry.get("type") in OWNED]
    return part


def is_reported(raw: KubeObject, status: Mapping[str, Any]) -> bool:
    """Whether the object already says `status`."""
    present = owned_part(raw)
    order = {str(type_): index for index, type_ in enumerate(OWNED)}
    present["conditions"] = sorted(present["conditions"], key=lambda entry: order[entry["type"]])
    return present == status


def _result_clusters(observed: Observed, plan: FederationPlan, placement: Placement | None) -> list[str]:
    """The placement's clusters in its order, then those on their way out."""
    placed = list(placement.members) if placement is not None else []
    tasks = plan.roster.tasks if plan.roster is not None else tasks_of(observed.objects.override)
    return placed + sorted(set(tasks) - set(placed))


def _result(observed: Observed, cluster: str, plan: ReplsetPlan | None, placement: Placement | None) -> dict[str, Any]:
    report, facts = observed.reports.get(cluster), observed.clusters.get(cluster)
    own, alive = observed.own_report(cluster), observed.alive(cluster)
    roles = _roles(observed, cluster, own, plan)
    result: dict[str, Any] = {
        "cluster": cluster,
        "applied": report is not None and report.applied,
        "replicasetSpec": placement.members.get(cluster, 0) if placement is not None else 0,
        "replicasetStatus": sum(role in ("PRIMARY", "SECONDARY") for role in roles.values()),
        "connectAddrWithRole": roles,
        "state": (own.state if own is not None and alive else "") or "Unknown",
        "reachable": facts is not None and facts.ready,
    }
    vip = vip_for(observed, cluster, tasks_of(observed.objects.override))
    extras: list[tuple[str, Any]] = [
        ("vip", vip),
        ("currentRevision", own.revision if own is not None else ""),
        ("planGeneration", own.plan_generation if own is not None else 0),
        ("appliedMessage", report.applied_message if report is not None else ""),
        ("decommissioned", own is not None and own.decommissioned),
    ]
    if not alive:
        extras.append(("heartbeatTime", own.heartbeat if own is not None else ""))
        extras.append(("message", observed.trouble_with(cluster)))
    elif cluster in observed.stalled:
        extras.append(("message", in_owners_terms(observed.stalled[cluster].message)))
    elif own is not None:
        extras.append(("message", in_owners_terms(own.remark)))
    return result | {name: value for name, value in extras if value}


def _roles(observed: Observed, cluster: str, own: ClusterReport | None, plan: ReplsetPlan | None) -> dict[str, str]:
    """Role by address: planned members in the order of their ids, then reported ones: yet to be planned, or yet to be removed."""
    planned = [member.host for member in (plan.members if plan is not None else ()) if member.cluster == cluster]
    leaving = {gone.host for gone in (plan.retiring if plan is not None else ()) if not observed.in_live_config(gone.host)}
    reported = [member.host for member in (own.members if own is not None else ()) if member.host]
    hosts = [*planned, *(host for host in reported if host not in planned and host not in leaving)]
    return {host: observed.role_of(host, cluster) for host in hosts if host}


def _ready_members(observed: Observed, plan: ReplsetPlan | None) -> int:
    members = plan.members if plan is not None else ()
    return sum(observed.serving(member.host, member.cluster) for member in members if not member.arbiter_only)


def _addresses(plan: ReplsetPlan | None, placement: Placement | None) -> list[str]:
    """What clients connect to: by cluster in the order of the placement, within a cluster by id."""
    order = {cluster: index for index, cluster in enumerate(placement.members)} if placement is not None else {}
    data = [member for member in (plan.members if plan is not None else ()) if not member.arbiter_only and not member.hidden]
    return [member.host for member in sorted(data, key=lambda member: (order.get(member.cluster, len(order)), member.id))]


def _primary(observed: Observed, primary: PlanMember) -> dict[str, Any]:
    status = (observed.raw or {}).get("status") or {}
    before, term = status.get("primary") or {}, (status.get("replicaSet") or {}).get("configTerm")
    elected_again = term is not None and _live_config(observed).get("configTerm", term) != term
    since = before.get("since") if before.get("host") == primary.host and not elected_again else None
    return {
        "name": f"{primary.cluster}/{primary.member}",
        "cluster": primary.cluster,
        "member": primary.member,
        "host": primary.host,
        "since": since or format_time(observed.now),
    }


def _version(observed: Observed) -> str:
    """What the members run, by the last word of each cluster."""
    reports = (observed.own_report(cluster) for cluster in observed.reports)
    return shown_versions(str(report.status.get("version") or "") for report in reports if report is not None)


def _decommissioning(observed: Observed, plan: FederationPlan) -> list[str]:
    tasks = plan.roster.tasks if plan.roster is not None else tasks_of(observed.objects.override)
    owing = {
        task.cluster for task in tasks.values() if task.decommission and not let_go(observed, task.cluster, task.instance_uid)
    }
    return sorted(owing | set(observed.pending))


def _replica_set(observed: Observed, plan: ReplsetPlan | None, health: Health) -> dict[str, Any]:
    result: dict[str, Any] = {"name": replset_name(observed.name), **_live_config(observed)}
    result["primary"] = health.primary.host if health.primary is not None else ""
    result |= {
        "voters": health.voters,
        "healthyVoters": health.healthy_voters,
        "majority": health.majority,
        "writeMajority": health.write_majority,
        "survivesLossOf": [cluster for cluster, survival in health.survivals.items() if survival.election],
        "writeSurvivesLossOf": [cluster for cluster, survival in health.survivals.items() if survival.majority_write],
    }
    if plan is not None:
        result["planGeneration"] = plan.generation
        result["nextMemberId"] = plan.next_member_id
        result["members"] = list(_members(observed, plan))
    return result


def _live_config(observed: Observed) -> dict[str, Any]:
    """From our own look at the set, else from the data plane that is nearest to the primary."""
    view = observed.view
    if view is not None and view.config is not None:
        config = view.config
        live: dict[str, Any] = {"id": config.replica_set_id, "configVersion": config.version, "configTerm": config.term}
        live |= {"setSize": len(config.members)} | ({} if view.committed is None else {"committed": view.committed})
        return {name: value for name, value in live.items() if value != ""}
    reports = [observed.own_report(cluster) for cluster in sorted(observed.reports) if observed.alive(cluster)]
    sets = [report.replica_set for report in reports if report is not None and report.replica_set.get("id")]
    newest = max(sets, key=lambda s: (s.get("configTerm") or 0, s.get("configVersion") or 0), default={})
    names = ("id", "configVersion", "configTerm", "setSize", "committed")
    return {name: newest[name] for name in names if newest.get(name) is not None}


def _members(observed: Observed, plan: ReplsetPlan) -> Iterable[dict[str, Any]]:
    for member in plan.members:
        role = observed.role_of(member.host, member.cluster)
        report = observed.own_report(member.cluster)
        reported = next((r for r in (report.members if report is not None else ()) if r.name == member.member), None)
        entry: dict[str, Any] = {
            "_id": member.id,
            "name": member.member,
            "cluster": member.cluster,
            "host": member.host,
            "role": role,
            "ready": reported is not None and reported.ready and observed.alive(member.cluster),
            "health": int(observed.serving(member.host, member.cluster)),
            "votes": member.votes,
            "priority": member.priority,
            "configured": bool(observed.in_live_config(member.host)) or (reported is not None and reported.configured),
        }
        lag = observed.view.status.lag(member.host) if observed.view is not None else None
        if lag is not None and lag >= _LAG_STEP:
            entry["lagSeconds"] = int(lag // _LAG_STEP * _LAG_STEP)
        if reported is not None and reported.revision:
            entry["revision"] = reported.revision
        yield entry
