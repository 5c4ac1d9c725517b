"""A replica set that keeps MongoDB's rules: one change at a time, by a primary, with a majority; a member joins without a vote."""

from dataclasses import dataclass
from typing import Any

from fedstate.api.replset import PlanMember, ReplsetPlan
from fedstate.fed.observed import ReplsetView
from fedstate.mongo.replica import SetConfig, SetStatus

_STATES = {"PRIMARY": 1, "SECONDARY": 2, "STARTUP2": 5, "ARBITER": 7, "DOWN": 8}


@dataclass
class Live:
    id: int
    host: str
    votes: int
    priority: float
    arbiter: bool
    synced: bool


class ReplicaSet:
    def __init__(self) -> None:
        self.config: list[Live] = []
        self.up: set[str] = set()
        self.primary = ""
        self.committed = True  # a majority of the voters holds the configuration
        self.version = 0
        self.term = 0
        self.id = ""
        self.initiated = 0
        self.owners: dict[int, str] = {}
        self.fewest_data = 10**6

    def has(self, host: str) -> bool:
        return any(member.host == host for member in self.config)

    def start(self, host: str) -> None:
        self.up.add(host)

    def stop(self, host: str) -> None:
        self.up.discard(host)

    def initiate(self, first: PlanMember) -> None:
        self.initiated += 1
        self.id = f"set-{self.initiated}"
        self.config = [Live(first.id, first.host, 1, 1.0, False, True)]
        self.owners = {first.id: first.host}
        self.primary, self.version, self.term = first.host, 1, 1

    def role(self, host: str) -> str:
        member = next((member for member in self.config if member.host == host), None)
        if host not in self.up:
            return "DOWN"
        if member is None:
            return ""
        if member.host == self.primary:
            return "PRIMARY"
        if member.arbiter:
            return "ARBITER"
        return "SECONDARY" if member.synced else "STARTUP2"

    def _majority_up(self, config: list[Live]) -> bool:
        voters = [member for member in config if member.votes]
        return sum(member.host in self.up for member in voters) * 2 > len(voters)

    def tick(self) -> None:
        """Elections and initial syncs."""
        if not self.config:
            return
        if self.primary and (self.primary not in self.up or not self.has(self.primary) or not self._majority_up(self.config)):
            self.primary = ""
        if not self.primary and self._majority_up(self.config):
            able = [m for m in self.config if m.host in self.up and m.votes and m.synced and not m.arbiter and m.priority > 0]
            if able:
                self.primary = min(able, key=lambda member: member.id).host
                self.term += 1
        for member in self.config:
            if self.primary and member.host in self.up:
                member.synced = True

    def towards(self, plan: ReplsetPlan) -> None:
        """At most one step, by the primary's own operator: add, give a vote, take a vote, remove; it steps down to remove itself."""
        if not self._majority_up(self.config):
            return
        for step in (self._add, self._vote, self._remove):
            if step(plan):
                self.version += 1
                self.fewest_data = min(self.fewest_data, sum(not member.arbiter for member in self.config))
                return

    def _add(self, plan: ReplsetPlan) -> bool:
        for member in plan.members:
            if not self.has(member.host) and member.host in self.up:
                assert self.owners.setdefault(member.id, member.host) == member.host, f"_id {member.id} was used before"
                self.config.append(Live(member.id, member.host, 0, 0.0, member.arbiter_only, False))
                return True
        return False

    def _vote(self, plan: ReplsetPlan) -> bool:
        wanted = {member.host: member for member in plan.members}
        pairs = [(live, wanted[live.host]) for live in self.config if live.host in wanted]
        newcomers = any(live.synced and not live.votes and member.votes for live, member in pairs)

        def turn(pair: tuple[Live, PlanMember]) -> int:
            """A vote of a member that is down goes to a newcomer, so it is taken first; else votes are given before any is taken."""
            live, member = pair
            return 0 if newcomers and not member.votes and live.host not in self.up else 1 if member.votes else 2

        for live, member in sorted(pairs, key=turn):
            if live.votes == member.votes or not live.synced or (live.host == self.primary and not member.votes):
                continue
            if member.votes and sum(other.votes for other in self.config) >= 7:
                continue
            before, live.votes = live.votes, member.votes
            if self._majority_up(self.config):
                live.priority = member.priority
                return True
            live.votes = before
        return False

    def _remove(self, plan: ReplsetPlan) -> bool:
        retiring = {gone.host for gone in plan.retiring}
        for live in sorted(self.config, key=lambda live: live.host in self.up):
            if live.host not in retiring:
                continue
            rest = [member for member in self.config if member is not live]
            if not self._majority_up(rest):
                continue
            if live.host == self.primary:
                able = [
                    m for m in rest if m.host in self.up and m.synced and m.votes and not m.arbiter and m.host not in retiring
                ]
                if not able:
                    continue
                self.primary, self.term = able[0].host, self.term + 1
                return True
            self.config = rest
            return True
        return False

    def view(self) -> ReplsetView | None:
        """What replSetGetStatus and replSetGetConfig of a member that is up would say."""
        if not any(member.host in self.up for member in self.config):
            return None
        members = [self._member(member) for member in self.config]
        status = SetStatus.from_document({"set": "x", "myState": 1, "term": self.term, "members": members})
        config = SetConfig.from_document(
            {
                "_id": "x",
                "version": self.version,
                "term": self.term,
                "settings": {"replicaSetId": self.id},
                "members": [
                    {"_id": m.id, "host": m.host, "votes": m.votes, "priority": m.priority, "arbiterOnly": m.arbiter}
                    for m in self.config
                ],
            }
        )
        return ReplsetView(status=status, config=config, committed=self.committed if self.primary else None)

    def _member(self, member: Live) -> dict[str, Any]:
        role = self.role(member.host)
        return {
            "_id": member.id,
            "name": member.host,
            "state": _STATES[role],
            "stateStr": "(not reachable/healthy)" if role == "DOWN" else role,
            "health": 0 if role == "DOWN" else 1,
        }
