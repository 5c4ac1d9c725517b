"""The member plan of a replica set: its shape, its JSON in the hostconf ConfigMap, and how one plan follows another.

Shared by the federation and by a data plane that stands alone. Says where the set has to go; knows nothing about how
a live configuration is taken there safely.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fedstate.api.naming import HOSTCONF_ARBITERS, HOSTCONF_DATAS, HOSTCONF_REPLSET
from fedstate.api.votes import Survival as Survival
from fedstate.api.votes import survivals as survivals
from fedstate.api.votes import vote_layout as vote_layout
from fedstate.errors import FedstateError

_JOINING_ROLES = frozenset({"STARTUP", "STARTUP2"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanMember:
    """One member as it has to be in the configuration; (`cluster`, `member`) tells whose process it is."""

    id: int
    host: str
    cluster: str
    member: str
    votes: int = 1
    priority: float = 1.0
    arbiter_only: bool = False
    hidden: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[str, str]:
        return self.cluster, self.member

    def to_object(self) -> dict[str, Any]:
        return {
            "_id": self.id,
            "host": self.host,
            "cluster": self.cluster,
            "member": self.member,
            "votes": self.votes,
            "priority": self.priority,
            "arbiterOnly": self.arbiter_only,
            "hidden": self.hidden,
            "tags": dict(self.tags),
        }

    @classmethod
    def from_object(cls, value: Mapping[str, Any]) -> "PlanMember":
        return cls(
            id=int(value["_id"]),
            host=str(value["host"]),
            cluster=str(value["cluster"]),
            member=str(value["member"]),
            votes=int(value.get("votes", 1)),
            priority=float(value.get("priority", 1)),
            arbiter_only=bool(value.get("arbiterOnly", False)),
            hidden=bool(value.get("hidden", False)),
            tags=dict(value.get("tags") or {}),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RetiringMember:
    """A member that has to leave the configuration; its process may stop once the live configuration lacks it."""

    host: str
    cluster: str
    member: str

    @property
    def identity(self) -> tuple[str, str]:
        return self.cluster, self.member


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplsetPlan:
    """The configuration to arrive at. `next_member_id` has never been an `_id` of this set; ids are never used again.

    `replica_set_id` is the server's own id of the set, known from its first configuration on: a set that has one is never
    initiated again, whatever else is lost.
    """

    replset_name: str
    generation: int
    initiator: str
    members: tuple[PlanMember, ...] = ()
    retiring: tuple[RetiringMember, ...] = ()
    next_member_id: int = 0
    replica_set_id: str = ""

    def to_object(self) -> dict[str, Any]:
        value: dict[str, Any] = {
            "replSetName": self.replset_name,
            "planGeneration": self.generation,
            "initiator": self.initiator,
            "members": [member.to_object() for member in self.members],
            "retiring": [{"host": gone.host, "cluster": gone.cluster, "member": gone.member} for gone in self.retiring],
            "nextMemberId": self.next_member_id,
        }
        return value | ({"replicaSetId": self.replica_set_id} if self.replica_set_id else {})

    def to_json(self) -> str:
        return json.dumps(self.to_object(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "ReplsetPlan":
        """The plan that `to_json` wrote; FedstateError if the text is none."""
        try:
            value = json.loads(text)
            members = tuple(PlanMember.from_object(member) for member in value["members"])
            highest = max((member.id for member in members), default=-1)
            return cls(
                replset_name=str(value["replSetName"]),
                generation=int(value["planGeneration"]),
                initiator=str(value["initiator"]),
                members=members,
                retiring=tuple(
                    RetiringMember(host=str(gone["host"]), cluster=str(gone["cluster"]), member=str(gone["member"]))
                    for gone in value.get("retiring") or ()
                ),
                next_member_id=max(int(value.get("nextMemberId", 0)), highest + 1),
                replica_set_id=str(value.get("replicaSetId") or ""),
            )
        except json.JSONDecodeError as error:
            raise FedstateError(f"{HOSTCONF_REPLSET} holds no member plan: it is not JSON ({error})") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise FedstateError(f"{HOSTCONF_REPLSET} holds no member plan: {what}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedMember:
    """A member as its cluster's data plane reports it; `host` is empty until its address is known."""

    cluster: str
    member: str
    ordinal: int
    host: str
    ready: bool
    role: str
    arbiter: bool = False

    @property
    def identity(self) -> tuple[str, str]:
        return self.cluster, self.member

    @property
    def joining(self) -> bool:
        """Running, but without the data yet; a member that is down is not joining."""
        return not self.arbiter and (self.role in _JOINING_ROLES or (self.ready and not self.role))


def member_host(vip: str, port: int) -> str:
    """`VIP:port` as MongoDB writes it: an IPv6 address goes into brackets."""
    return f"[{vip}]:{port}" if ":" in vip else f"{vip}:{port}"


def hostconf_data(plan: ReplsetPlan) -> dict[str, str]:
    """The data of the hostconf ConfigMap: the plan, and the announcement's two lists of `host:'VIP:port'` lines."""
    return {
        HOSTCONF_DATAS: "\n".join(f"host:'{member.host}'" for member in plan.members if not member.arbiter_only),
        HOSTCONF_ARBITERS: "\n".join(f"host:'{member.host}'" for member in plan.members if member.arbiter_only),
        HOSTCONF_REPLSET: plan.to_json(),
    }


def compose_plan(
    *,
    previous: ReplsetPlan | None,
    replset_name: str,
    wanted: Mapping[str, int],
    arbiter_cluster: str | None,
    reported: Sequence[ReportedMember],
    primary_host: str | None,
    initiator: str,
    fading: frozenset[str] = frozenset(),
) -> ReplsetPlan:
    """The plan that follows `previous`: `wanted` data members per cluster, and an arbiter in `arbiter_cluster`.

    Reported members join with `_id`s never used before; planned ones stay, at the address they report now. Members
    leave only when every cluster has at least what it is wanted to have and nobody who stays is still joining; then
    those that are down go first, the highest ordinal next, the primary last. A member that left is listed as retiring
    for as long as it is reported. The generation rises only if anything changed. The caller keeps `initiator` stable.
    Members of `fading` clusters, lost ones on their way out, have votes only as long as nobody is planned in their place.
    """
    change = _Composition(previous, wanted, arbiter_cluster, reported, primary_host)
    change.retire_arbiters()
    change.add()
    change.shrink()
    plan = ReplsetPlan(
        replset_name=replset_name,
        generation=previous.generation if previous else 0,
        initiator=initiator,
        members=_with_votes(change.members, change.faded(fading)),
        retiring=tuple(change.retiring),
        next_member_id=change.next_id,
        replica_set_id=previous.replica_set_id if previous else "",
    )
    return plan if plan == previous else replace(plan, generation=plan.generation + 1)


class _Composition:
    """One run of compose_plan: the lists under change, and what was reported, by identity."""

    def __init__(
        self,
        previous: ReplsetPlan | None,
        wanted: Mapping[str, int],
        arbiter_cluster: str | None,
        reported: Sequence[ReportedMember],
        primary_host: str | None,
    ) -> None:
        self.wanted = wanted
        self.arbiter_cluster = arbiter_cluster
        self.primary_host = primary_host
        self.reported = {
            member.identity: member for member in sorted(reported, key=lambda member: (member.cluster, member.ordinal))
        }
        self.reporting = {member.cluster for member in reported}
        self.members = [self._at_reported_host(member) for member in (previous.members if previous else ())]
        self.retiring = [gone for gone in (previous.retiring if previous else ()) if gone.identity in self.reported]
        self.next_id = previous.next_member_id if previous else 0
        self.added: set[tuple[str, str]] = set()

    def _at_reported_host(self, member: PlanMember) -> PlanMember:
        now = self.reported.get(member.identity)
        return replace(member, host=now.host) if now and now.host and now.host != member.host else member

    def _missing(self, member: PlanMember) -> bool:
        """Planned, and its cluster reports, but not this member: it is lost, and counts for nothing."""
        return member.identity not in self.reported and member.cluster in self.reporting

    def _data(self, cluster: str) -> list[PlanMember]:
        return [member for member in self.members if member.cluster == cluster and not member.arbiter_only]

    def _present(self, cluster: str) -> int:
        return sum(not self._missing(member) for member in self._data(cluster))

    def _retire(self, members: Iterable[PlanMember]) -> None:
        for member in members:
            self.members.remove(member)
            self.retiring.append(RetiringMember(host=member.host, cluster=member.cluster, member=member.member))

    def retire_arbiters(self) -> None:
        """A set has at most one arbiter, and it holds no data: the old one goes before a new one comes."""
        self._retire([m for m in self.members if m.arbiter_only and (m.cluster != self.arbiter_cluster or self._missing(m))])

    def add(self) -> None:
        """Reported members join where one is wanted; those nobody wants retire before they ever joined."""
        known = {member.identity for member in self.members} | {gone.identity for gone in self.retiring}
        for member in self.reported.values():
            if member.identity in known or not member.host:
                continue
            if self._is_wanted(member):
                self._join(member)
            else:
                self.retiring.append(RetiringMember(host=member.host, cluster=member.cluster, member=member.member))

    def _is_wanted(self, member: ReportedMember) -> bool:
        if member.arbiter:
            return member.cluster == self.arbiter_cluster and not any(planned.arbiter_only for planned in self.members)
        return self._present(member.cluster) < self.wanted.get(member.cluster, 0)

    def _join(self, member: ReportedMember) -> None:
        self.members.append(
            PlanMember(
                id=self.next_id,
                host=member.host,
                cluster=member.cluster,
                member=member.member,
                arbiter_only=member.arbiter,
                tags={} if member.arbiter else {"cluster": member.cluster},
            )
        )
        self.next_id += 1
        self.added.add(member.identity)

    def shrink(self) -> None:
        if any(self._present(cluster) < count for cluster, count in self.wanted.items()):
            return
        victims: list[PlanMember] = []
        for cluster in sorted({member.cluster for member in self.members}):
            data = self._data(cluster)
            surplus = max(0, len(data) - self.wanted.get(cluster, 0))
            victims += sorted(data, key=self._reluctance)[:surplus]
        leaving = {victim.identity for victim in victims}
        if not any(self._joining(member) for member in self.members if member.identity not in leaving):
            self._retire(victims)

    def faded(self, fading: frozenset[str]) -> frozenset[tuple[str, str]]:
        """The data members of `fading` clusters that have a successor, the youngest first."""
        dying = [member for member in self.members if member.cluster in fading and not member.arbiter_only]
        staying = sum(member.cluster not in fading and not member.arbiter_only for member in self.members)
        wanted = sum(count for cluster, count in self.wanted.items() if cluster not in fading)
        needed = max(0, wanted - staying)
        return frozenset(member.identity for member in sorted(dying, key=lambda member: member.id)[needed:])

    def _joining(self, member: PlanMember) -> bool:
        now = self.reported.get(member.identity)
        return member.identity in self.added or (now is not None and now.joining)

    def _reluctance(self, member: PlanMember) -> tuple[bool, bool, bool, int, int]:
        """How unwilling to let a member go: the primary most, then those that are up, then the lowest ordinals."""
        now = self.reported.get(member.identity)
        up = now is not None and now.ready
        ordinal = now.ordinal if now is not None else member.id
        return member.host == self.primary_host, not self._missing(member), up, -ordinal, -member.id


def _with_votes(members: Sequence[PlanMember], voteless: frozenset[tuple[str, str]]) -> tuple[PlanMember, ...]:
    """`members` with votes by the vote layout, within a cluster to the oldest; no vote means no priority either."""
    data: dict[str, int] = {}
    for member in members:
        if not member.arbiter_only and member.identity not in voteless:
            data[member.cluster] = data.get(member.cluster, 0) + 1
    left = vote_layout(data, next((member.cluster for member in members if member.arbiter_only), None))
    result: list[PlanMember] = []
    for member in sorted(members, key=lambda member: member.id):
        if member.arbiter_only:
            result.append(replace(member, votes=1, priority=0.0))
            continue
        votes = 1 if member.identity not in voteless and left[member.cluster] > 0 else 0
        if votes:
            left[member.cluster] -= 1
        result.append(replace(member, votes=votes, priority=float(votes)))
    return tuple(result)
