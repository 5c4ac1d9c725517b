"""Whether the data plane may act on a MongoDB at all: on its stamp, on whose data lies here, on whether it is to go. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fedstate.api.mongodb import MongoDB
from fedstate.dataplane.holdings import Holdings
from fedstate.dataplane.naming import STANDALONE_CLUSTER


class Attitude(Enum):
    """What the data plane does about an object."""

    ACT = "act"
    """Bring the cluster to the spec."""
    WATCH = "watch"
    """Report, change nothing."""
    LEAVE = "leave"
    """Remove what is here, and say when it is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stance:
    """The attitude, for whom, and for WATCH the reason and a sentence that says what to do about it."""

    attitude: Attitude
    cluster: str
    instance_uid: str
    reason: str = ""
    message: str = ""


def identity_of(mongo: MongoDB, cluster_name: str) -> tuple[str, str]:
    """The cluster and the instance uid that the object speaks of; the uid is empty for an inert template."""
    if mongo.federation is not None:
        return mongo.federation.cluster, mongo.federation.instance_uid
    return (cluster_name, "") if mongo.federated else (STANDALONE_CLUSTER, mongo.uid)


def stance_of(mongo: MongoDB, cluster_name: str, holdings: Holdings) -> Stance:
    """Act only on an own stamp, or on none at all where nobody else's data lies; never let a deletion take a federated database."""
    cluster, uid = identity_of(mongo, cluster_name)
    if mongo.inert:
        message = "spec.federation is empty: this is the template of a federated instance, and no override has stamped it for this cluster"
        return Stance(attitude=Attitude.WATCH, cluster=cluster, instance_uid=uid, reason="InertTemplate", message=message)
    if mongo.federation is not None and cluster != cluster_name:
        own = cluster_name or "(no name)"
        message = f"spec.federation.cluster is {cluster}, but this is cluster {own}; --cluster-name has to be the name in Karmada"
        return Stance(attitude=Attitude.WATCH, cluster=cluster, instance_uid=uid, reason="ForeignCluster", message=message)
    strangers = sorted(holdings.instance_uids - {uid})
    if strangers:
        message = (
            f"members of instance {strangers[0] or '(unlabelled)'} run here under this name, and the spec is of instance {uid}; "
            "decommission that instance first, or give this one another name"
        )
        return Stance(attitude=Attitude.WATCH, cluster=cluster, instance_uid=uid, reason="ForeignInstance", message=message)
    if mongo.federation is not None and mongo.federation.decommission:
        return Stance(attitude=Attitude.LEAVE, cluster=cluster, instance_uid=uid)
    if mongo.deleting and not mongo.federated:
        return Stance(attitude=Attitude.LEAVE, cluster=cluster, instance_uid=uid)
    if mongo.deleting:
        message = "the object is being deleted, but spec.federation.decommission is not set: the members keep running"
        return Stance(attitude=Attitude.WATCH, cluster=cluster, instance_uid=uid, reason="NotDecommissioned", message=message)
    return Stance(attitude=Attitude.ACT, cluster=cluster, instance_uid=uid)
