"""The list of built-in kinds: what each is called, and which functions default and judge it. Makes nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fedstate.local.apiserver.objects import builtin_rules as rules
from fedstate.local.apiserver.objects import workloads
from fedstate.local.apiserver.objects.crds import crd_errors, default_crd
from fedstate.local.apiserver.objects.fielderrors import FieldError
from fedstate.local.apiserver.objects.nodes import Obj
from fedstate.local.apiserver.objects.policies import policy_errors

Default = Callable[[Obj], Obj]
Rule = Callable[[Obj, Obj | None], Iterable[FieldError]]

_SPEC: Obj = {"metadata": {}, "spec": {}, "status": {}}
_TEMPLATED: Obj = {
    "metadata": {},
    "spec": {"template": {"metadata": {}, "spec": {"containers": None}}, "updateStrategy": {}, "strategy": {}},
    "status": {},
}
_STATUS = ("status",)
_SCALED = ("status", "scale")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One kind: its names, what it starts from, and the functions that default and judge it."""

    api_version: str
    plural: str
    kind: str
    singular: str = ""
    namespaced: bool = True
    short: tuple[str, ...] = ()
    all_category: bool = False
    sub: tuple[str, ...] = ()
    names: str = "subdomain"
    empty: Obj | None = None
    default: Default | None = None
    rule: Rule | None = None


_RBAC, _ADMISSION = "rbac.authorization.k8s.io/v1", "admissionregistration.k8s.io/v1"

CATALOGUE: tuple[Entry, ...] = (
    Entry(api_version="v1", plural="configmaps", kind="ConfigMap", short=("cm",), rule=rules.config_map_errors),
    Entry(api_version="v1", plural="endpoints", kind="Endpoints", singular="endpoints", short=("ep",)),
    Entry(api_version="v1", plural="events", kind="Event", short=("ev",), empty={"source": {}}),
    Entry(
        api_version="v1",
        plural="namespaces",
        kind="Namespace",
        namespaced=False,
        short=("ns",),
        sub=_STATUS,
        names="label",
        empty=_SPEC,
        default=rules.default_namespace,
    ),
    Entry(
        api_version="v1",
        plural="nodes",
        kind="Node",
        namespaced=False,
        short=("no",),
        sub=_STATUS,
        empty=_SPEC,
        default=rules.default_node,
        rule=rules.node_errors,
    ),
    Entry(
        api_version="v1",
        plural="persistentvolumeclaims",
        kind="PersistentVolumeClaim",
        short=("pvc",),
        sub=_STATUS,
        empty={"metadata": {}, "spec": {"resources": {}}, "status": {}},
        default=rules.default_phase,
        rule=rules.claim_errors,
    ),
    Entry(
        api_version="v1",
        plural="persistentvolumes",
        kind="PersistentVolume",
        namespaced=False,
        short=("pv",),
        sub=_STATUS,
        empty=_SPEC,
        default=rules.default_phase,
        rule=rules.volume_errors,
    ),
    Entry(
        api_version="v1",
        plural="pods",
        kind="Pod",
        short=("po",),
        all_category=True,
        sub=_STATUS,
        empty={"metadata": {}, "spec": {"containers": None}, "status": {}},
        default=workloads.default_pod,
        rule=workloads.pod_errors,
    ),
    Entry(api_version="v1", plural="secrets", kind="Secret", default=rules.default_secret, rule=rules.secret_errors),
    Entry(api_version="v1", plural="serviceaccounts", kind="ServiceAccount", short=("sa",)),
    Entry(
        api_version="v1",
        plural="services",
        kind="Service",
        short=("svc",),
        all_category=True,
        sub=_STATUS,
        names="dns1035",
        empty={"metadata": {}, "spec": {}, "status": {"loadBalancer": {}}},
        default=rules.default_service,
        rule=rules.service_errors,
    ),
    Entry(api_version="apps/v1", plural="controllerrevisions", kind="ControllerRevision"),
    Entry(
        api_version="apps/v1",
        plural="statefulsets",
        kind="StatefulSet",
        short=("sts",),
        all_category=True,
        sub=_SCALED,
        empty=_TEMPLATED,
        default=workloads.default_stateful_set,
        rule=workloads.stateful_set_errors,
    ),
    Entry(
        api_version="storage.k8s.io/v1",
        plural="storageclasses",
        kind="StorageClass",
        namespaced=False,
        short=("sc",),
        rule=rules.storage_class_errors,
    ),
    Entry(api_version="coordination.k8s.io/v1", plural="leases", kind="Lease", empty={"spec": {}}, rule=rules.lease_errors),
    Entry(api_version="events.k8s.io/v1", plural="events", kind="Event", short=("ev",), rule=rules.event_errors),
    Entry(
        api_version="policy/v1",
        plural="poddisruptionbudgets",
        kind="PodDisruptionBudget",
        short=("pdb",),
        sub=_STATUS,
        empty=_SPEC,
        rule=rules.budget_errors,
    ),
    Entry(api_version="discovery.k8s.io/v1", plural="endpointslices", kind="EndpointSlice", rule=rules.endpoint_slice_errors),
    Entry(
        api_version=_ADMISSION,
        plural="validatingadmissionpolicies",
        kind="ValidatingAdmissionPolicy",
        namespaced=False,
        sub=_STATUS,
        empty=_SPEC,
        rule=policy_errors,
    ),
    Entry(
        api_version=_ADMISSION,
        plural="validatingadmissionpolicybindings",
        kind="ValidatingAdmissionPolicyBinding",
        namespaced=False,
        empty={"spec": {}},
    ),
    Entry(
        api_version="apiextensions.k8s.io/v1",
        plural="customresourcedefinitions",
        kind="CustomResourceDefinition",
        namespaced=False,
        short=("crd", "crds"),
        sub=_STATUS,
        empty={"metadata": {}, "spec": {"names": {}}, "status": {}},
        default=default_crd,
        rule=crd_errors,
    ),
    Entry(
        api_version="apps/v1",
        plural="deployments",
        kind="Deployment",
        short=("deploy",),
        all_category=True,
        sub=_SCALED,
        empty=_TEMPLATED,
        default=workloads.default_workload,
        rule=workloads.workload_errors,
    ),
    Entry(
        api_version="apps/v1",
        plural="replicasets",
        kind="ReplicaSet",
        short=("rs",),
        all_category=True,
        sub=_SCALED,
        empty=_TEMPLATED,
        default=workloads.default_workload,
        rule=workloads.workload_errors,
    ),
    Entry(api_version=_RBAC, plural="roles", kind="Role", names="path", rule=rules.role_errors),
    Entry(api_version=_RBAC, plural="clusterroles", kind="ClusterRole", namespaced=False, names="path", rule=rules.role_errors),
    Entry(
        api_version=_RBAC,
        plural="rolebindings",
        kind="RoleBinding",
        names="path",
        default=rules.default_role_binding,
        rule=rules.role_binding_errors,
    ),
    Entry(
        api_version=_RBAC,
        plural="clusterrolebindings",
        kind="ClusterRoleBinding",
        namespaced=False,
        names="path",
        default=rules.default_role_binding,
        rule=rules.role_binding_errors,
    ),
)
