"""skeleton"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from fedstate.local.apiserver.objects.schema import Obj


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    name: str
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0


def columns_of_crd(version: Obj) -> tuple[Column, ...]:
    """Columns of one entry of CustomResourceDefinition.spec.versions (NAME first, AGE when none are declared)."""
    return ()


def columns_of_builtin(api_version: str, kind: str) -> tuple[Column, ...]:
    return ()


def table(
    objects: Iterable[Obj], columns: Sequence[Column], *, now: datetime, include: str = "Metadata", list_meta: Obj | None = None
) -> Obj:
    """A meta.k8s.io/v1 Table; include: None | Metadata | Object."""
    return {}
