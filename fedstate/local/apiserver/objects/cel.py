"""skeleton"""

from __future__ import annotations

from fedstate.local.apiserver.objects.fielderrors import FieldError
from fedstate.local.apiserver.objects.schema import Obj


class Rules:
    """The x-kubernetes-validations of one schema, compiled."""

    def validate(self, obj: Obj, old: Obj | None = None) -> list[FieldError]:
        return []


def compile_rules(openapi: Obj) -> Rules:
    return Rules()


def rule_errors(openapi: Obj, path: str = "spec.validation.openAPIV3Schema") -> list[FieldError]:
    """Compile errors of the rules of a CRD's schema, for its creation."""
    return []
