"""The kinds of which a cluster has very many, as flat records of what a scheduler reads.

A record is a few hundred bytes, and nothing for the garbage collector to look at; it is read-only, and shared.
"""

from typing import TypeAlias

from msgspec import Struct

from fedstate.kube.objects import Key

ZONE = "topology.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"


class Record(Struct, gc=False, kw_only=True, frozen=True):
    """What every record has."""

    key: Key
    resource_version: str = ""


class PodRecord(Record, gc=False, kw_only=True, frozen=True):
    """A pod as a node's load. Requests are those that kube-scheduler counts: containers, init containers, overhead."""

    node: str = ""
    phase: str = ""
    cpu_millis: int = 0
    memory_bytes: int = 0
    storage_bytes: int = 0
    instance: str = ""
    # One text, since the collector would have to look at a tuple.
    claim_names: str = ""
    deleting: bool = False

    @property
    def claims(self) -> tuple[str, ...]:
        """The PersistentVolumeClaims it mounts."""
        return tuple(self.claim_names.split())

    @property
    def counts(self) -> bool:
        """Whether it takes room on its node."""
        return bool(self.node) and self.phase not in ("Succeeded", "Failed")


class Taint(Struct, gc=False, frozen=True):
    """What keeps pods off a node unless they tolerate it."""

    key: str = ""
    value: str = ""
    effect: str = ""


class NodeRecord(Record, gc=False, kw_only=True, frozen=True):
    """A node as room for pods."""

    cpu_millis: int = 0
    memory_bytes: int = 0
    storage_bytes: int = 0
    pods: int = 0
    ready: bool = False
    unschedulable: bool = False
    labels: dict[str, str] = {}  # noqa: RUF012 - msgspec copies an empty default
    taints: tuple[Taint, ...] = ()

    @property
    def zone(self) -> str:
        return self.labels.get(ZONE, "")

    @property
    def region(self) -> str:
        return self.labels.get(REGION, "")


class Requirement(Struct, gc=False, frozen=True):
    """One condition on the labels of a node: In, NotIn, Exists, DoesNotExist, Gt, Lt."""

    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


# Any of these, of which each means all of those.
Terms: TypeAlias = tuple[tuple[Requirement, ...], ...]


class ClaimRecord(Record, gc=False, kw_only=True, frozen=True):
    """A PersistentVolumeClaim; `storage_class` is None where it names none, and the default is meant."""

    storage_class: str | None = None
    volume: str = ""
    phase: str = ""
    storage_bytes: int = 0
    selected_node: str = ""
    deleting: bool = False


class VolumeRecord(Record, gc=False, kw_only=True, frozen=True):
    """A PersistentVolume; `terms` say which nodes reach it, and none that all do."""

    storage_class: str = ""
    phase: str = ""
    storage_bytes: int = 0
    claim: Key | None = None
    terms: Terms = ()


class StorageClassRecord(Record, gc=False, kw_only=True, frozen=True):
    """A StorageClass; `terms` say which nodes it can serve, and none that all."""

    provisioner: str = ""
    default: bool = False
    waits_for_pod: bool = False
    expandable: bool = False
    terms: Terms = ()
