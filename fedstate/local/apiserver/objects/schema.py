"""skeleton"""
from __future__ import annotations
from typing import Any, TypeAlias
from fedstate.local.apiserver.objects.fielderrors import FieldError
Obj: TypeAlias = dict[str, Any]

class Schema:
    def __init__(self, openapi: Obj) -> None:
        self.openapi = openapi
    def default(self, obj: Obj) -> Obj:
        return obj
    def prune(self, obj: Obj) -> tuple[Obj, list[str]]:
        """(pruned object, unknown field paths such as `spec.foo`)."""
        return obj, []
    def validate(self, obj: Obj, old: Obj | None = None) -> list[FieldError]:
        return []

def compile_schema(openapi: Obj) -> Schema:
    return Schema(openapi)

def structural_errors(openapi: Obj, path: str = "spec.validation.openAPIV3Schema") -> list[FieldError]:
    return []
