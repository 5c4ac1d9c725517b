"""A MongoDB, the part of an instance in one cluster or a whole one, as the rest of FedState reads it.

The schema and its CEL rules refuse most bad specs earlier; what gets past them ends here, with the field's path.
"""

from dataclasses import dataclass, field
from typing import Any

from fedstate.api.federated import MOST_MEMBERS, check_instance_name
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
from fedstate.api.karmada import vip_problem
from fedstate.api.naming import (
    ANNOTATION_VIP,
    AUTH_ROOT_PASSWORD,
    DEFAULT_IMAGE,
    KARMADA_MANAGED_LABEL,
    LABEL_VIP,
)
from fedstate.kube.objects import (
    KubeObject,
    annotations_of,
    deletion_timestamp_of,
    generation_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationStamp:
    """What the federation's override has written for one cluster; a data plane obeys only its own."""

    cluster: str
    instance_uid: str
    plan_generation: int
    decommission: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MongoDB:
    """A replica set's members in one cluster as the spec wants them.

    `federated` without a stamp (`federation` None) is an inert template: nothing may be done for it.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    deleting: bool
    members: int
    arbiter: bool
    image: str
    image_pull_policy: str
    image_pull_secret: ImagePullSecret
    resources: dict[str, dict[str, str]]
    storage: Storage
    config: tuple[tuple[str, str], ...]
    custom_config_ref: str | None
    member_config_ref: str | None
    root_password: str | None = field(repr=False)
    root_password_secret_ref: SecretKeyRef | None
    rs_init: bool
    federated: bool
    federation: FederationStamp | None
    metrics_enabled: bool
    metrics_resources: dict[str, dict[str, str]]
    pod_spec: dict[str, Any]
    vip: str | None
    karmada_managed: bool

    @property
    def inert(self) -> bool:
        return self.federated and self.federation is None

    @classmethod
    def from_object(cls, obj: KubeObject) -> "MongoDB":
        """The replica set in `obj`; TerminalError names the field that has to change."""
        name = check_instance_name(name_of(obj))
        spec = Fields(Fields(obj, "").section("spec").value, "spec")
        password, reference = read_root_password(spec, "rootPassword", AUTH_ROOT_PASSWORD)
        metrics = spec.section("metricsExporterSpec")
        spec.choice("type", ("ReplicaSet",), "ReplicaSet")
        return cls(
            namespace=namespace_of(obj),
            name=name,
            uid=uid_of(obj),
            generation=generation_of(obj),
            deleting=deletion_timestamp_of(obj) is not None,
            members=spec.integer("members", minimum=0, maximum=MOST_MEMBERS),
            arbiter=spec.flag("arbiter"),
            image=spec.text("image", DEFAULT_IMAGE),
            image_pull_policy=spec.choice("imagePullPolicy", ("Always", "IfNotPresent", "Never"), "IfNotPresent"),
            image_pull_secret=read_image_pull_secret(spec, "imagePullSecret", "username", "password"),
            resources=read_resources(spec, "resources"),
            storage=read_storage(spec.section("persistence"), "storageClassName", "storage", "1Gi"),
            config=tuple(_setting(item) for item in spec.objects("config")),
            custom_config_ref=spec.reference("customConfigRef"),
            member_config_ref=spec.reference("memberConfigRef"),
            root_password=password,
            root_password_secret_ref=reference,
            rs_init=spec.flag("rsInit"),
            federated="federation" in spec.value and spec.value["federation"] is not None,
            federation=_stamp(spec.section("federation")),
            metrics_enabled=metrics.flag("enable", default=True),
            metrics_resources=read_resources(metrics, "resources"),
            pod_spec={key: value for key, value in spec.section("podSpec").value.items() if value is not None},
            vip=_vip(obj),
            karmada_managed=labels_of(obj).get(KARMADA_MANAGED_LABEL) == "true",
        )


def _setting(fields: Fields) -> tuple[str, str]:
    name = fields.optional_text("name")
    if name is None:
        raise invalid(fields.at("name"), "is required")
    return name, fields.text("value")


def _stamp(fields: Fields) -> FederationStamp | None:
    if not fields.value:
        return None
    cluster, instance_uid = fields.optional_text("cluster"), fields.optional_text("instanceUID")
    if cluster is None or instance_uid is None:
        missing = "cluster" if cluster is None else "instanceUID"
        raise invalid(fields.at(missing), "is missing; a stamp is either empty or names both a cluster and an instance")
    return FederationStamp(
        cluster=cluster,
        instance_uid=instance_uid,
        plan_generation=fields.integer("planGeneration", default=0),
        decommission=fields.flag("decommission"),
    )


def _vip(obj: KubeObject) -> str | None:
    """The annotation goes before the label, which cannot hold an IPv6 address."""
    for where, value in (
        (f"metadata.annotations[{ANNOTATION_VIP}]", annotations_of(obj).get(ANNOTATION_VIP)),
        (f"metadata.labels[{LABEL_VIP}]", labels_of(obj).get(LABEL_VIP)),
    ):
        if value and value.strip():
            problem = vip_problem(value.strip())
            if problem:
                raise invalid(where, f"must be an address: {problem}")
            return value.strip()
    return None
