"""What the scheduler knows of the member clusters, read once per change of a Cluster object and immutable from then on.

Owns the arithmetic of resources: amounts, what is free, how many members fit. Knows no rule and no instance.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from fedstate.api import karmada
from fedstate.kube.objects import KubeObject, deletion_timestamp_of, labels_of, name_of, parse_time
from fedstate.kube.resources import Resource
from fedstate.scheduler.amounts import Amounts, amounts_of

FIRST_REPORT_WITHIN = timedelta(seconds=60)
"""How long a cluster that has joined is waited for before it counts as one that does not report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSnapshot:
    """One member cluster. `free` and `allocatable` are None if Karmada does not collect the cluster's resources."""

    name: str
    ready: bool
    ready_reason: str
    deleting: bool
    labels: Mapping[str, str]
    taints: tuple[Mapping[str, str], ...]
    vip: str | None
    vip_problem: str | None
    kinds: frozenset[tuple[str, str]]
    kinds_complete: bool
    provider: str
    region: str
    zones: tuple[str, ...]
    allocatable: Amounts | None
    free: Amounts | None
    created: datetime | None

    def expected_by(self, now: datetime) -> bool:
        """Whether the cluster has just joined and may report for the first time any moment."""
        if self.ready or self.ready_reason != karmada.NEVER_REPORTED or self.created is None:
            return False
        return now - self.created < FIRST_REPORT_WITHIN

    def serves(self, resource: Resource) -> bool | None:
        """None while it is not known."""
        if (resource.api_version, resource.kind) in self.kinds:
            return True
        return False if self.kinds_complete else None


def snapshot_of(cluster: KubeObject) -> ClusterSnapshot:
    """Reads what may be wrong without failing: a cluster with unreadable resources is one whose resources are unknown."""
    ready, reason = karmada.cluster_ready(cluster)
    vip = karmada.vip_of(cluster)
    kinds, complete = karmada.served_kinds(cluster)
    allocatable, free = _resources(cluster)
    return ClusterSnapshot(
        name=name_of(cluster),
        ready=ready,
        ready_reason=reason,
        deleting=deletion_timestamp_of(cluster) is not None,
        labels=labels_of(cluster),
        taints=karmada.taints_of(cluster),
        vip=karmada.canonical_vip(vip) if vip else None,
        vip_problem=karmada.vip_problem(vip) if vip else None,
        kinds=kinds,
        kinds_complete=complete,
        provider=karmada.provider_of(cluster),
        region=karmada.region_of(cluster),
        zones=karmada.zones_of(cluster),
        allocatable=allocatable,
        free=free,
        created=_created(cluster),
    )


def _created(cluster: KubeObject) -> datetime | None:
    try:
        return parse_time(str(cluster["metadata"]["creationTimestamp"]))
    except (KeyError, ValueError):
        return None


def _resources(cluster: KubeObject) -> tuple[Amounts | None, Amounts | None]:
    if karmada.resource_summary_of(cluster) is None:
        return None, None
    try:
        allocatable = amounts_of(karmada.allocatable(cluster))
        used = [amounts_of(karmada.allocated(cluster)), amounts_of(karmada.allocating(cluster))]
    except ValueError:
        return None, None
    return allocatable, {name: amount - sum(part.get(name, 0) for part in used) for name, amount in allocatable.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetChange:
    """What has changed since it was last asked for. `members`: clusters came or went, so that everything is new."""

    members: bool
    verdicts: frozenset[str]
    """Clusters of which something has changed that filters may read."""
    resources: frozenset[str]


NO_CHANGE = FleetChange(members=False, verdicts=frozenset(), resources=frozenset())


class Fleet:
    """All member clusters as snapshots, kept up to date by the caller object by object."""

    def __init__(self) -> None:
        self._clusters: dict[str, ClusterSnapshot] = {}
        self._ordered: tuple[ClusterSnapshot, ...] | None = ()
        self._owners: dict[str, tuple[str, ...]] = {}
        self._silent: dict[str, None] = {}
        self._members_changed = True
        self._verdicts: set[str] = set()
        self._resources: set[str] = set()

    def put(self, cluster: KubeObject) -> bool:
        """Takes the cluster in; whether anything the scheduler reads has changed."""
        return self.put_snapshot(snapshot_of(cluster))

    def put_snapshot(self, snapshot: ClusterSnapshot) -> bool:
        before = self._clusters.get(snapshot.name)
        if before == snapshot:
            return False
        self._clusters[snapshot.name] = snapshot
        self._ordered = None
        self._silent.pop(snapshot.name, None)
        if snapshot.ready_reason == karmada.NEVER_REPORTED:
            self._silent[snapshot.name] = None
        self._resources.add(snapshot.name)
        if before is None:
            self._members_changed = True
        elif replace(before, free=snapshot.free, allocatable=snapshot.allocatable) != snapshot or (before.free is None) != (
            snapshot.free is None
        ):
            self._verdicts.add(snapshot.name)
        self._take_address(snapshot.name, before.vip if before else None, snapshot.vip)
        return True

    def remove(self, name: str) -> None:
        before = self._clusters.pop(name, None)
        if before is not None:
            self._ordered = None
            self._silent.pop(name, None)
            self._members_changed = True
            self._take_address(name, before.vip, None)

    def get(self, name: str) -> ClusterSnapshot | None:
        return self._clusters.get(name)

    def take_changes(self) -> FleetChange:
        """For the one that keeps its own copy of the fleet; the same change is told once."""
        if not (self._members_changed or self._verdicts or self._resources):
            return NO_CHANGE
        change = FleetChange(
            members=self._members_changed, verdicts=frozenset(self._verdicts), resources=frozenset(self._resources)
        )
        self._members_changed = False
        self._verdicts.clear()
        self._resources.clear()
        return change

    def expected(self, now: datetime) -> frozenset[str]:
        """The clusters that have just joined and may report for the first time any moment."""
        if not self._silent:
            return frozenset()
        return frozenset(name for name in self._silent if self._clusters[name].expected_by(now))

    @property
    def clusters(self) -> tuple[ClusterSnapshot, ...]:
        """In the order of their names."""
        if self._ordered is None:
            self._ordered = tuple(self._clusters[name] for name in sorted(self._clusters))
        return self._ordered

    @property
    def vip_owners(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the clusters under each VIP, in order; more than one is a mistake."""
        return self._owners

    def _take_address(self, name: str, before: str | None, after: str | None) -> None:
        """Whoever shares or shared the address is judged anew."""
        if before == after:
            return
        if before is not None:
            left = tuple(other for other in self._owners.pop(before, ()) if other != name)
            if left:
                self._owners[before] = left
                self._verdicts.update(left)
        if after is not None:
            owners = tuple(sorted({*self._owners.get(after, ()), name}))
            self._owners[after] = owners
            self._verdicts.update(owners)
