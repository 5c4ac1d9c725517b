"""The kinds that the API server knows without a CRD: names, schemas, defaults and rules together. Holds no objects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from fedstate.kube.resources import Resource
from fedstate.local.apiserver.objects.builtin_catalogue import CATALOGUE, Default, Entry, Rule
from fedstate.local.apiserver.objects.decoding import decode_error
from fedstate.local.apiserver.objects.definitions import definitions
from fedstate.local.apiserver.objects.fielderrors import FieldError
from fedstate.local.apiserver.objects.naming import metadata_errors
from fedstate.local.apiserver.objects.nodes import Obj
from fedstate.local.apiserver.objects.quantities import canonicalised
from fedstate.local.apiserver.objects.schema import Schema, compile_schema


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltinKind:
    """One built-in kind. `subresources` are those every object has; log, binding and eviction of pods are the server's business."""

    resource: Resource
    singular: str
    schema: Schema
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    name_rule: str = "subdomain"
    dependent_default: Default | None = None
    rule: Rule | None = None

    def default(self, obj: Obj) -> Obj:
        """The object with the defaults a real API server sets, also those that follow from other fields."""
        missing: Obj = {name: {} for name in ("spec", "status") if name in self.schema.empty and obj.get(name) is None}
        if missing:
            obj = {**obj, **missing}
        result = canonicalised(self.schema.default(obj), self.schema.root)
        return self.dependent_default(result) if self.dependent_default is not None else result

    def decode_error(self, obj: Obj) -> str | None:
        """Why the real server could not even decode the object (400), such as a string where a number belongs."""
        return decode_error(obj, self.schema.root, "", self.resource.kind)

    def validate(self, obj: Obj, old: Obj | None = None) -> list[FieldError]:
        """Everything wrong with the object itself, metadata included, and what of `old` may not change. Looks at no other object."""
        is_definition = self.resource.group == "apiextensions.k8s.io"
        errors = metadata_errors(obj, old, name_rule=self.name_rule, any_finalizer=is_definition)
        if self.rule is not None:
            errors += self.rule(obj, old)
        return errors


@cache
def builtin_kinds() -> tuple[BuiltinKind, ...]:
    """Every built-in kind, in the order of discovery."""
    return tuple(map(_built, CATALOGUE))


@cache
def builtin_kind(api_version: str, kind: str) -> BuiltinKind | None:
    return next((one for one in builtin_kinds() if (one.resource.api_version, one.resource.kind) == (api_version, kind)), None)


def _built(entry: Entry) -> BuiltinKind:
    group, _, version = entry.api_version.rpartition("/")
    known = definitions()
    openapi = known.schemas[known.kinds[entry.api_version, entry.kind]]
    return BuiltinKind(
        resource=Resource(group, version, entry.plural, entry.kind, entry.namespaced),
        singular=entry.singular or entry.kind.lower(),
        schema=compile_schema(openapi, definitions=known.schemas, empty=entry.empty, resets_status="status" in entry.sub),
        short_names=entry.short,
        categories=("all",) if entry.all_category else (),
        subresources=entry.sub,
        name_rule=entry.names,
        dependent_default=entry.default,
        rule=entry.rule,
    )
