"""A decision in words and as `status.scheduling`: what was decided, what each cluster was found to be, what the set survives.

Pure; owns no rule, only how verdicts are told.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any

from fedstate.api.conditions import Condition, ConditionType, Reason
from fedstate.api.naming import ANNOTATION_REBALANCE
from fedstate.api.placement import Placement
from fedstate.api.votes import Survival
from fedstate.scheduler.amounts import amount_text
from fedstate.scheduler.decision import Decision, Verdict
from fedstate.scheduler.middleware import Demand
from fedstate.scheduler.quorum import Quorum

NAMED_IN_MESSAGE = 20
LISTED_IN_STATUS = 12


@dataclass(frozen=True, slots=True)
class Outlook:
    """The votes of a placement, and what the set can still do after the loss of each cluster that has one."""

    votes: Mapping[str, int]
    losses: Mapping[str, Survival]


def outlook(quorum: Quorum, placement: Placement | None) -> Outlook:
    if placement is None:
        return Outlook({}, {})
    arbiter = placement.arbiter_cluster
    votes = quorum.votes(placement.members, arbiter)
    return Outlook(votes, quorum.survivals(votes, arbiter))


def scheduled_condition(demand: Demand, decision: Decision, message: str | None = None) -> Condition:
    """The condition Scheduled; its transition time is for the caller to set, the message where it is known already."""
    if decision.complete:
        status, reason = "True", Reason.PLACED
    elif not decision.total or decision.awaited:
        status, reason = "False", Reason.WAITING_FOR_CLUSTERS
    elif not decision.feasible:
        status, reason = "False", Reason.NO_FEASIBLE_CLUSTER
    else:
        status, reason = "False", Reason.INSUFFICIENT_CAPACITY
    return Condition(
        type=ConditionType.SCHEDULED,
        status=status,
        reason=reason,
        message=message_of(demand, decision) if message is None else message,
        observed_generation=demand.generation,
    )


def message_of(demand: Demand, decision: Decision) -> str:
    """The decision in one paragraph: the result or the obstacle, then what else its owner should know."""
    return _message(demand, decision, outlook(demand.quorum, decision.placement))


def _message(demand: Demand, decision: Decision, ahead: Outlook) -> str:
    if decision.complete and decision.placement is not None:
        sentences = [_placed(decision.placement), _survival(ahead.losses)]
    else:
        sentences = [_obstacle(demand, decision)]
        if decision.placement is not None:
            sentences.append(f"{_count(decision.placement.total, 'member')} placed before stay where they are.")
    if decision.stuck:
        sentences.append(f"Members in {_names(decision.stuck)} stay although the spec excludes it, as nobody else can take them.")
    sentences += _lost(demand, decision)
    sentences.append(unmet_sentence(decision))
    return " ".join(sentence for sentence in sentences if sentence)


def unmet_sentence(decision: Decision) -> str:
    """Why what the owner asked for is not done; empty if all of it is."""
    if decision.unmet is None:
        return ""
    return f"The members are not placed anew, as {ANNOTATION_REBALANCE} asks: {decision.unmet}."


def moves(demand: Demand, decision: Decision) -> Iterator[tuple[str, str]]:
    """What is worth an event of a placement that moves members, or is asked to: a reason and a sentence."""
    current, placement = demand.current, decision.placement
    if current is None or placement is None:
        return
    if decision.given_up:
        clusters = " and ".join(decision.given_up)
        verb = "has" if len(decision.given_up) == 1 else "have"
        yield "MembersMoved", f"{clusters} {verb} been lost for {demand.toleration} s; placed anew: {_placed(placement)}"
    if decision.rebalanced:
        same = set(current.clusters) == set(placement.clusters)
        yield (
            "Rebalanced",
            f"Placed anew as asked for: {'nothing has to move' if same else _placed(placement).removesuffix('.')}.",
        )


def scheduling_status(demand: Demand, decision: Decision) -> dict[str, Any]:
    """`status.scheduling`."""
    ahead, placement = outlook(demand.quorum, decision.placement), decision.placement
    carried = {entry.cluster: (entry.members, entry.arbiter) for entry in placement.clusters} if placement else {}
    status: dict[str, Any] = {
        "observedGeneration": demand.generation,
        "mode": demand.mode,
        "message": _message(demand, decision, ahead),
        "feasibleClusters": decision.feasible,
        "totalClusters": decision.total,
        "cannotSurviveLossOf": [name for name, survival in ahead.losses.items() if not survival.full],
        "clusters": [
            _cluster_status(verdict, carried.get(verdict.cluster, (0, False)), ahead.votes)
            for verdict in _listed(decision, carried)
        ],
    }
    if demand.request:
        status["requestPerMember"] = dict(_amounts_told(tuple(sorted(demand.request.items()))))
    return status


@lru_cache(maxsize=1024)
def _amounts_told(amounts: tuple[tuple[str, int], ...]) -> tuple[tuple[str, str], ...]:
    """Many instances ask for the same."""
    return tuple([(name, amount_text(name, amount)) for name, amount in amounts])


def same_story(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether two reports of a settled instance differ only in what comes and goes by itself: free capacity and scores."""
    return _essence(before) == _essence(after)


def _essence(status: Mapping[str, Any]) -> tuple[Any, ...]:
    carriers = [
        (entry.get("cluster"), entry.get("members"), entry.get("votes"), entry.get("arbiter"))
        for entry in status.get("clusters") or ()
        if entry.get("members") or entry.get("arbiter")
    ]
    plain = ("observedGeneration", "mode", "message", "cannotSurviveLossOf", "requestPerMember")
    return (*(status.get(name) for name in plain), carriers)


def _cluster_status(verdict: Verdict, carried: tuple[int, bool], votes: Mapping[str, int]) -> dict[str, Any]:
    members, arbiter = carried
    entry: dict[str, Any] = {
        "cluster": verdict.cluster,
        "feasible": verdict.reason is None,
        "score": verdict.score,
        "members": members,
    }
    if verdict.reason is not None:
        entry["reason"] = verdict.reason
    if verdict.room is not None:
        entry["capacity"] = verdict.current + verdict.room
    if members:
        entry["votes"] = votes.get(verdict.cluster, 0)
    if arbiter:
        entry["arbiter"] = True
    if verdict.snapshot is not None:
        entry["source"] = verdict.snapshot.source.kind
        if verdict.snapshot.source.note:
            entry["sourceNote"] = verdict.snapshot.source.note
    return entry


def _listed(decision: Decision, carried: Mapping[str, Any]) -> list[Verdict]:
    """Those that carry something first, then by name, so that a large fleet does not make a large object."""
    carriers = [verdict for verdict in decision.verdicts if verdict.cluster in carried]
    others = [verdict for verdict in decision.verdicts if verdict.cluster not in carried]
    return [*sorted(carriers, key=_name), *sorted(others, key=_name)][:LISTED_IN_STATUS]


_name = attrgetter("cluster")


def _placed(placement: Placement) -> str:
    parts = [f"{entry.cluster} {entry.members}{' and the arbiter' if entry.arbiter else ''}" for entry in placement.clusters]
    return f"{_count(placement.total, 'member')} on {_count(len(placement.clusters), 'cluster')}: {', '.join(parts)}."


def _survival(outcome: Mapping[str, Survival]) -> str:
    """Which single losses the set does not survive, and what would change that."""
    if all([survival.full for survival in outcome.values()]):
        return ""
    no_primary = [name for name, survival in outcome.items() if not survival.election]
    no_writes = [name for name, survival in outcome.items() if survival.election and not survival.majority_write]
    sentences = []
    if no_primary:
        why = (
            "one of fewer than three clusters always holds half of the votes or more"
            if len(outcome) < 3
            else "it holds too many votes"
        )
        sentences.append(f"The set does not survive the loss of {_names(no_primary)}: {why}.")
    if no_writes:
        sentences.append(
            f"Without {_names(no_writes)} there is a primary, but majority writes do not commit: an arbiter holds no data."
        )
    return " ".join(sentences)


def _obstacle(demand: Demand, decision: Decision) -> str:
    total, feasible = decision.total, decision.feasible
    if not total:
        return "0/0 clusters can run a member: no cluster has joined Karmada."
    if decision.awaited:
        return f"Waiting for the first report of {', '.join(decision.awaited)}; members do not move once they are placed."
    if decision.held is not None:
        return f"{_count(demand.members, 'member')} could be placed, but the profile forbids it: {decision.held}."
    findings = _findings(decision.verdicts, total) + _unknown(demand, decision)
    ability = "run a member" if decision.placement is None else "run another member"
    if not feasible:
        return f"0/{total} clusters can {ability}: {findings}."
    wanted = _count(demand.members, "member") + (" and an arbiter" if demand.arbiter else "")
    limit = ", raise spec.spreadConstraints.maxMembersPerCluster," if demand.spread.max_members_per_cluster else ","
    return (
        f"{wanted} do not fit, {decision.missing} too many; {feasible}/{total} clusters can {ability}: {findings}. "
        f"Lower spec.replicaset or spec.resource{limit} or make room."
    )


def _unknown(demand: Demand, decision: Decision) -> str:
    """Names that the owner asks for and nobody has; often they are misspelt."""
    known = {verdict.cluster for verdict in decision.verdicts}
    missing = [name for name in demand.spread.cluster_names if name not in known]
    return f"; {', '.join(missing)}: no Cluster of this name, spec.spreadConstraints.clusterNames wants it" if missing else ""


def _findings(verdicts: Sequence[Verdict], total: int) -> str:
    ordered = sorted(verdicts, key=lambda verdict: (not verdict.feasible, verdict.cluster))
    parts = [f"{verdict.cluster}: {_finding(verdict)}" for verdict in ordered[:NAMED_IN_MESSAGE]]
    if total > NAMED_IN_MESSAGE:
        parts.append(f"and {total - NAMED_IN_MESSAGE} more")
    return "; ".join(parts)


def _finding(verdict: Verdict) -> str:
    if verdict.reason is not None:
        return verdict.reason
    return "fits any number of members" if verdict.capacity is None else f"fits {_count(verdict.capacity, 'member')}"


def _lost(demand: Demand, decision: Decision) -> list[str]:
    """Whoever waits for the members of a lost cluster elsewhere has to know whether they will come, and when."""
    placed = {entry.cluster: entry for entry in decision.placement.clusters} if decision.placement else {}
    told = []
    for verdict in sorted([each for each in decision.verdicts if not each.ready and each.cluster in placed], key=_name):
        entry = placed[verdict.cluster]
        what = _count(entry.members, "member") if entry.members else "arbiter"
        verb = "stay" if entry.members > 1 else "stays"
        told.append(
            f"{verdict.cluster} is lost ({verdict.reason}); its {what} {verb} placed there: {_why(demand, decision, verdict)}."
        )
    return told


def _why(demand: Demand, decision: Decision, verdict: Verdict) -> str:
    if verdict.cluster in decision.unmoved:
        if decision.forbidden is not None:
            return f"the profile forbids to place them elsewhere ({decision.forbidden})"
        return "nobody else can take them"
    return demand.losses.spared.get(verdict.cluster, "it has just been lost")


def _names(names: Sequence[str]) -> str:
    return " or ".join(names)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
