"""Objects as rows for `kubectl get`: meta.k8s.io/v1 Tables, and the columns that a CRD declares. Built-in columns: columns.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from fedstate.local.apiserver.objects import jsonpath
from fedstate.local.apiserver.objects.durations import age
from fedstate.local.apiserver.objects.nodes import Obj

Cell: TypeAlias = Callable[[Obj, datetime], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column; `priority` above 0 shows only with `-o wide`."""

    name: str
    cell: Cell
    type: str = "string"
    format: str = ""
    description: str = ""
    priority: int = 0


def _name(obj: Obj, _now: datetime) -> Any:
    return (obj.get("metadata") or {}).get("name") or ""


def _age(obj: Obj, now: datetime) -> Any:
    return age((obj.get("metadata") or {}).get("creationTimestamp"), now)


NAME = Column(name="Name", cell=_name, format="name", description="Name of the object, unique in its namespace and kind.")
AGE = Column(name="Age", cell=_age, description="Time since the object was created.")


def columns_of_crd(version: Obj) -> tuple[Column, ...]:
    """The columns of one entry of `CustomResourceDefinition.spec.versions`; name and age when it declares none."""
    declared = version.get("additionalPrinterColumns") or ()
    if not declared:
        return (NAME, Column(name="Age", cell=_age, type="date", description=AGE.description))
    return (NAME, *(_declared_column(column) for column in declared))


def _declared_column(column: Obj) -> Column:
    path, kind = column["jsonPath"], column["type"]

    def cell(obj: Obj, now: datetime) -> Any:
        return _printed(jsonpath.first(path, obj), kind, now)

    return Column(
        name=column["name"],
        cell=cell,
        type=kind,
        format=column.get("format") or "",
        description=column.get("description") or f"Custom resource definition column (in JSONPath format): {path}",
        priority=column.get("priority") or 0,
    )


def _printed(value: Any, kind: str, now: datetime) -> Any:
    """A value as a cell of a declared type; None when it is absent or of another type."""
    if value is None:
        return None
    if kind == "string":
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if kind == "date":
        return age(value, now) if isinstance(value, str) else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if kind == "integer" else value


def table(
    objects: Iterable[Obj],
    columns: Sequence[Column],
    *,
    now: datetime,
    include: str = "Metadata",
    list_meta: Obj | None = None,
) -> Obj:
    """A Table of `objects`; `include` is what each row carries of its object: None, Metadata or Object."""
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_meta or {},
        "columnDefinitions": [
            {
                "name": column.name,
                "type": column.type,
                "format": column.format,
                "description": column.description,
                "priority": column.priority,
            }
            for column in columns
        ],
        "rows": [_row(obj, columns, now, include) for obj in objects],
    }


def _row(obj: Obj, columns: Sequence[Column], now: datetime, include: str) -> Obj:
    row: Obj = {"cells": [column.cell(obj, now) for column in columns]}
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        row["object"] = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj.get("metadata") or {}}
    return row
