"""ValidatingAdmissionPolicies: asks the objects of those kinds whether a write may happen. Evaluation itself is in `objects.policies`."""

from __future__ import annotations

from collections.abc import Iterable

from fedstate.kube.objects import KubeObject, name_of, namespace_of
from fedstate.local.apiserver.core import Core
from fedstate.local.apiserver.errors import StatusError, qualified
from fedstate.local.apiserver.objects import policies
from fedstate.local.apiserver.registry import ResourceType
from fedstate.local.apiserver.strategy import Write

GROUP = "admissionregistration.k8s.io"
POLICIES = f"{GROUP}/validatingadmissionpolicies"
BINDINGS = f"{GROUP}/validatingadmissionpolicybindings"


def admit(rtype: ResourceType, operation: str, obj: KubeObject | None, old: KubeObject | None, write: Write) -> None:
    """Raise the first denial; a policy counts from its creation, and never against policies themselves."""
    core = write.core
    bindings = _objects(core, BINDINGS)
    if not bindings or rtype.group == GROUP:
        return
    subject = obj if obj is not None else old
    assert subject is not None
    namespace = name_of(subject) if rtype.collection == "namespaces" else namespace_of(subject)
    request = policies.AdmissionRequest(
        operation=operation, group=rtype.group, version=rtype.version, resource=rtype.plural, kind=rtype.kind,
        name=name_of(subject), namespace=namespace, user=write.user.name, subresource=write.subresource,
        groups=write.user.all_groups, obj=obj, old=old,
        namespace_object=core.namespace(namespace) if namespace else None, dry_run=write.options.dry_run,
    )  # fmt: skip
    found = _objects(core, POLICIES)
    denial = policies.admit(request, found, bindings, _params(core, found))
    if denial is not None:
        details = {"name": request.name, "group": rtype.group, "kind": rtype.plural, "causes": [{"message": denial.message}]}
        message = f'{qualified(rtype.plural, rtype.group)} "{request.name}" is forbidden: {denial.message}'
        raise StatusError(denial.status, denial.reason, message, {k: v for k, v in details.items() if v})


def _objects(core: Core, collection: str) -> list[KubeObject]:
    return [entry.obj for _, entry in core.store.collection(collection).entries()]


def _params(core: Core, found: Iterable[KubeObject]) -> dict[tuple[str, str, str], KubeObject]:
    """Every object of a kind that some policy takes parameters from."""
    params: dict[tuple[str, str, str], KubeObject] = {}
    for policy in found:
        kind = (policy.get("spec") or {}).get("paramKind")
        if not kind:
            continue
        group, _, version = kind["apiVersion"].rpartition("/")
        rtype = core.registry.by_kind(group, version, kind["kind"])
        if rtype is None:
            continue
        for key, entry in core.store.collection(rtype.collection).entries():
            params[(f"{kind['apiVersion']}/{kind['kind']}", key.namespace, key.name)] = entry.obj
    return params
