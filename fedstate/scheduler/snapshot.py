"""What the scheduler knows of the member clusters, read once per change of a Cluster object and immutable from then on.

Knows no rule and no instance, and nothing of how a reading of a cluster comes about.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from fedstate.api import karmada
from fedstate.kube.objects import Key, KubeObject, deletion_timestamp_of, labels_of, name_of, parse_time
from fedstate.kube.resources import Resource
from fedstate.scheduler.amounts import Amounts, amounts_of
from fedstate.scheduler.capacity.models import model_rooms
from fedstate.scheduler.capacity.rooms import Reading, Rooms, Source

NO_SOURCE = Source(kind="none")

FIRST_REPORT_WITHIN = timedelta(seconds=60)
"""How long a cluster that has joined is waited for before it counts as one that does not report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSnapshot:
    """One member cluster. `free` and `allocatable` are None if nobody collects the cluster's resources.

    `rooms` is a finer reading than these sums, where there is one, and `source` says where all of this comes from.
    `storage_classes` is None if they are not known, and `default_storage_class` means something only if they are.
    """

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
    ready_since: str = ""
    """When Karmada last saw it become Ready, or cease to be, by Karmada's clock and in its words."""
    rooms: Rooms | None = None
    source: Source = NO_SOURCE
    storage_classes: frozenset[str] | None = None
    default_storage_class: bool = False

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
    models, left_out = (None, "") if free is None else model_rooms(cluster)
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
        ready_since=karmada.ready_since(cluster),
        rooms=models,
        source=_source(cluster, known=free is not None, ready=ready, models=left_out),
    )


def _source(cluster: KubeObject, *, known: bool, ready: bool, models: str) -> Source:
    since = _status_changed(cluster)
    if not known:
        collected = karmada.resource_summary_of(cluster) is not None
        note = "its resourceSummary cannot be read" if collected else "Karmada collects no resources of it"
        return Source(kind="none", since=since, note=note)
    notes = [] if ready else ["stale: not collected while the cluster is not Ready"]
    return Source(kind="resourceSummary", since=since, note="; ".join([*notes, models] if models else notes))


def _status_changed(cluster: KubeObject) -> datetime | None:
    try:
        return karmada.status_changed(cluster)
    except ValueError:
        return None


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


def overlaid(own: ClusterSnapshot, reading: Reading) -> ClusterSnapshot:
    """What the Cluster object says, with what the reading knows better. A reading without numbers is one that has failed: its
    note says why, and the numbers are those of the object.
    """
    source = reading.source
    if reading.rooms is None and reading.free is None:
        note = "; ".join(part for part in (source.note, own.source.note) if part)
        source = Source(kind=own.source.kind, since=own.source.since, note=note)
    return replace(
        own,
        rooms=own.rooms if reading.rooms is None else reading.rooms,
        source=source,
        allocatable=own.allocatable if reading.allocatable is None else {**(own.allocatable or {}), **reading.allocatable},
        free=own.free if reading.free is None else {**(own.free or {}), **reading.free},
        zones=own.zones or reading.zones or (),
        storage_classes=reading.storage_classes,
        default_storage_class=reading.default_storage_class,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetChange:
    """What has changed since it was last asked for. `members`: clusters came or went, so that everything is new."""

    members: bool
    verdicts: frozenset[str]
    """Clusters of which something has changed that filters may read."""
    resources: frozenset[str]


NO_CHANGE = FleetChange(members=False, verdicts=frozenset(), resources=frozenset())


class Fleet:
    """All member clusters as snapshots, kept up to date by the caller object by object, and reading by reading."""

    def __init__(self) -> None:
        self._reported: dict[str, ClusterSnapshot] = {}
        self._readings: dict[str, Reading] = {}
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
        self._reported[snapshot.name] = snapshot
        return self._lay(snapshot.name)

    def read(self, name: str, reading: Reading | None) -> bool:
        """Lays the reading over the cluster, or takes it away again; whether anything the scheduler reads has changed.

        It stays until the next one, whatever happens to the Cluster object, which may also come later.
        """
        if reading is None:
            if self._readings.pop(name, None) is None:
                return False
        else:
            self._readings[name] = reading
        return self._lay(name) if name in self._reported else False

    def visible(self, cluster: str, instance: Key) -> int | None:
        """How many members of the instance the cluster's numbers count already; None if nobody can tell."""
        reading = self._readings.get(cluster)
        if reading is None or reading.members is None or cluster not in self._clusters:
            return None
        return reading.members.get(instance, 0)

    def remove(self, name: str) -> None:
        before = self._clusters.pop(name, None)
        self._reported.pop(name, None)
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

    def _lay(self, name: str) -> bool:
        before, reading, snapshot = self._clusters.get(name), self._readings.get(name), self._reported[name]
        if reading is not None:
            snapshot = overlaid(snapshot, reading)
        if before == snapshot:
            return False
        self._clusters[name] = snapshot
        self._ordered = None
        if before is not None and _says_the_same(before, snapshot):
            return False
        self._silent.pop(name, None)
        if snapshot.ready_reason == karmada.NEVER_REPORTED:
            self._silent[name] = None
        self._resources.add(name)
        if before is None:
            self._members_changed = True
        elif _judged_otherwise(before, snapshot):
            self._verdicts.add(name)
        self._take_address(name, before.vip if before else None, snapshot.vip)
        return True

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


def _says_the_same(before: ClusterSnapshot, after: ClusterSnapshot) -> bool:
    """At another time."""
    return replace(before, source=replace(before.source, since=after.source.since)) == after


def _judged_otherwise(before: ClusterSnapshot, after: ClusterSnapshot) -> bool:
    """Whether anything has changed that filters may read."""
    if (before.free is None) != (after.free is None):
        return True
    return replace(before, free=after.free, allocatable=after.allocatable, rooms=after.rooms, source=after.source) != after
