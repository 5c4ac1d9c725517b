"""skeleton"""

from __future__ import annotations
from dataclasses import dataclass
from fedstate.kube.resources import Resource
from fedstate.local.apiserver.objects.fielderrors import FieldError
from fedstate.local.apiserver.objects.schema import Obj, Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltinKind:
    """One kind the server knows without a CRD."""

    resource: Resource
    singular: str
    schema: Schema
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()  # of "status", "scale"; pods' log, binding, eviction are the server's business

    def default(self, obj: Obj) -> Obj:
        """The defaults a real API server sets, including those that depend on other fields."""
        return obj

    def validate(self, obj: Obj, old: Obj | None = None) -> list[FieldError]:
        """Everything wrong with obj, incl. what may not change (immutables). Cluster state (quota, existence) is not looked at."""
        return []


def builtin_kinds() -> tuple[BuiltinKind, ...]:
    return ()
