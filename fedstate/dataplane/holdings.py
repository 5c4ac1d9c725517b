"""What a cluster holds of an instance, member by member, gathered from its Kubernetes objects. Pure.

Knows nothing of what mongod says, nor of what should be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fedstate.api.naming import LABEL_COMPONENT, LABEL_INSTANCE_UID, LABEL_MEMBER, LABEL_RETAINED, member_name
from fedstate.api.replset import member_host
from fedstate.dataplane.mongodconf import PORT
from fedstate.dataplane.naming import ANNOTATION_REVISION, COMPONENT_ARBITER
from fedstate.dataplane.pods import MONGOD_CONTAINER
from fedstate.kube.objects import KubeObject, annotations_of, deletion_timestamp_of, labels_of, name_of


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMember:
    """One member of this cluster: its objects as far as they exist, and its address once it has one."""

    ordinal: int
    name: str
    arbiter: bool = False
    stateful_set: KubeObject | None = field(default=None, repr=False)
    service: KubeObject | None = field(default=None, repr=False)
    pod: KubeObject | None = field(default=None, repr=False)
    claim: KubeObject | None = field(default=None, repr=False)
    host: str = ""

    @property
    def running(self) -> bool:
        """True while its mongod process runs."""
        state = self._container_state()
        return "running" in state and self.pod is not None and deletion_timestamp_of(self.pod) is None

    @property
    def revision(self) -> str:
        """The revision its pod was made from; empty without a pod."""
        return annotations_of(self.pod or {}).get(ANNOTATION_REVISION, "")

    @property
    def image(self) -> str:
        """The image its pod runs; empty without a pod."""
        containers = ((self.pod or {}).get("spec") or {}).get("containers") or ()
        return next((str(c.get("image", "")) for c in containers if c.get("name") == MONGOD_CONTAINER), "")

    @property
    def is_gone(self) -> bool:
        """True when nothing runs and nothing is reachable any more; its volume may remain."""
        return self.stateful_set is None and self.pod is None and self.service is None

    def _container_state(self) -> Mapping[str, object]:
        statuses = ((self.pod or {}).get("status") or {}).get("containerStatuses") or ()
        return next((status.get("state") or {} for status in statuses if status.get("name") == MONGOD_CONTAINER), {})


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberObjects:
    """The objects in one namespace that carry the instance's label and a member's number."""

    stateful_sets: Sequence[KubeObject] = ()
    services: Sequence[KubeObject] = ()
    pods: Sequence[KubeObject] = ()
    claims: Sequence[KubeObject] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """All members of one instance in this cluster, by ordinal, and whose they are."""

    members: tuple[OwnMember, ...]
    instance_uids: frozenset[str]
    next_ordinal: int
    all_claims: tuple[KubeObject, ...] = field(default=(), repr=False)

    @property
    def empty(self) -> bool:
        """True when no member, running or stopped, is left; retained volumes do not count."""
        return not self.members

    def by_name(self, name: str) -> OwnMember | None:
        return next((member for member in self.members if member.name == name), None)


def holdings_of(instance: str, instance_uid: str, objects: MemberObjects, vip: str | None) -> Holdings:
    """The members of `instance`. Volumes of other instances of that name, and retained ones, make no member."""
    sets, services, pods = (_by_ordinal(kind) for kind in (objects.stateful_sets, objects.services, objects.pods))
    own_claims = [claim for claim in objects.claims if labels_of(claim).get(LABEL_INSTANCE_UID) == instance_uid]
    claims = _by_ordinal([claim for claim in own_claims if labels_of(claim).get(LABEL_RETAINED) != "true"])
    ordinals = sorted({*sets, *services, *pods, *claims})
    members = tuple(
        OwnMember(
            ordinal=ordinal,
            name=member_name(instance, ordinal),
            arbiter=any(_is_arbiter(kind.get(ordinal)) for kind in (sets, services, pods, claims)),
            stateful_set=sets.get(ordinal),
            service=services.get(ordinal),
            pod=pods.get(ordinal),
            claim=claims.get(ordinal),
            host=_host(services.get(ordinal), vip),
        )
        for ordinal in ordinals
    )
    used = [*ordinals, *(_ordinal(claim) for claim in own_claims)]
    uids = frozenset(labels_of(obj).get(LABEL_INSTANCE_UID, "") for obj in objects.stateful_sets)
    return Holdings(members=members, instance_uids=uids, next_ordinal=max(used, default=-1) + 1, all_claims=tuple(objects.claims))


def pod_problem(member: OwnMember) -> str | None:
    """Why a member's pod does not run, in the cluster's own words; None while it runs or has only just begun to start."""
    status = (member.pod or {}).get("status") or {}
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            said = str(condition.get("message") or "").rstrip(".")
            return f"pod {name_of(member.pod or {})} finds no node: {said} (spec.resources, spec.podSpec)"
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        problem = _container_problem(container)
        if problem and (container.get("name") in (MONGOD_CONTAINER, "prepare")):
            return f"pod {name_of(member.pod or {})}, container {container.get('name')}: {problem}"
    return None


def exporter_problem(member: OwnMember) -> str | None:
    """Why a member's metrics exporter does not run; None while it does, or has only just begun to start."""
    for container in ((member.pod or {}).get("status") or {}).get("containerStatuses") or ():
        if container.get("name") == "metrics":
            return _container_problem(container)
    return None


def _container_problem(container: Mapping[str, object]) -> str | None:
    state, last = _section(container, "state"), _section(container, "lastState")
    waiting = _section(state, "waiting")
    ended = _section(state, "terminated") or _section(last, "terminated")
    if waiting.get("reason") in (None, "ContainerCreating", "PodInitializing") and not (
        ended.get("exitCode") and not state.get("running")
    ):
        return None
    reason, text = str(waiting.get("reason") or ""), str(ended.get("message") or waiting.get("message") or "")
    parts = [reason, " ".join(line.strip() for line in text.splitlines())]
    said = ": ".join(part for part in parts if part) or f"ended with exit code {ended.get('exitCode')}"
    return said + _where_to_look(said)


def _where_to_look(said: str) -> str:
    """The fields that such a failure comes from, where that is known."""
    if "Unrecognized option" in said or "Error parsing" in said:
        return " (spec.config, spec.customConfigRef)"
    return " (spec.image, spec.imagePullSecret)" if said.startswith(("ImagePull", "ErrImage", "InvalidImageName")) else ""


def _section(value: Mapping[str, object], name: str) -> Mapping[str, object]:
    section = value.get(name)
    return section if isinstance(section, Mapping) else {}


def _by_ordinal(objects: Iterable[KubeObject]) -> dict[int, KubeObject]:
    return {_ordinal(obj): obj for obj in objects if _ordinal(obj) >= 0}


def _ordinal(obj: KubeObject) -> int:
    text = labels_of(obj).get(LABEL_MEMBER, "")
    return int(text) if text.isdigit() else -1


def _is_arbiter(obj: KubeObject | None) -> bool:
    return obj is not None and labels_of(obj).get(LABEL_COMPONENT) == COMPONENT_ARBITER


def _host(service: KubeObject | None, vip: str | None) -> str:
    for port in ((service or {}).get("spec") or {}).get("ports") or ():
        if port.get("port") == PORT and port.get("nodePort") and vip:
            return member_host(vip, int(port["nodePort"]))
    return ""
