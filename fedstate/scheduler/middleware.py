"""What the scheduler has to know of a middleware to place it: its kinds, and what one of its instances demands.

MongoDB is the first one; another is another `Middleware`, found by its entry point, not an edit of the scheduler.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

from fedstate.api.federated import MultiCloudMongoDB, SpreadConstraints, check_instance_name
from fedstate.api.naming import (
    ANNOTATION_REBALANCE,
    ANNOTATION_REBALANCED,
    ANNOTATION_SCHEDULER_RESULT,
    MONGODBS,
    MULTI_CLOUD_MONGODBS,
)
from fedstate.api.placement import Placement
from fedstate.errors import FedstateError
from fedstate.kube.codec import decode, encode
from fedstate.kube.objects import Key, KubeObject, annotations_of, deletion_timestamp_of, generation_of, key_of, name_of
from fedstate.kube.resources import Resource
from fedstate.scheduler.amounts import Amounts, amounts_of
from fedstate.scheduler.capacity.rooms import MemberShape
from fedstate.scheduler.podspec import shape_of
from fedstate.scheduler.quorum import MONGODB_QUORUM, Quorum
from fedstate.scheduler.sight import NO_LOSSES, Losses, Sight, mongodb_sight

ANYWHERE = MemberShape(request=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one instance wants placed, and what is placed of it already (`current`).

    `shape` is one member as a node sees it; whatever is given, it asks for what `request` says. With `dynamic`, members may be moved:
    from clusters that `losses` names, and all of them once for every new text in `rebalance`.
    """

    members: int
    arbiter: bool
    mode: str
    request: Amounts
    spread: SpreadConstraints
    current: Placement | None
    scheduler_name: str
    generation: int
    deleting: bool
    quorum: Quorum = MONGODB_QUORUM
    shape: MemberShape = ANYWHERE
    dynamic: bool = True
    toleration: int = 300
    rebalance: str = ""
    """What its owner has asked for and nobody has acted upon yet."""
    losses: Losses = NO_LOSSES

    def __post_init__(self) -> None:
        request = tuple(sorted([(name, amount) for name, amount in self.request.items() if amount > 0]))
        if self.shape.request != request:
            object.__setattr__(self, "shape", replace(self.shape, request=request))


@dataclass(frozen=True, slots=True, kw_only=True)
class Middleware:
    """A kind of instance on the control plane, the kind member clusters must serve for it, and how to read a demand.

    `demand_of` raises TerminalError for an instance whose spec makes no sense.
    """

    instances: Resource
    template: Resource
    demand_of: Callable[[KubeObject], Demand]
    running_of: Callable[[KubeObject], Mapping[str, int]]
    """How many members of an instance run in each cluster, as its status says."""
    sight_of: Callable[[KubeObject], Sight] = lambda obj: Sight()
    """What the instance itself sees of its members, as its status says. Of one that says nothing, no member is ever moved."""


def mongodb_demand(obj: KubeObject) -> Demand:
    """An instance is read several times, and many are alike: what a spec says is remembered, unless it holds a password."""
    spec = obj.get("spec")
    if not isinstance(spec, dict) or not _is_plain(spec):
        demand = _demand(MultiCloudMongoDB.from_object(obj), key_of(obj))
        return replace(demand, rebalance=_asked(annotations_of(obj)))
    check_instance_name(name_of(obj))
    annotations = annotations_of(obj)
    result = annotations.get(ANNOTATION_SCHEDULER_RESULT)
    return replace(
        _wishes(encode(spec)),
        current=Placement.from_annotation(result) if result else None,
        generation=generation_of(obj),
        deleting=deletion_timestamp_of(obj) is not None,
        rebalance=_asked(annotations),
    )


def _asked(annotations: Mapping[str, str]) -> str:
    """The owner's request to place the members anew, unless it has been acted upon."""
    asked = annotations.get(ANNOTATION_REBALANCE, "")
    return asked if asked != annotations.get(ANNOTATION_REBALANCED) else ""


def _is_plain(spec: Mapping[str, Any]) -> bool:
    """Whether nothing in it is secret, and nothing depends on whose spec it is."""
    parts = [spec.get(name) or {} for name in ("auth", "imageSetting", "member")]
    auth, image, member = [part if isinstance(part, dict) else {"": part} for part in parts]
    pull_secret = image.get("imagePullSecret")
    # An API server fills in empty objects for what its users leave out.
    return not (auth.get("rootPasswd") or (pull_secret and isinstance(pull_secret, dict)) or member)


@lru_cache(maxsize=2048)
def _wishes(spec: bytes) -> Demand:
    """What the spec says, of an instance without a placement."""
    anybody = {"metadata": {"name": "anybody"}, "spec": decode(spec)}
    return _demand(MultiCloudMongoDB.from_object(anybody), key_of(anybody))


def _demand(instance: MultiCloudMongoDB, key: Key) -> Demand:
    request = _requests(instance.resources)
    if instance.export_enabled:
        for name, amount in _requests(instance.export_resources).items():
            request[name] = request.get(name, 0) + amount
    return Demand(
        members=instance.replicaset,
        arbiter=instance.arbiter,
        mode=instance.scheduler_mode,
        request=request,
        shape=shape_of(request, instance.storage.storage_class, instance.pod_spec, key),
        spread=instance.spread,
        current=instance.placement,
        scheduler_name=instance.scheduler_name,
        generation=instance.generation,
        deleting=instance.deleting,
        dynamic=instance.dynamic,
        toleration=instance.toleration_seconds,
    )


def _requests(resources: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """A resource with a limit and no request is requested up to its limit, as Kubernetes does."""
    return amounts_of({**resources.get("limits", {}), **resources.get("requests", {})})


def mongodb_running(obj: KubeObject) -> dict[str, int]:
    """A member with an address has a pod, whether it is ready or not."""
    return {
        str(entry.get("cluster")): max(int(entry.get("replicasetStatus") or 0), len(entry.get("connectAddrWithRole") or ()))
        for entry in (obj.get("status") or {}).get("result") or ()
    }


MONGODB = Middleware(
    instances=MULTI_CLOUD_MONGODBS,
    template=MONGODBS,
    demand_of=mongodb_demand,
    running_of=mongodb_running,
    sight_of=mongodb_sight,
)

ENTRY_POINTS = "fedstate.middleware"


def middlewares() -> tuple[Middleware, ...]:
    """MongoDB, and every middleware that an installed package offers as an entry point of `fedstate.middleware`."""
    found = [MONGODB]
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        middleware = entry.load()
        if not isinstance(middleware, Middleware):
            raise FedstateError(f"entry point {entry.name} of {ENTRY_POINTS} is no Middleware but {middleware!r}")
        if any(middleware.instances == other.instances for other in found):
            raise FedstateError(f"entry point {entry.name} of {ENTRY_POINTS}: {middleware.instances} has a middleware already")
        found.append(middleware)
    return tuple(found)
