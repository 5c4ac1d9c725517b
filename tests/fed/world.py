"""A control plane with Karmada, member clusters and a replica set, in memory; `World.settle` runs it until nothing happens any more.

Karmada here does the verified things, the unpleasant ones included: an inert template without a rule, stale status of dead clusters.
"""

import copy
import json
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from fedstate.api.karmada import CLUSTERS, OVERRIDE_POLICIES, PROPAGATION_POLICIES, RESOURCE_BINDINGS
from fedstate.api.naming import LABEL_COMPONENT, MONGODBS, MULTI_CLOUD_MONGODBS
from fedstate.fed.cleanup import cleanup_name
from fedstate.fed.look import Surroundings, look, parse
from fedstate.fed.members import pull_secret_name
from fedstate.fed.observed import Karmada, Observed, References
from fedstate.fed.outcome import FederationPlan
from fedstate.fed.plan import plan_for
from fedstate.fed.policies import clusters_of, preserves
from fedstate.fed.status import is_reported, status_for
from fedstate.kube.objects import Key, KubeObject, name_of
from fedstate.kube.resources import CONFIG_MAPS, SECRETS
from tests.fed.cell import Cell
from tests.fed.replset import ReplicaSet
from tests.fed.store import Refused, Store

NAMESPACE, NAME = "db", "x"
START = datetime(2026, 1, 1, tzinfo=UTC)
TICK = timedelta(seconds=5)


class Crash(Exception):
    """The operator dies here."""


class World:
    def __init__(self, clusters: Mapping[str, str], *, plan_first: bool = True) -> None:
        self.store = Store()
        self.now = self.store.now = START
        self.cells = {
            name: Cell(name=name, vip=vip, base_port=30000 + 100 * index) for index, (name, vip) in enumerate(clusters.items())
        }
        self.replset = ReplicaSet()
        self.works: dict[str, KubeObject] = {}
        self.plan_first = plan_first
        self.references = References()
        self.random = random.Random(7)
        self.actions_done = 0
        self.crash_after: int | None = None
        self.last: FederationPlan | None = None
        self.watchers: list[Callable[[], None]] = []
        self.sees_replset = True
        self.passes = 1
        """So many reconciles for each look that Karmada takes at what they wrote."""
        for name in clusters:
            self.set_cluster(name)

    # --- what people do ---

    def set_cluster(self, name: str, *, ready: bool = True) -> None:
        self.cells[name].alive = ready
        reason = "ClusterReady" if ready else "ClusterNotReachable"
        condition = {"type": "Ready", "status": "True" if ready else "False", "reason": reason}
        obj = {
            "metadata": {"name": name, "labels": {"vip": self.cells[name].vip}},
            "spec": {"syncMode": "Push"},
            "status": {"conditions": [condition]},
        }
        self.store.put(CLUSTERS, obj)
        if not ready:
            for process in self.cells[name].processes.values():
                self.replset.stop(process.host)
        else:
            for process in self.cells[name].processes.values():
                self.replset.start(process.host)

    def create(self, replicaset: int, placement: Mapping[str, int] | None, arbiter: str | None = None, **spec: Any) -> None:
        raw: KubeObject = {
            "apiVersion": "middleware.fedstate.io/v1alpha1",
            "kind": "MultiCloudMongoDB",
            "metadata": {"name": NAME, "namespace": NAMESPACE, "annotations": {}},
            "spec": {"replicaset": replicaset, **spec},
        }
        self.store.put(MULTI_CLOUD_MONGODBS, raw)
        if placement is not None:
            self.place(placement, arbiter)

    def place(self, placement: Mapping[str, int], arbiter: str | None = None) -> None:
        raw = self.instance()
        entries: list[dict[str, Any]] = [{"cluster": cluster, "replicaset": count} for cluster, count in placement.items()]
        for entry in entries:
            if entry["cluster"] == arbiter:
                entry["arbiter"] = True
        raw["metadata"]["annotations"]["schedulerResult"] = json.dumps({"ClusterWithReplicaset": entries}, separators=(",", ":"))
        raw["spec"]["replicaset"] = sum(placement.values())
        self.store.put(MULTI_CLOUD_MONGODBS, raw)

    def delete(self) -> None:
        self.store.delete(MULTI_CLOUD_MONGODBS, NAME)

    def instance(self) -> KubeObject:
        raw = self.store.get(MULTI_CLOUD_MONGODBS, NAME)
        assert raw is not None
        return raw

    @property
    def exists(self) -> bool:
        return self.store.get(MULTI_CLOUD_MONGODBS, NAME) is not None

    @property
    def status(self) -> dict[str, Any]:
        return self.instance().get("status") or {}

    def condition(self, type_: str) -> dict[str, Any]:
        return next(entry for entry in self.status["conditions"] if entry["type"] == type_)

    # --- the operator ---

    def observe(self) -> Observed:
        maps = [obj for (plural, _), obj in self.store.objects.items() if plural == CONFIG_MAPS.plural]
        configs = {name_of(obj): obj for obj in maps if obj["metadata"]["labels"][LABEL_COMPONENT] == "config"}
        objects = Karmada(
            auth=self.store.get(SECRETS, f"{NAME}-auth"),
            pull_secret=self.store.get(SECRETS, pull_secret_name(NAME)),
            override=self.store.get(OVERRIDE_POLICIES, NAME),
            propagation=self.store.get(PROPAGATION_POLICIES, NAME),
            template=self.store.get(MONGODBS, NAME),
            binding=self.store.get(RESOURCE_BINDINGS, f"{NAME}-mongodb"),
            hostconf=self.store.get(CONFIG_MAPS, f"{NAME}-hostconf"),
            cleanup=self.store.get(CONFIG_MAPS, cleanup_name(NAME)),
            configs=configs,
        )
        around = Surroundings(
            clusters={name: cluster for name in self.cells if (cluster := self.store.get(CLUSTERS, name)) is not None},
            now=self.now,
            silent=frozenset(name for name, cell in self.cells.items() if not cell.operator),
            references=self.references,
            view=self.replset.view() if self.sees_replset else None,
            works_follow=not any(preserves(work) for work in self.works.values()),
        )
        return look(Key(NAMESPACE, NAME), parse(self.store.get(MULTI_CLOUD_MONGODBS, NAME)), objects, around)

    def operate(self) -> bool:
        """One reconcile; whether it wrote anything."""
        observed = self.observe()
        plan = self.last = plan_for(observed, self.random.randbytes)
        for action in plan.actions:
            if self.crash_after is not None and self.actions_done >= self.crash_after:
                raise Crash
            try:
                self.store.do(action)
            except Refused:
                return True
            self.actions_done += 1
        if observed.raw is None or not self.exists:
            return bool(plan.actions)
        return self._report(observed, plan) or bool(plan.actions)

    def _report(self, observed: Observed, plan: FederationPlan) -> bool:
        status = status_for(observed, plan)
        raw = self.instance()
        if is_reported(raw, status):
            return False
        raw["status"] = json.loads(json.dumps(status))
        self.store.put(MULTI_CLOUD_MONGODBS, raw)
        return True

    # --- Karmada ---

    def karmada(self) -> None:
        template, policy = self.store.get(MONGODBS, NAME), self.store.get(PROPAGATION_POLICIES, NAME)
        override = self.store.get(OVERRIDE_POLICIES, NAME)
        if template is not None and policy is not None and override is not None:
            self._override(template, policy, override)
            self._bind(template, policy, override)
        if template is None and self.store.get(RESOURCE_BINDINGS, f"{NAME}-mongodb") is not None:
            self.store.delete(RESOURCE_BINDINGS, f"{NAME}-mongodb")
        binding = self.store.get(RESOURCE_BINDINGS, f"{NAME}-mongodb")
        bound = {target["name"] for target in binding["spec"]["clusters"]} if binding is not None else set()
        for name in sorted(set(self.works) - bound):
            self._unwork(name)
        if binding is not None:
            self._collect(binding)

    def _override(self, template: KubeObject, policy: KubeObject, override: KubeObject) -> None:
        """A changed OverridePolicy reaches every cluster of the binding, though a changed policy may be about to take some out."""
        binding = self.store.get(RESOURCE_BINDINGS, f"{NAME}-mongodb")
        for target in binding["spec"]["clusters"] if binding is not None else ():
            if self.store.get(CLUSTERS, target["name"]) is not None and self.cells[target["name"]].alive:
                self._deliver(self.cells[target["name"]], _rendered(template, override, target["name"]), policy)

    def _bind(self, template: KubeObject, policy: KubeObject, override: KubeObject) -> None:
        known = [name for name in clusters_of(policy) if self.store.get(CLUSTERS, name) is not None]
        before = self.store.get(RESOURCE_BINDINGS, f"{NAME}-mongodb")
        spec = {"clusters": [{"name": name} for name in known], "preserveResourcesOnDeletion": preserves(policy)}
        if before is None or before["spec"] != spec:
            binding = before or {"metadata": {"name": f"{NAME}-mongodb"}}
            self.store.put(RESOURCE_BINDINGS, {**binding, "spec": spec})
        for name in known:
            manifest = _rendered(template, override, name)
            self.works[name] = {"spec": {"preserveResourcesOnDeletion": preserves(policy), "manifest": manifest}}
            if self.cells[name].alive:
                self._deliver(self.cells[name], manifest, policy)

    def _deliver(self, cell: Cell, manifest: KubeObject, policy: KubeObject) -> None:
        """Two Works, in either order, the second one a moment later."""
        plan = self.store.get(CONFIG_MAPS, f"{NAME}-hostconf")
        selected = any(s["name"] == f"{NAME}-hostconf" for s in policy["spec"]["resourceSelectors"])
        deliveries: list[Callable[[], None]] = [lambda: setattr(cell, "mongodb", manifest)]
        if plan is not None and selected:
            deliveries.insert(0 if self.plan_first else 1, lambda: setattr(cell, "hostconf", plan["data"]))
        for deliver in deliveries:
            deliver()
            cell.step(self.replset)

    def _unwork(self, name: str) -> None:
        cell = self.cells[name]
        if not cell.alive:
            return
        work = self.works.pop(name)
        if cell.mongodb is None:
            return
        if preserves(work):
            cell.mongodb["metadata"]["labels"] = {}
        else:
            for process in cell.processes.values():
                self.replset.stop(process.host)
            cell.mongodb, cell.hostconf, cell.processes, cell.holds, cell.decommissioned = None, None, {}, "", False

    def _collect(self, binding: KubeObject) -> None:
        items = {item["clusterName"]: item for item in (binding.get("status") or {}).get("aggregatedStatus") or ()}
        result = []
        for target in binding["spec"]["clusters"]:
            name = target["name"]
            if self.cells[name].alive:
                items[name] = {"clusterName": name, "applied": True, "status": self.cells[name].status(self.replset)}
            if name in items:
                result.append(items[name])
        status = {"aggregatedStatus": result}
        if binding.get("status") != status:
            self.store.put(RESOURCE_BINDINGS, {**binding, "status": status})

    # --- time ---

    def tick(self) -> bool:
        """One round of everybody; whether the operator wrote."""
        self.now += TICK
        self.store.now = self.now
        wrote = False
        for _ in range(self.passes):
            wrote = self.operate() or wrote
        self.karmada()
        for cell in self.cells.values():
            cell.step(self.replset)
            cell.roll(self.replset)
        self.replset.tick()
        self.karmada()
        for watch in self.watchers:
            watch()
        return wrote

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            self.tick()

    def settle(self, limit: int = 120) -> None:
        """Until the operator has written nothing for three rounds."""
        quiet = 0
        for _ in range(limit):
            quiet = 0 if self.tick() else quiet + 1
            if quiet >= 3:
                return
        waiting = self.last.waiting if self.last is not None else ()
        raise AssertionError(f"not settled after {limit} rounds; waiting for {waiting}")


def _rendered(template: KubeObject, override: KubeObject, cluster: str) -> KubeObject:
    """The template as one cluster gets it; an unknown path in a "replace" would keep the old object, as Karmada does."""
    manifest = copy.deepcopy({key: value for key, value in template.items() if key != "status"})
    manifest["metadata"].setdefault("labels", {})["karmada.io/managed"] = "true"
    for rule in override["spec"]["overrideRules"]:
        if cluster not in rule["targetCluster"]["clusterNames"]:
            continue
        for patch in rule["overriders"]["plaintext"]:
            *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in patch["path"].split("/")[1:]]
            target = manifest
            for part in parents:
                target = target[part]
            assert patch["operator"] == "add" or last in target, f"{patch['path']} is not in the template"
            target[last] = copy.deepcopy(patch["value"])
    return manifest
