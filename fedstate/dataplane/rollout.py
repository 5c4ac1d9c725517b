"""Which pod may be made anew next when the members' template has changed: one at a time, the primary last. Pure.

Between clusters the control plane takes turns: it hands a changed spec to one cluster after another. What changes without
it, as with a new version of the operator, which may come to all clusters at once, goes by the clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from fedstate.dataplane.holdings import OwnMember
from fedstate.dataplane.membership import MAX_LAG
from fedstate.dataplane.naming import ANNOTATION_REVISION
from fedstate.dataplane.setview import Probe, SetReading
from fedstate.kube.objects import annotations_of, deletion_timestamp_of, generation_of
from fedstate.mongo.replica import PRIMARY, SECONDARY, MemberState

SLOT, WINDOW = 60.0, 20.0
"""Seconds that the clock gives to each cluster, and those at their beginning in which a restart may be begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Delete this member's pod; its StatefulSet makes the new one."""

    member: OwnMember


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver:
    """Let another member become primary first."""

    member: OwnMember


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Pods are to be made anew, but not now."""

    message: str


RolloutStep = Restart | HandOver | Hold


def outdated(members: Sequence[OwnMember], revision: str) -> tuple[OwnMember, ...]:
    """The members whose pod is not what it would be if it were made now."""
    return tuple(member for member in members if member.pod is not None and member.revision != revision)


def is_turn(cluster: str, clusters: Iterable[str], now: datetime) -> bool:
    """Whether `cluster` may begin to restart a member of its own accord: never two clusters, even with clocks 40 s apart."""
    order = sorted(set(clusters))
    if cluster not in order or len(order) == 1:
        return True
    return 0 <= now.timestamp() % (SLOT * len(order)) - order.index(cluster) * SLOT < WINDOW


def next_rollout_step(
    members: Sequence[OwnMember], revision: str, reading: SetReading, *, our_turn: bool = True
) -> RolloutStep | None:
    """None when every pod is current. A pod that serves nobody is replaced at once; the others only while all members serve.

    Not to see a member is not to know that it serves nobody.
    """
    old = outdated(members, revision)
    if not old:
        return None
    unseen = [member.name for member in old if not _template_seen(member, revision)]
    if unseen:
        return Hold(message=f"StatefulSet {unseen[0]} has not taken in its new template yet")
    if any(deletion_timestamp_of(member.pod or {}) for member in members):
        return Hold(message="a pod is being replaced")
    useless = [member for member in old if _is_useless(member, members, reading)]
    if useless:
        return Restart(member=useless[0])
    hindrance = _hindrance(members, reading)
    if hindrance:
        return Hold(message=hindrance)
    if not our_turn:
        return Hold(message="pods are to be made anew when it is this cluster's turn, within minutes")
    order = sorted(old, key=lambda member: (_is_primary(member, reading), not member.arbiter, -member.ordinal))
    first = order[0]
    if _is_primary(first, reading) and _has_successor(first, reading):
        return HandOver(member=first)
    return Restart(member=first)


def _template_seen(member: OwnMember, revision: str) -> bool:
    stateful_set = member.stateful_set
    if stateful_set is None:
        return False
    template = (stateful_set.get("spec") or {}).get("template") or {}
    seen = int((stateful_set.get("status") or {}).get("observedGeneration") or 0)
    return annotations_of(template).get(ANNOTATION_REVISION) == revision and seen >= generation_of(stateful_set)


def _is_useless(member: OwnMember, members: Sequence[OwnMember], reading: SetReading) -> bool:
    """Known to serve nobody: it does not run, or itself or its set says so, or nobody says anything and it is the only one here."""
    if not member.running or reading.of(member.host).probe is Probe.EMPTY:
        return True
    state = _own_word(member, reading) or (reading.status.by_host(member.host) if reading.status is not None else None)
    if state is not None:
        return not state.serving
    return reading.status is not None or len(members) == 1


def _own_word(member: OwnMember, reading: SetReading) -> MemberState | None:
    """What the member says of itself, under whatever address its set knows it."""
    status = reading.of(member.host).status
    return status.myself if status is not None else None


def _hindrance(members: Sequence[OwnMember], reading: SetReading) -> str | None:
    status = reading.status
    if status is None or status.primary is None:
        return "the set has no primary"
    for state in status.members:
        if not state.serving:
            return f"member {state.host} is {state.state_name or 'down'}; nothing else is restarted until it serves"
        lag = status.lag(state.host)
        if state.state == SECONDARY and (lag is None or lag > MAX_LAG):
            return f"member {state.host} has not caught up"
    for member in members:
        if not member.running:
            return f"{member.name} does not run"
        # The primary believes in a member until its next heartbeat to it: one that has just been restarted seems to serve.
        word = _own_word(member, reading)
        if word is None or not word.serving:
            return f"{member.name} does not say of itself that it serves"
    return None


def _is_primary(member: OwnMember, reading: SetReading) -> bool:
    status, word = reading.status, _own_word(member, reading)
    if word is not None and word.state == PRIMARY:
        return True
    return status is not None and status.primary is not None and status.primary.host == member.host


def _has_successor(member: OwnMember, reading: SetReading) -> bool:
    config = reading.view.config
    word = _own_word(member, reading)
    own = {member.host, word.host if word is not None else member.host}
    others = [other for other in config.members if other.host not in own] if config is not None else []
    return any(other.votes > 0 and other.priority > 0 for other in others)
