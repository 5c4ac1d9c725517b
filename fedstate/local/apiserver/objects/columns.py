"""The columns of the built-in kinds, as kubectl users know them. How a table is made of them: tables.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from fedstate.local.apiserver.objects.durations import age
from fedstate.local.apiserver.objects.nodes import Obj
from fedstate.local.apiserver.objects.pod_columns import containers, images, ready, restarts, state
from fedstate.local.apiserver.objects.tables import AGE, NAME, Column

_NONE, _UNSET, _UNKNOWN = "<none>", "<unset>", "<unknown>"
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_ROLE_PREFIX = "node-role.kubernetes.io/"
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def columns_of_builtin(api_version: str, kind: str) -> tuple[Column, ...]:
    """The columns of a built-in kind; name and age for one without any of its own."""
    return _COLUMNS.get(kind, (NAME, AGE))


def _column(name: str, read: Callable[[Obj], Any], *, wide: bool = False, type: str = "string", format: str = "") -> Column:
    return Column(name=name, cell=lambda obj, _now: read(obj), type=type, format=format, priority=int(wide))


def _at(*path: str, default: Any = "") -> Callable[[Obj], Any]:
    def read(obj: Obj) -> Any:
        value: Any = obj
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        return default if value in (None, "", []) else value

    return read


def _joined(values: Iterable[Any], *, empty: str = _NONE) -> str:
    return ",".join(map(str, values)) or empty


def _pairs(labels: dict[str, str] | None) -> str:
    return _joined(f"{key}={value}" for key, value in sorted((labels or {}).items()))


def _selector(obj: Obj) -> str:
    return _pairs(((obj.get("spec") or {}).get("selector") or {}).get("matchLabels"))


def _service_selector(service: Obj) -> str:
    return _pairs((service.get("spec") or {}).get("selector"))


def _service_ports(service: Obj) -> str:
    ports = (service.get("spec") or {}).get("ports") or ()
    return _joined(
        f"{port.get('port')}{':' + str(port['nodePort']) if port.get('nodePort') else ''}/{port.get('protocol', 'TCP')}"
        for port in ports
    )


def _external_ip(service: Obj) -> str:
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName") or _NONE)
    given = list(spec.get("externalIPs") or ())
    if spec.get("type") == "LoadBalancer":
        ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        return _joined([*(one.get("ip") or one.get("hostname") for one in ingress), *given], empty="<pending>")
    return _joined(given)


def _node_status(node: Obj) -> str:
    conditions = {one.get("type"): one.get("status") for one in (node.get("status") or {}).get("conditions") or ()}
    words = ["Ready" if conditions.get("Ready") == "True" else "NotReady"] if "Ready" in conditions else ["Unknown"]
    if (node.get("spec") or {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _node_roles(node: Obj) -> str:
    labels = (node.get("metadata") or {}).get("labels") or {}
    return _joined(sorted(key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)))


def _node_address(kind: str) -> Callable[[Obj], str]:
    def read(node: Obj) -> str:
        addresses = (node.get("status") or {}).get("addresses") or ()
        return next((str(one.get("address")) for one in addresses if one.get("type") == kind), _NONE)

    return read


def _node_info(name: str) -> Callable[[Obj], Any]:
    return _at("status", "nodeInfo", name, default=_UNKNOWN)


def _modes(values: Iterable[str]) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in values)


def _claim_phase(claim: Obj) -> str:
    return "Terminating" if (claim.get("metadata") or {}).get("deletionTimestamp") else str(_at("status", "phase")(claim))


def _if_bound(read: Callable[[Obj], Any]) -> Callable[[Obj], Any]:
    return lambda claim: read(claim) if (claim.get("spec") or {}).get("volumeName") else ""


def _claim_of(volume: Obj) -> str:
    claim = (volume.get("spec") or {}).get("claimRef") or {}
    return f"{claim.get('namespace')}/{claim.get('name')}" if claim else ""


def _class_name(storage_class: Obj) -> str:
    metadata = storage_class.get("metadata") or {}
    default = (metadata.get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
    return f"{metadata.get('name')}{' (default)' if default else ''}"


def _ready_replicas(workload: Obj) -> str:
    wanted = (workload.get("spec") or {}).get("replicas", 1)
    return f"{(workload.get('status') or {}).get('readyReplicas') or 0}/{wanted}"


def _data_count(obj: Obj) -> int:
    return len(obj.get("data") or {}) + len(obj.get("binaryData") or {})


def _object_of_event(event: Obj) -> str:
    about = event.get("involvedObject") or event.get("regarding") or {}
    return f"{str(about.get('kind') or '').lower()}/{about.get('name') or ''}"


def _last_seen(event: Obj, now: datetime) -> str:
    series = event.get("series") or {}
    first = event.get("firstTimestamp") or event.get("deprecatedFirstTimestamp") or event.get("eventTime")
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or event.get("deprecatedLastTimestamp") or first
    return age(last, now)


def _first_seen(event: Obj, now: datetime) -> str:
    return age(event.get("firstTimestamp") or event.get("deprecatedFirstTimestamp") or event.get("eventTime"), now)


def _event_source(event: Obj) -> str:
    source = event.get("source") or event.get("deprecatedSource") or {}
    component = source.get("component") or event.get("reportingComponent") or event.get("reportingController") or ""
    host = source.get("host") or event.get("reportingInstance") or ""
    return ", ".join(filter(None, (component, host)))


def _event_count(event: Obj) -> int:
    return (event.get("series") or {}).get("count") or event.get("count") or event.get("deprecatedCount") or 1


def _versions(crd: Obj) -> str:
    versions = (crd.get("spec") or {}).get("versions") or ()
    return ",".join(f"{one.get('name')}{'(storage)' if one.get('storage') else ''}" for one in versions)


def _established(crd: Obj) -> bool:
    return any(
        one.get("type") == "Established" and one.get("status") == "True"
        for one in (crd.get("status") or {}).get("conditions") or ()
    )


def _endpoints(endpoints: Obj) -> str:
    pairs = [
        f"{address.get('ip')}:{port.get('port')}"
        for subset in endpoints.get("subsets") or ()
        for address in subset.get("addresses") or ()
        for port in subset.get("ports") or ()
    ]
    return f"{','.join(pairs[:3])} + {len(pairs) - 3} more..." if len(pairs) > 3 else _joined(pairs)


def _slice_endpoints(endpoint_slice: Obj) -> str:
    addresses = [address for one in endpoint_slice.get("endpoints") or () for address in one.get("addresses") or ()]
    more = f" + {len(addresses) - 3} more..." if len(addresses) > 3 else ""
    return _joined(addresses[:3], empty=_UNSET) + more


def _subjects(kind: str) -> Callable[[Obj], str]:
    def read(binding: Obj) -> str:
        found = [one for one in binding.get("subjects") or () if one.get("kind") == kind]
        return ", ".join(
            f"{one['namespace']}/{one.get('name')}" if one.get("namespace") else str(one.get("name")) for one in found
        )

    return read


def _role(binding: Obj) -> str:
    role = binding.get("roleRef") or {}
    return f"{role.get('kind')}/{role.get('name')}"


def _param_kind(policy: Obj) -> str:
    kind = (policy.get("spec") or {}).get("paramKind") or {}
    return f"{kind.get('apiVersion')}/{kind.get('kind')}" if kind else _UNSET


def _param_ref(binding: Obj) -> str:
    reference = (binding.get("spec") or {}).get("paramRef") or {}
    if not reference:
        return _UNSET
    return (
        f"{reference['namespace']}/{reference.get('name')}" if reference.get("namespace") else str(reference.get("name") or "*")
    )


def _owner(revision: Obj) -> str:
    for owner in (revision.get("metadata") or {}).get("ownerReferences") or ():
        if owner.get("controller"):
            group = str(owner.get("apiVersion") or "").rpartition("/")[0]
            return f"{str(owner.get('kind')).lower()}{'.' + group if group else ''}/{owner.get('name')}"
    return _NONE


_CREATED = _column("Created At", _at("metadata", "creationTimestamp"), type="date")
_EVENT = (
    Column(name="Last Seen", cell=_last_seen),
    _column("Type", _at("type")),
    _column("Reason", _at("reason")),
    _column("Object", _object_of_event),
    _column(
        "Subobject", lambda event: (event.get("involvedObject") or event.get("regarding") or {}).get("fieldPath") or "", wide=True
    ),
    _column("Source", _event_source, wide=True),
    _column("Message", lambda event: str(event.get("message") or event.get("note") or "").strip()),
    Column(name="First Seen", cell=_first_seen, priority=1),
    _column("Count", _event_count, wide=True),
    _column("Name", _at("metadata", "name"), wide=True, format="name"),
)
_BINDING = (
    NAME,
    _column("Role", _role),
    AGE,
    _column("Users", _subjects("User"), wide=True),
    _column("Groups", _subjects("Group"), wide=True),
    _column("ServiceAccounts", _subjects("ServiceAccount"), wide=True),
)
_TEMPLATE = (_column("Containers", containers, wide=True), _column("Images", images, wide=True))

_COLUMNS: dict[str, tuple[Column, ...]] = {
    "Pod": (
        NAME,
        _column("Ready", ready),
        _column("Status", state),
        Column(name="Restarts", cell=restarts),
        AGE,
        _column("IP", _at("status", "podIP", default=_NONE), wide=True),
        _column("Node", _at("spec", "nodeName", default=_NONE), wide=True),
        _column("Nominated Node", _at("status", "nominatedNodeName", default=_NONE), wide=True),
        _column("Readiness Gates", lambda _pod: _NONE, wide=True),
    ),
    "Service": (
        NAME,
        _column("Type", _at("spec", "type")),
        _column("Cluster-IP", _at("spec", "clusterIP", default=_NONE)),
        _column("External-IP", _external_ip),
        _column("Port(s)", _service_ports),
        AGE,
        _column("Selector", _service_selector, wide=True),
    ),
    "Node": (
        NAME,
        _column("Status", _node_status),
        _column("Roles", _node_roles),
        AGE,
        _column("Version", _at("status", "nodeInfo", "kubeletVersion")),
        _column("Internal-IP", _node_address("InternalIP"), wide=True),
        _column("External-IP", _node_address("ExternalIP"), wide=True),
        _column("OS-Image", _node_info("osImage"), wide=True),
        _column("Kernel-Version", _node_info("kernelVersion"), wide=True),
        _column("Container-Runtime", _node_info("containerRuntimeVersion"), wide=True),
    ),
    "PersistentVolume": (
        NAME,
        _column("Capacity", _at("spec", "capacity", "storage")),
        _column("Access Modes", lambda volume: _modes((volume.get("spec") or {}).get("accessModes") or ())),
        _column("Reclaim Policy", _at("spec", "persistentVolumeReclaimPolicy")),
        _column("Status", _claim_phase),
        _column("Claim", _claim_of),
        _column("StorageClass", _at("spec", "storageClassName")),
        _column("VolumeAttributesClass", _at("spec", "volumeAttributesClassName", default=_UNSET)),
        _column("Reason", _at("status", "reason")),
        AGE,
        _column("VolumeMode", _at("spec", "volumeMode", default=_UNSET), wide=True),
    ),
    "PersistentVolumeClaim": (
        NAME,
        _column("Status", _claim_phase),
        _column("Volume", _at("spec", "volumeName")),
        _column("Capacity", _if_bound(_at("status", "capacity", "storage"))),
        _column("Access Modes", _if_bound(lambda claim: _modes((claim.get("status") or {}).get("accessModes") or ()))),
        _column("StorageClass", _at("spec", "storageClassName")),
        _column("VolumeAttributesClass", _at("spec", "volumeAttributesClassName", default=_UNSET)),
        AGE,
        _column("VolumeMode", _at("spec", "volumeMode", default=_UNSET), wide=True),
    ),
    "Namespace": (NAME, _column("Status", _at("status", "phase")), AGE),
    "ConfigMap": (NAME, _column("Data", _data_count), AGE),
    "Secret": (NAME, _column("Type", _at("type")), _column("Data", _data_count), AGE),
    "Event": _EVENT,
    "Endpoints": (NAME, _column("Endpoints", _endpoints), AGE),
    "StatefulSet": (NAME, _column("Ready", _ready_replicas), AGE, *_TEMPLATE),
    "Deployment": (
        NAME,
        _column("Ready", _ready_replicas),
        _column("Up-to-date", _at("status", "updatedReplicas", default=0)),
        _column("Available", _at("status", "availableReplicas", default=0)),
        AGE,
        *_TEMPLATE,
        _column("Selector", _selector, wide=True),
    ),
    "ReplicaSet": (
        NAME,
        _column("Desired", _at("spec", "replicas", default=1), type="integer"),
        _column("Current", _at("status", "replicas", default=0), type="integer"),
        _column("Ready", _at("status", "readyReplicas", default=0), type="integer"),
        AGE,
        *_TEMPLATE,
        _column("Selector", _selector, wide=True),
    ),
    "ControllerRevision": (NAME, _column("Controller", _owner), _column("Revision", _at("revision", default=0)), AGE),
    "StorageClass": (
        _column("Name", _class_name, format="name"),
        _column("Provisioner", _at("provisioner")),
        _column("ReclaimPolicy", _at("reclaimPolicy", default="Delete")),
        _column("VolumeBindingMode", _at("volumeBindingMode", default="Immediate")),
        _column("AllowVolumeExpansion", _at("allowVolumeExpansion", default=False)),
        AGE,
    ),
    "Lease": (NAME, _column("Holder", _at("spec", "holderIdentity")), AGE),
    "PodDisruptionBudget": (
        NAME,
        _column("Min Available", lambda budget: str(_at("spec", "minAvailable", default="N/A")(budget))),
        _column("Max Unavailable", lambda budget: str(_at("spec", "maxUnavailable", default="N/A")(budget))),
        _column("Allowed Disruptions", _at("status", "disruptionsAllowed", default=0), type="integer"),
        AGE,
    ),
    "EndpointSlice": (
        NAME,
        _column("AddressType", _at("addressType")),
        _column("Ports", lambda one: _joined((port.get("port") for port in one.get("ports") or ()), empty=_UNSET)),
        _column("Endpoints", _slice_endpoints),
        AGE,
    ),
    "Role": (NAME, _CREATED),
    "ClusterRole": (NAME, _CREATED),
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "CustomResourceDefinition": (
        NAME,
        _column("Scope", _at("spec", "scope")),
        _column("Versions", _versions),
        _CREATED,
        _column("Group", _at("spec", "group"), wide=True),
        _column("Kind", _at("spec", "names", "kind"), wide=True),
        _column(
            "ShortNames", lambda crd: ",".join(((crd.get("spec") or {}).get("names") or {}).get("shortNames") or ()), wide=True
        ),
        _column("Established", _established, wide=True, type="boolean"),
    ),
    "ValidatingAdmissionPolicy": (
        NAME,
        _column("Validations", lambda policy: len((policy.get("spec") or {}).get("validations") or ()), type="integer"),
        _column("ParamKind", _param_kind),
        AGE,
    ),
    "ValidatingAdmissionPolicyBinding": (
        NAME,
        _column("PolicyName", _at("spec", "policyName")),
        _column("ParamRef", _param_ref),
        AGE,
    ),
}
