"""A member cluster with a data plane that obeys the contract, and nothing else: processes are names, data is a flag.

Where the contract leaves an order open, `eager` takes the inconvenient one.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from fedstate.api.mongodb import MongoDB
from fedstate.api.replset import ReplsetPlan
from fedstate.kube.objects import KubeObject, labels_of
from tests.fed.replset import ReplicaSet


@dataclass
class Process:
    name: str
    ordinal: int
    host: str
    arbiter: bool
    revision: str
    up: bool = True


@dataclass
class Cell:
    name: str
    vip: str
    base_port: int
    alive: bool = True
    operator: bool = True
    mongodb: KubeObject | None = None
    hostconf: dict[str, str] | None = None
    processes: dict[str, Process] = field(default_factory=dict)
    holds: str = ""
    next_ordinal: int = 0
    decommissioned: bool = False
    followed: int = 0
    asked: int | None = None
    heartbeat: int = 0
    ever: list[str] = field(default_factory=list)
    revision: str = ""
    rolls: bool = True
    slow: bool = False
    blind: bool = False
    """Its operator cannot speak to the members, which run."""

    @property
    def managed(self) -> bool:
        return labels_of(self.mongodb or {}).get("karmada.io/managed") == "true"

    def plan(self) -> ReplsetPlan | None:
        return ReplsetPlan.from_json(self.hostconf["replset.json"]) if self.hostconf else None

    def step(self, replset: ReplicaSet) -> None:
        """One look of the data plane."""
        if not self.alive or not self.operator or self.mongodb is None:
            return
        self.heartbeat += 1
        if self.slow and self.heartbeat % 23:
            return
        spec = MongoDB.from_object(self.mongodb)
        stamp = spec.federation
        if not self.managed:
            if stamp is not None and stamp.decommission and self.decommissioned:
                self.mongodb, self.hostconf, self.decommissioned, self.followed = None, None, False, 0
            return
        if stamp is None or stamp.cluster != self.name or (self.holds and stamp.instance_uid != self.holds):
            return
        if stamp.decommission:
            self._clear(replset)
            return
        plan = self.plan()
        if plan is None or plan.generation < stamp.plan_generation:
            return
        self.decommissioned = False
        self.holds = stamp.instance_uid
        self.asked = spec.members
        self.revision = json.dumps([spec.image, spec.resources, spec.custom_config_ref, spec.pod_spec], sort_keys=True)
        self._run(spec, plan, replset)
        self._reconfigure(plan, replset)
        self.followed = stamp.plan_generation

    def _clear(self, replset: ReplicaSet) -> None:
        for process in self.processes.values():
            replset.stop(process.host)
        self.processes, self.holds, self.asked, self.decommissioned = {}, "", 0, True

    def _run(self, spec: MongoDB, plan: ReplsetPlan, replset: ReplicaSet) -> None:
        retiring = {gone.member for gone in plan.retiring if gone.cluster == self.name}
        for name in sorted(retiring & set(self.processes)):
            host = self.processes[name].host
            if not replset.has(host) and (replset.primary or not replset.config):
                replset.stop(host)
                del self.processes[name]
        staying = [process for name, process in self.processes.items() if name not in retiring]
        for arbiter, wanted in ((False, spec.members), (True, int(spec.arbiter))):
            for _ in range(wanted - sum(process.arbiter == arbiter for process in staying)):
                self._start(spec.name, arbiter, replset)

    def roll(self, replset: ReplicaSet) -> None:
        """One process after another, without a look at other clusters: their turns are the federation's to give."""
        if not (self.rolls and self.alive and self.operator and self.holds):
            return
        for process in self.processes.values():
            if not process.up:
                process.up, process.revision = True, self.revision
                replset.start(process.host)
                return
        for process in self.processes.values():
            if process.revision != self.revision:
                process.up = False
                replset.stop(process.host)
                return

    @property
    def at_rest(self) -> bool:
        return all(process.up and process.revision == self.revision for process in self.processes.values())

    def _start(self, instance: str, arbiter: bool, replset: ReplicaSet) -> None:
        name = f"{instance}-replset-{self.next_ordinal}"
        host = f"{self.vip}:{self.base_port + self.next_ordinal}"
        self.processes[name] = Process(name=name, ordinal=self.next_ordinal, host=host, arbiter=arbiter, revision=self.revision)
        self.next_ordinal += 1
        self.ever.append(name)
        replset.start(host)

    def _reconfigure(self, plan: ReplsetPlan, replset: ReplicaSet) -> None:
        own = {process.host for process in self.processes.values()}
        if not replset.config:
            first = next((member for member in plan.members if member.cluster == self.name and not member.arbiter_only), None)
            if plan.initiator == self.name and first is not None and first.host in own:
                replset.initiate(first)
            return
        if replset.primary in own:
            replset.towards(plan)

    def status(self, replset: ReplicaSet) -> dict[str, Any]:
        """What the data plane writes; empty before it has acted."""
        if not self.holds and not self.decommissioned:
            return {}
        stamp = ((self.mongodb or {}).get("spec") or {}).get("federation") or {}
        members = [
            {
                "name": process.name,
                "ordinal": process.ordinal,
                "host": process.host,
                "pod": f"{process.name}-0",
                "ready": process.up and not self.blind,
                "arbiter": process.arbiter,
                "role": "" if self.blind or not process.up else replset.role(process.host),
                "message": "no answer" if self.blind and process.up else "",
                "configured": replset.has(process.host),
                "revision": f"{self.name}-rev",
            }
            for process in self.processes.values()
        ]
        status: dict[str, Any] = {
            "state": "Running" if self.at_rest else "Reconciling",
            "members": members,
            "currentRevision": f"{self.name}-rev",
            "currentInfo": {"members": self.asked},
            "federation": {
                "cluster": self.name,
                "instanceUID": self.holds or stamp.get("instanceUID"),
                "planGeneration": self.followed,
            },
            "heartbeatTime": heartbeat_time(self.heartbeat),
            "decommissioned": self.decommissioned,
        }
        if replset.config and members:
            status["replicaSet"] = {"name": "x", "id": replset.id, "configVersion": replset.version, "configTerm": replset.term}
        if any(member["role"] == "PRIMARY" for member in members):
            status["replicaSet"]["committed"] = replset.committed
            status["replset"] = [{"name": m.host, "health": int(m.host in replset.up)} for m in replset.config]
        return json.loads(json.dumps(status))  # type: ignore[no-any-return]


def heartbeat_time(count: int) -> str:
    """A time that comes after that of every lower count."""
    return f"2036-01-01T{count // 3600:02}:{count // 60 % 60:02}:{count % 60:02}Z"
