"""What one member asks of a node, and a reading of how many such members a cluster takes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from fedstate.api.federated import Toleration
from fedstate.kube.objects import Key
from fedstate.kube.records import Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberShape:
    """One member, as a node sees it. Equal shapes fit equally well; hashable.

    `request` by resource name in order, thousandths of a core for cpu and whole units for the rest, without zeros.
    `terms`: required node affinity, any of these, of which each means all of those; none means any node.
    `alone`: refuses a node on which there is another member of its instance, which then is named in `instance`.
    `storage_class`: of the volume it claims, empty for the cluster's default one; None if it claims no volume.
    """

    request: tuple[tuple[str, int], ...]
    node_selector: tuple[tuple[str, str], ...] = ()
    terms: Terms = ()
    tolerations: tuple[Toleration, ...] = ()
    alone: bool = False
    storage_class: str | None = None
    instance: Key | None = None
    _hash: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        where = self.node_selector, self.terms, self.tolerations, self.storage_class
        object.__setattr__(self, "_hash", hash((self.request, where, self.alone, self.instance)))

    def __hash__(self) -> int:
        """Once for all: bookings are kept by shape."""
        return self._hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a cluster's numbers come from, for those who read an explanation.

    `kind`: "estimator", "nodes", "resourceSummary" or "none". `since`: when the numbers were read or last changed, None if that
    is not known. `note`: why a better source is not used, or what is stale or missing in this one; empty if there is nothing to say.
    """

    kind: str
    since: datetime | None = None
    note: str = ""


class Rooms(Protocol):
    """A reading of one cluster that knows more than its sums. Immutable: a new reading is a new value.

    Pure functions of the reading and their arguments: the same question gets the same answer, in whatever order it is asked.
    One that can say of many shapes at once what it says of each has `fits_each(shapes)` too.
    """

    def beside(self, booked: Mapping[MemberShape, int]) -> Rooms:
        """The same cluster after so many members of each shape, that the reading does not count yet, took their room."""

    def fits(self, shape: MemberShape) -> int | None:
        """How many more members of the shape there is room for; None if this reading cannot tell, and sums have to do."""

    def why_not(self, shape: MemberShape) -> str:
        """Why not even one fits, in words that name the node's side and the amount: for `fits` of 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a source says of one cluster at one moment; it is laid over what the Cluster object says.

    `rooms` None: the source knows no more than the sums, which it may replace. `allocatable` and `free`, in the units of
    MemberShape.request, replace the sums resource by resource. `storage_classes` None: not known. `members`: how many
    members of each instance (by namespace and name) the numbers count already, None if that is not known.
    """

    source: Source
    rooms: Rooms | None = None
    allocatable: Mapping[str, int] | None = None
    free: Mapping[str, int] | None = None
    zones: tuple[str, ...] | None = None
    storage_classes: frozenset[str] | None = None
    default_storage_class: bool = False
    members: Mapping[Key, int] | None = None
