"""The fields of Kubernetes objects that are read at all, nested as the server sends them. Whatever else comes is skipped unread.

Everything has a default, and may be null.
"""

from typing import TypeAlias

import msgspec
from msgspec import Struct

Amounts: TypeAlias = dict[str, str | int | float]
Labels: TypeAlias = dict[str, str]


class PodLabels(Struct, gc=False):
    instance: str = msgspec.field(default="", name="app.kubernetes.io/instance")


class PodMeta(Struct, gc=False):
    name: str = ""
    namespace: str = ""
    resourceVersion: str = ""
    deletionTimestamp: str | None = None
    labels: PodLabels | None = None


class Requests(Struct, gc=False):
    requests: Amounts | None = None


class Container(Struct, gc=False):
    resources: Requests | None = None
    restartPolicy: str | None = None


class ClaimSource(Struct, gc=False):
    claimName: str = ""


class PodVolume(Struct, gc=False):
    persistentVolumeClaim: ClaimSource | None = None


class PodSpec(Struct, gc=False):
    nodeName: str | None = None
    containers: list[Container] | None = None
    initContainers: list[Container] | None = None
    volumes: list[PodVolume] | None = None
    overhead: Amounts | None = None
    resources: Requests | None = None


class Phase(Struct, gc=False):
    phase: str | None = None


class Pod(Struct, gc=False):
    metadata: PodMeta | None = None
    spec: PodSpec | None = None
    status: Phase | None = None


class Meta(Struct, gc=False):
    name: str = ""
    namespace: str = ""
    resourceVersion: str = ""
    deletionTimestamp: str | None = None
    labels: Labels | None = None


class SelectedNode(Struct, gc=False):
    node: str = msgspec.field(default="", name="volume.kubernetes.io/selected-node")
    default: str = msgspec.field(default="", name="storageclass.kubernetes.io/is-default-class")


class NotedMeta(Struct, gc=False):
    name: str = ""
    namespace: str = ""
    resourceVersion: str = ""
    deletionTimestamp: str | None = None
    annotations: SelectedNode | None = None


class Condition(Struct, gc=False):
    type: str = ""
    status: str = ""


class Taint(Struct, gc=False):
    key: str = ""
    value: str | None = None
    effect: str = ""


class NodeSpec(Struct, gc=False):
    unschedulable: bool | None = None
    taints: list[Taint] | None = None


class NodeStatus(Struct, gc=False):
    allocatable: Amounts | None = None
    conditions: list[Condition] | None = None


class Node(Struct, gc=False):
    metadata: Meta | None = None
    spec: NodeSpec | None = None
    status: NodeStatus | None = None


class ClaimSpec(Struct, gc=False):
    storageClassName: str | None = None
    volumeName: str | None = None
    resources: Requests | None = None


class Claim(Struct, gc=False):
    metadata: NotedMeta | None = None
    spec: ClaimSpec | None = None
    status: Phase | None = None


class Expression(Struct, gc=False):
    key: str = ""
    operator: str = "In"
    values: list[str] | None = None


class Term(Struct, gc=False):
    matchExpressions: list[Expression] | None = None
    matchLabelExpressions: list[Expression] | None = None


class Selector(Struct, gc=False):
    nodeSelectorTerms: list[Term] | None = None


class VolumeAffinity(Struct, gc=False):
    required: Selector | None = None


class ClaimRef(Struct, gc=False):
    namespace: str = ""
    name: str = ""


class VolumeSpec(Struct, gc=False):
    storageClassName: str | None = None
    capacity: Amounts | None = None
    claimRef: ClaimRef | None = None
    nodeAffinity: VolumeAffinity | None = None


class Volume(Struct, gc=False):
    metadata: Meta | None = None
    spec: VolumeSpec | None = None
    status: Phase | None = None


class StorageClass(Struct, gc=False):
    metadata: NotedMeta | None = None
    provisioner: str | None = None
    volumeBindingMode: str | None = None
    allowVolumeExpansion: bool | None = None
    allowedTopologies: list[Term] | None = None
