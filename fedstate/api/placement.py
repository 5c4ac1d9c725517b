"""The scheduler's only output and the federation's input: which clusters carry how many members of an instance.

Owns the format of the `schedulerResult` annotation, which other schedulers may write too.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from fedstate.errors import TerminalError

MOST_IN_ONE_CLUSTER = 1000
"""Far more than any replica set has; what is written by hand must not make anybody count to a billion."""

_FIELD = "metadata.annotations.schedulerResult"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterMembers:
    """What one cluster carries: `members` data members and, on at most one cluster of a placement, the arbiter."""

    cluster: str
    members: int
    arbiter: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Clusters in the order of the annotation; each appears once and carries something."""

    clusters: tuple[ClusterMembers, ...]

    @property
    def total(self) -> int:
        """Data members over all clusters; the arbiter is not counted."""
        return sum(entry.members for entry in self.clusters)

    @property
    def members(self) -> dict[str, int]:
        return {entry.cluster: entry.members for entry in self.clusters}

    @property
    def arbiter_cluster(self) -> str | None:
        return next((entry.cluster for entry in self.clusters if entry.arbiter), None)

    def to_annotation(self) -> str:
        """The annotation's value, equal for equal placements."""
        entries: list[dict[str, Any]] = []
        for entry in self.clusters:
            item: dict[str, Any] = {"cluster": entry.cluster, "replicaset": entry.members}
            if entry.arbiter:
                item["arbiter"] = True
            entries.append(item)
        return orjson.dumps({"ClusterWithReplicaset": entries}).decode()

    @classmethod
    def from_annotation(cls, text: str) -> "Placement":
        """The placement that `text` describes; TerminalError names what is wrong with it."""
        try:
            value = json.loads(text)
        except ValueError as error:
            raise _invalid(f"is not JSON ({error})") from error
        entries = value.get("ClusterWithReplicaset") if isinstance(value, dict) else None
        if not isinstance(entries, list):
            raise _invalid("has no list ClusterWithReplicaset")
        placement = cls(clusters=tuple(_entry(index, entry) for index, entry in enumerate(entries)))
        names = [entry.cluster for entry in placement.clusters]
        for name in names:
            if names.count(name) > 1:
                raise _invalid(f"names cluster {name} more than once")
        if sum(entry.arbiter for entry in placement.clusters) > 1:
            raise _invalid("puts an arbiter on more than one cluster; a replica set has at most one")
        return cls(clusters=tuple(entry for entry in placement.clusters if entry.members or entry.arbiter))

    @classmethod
    def of(cls, members: Mapping[str, int], arbiter_cluster: str | None = None) -> "Placement":
        """A placement in the order of `members`, without clusters that carry nothing."""
        names = [name for name in members if members[name] or name == arbiter_cluster]
        if arbiter_cluster is not None and arbiter_cluster not in names:
            names.append(arbiter_cluster)
        return cls(
            clusters=tuple(
                ClusterMembers(cluster=name, members=members.get(name, 0), arbiter=name == arbiter_cluster) for name in names
            )
        )


def _entry(index: int, entry: object) -> ClusterMembers:
    where = f"ClusterWithReplicaset[{index}]"
    if not isinstance(entry, dict):
        raise _invalid(f"{where} is not an object")
    cluster, members, arbiter = entry.get("cluster"), entry.get("replicaset", 0), entry.get("arbiter", False)
    if not isinstance(cluster, str) or not cluster:
        raise _invalid(f"{where}.cluster must be the name of a cluster")
    if isinstance(members, bool) or not isinstance(members, int) or members < 0:
        raise _invalid(f"{where}.replicaset must be a whole number of at least 0")
    if members > MOST_IN_ONE_CLUSTER:
        raise _invalid(f"{where}.replicaset must be at most {MOST_IN_ONE_CLUSTER}, not {members}")
    if not isinstance(arbiter, bool):
        raise _invalid(f"{where}.arbiter must be true or false")
    return ClusterMembers(cluster=cluster, members=members, arbiter=arbiter)


def _invalid(problem: str) -> TerminalError:
    return TerminalError("PlacementInvalid", f"{_FIELD}: {problem}")
