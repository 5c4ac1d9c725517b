"""skeleton"""
from __future__ import annotations
from typing import Any
from fedstate.local.apiserver.objects.schema import Schema, Obj

class PatchError(Exception):
    """A patch that cannot be applied: `status` is 400 (malformed) or 422 (does not fit the object), str() the message."""
    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason

def json_patch(doc: Any, ops: Any) -> Any:
    return doc

def merge_patch(doc: Any, patch: Any) -> Any:
    return patch

def strategic_merge_patch(doc: Obj, patch: Obj, schema: Schema) -> Obj:
    return doc
