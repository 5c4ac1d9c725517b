"""Which resources the server serves. Discovery, OpenAPI and every request look here; what a kind means is its strategy's business."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fedstate.kube.objects import KubeObject

if TYPE_CHECKING:
    from fedstate.local.apiserver.objects.schema import Schema
    from fedstate.local.apiserver.objects.tables import Column
    from fedstate.local.apiserver.strategy import Strategy

READ_VERBS = ("get", "list", "watch")
ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalePaths:
    """Where the scale subresource finds its numbers, as JSON paths such as `.spec.replicas`."""

    spec_replicas: str
    status_replicas: str
    selector: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResourceType:
    """One resource in one version. Versions of one kind share `collection`, where objects lie in their storage version."""

    group: str
    version: str
    plural: str
    kind: str
    strategy: Strategy
    namespaced: bool = True
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    collection: str = ""
    storage_version: str = ""
    has_status: bool = False
    scale: ScalePaths | None = None
    subresources: tuple[str, ...] = ()
    has_generation: bool = False
    custom: bool = False
    schema: Schema
    columns: tuple[Column, ...] = ()
    selectable: Mapping[str, Callable[[KubeObject], str]] = field(default_factory=dict)
    to_storage: Callable[[KubeObject], KubeObject] | None = None
    from_storage: Callable[[KubeObject], KubeObject] | None = None
    deprecation: str = ""
    """The warning that whoever uses this version is given."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def name(self) -> str:
        """`pods`, `statefulsets.apps`: how messages call it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


class Registry:
    """The resources served now; `epoch` grows with every change, so that what is derived from it can be cached."""

    def __init__(self) -> None:
        self._types: dict[tuple[str, str, str], ResourceType] = {}
        self.epoch = 0

    def add(self, rtype: ResourceType) -> None:
        """Serve it from now on, in place of an older definition of the same resource and version."""
        self._types[(rtype.group, rtype.version, rtype.plural)] = rtype
        self.epoch += 1

    def remove(self, group: str, plural: str) -> None:
        """Serve no version of it any more."""
        for key in [key for key in self._types if key[0] == group and key[2] == plural]:
            del self._types[key]
        self.epoch += 1

    def find(self, group: str, version: str, plural: str) -> ResourceType | None:
        return self._types.get((group, version, plural))

    def by_kind(self, group: str, version: str, kind: str) -> ResourceType | None:
        return next((t for t in self._types.values() if (t.group, t.version, t.kind) == (group, version, kind)), None)

    def of_version(self, group: str, version: str) -> list[ResourceType]:
        """Sorted by plural."""
        found = [t for t in self._types.values() if (t.group, t.version) == (group, version)]
        return sorted(found, key=lambda t: t.plural)

    def versions(self, group: str) -> list[str]:
        """Preferred first."""
        return sorted({t.version for t in self._types.values() if t.group == group}, key=version_priority)

    def groups(self) -> list[str]:
        """The core group, as "", first."""
        return sorted({t.group for t in self._types.values()})

    def storage_types(self) -> list[ResourceType]:
        """One type per collection: the storage version if it is served."""
        found: dict[str, ResourceType] = {}
        for rtype in self._types.values():
            if rtype.collection not in found or rtype.version == rtype.storage_version:
                found[rtype.collection] = rtype
        return list(found.values())

    def __iter__(self) -> Iterator[ResourceType]:
        return iter(list(self._types.values()))


def version_priority(version: str) -> tuple[int, int, int, str]:
    """Sort key of Kubernetes' version order: v2, v1, v1beta2, v1beta1, v1alpha1, then anything else by name."""
    for stability, mark in enumerate(("", "beta", "alpha")):
        major, found, minor = version[1:].partition(mark) if mark else (version[1:], "", "")
        if version.startswith("v") and major.isdigit() and (not mark or (found and minor.isdigit())):
            return (stability, -int(major), -int(minor or 0), "")
    return (9, 0, 0, version)
