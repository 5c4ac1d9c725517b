"""skeleton"""
from __future__ import annotations
from datetime import datetime
from typing import Any, NamedTuple
from fedstate.local.apiserver.objects.schema import Schema, Obj

class ApplyCause(NamedTuple):
    manager: str      # as printed: '"kubectl-client-side-apply" using v1'
    field: str        # '.spec.x'

class ApplyConflict(Exception):
    """str() is the Status message ("Apply failed with 1 conflict: ..."); causes() the details.causes."""
    def __init__(self, causes: list[ApplyCause]) -> None:
        super().__init__("Apply failed")
        self.causes = causes
    def status_causes(self) -> list[dict[str, str]]:
        return []

def server_side_apply(live: Obj | None, intent: Obj, *, manager: str, force: bool, schema: Schema, api_version: str, now: datetime, subresource: str = "") -> Obj:
    """Merged object with managedFields. Drop `status` from the intent of a main-resource apply beforehand, if the kind has a status subresource.
    Returns an object equal to live (same managedFields) when nothing changed."""
    return intent if live is None else {**live, **intent}

def track_update(old: Obj | None, new: Obj, *, manager: str, schema: Schema, api_version: str, now: datetime, operation: str = "Update", subresource: str = "") -> Obj:
    return new
