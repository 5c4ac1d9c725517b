"""The list of built-in kinds: names, subresources, strategies. Schemas and defaults come from `objects.builtin_schemas`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fedstate.local.apiserver.builtin.definitions import DefinitionStrategy
from fedstate.local.apiserver.builtin.events import event_from_storage, event_to_storage
from fedstate.local.apiserver.builtin.namespaces import NamespaceStrategy
from fedstate.local.apiserver.builtin.nodes import NodeStrategy
from fedstate.local.apiserver.builtin.pods import PodStrategy
from fedstate.local.apiserver.builtin.policies import BudgetStrategy, PolicyStrategy
from fedstate.local.apiserver.builtin.secrets import SecretStrategy
from fedstate.local.apiserver.builtin.services import ServiceStrategy
from fedstate.local.apiserver.builtin.volumes import ClaimStrategy, VolumeStrategy
from fedstate.local.apiserver.builtin.workloads import CountedStrategy
from fedstate.local.apiserver.objects.builtin_schemas import builtin_kinds
from fedstate.local.apiserver.objects.columns import columns_of_builtin
from fedstate.local.apiserver.objects.schema import Schema, compile_schema
from fedstate.local.apiserver.registry import ALL_VERBS, ResourceType, ScalePaths
from fedstate.local.apiserver.selectors import path_reader
from fedstate.local.apiserver.strategy import Strategy

REPLICAS = ScalePaths(spec_replicas=".spec.replicas", status_replicas=".status.replicas", selector=".spec.selector")
RBAC = "rbac.authorization.k8s.io"
ADMISSION = "admissionregistration.k8s.io"
WORKLOAD = ("status", "scale")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One built-in kind."""

    api: str
    plural: str
    kind: str
    short: tuple[str, ...] = ()
    namespaced: bool = True
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    generation: bool = False
    strategy: Strategy
    fields: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS


def _row(api: str, plural: str, kind: str, short: str = "", *, strategy: Strategy | None = None, **more: object) -> Row:
    shorts = tuple(short.split()) if short else ()
    return Row(api=api, plural=plural, kind=kind, short=shorts, strategy=strategy or Strategy(), **more)  # type: ignore[arg-type]


def _core_rows() -> Iterator[Row]:
    pod_fields = ("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
                  "status.phase", "status.podIP", "status.nominatedNodeName")  # fmt: skip
    verbs = tuple(verb for verb in ALL_VERBS if verb != "deletecollection")
    yield _row("v1", "namespaces", "Namespace", "ns", namespaced=False, subresources=("status", "finalize"), verbs=verbs,
               strategy=NamespaceStrategy(), fields=("status.phase",))  # fmt: skip
    yield _row("v1", "pods", "Pod", "po", categories=("all",), generation=True, fields=pod_fields, strategy=PodStrategy(),
               subresources=("status", "binding", "eviction", "log"))  # fmt: skip
    yield _row("v1", "services", "Service", "svc", categories=("all",), subresources=("status",), strategy=ServiceStrategy(),
               fields=("spec.clusterIP", "spec.type"))  # fmt: skip
    yield _row("v1", "endpoints", "Endpoints", "ep")
    yield _row("v1", "secrets", "Secret", strategy=SecretStrategy(), fields=("type",))
    yield _row("v1", "configmaps", "ConfigMap", "cm")
    yield _row("v1", "nodes", "Node", "no", namespaced=False, subresources=("status",), strategy=NodeStrategy(),
               fields=("spec.unschedulable",))  # fmt: skip
    yield _row(
        "v1", "persistentvolumes", "PersistentVolume", "pv", namespaced=False, subresources=("status",), strategy=VolumeStrategy()
    )
    yield _row("v1", "persistentvolumeclaims", "PersistentVolumeClaim", "pvc", subresources=("status",), strategy=ClaimStrategy())
    yield _row("v1", "serviceaccounts", "ServiceAccount", "sa")
    yield _row("v1", "events", "Event", "ev", fields=(
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid", "involvedObject.apiVersion",
        "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type"))  # fmt: skip


def _group_rows() -> Iterator[Row]:
    yield _row("apps/v1", "statefulsets", "StatefulSet", "sts", categories=("all",), subresources=WORKLOAD, generation=True,
               strategy=CountedStrategy("replicas", "availableReplicas"))  # fmt: skip
    yield _row("apps/v1", "deployments", "Deployment", "deploy", categories=("all",), subresources=WORKLOAD, generation=True)
    yield _row("apps/v1", "replicasets", "ReplicaSet", "rs", categories=("all",), subresources=WORKLOAD, generation=True,
               strategy=CountedStrategy("replicas"))  # fmt: skip
    yield _row("apps/v1", "controllerrevisions", "ControllerRevision")
    yield _row("storage.k8s.io/v1", "storageclasses", "StorageClass", "sc", namespaced=False)
    yield _row("coordination.k8s.io/v1", "leases", "Lease")
    yield _row("events.k8s.io/v1", "events", "Event", "ev")
    yield _row(
        "policy/v1",
        "poddisruptionbudgets",
        "PodDisruptionBudget",
        "pdb",
        subresources=("status",),
        generation=True,
        strategy=BudgetStrategy(),
    )
    yield _row("discovery.k8s.io/v1", "endpointslices", "EndpointSlice")
    yield _row(f"{RBAC}/v1", "roles", "Role")
    yield _row(f"{RBAC}/v1", "rolebindings", "RoleBinding")
    yield _row(f"{RBAC}/v1", "clusterroles", "ClusterRole", namespaced=False)
    yield _row(f"{RBAC}/v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
    yield _row("apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", "crd crds", namespaced=False,
               categories=("api-extensions",), subresources=("status",), generation=True, strategy=DefinitionStrategy())  # fmt: skip
    yield _row(f"{ADMISSION}/v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False,
               categories=("api-extensions",), subresources=("status",), generation=True, strategy=PolicyStrategy())  # fmt: skip
    yield _row(f"{ADMISSION}/v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", namespaced=False,
               categories=("api-extensions",), generation=True)  # fmt: skip


def builtin_types() -> Iterator[ResourceType]:
    """Every built-in kind, ready to be served."""
    known = {(kind.resource.api_version, kind.resource.plural): kind for kind in builtin_kinds()}
    for row in [*_core_rows(), *_group_rows()]:
        kind = known.get((row.api, row.plural))
        group, _, version = row.api.rpartition("/")
        shared_events = row.api == "events.k8s.io/v1"
        row.strategy.known = kind
        yield ResourceType(
            group=group, version=version, plural=row.plural, kind=row.kind, strategy=row.strategy, namespaced=row.namespaced,
            singular=kind.singular if kind is not None else row.kind.lower(), list_kind=f"{row.kind}List",
            short_names=row.short, categories=row.categories, verbs=row.verbs,
            collection="events" if shared_events else (f"{group}/{row.plural}" if group else row.plural),
            storage_version="" if shared_events else version,
            has_status="status" in row.subresources, scale=REPLICAS if "scale" in row.subresources else None,
            subresources=tuple(s for s in row.subresources if s not in ("status", "scale")), has_generation=row.generation,
            schema=kind.schema if kind is not None else _open_schema(), columns=columns_of_builtin(row.api, row.kind),
            selectable={field: path_reader(field) for field in row.fields},
            from_storage=event_from_storage if shared_events else None, to_storage=event_to_storage if shared_events else None,
        )  # fmt: skip


def _open_schema() -> Schema:
    return compile_schema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
