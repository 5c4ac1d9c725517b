"""What may be done about a set of which no primary is known: begin it, once, or wait and say why. Pure."""

from __future__ import annotations

from fedstate.api.replset import ReplsetPlan
from fedstate.dataplane.setview import Probe, SetView
from fedstate.dataplane.steps import Initiate, Step, Wait


def step_without_primary(view: SetView, plan: ReplsetPlan, own_cluster: str) -> Step:
    """Initiate only where nobody has a configuration, nobody ever had one, and this cluster is the initiator."""
    if any(probe is Probe.SAME_SET for probe in view.probes.values()):
        return Wait(reason="NoPrimary", message="members have a configuration but none of them is primary")
    if view.initialized_before:
        reachable = [probe for probe in view.probes.values() if probe is not Probe.UNREACHABLE]
        if reachable and all(probe is Probe.EMPTY for probe in reachable):
            message = (
                "the set was initiated before, but every member that answers has lost its data; it will not be initiated again"
            )
            return Wait(reason="RecoveryRequired", message=message)
        mute = ", ".join(sorted(host for host, probe in view.probes.items() if probe is Probe.UNREACHABLE))
        silence = f"; no answer from {mute}" if mute else ""
        return Wait(reason="NoPrimary", message=f"no member that answers knows a primary{silence}")
    if plan.initiator != own_cluster:
        return Wait(reason="NotInitiator", message=f"cluster {plan.initiator} initiates the set")
    return _initiation(view, plan, own_cluster)


def _initiation(view: SetView, plan: ReplsetPlan, own_cluster: str) -> Step:
    foreign = sorted(host for host, probe in view.probes.items() if probe is Probe.FOREIGN)
    if foreign:
        return Wait(reason="ForeignMember", message=f"{foreign[0]} belongs to another replica set")
    candidates = [m for m in plan.members if m.cluster == own_cluster and not m.arbiter_only]
    for member in sorted(candidates, key=lambda m: (m.votes == 0 or m.priority == 0, m.id)):
        if view.probes.get(member.host) is Probe.EMPTY:
            return Initiate(member=member)
    if any(view.probes.get(member.host) is Probe.REFUSED for member in candidates):
        return Wait(
            reason="SignInRefused", message=f"no planned member of cluster {own_cluster} accepts the keyfile of the instance"
        )
    return Wait(reason="MembersNotReachable", message=f"no planned member of cluster {own_cluster} answers yet")
