"""A MultiCloudMongoDB as the rest of FedState reads it: parsed once, every field checked, defaults filled in.

The schema and its CEL rules refuse most bad specs earlier; what gets past them ends here, with the field's path.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fedstate.api.fields import (
    Fields,
    ImagePullSecret,
    SecretKeyRef,
    Storage,
    invalid,
    read_image_pull_secret,
    read_resources,
    read_root_password,
    read_storage,
)
from fedstate.api.naming import (
    ANNOTATION_REBALANCE,
    ANNOTATION_SCHEDULER_RESULT,
    AUTH_ROOT_PASSWORD,
    DEFAULT_IMAGE,
    DEFAULT_SCHEDULER_NAME,
    LONGEST_INSTANCE_NAME,
)
from fedstate.api.placement import Placement
from fedstate.kube.objects import (
    KubeObject,
    annotations_of,
    deletion_timestamp_of,
    generation_of,
    name_of,
    namespace_of,
    uid_of,
)

MOST_MEMBERS = 50
_INSTANCE_NAME = re.compile(r"^[a-z]([-a-z0-9]*[a-z0-9])?$")
_TAINT_EFFECTS = ("", "NoSchedule", "PreferNoSchedule", "NoExecute")


@dataclass(frozen=True, slots=True, kw_only=True)
class Toleration:
    """A Kubernetes toleration, for the taints of whole clusters."""

    key: str
    operator: str
    value: str
    effect: str

    def tolerates(self, taint: Mapping[str, str]) -> bool:
        if self.effect and self.effect != taint.get("effect"):
            return False
        if self.key and self.key != taint.get("key"):
            return False
        return self.operator == "Exists" or self.value == (taint.get("value") or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """Clusters that its owner likes better: those with all of these labels, by 1 to 100."""

    weight: int
    node_select: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadConstraints:
    """Which clusters may carry members, how many each at most (None: no limit of its own), and which are liked better."""

    node_select: dict[str, str]
    cluster_names: tuple[str, ...]
    exclude_cluster_names: tuple[str, ...]
    tolerations: tuple[Toleration, ...]
    max_members_per_cluster: int | None
    preferences: tuple[Preference, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForceReconfig:
    """A human's approval of one forced reconfiguration with only `survivors` left; a new `approval` is a new try."""

    survivors: tuple[str, ...]
    approval: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiCloudMongoDB:
    """One federated replica set as its owner wants it. `placement` is what its scheduler has decided so far."""

    namespace: str
    name: str
    uid: str
    generation: int
    deleting: bool
    replicaset: int
    arbiter: bool
    image: str
    image_pull_policy: str
    image_pull_secret: ImagePullSecret
    resources: dict[str, dict[str, str]]
    storage: Storage
    root_password: str | None = field(repr=False)
    root_password_secret_ref: SecretKeyRef | None
    config_ref: str | None
    export_enabled: bool
    export_resources: dict[str, dict[str, str]]
    pod_spec: dict[str, Any]
    scheduler_name: str
    scheduler_mode: str
    dynamic: bool
    rebalance: str
    spread: SpreadConstraints
    toleration_seconds: int
    force_reconfig: ForceReconfig | None
    placement: Placement | None

    @property
    def node_select(self) -> dict[str, str]:
        return self.spread.node_select

    @property
    def tolerations(self) -> tuple[Toleration, ...]:
        return self.spread.tolerations

    @classmethod
    def from_object(cls, obj: KubeObject) -> "MultiCloudMongoDB":
        """The instance in `obj`; TerminalError names the field that has to change."""
        name = check_instance_name(name_of(obj))
        spec = Fields(obj, "").section("spec")
        spec = Fields(spec.value, "spec")
        image, auth, config = spec.section("imageSetting"), spec.section("auth"), spec.section("config")
        export, scheduler, failover = spec.section("export"), spec.section("scheduler"), spec.section("failover")
        password, reference = read_root_password(auth, "rootPasswd", AUTH_ROOT_PASSWORD)
        annotations = annotations_of(obj)
        result = annotations.get(ANNOTATION_SCHEDULER_RESULT)
        return cls(
            namespace=namespace_of(obj),
            name=name,
            uid=uid_of(obj),
            generation=generation_of(obj),
            deleting=deletion_timestamp_of(obj) is not None,
            replicaset=spec.integer("replicaset", minimum=1, maximum=MOST_MEMBERS),
            arbiter=config.flag("arbiter"),
            image=image.text("image", DEFAULT_IMAGE),
            image_pull_policy=image.choice("imagePullPolicy", ("Always", "IfNotPresent", "Never"), "IfNotPresent"),
            image_pull_secret=read_image_pull_secret(image, "imagePullSecret", "user", "passwd"),
            resources=read_resources(spec, "resource"),
            storage=read_storage(spec.section("storage"), "storageClass", "storageSize", "1Gi"),
            root_password=password,
            root_password_secret_ref=reference,
            config_ref=config.reference("configRef"),
            export_enabled=export.flag("enable"),
            export_resources=read_resources(export, "resource"),
            pod_spec=dict(spec.section("member").section("podSpec").value),
            scheduler_name=scheduler.text("schedulerName", DEFAULT_SCHEDULER_NAME),
            scheduler_mode=scheduler.choice("schedulerMode", ("Uniform", "Weighting"), "Uniform"),
            dynamic=scheduler.flag("allowDynamicScheduler", default=True),
            rebalance=annotations.get(ANNOTATION_REBALANCE, ""),
            spread=_spread(spec.section("spreadConstraints")),
            toleration_seconds=failover.integer("tolerationSeconds", default=300),
            force_reconfig=_force_reconfig(failover.section("forceReconfig")),
            placement=Placement.from_annotation(result) if result else None,
        )


def check_instance_name(name: str) -> str:
    """`name`, if Services and StatefulSets can be named after it."""
    if not _INSTANCE_NAME.match(name):
        raise invalid(
            "metadata.name",
            f"must start with a letter and hold only a-z, 0-9 and -, as Services are named after it, not {name!r}",
        )
    if len(name) > LONGEST_INSTANCE_NAME:
        raise invalid(
            "metadata.name",
            f"must have at most {LONGEST_INSTANCE_NAME} characters, as members are named after it, not {len(name)}",
        )
    return name


def _spread(fields: Fields) -> SpreadConstraints:
    most = fields.integer("maxMembersPerCluster", default=0, minimum=1)
    names, excluded = fields.texts("clusterNames"), fields.texts("excludeClusterNames")
    both = sorted(set(names) & set(excluded))
    if both:
        raise invalid(fields.at("excludeClusterNames"), f"and clusterNames both name {', '.join(both)}; keep one")
    return SpreadConstraints(
        node_select=fields.text_map("nodeSelect"),
        cluster_names=names,
        exclude_cluster_names=excluded,
        tolerations=tuple(_toleration(item) for item in fields.objects("tolerations")),
        max_members_per_cluster=most or None,
        preferences=tuple(_preference(item) for item in fields.objects("preferences")),
    )


def _preference(fields: Fields) -> Preference:
    wanted = fields.text_map("nodeSelect")
    if not wanted:
        raise invalid(fields.at("nodeSelect"), "must name at least one label that the preferred clusters have")
    weight = fields.integer("weight", default=1, minimum=1, maximum=100)
    return Preference(weight=weight, node_select=tuple(sorted(wanted.items())))


def _toleration(fields: Fields) -> Toleration:
    operator = fields.choice("operator", ("Equal", "Exists"), "Equal")
    key, value = fields.text("key"), fields.text("value")
    if operator == "Exists" and value:
        raise invalid(fields.at("value"), "must be empty if the operator is Exists")
    if operator == "Equal" and not key:
        raise invalid(fields.at("key"), "is required unless the operator is Exists")
    return Toleration(key=key, operator=operator, value=value, effect=fields.choice("effect", _TAINT_EFFECTS, ""))


def _force_reconfig(fields: Fields) -> ForceReconfig | None:
    if not fields.value:
        return None
    survivors, approval = fields.texts("survivors"), fields.optional_text("approval")
    if not survivors:
        raise invalid(fields.at("survivors"), "must name the clusters whose members are to go on alone")
    if approval is None:
        raise invalid(fields.at("approval"), "is required: a text that is new for every approval")
    return ForceReconfig(survivors=survivors, approval=approval, reason=fields.text("reason"))
