"""Names that only the data plane uses: its own objects, users and annotations. Pure."""

from __future__ import annotations

import hashlib

from fedstate.api.mongodb import MongoDB
from fedstate.api.naming import LABEL_MANAGED_BY, member_name

ANNOTATION_REVISION = "middleware.fedstate.io/revision"
ANNOTATION_OPERATOR = "middleware.fedstate.io/operator-revision"
"""What version of the operator made a pod, as far as pods of two versions differ."""
ANNOTATION_INTENT = "middleware.fedstate.io/intent"

MANAGED_SELECTOR = f"{LABEL_MANAGED_BY}=fedstate"
COMPONENT_DATA = "replset"
COMPONENT_ARBITER = "arbiter"

ROOT = "root"
CLUSTER_ADMIN = "clusterAdmin"
CLUSTER_MONITOR = "clusterMonitor"

STANDALONE_CLUSTER = "local"
"""The cluster's name in the plan of an instance that no federation knows."""


def mongod_conf_name(instance: str) -> str:
    """The ConfigMap with the members' configuration file."""
    return f"{instance}-mongod"


def pull_secret_name(mongo: MongoDB) -> str | None:
    """The Secret that images are pulled with: the user's, or the one made of inline credentials."""
    if mongo.image_pull_secret.name:
        return mongo.image_pull_secret.name
    return f"{mongo.name}-pull" if mongo.image_pull_secret.user else None


def claim_template_name(instance_uid: str) -> str:
    """Part of every claim's name, so that a later instance of the same name never mounts the data of this one."""
    return f"data-{hashlib.sha256(instance_uid.encode()).hexdigest()[:8]}"


def claim_name(instance: str, ordinal: int, instance_uid: str) -> str:
    """The claim that the StatefulSet of a member makes."""
    return f"{claim_template_name(instance_uid)}-{member_name(instance, ordinal)}-0"
