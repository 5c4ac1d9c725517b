"""skeleton"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedstate.local.apiserver.objects.fielderrors import FieldError
from fedstate.local.apiserver.objects.schema import Obj


@dataclass(frozen=True, slots=True, kw_only=True)
class AdmissionRequest:
    """What is about to happen; `request` is the AdmissionRequest shown to CEL (kind, resource, operation, userInfo, name, namespace...)."""

    operation: str  # CREATE UPDATE DELETE CONNECT
    group: str
    version: str
    resource: str  # plural
    kind: str
    name: str
    namespace: str
    user: str
    subresource: str = ""
    groups: tuple[str, ...] = ()
    obj: Obj | None = None
    old: Obj | None = None
    namespace_object: Obj | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    status: int
    reason: str
    message: str  # as kube-apiserver words it


def policy_errors(policy: Obj, old: Obj | None = None) -> list[FieldError]:
    """What is wrong with a ValidatingAdmissionPolicy (compile errors), for its creation: list[FieldError]."""
    return []


def admit(
    request: AdmissionRequest,
    policies: Sequence[Obj],
    bindings: Sequence[Obj],
    params: dict[tuple[str, str, str], Obj] | None = None,
) -> Denial | None:
    """The first denial by a bound policy, or None. params: objects a paramKind may name, keyed (api_version/kind, namespace, name)."""
    return None
