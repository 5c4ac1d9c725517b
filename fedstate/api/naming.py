"""Every name the components share: kinds, labels, annotations, finalizers, field managers, names of child objects.

Knows nothing about what the objects contain.
"""

from fedstate.kube.resources import Resource

GROUP = "middleware.fedstate.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

MULTI_CLOUD_MONGODBS = Resource(GROUP, VERSION, "multicloudmongodbs", "MultiCloudMongoDB")
MONGODBS = Resource(GROUP, VERSION, "mongodbs", "MongoDB")

DEFAULT_SCHEDULER_NAME = "multicloud-middleware-scheduler"
DEFAULT_IMAGE = "mongo:6.0"

LABEL_NAME = "app.kubernetes.io/name"
LABEL_INSTANCE = "app.kubernetes.io/instance"
LABEL_VERSION = "app.kubernetes.io/version"
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_PART_OF = "app.kubernetes.io/part-of"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"

LABEL_MEMBER = "middleware.fedstate.io/member"
"""The ordinal of the replica-set member that an object of a member cluster belongs to."""
LABEL_VIP = "app.multicloudmongodb.io/vip"
LABEL_INSTANCE_UID = "middleware.fedstate.io/instance-uid"
LABEL_RETAINED = "middleware.fedstate.io/retained"
LABEL_HOLDS_INSTANCE = "middleware.fedstate.io/holds-instance"
"""Set to "true" on a namespace while it holds an instance; an admission policy then refuses to delete the namespace."""

ANNOTATION_SCHEDULER_RESULT = "schedulerResult"
ANNOTATION_REBALANCE = "middleware.fedstate.io/rebalance"
"""Set by the owner of an instance to any new text: place its members anew, once."""
ANNOTATION_REBALANCED = "middleware.fedstate.io/rebalanced"
"""The last such text that the scheduler has acted upon."""
ANNOTATION_VIP = "middleware.fedstate.io/vip"

FINALIZER_MULTI = "multiCloudMongoDB.finalizers.middleware.fedstate.io"
FINALIZER_MONGODB = "mongodb.finalizers.middleware.fedstate.io"

KARMADA_MANAGED_LABEL = "karmada.io/managed"

FIELD_MANAGER_SCHEDULER = "fedstate-scheduler"
FIELD_MANAGER_FEDERATION = "fedstate-federation"
FIELD_MANAGER_DATAPLANE = "fedstate-dataplane"
FIELD_MANAGER_LOCAL = "fedstate-local"

AUTH_ROOT_PASSWORD = "rootPassword"  # noqa: S105 - the key of a Secret, not a password
AUTH_KEYFILE = "keyfile"
AUTH_CLUSTER_ADMIN_PASSWORD = "clusterAdminPassword"  # noqa: S105
AUTH_CLUSTER_MONITOR_PASSWORD = "clusterMonitorPassword"  # noqa: S105

HOSTCONF_DATAS = "datas"
HOSTCONF_ARBITERS = "arbiters"
HOSTCONF_REPLSET = "replset.json"

LONGEST_INSTANCE_NAME = 40
"""The label `controller-revision-hash` is `<name>-replset-<up to 3 digits>` and 11 characters more, and has room for 63."""


def standard_labels(instance: str, component: str, *, version: str = "", managed_by: str = "fedstate") -> dict[str, str]:
    """The six recommended labels (five without a version) of an object that belongs to `instance`."""
    labels = {
        LABEL_NAME: "mongodb",
        LABEL_INSTANCE: instance,
        LABEL_COMPONENT: component,
        LABEL_PART_OF: "fedstate",
        LABEL_MANAGED_BY: managed_by,
    }
    if version:
        labels[LABEL_VERSION] = version
    return labels


def auth_secret_name(instance: str) -> str:
    return f"{instance}-auth"


def hostconf_name(instance: str) -> str:
    return f"{instance}-hostconf"


def policy_name(instance: str) -> str:
    """Both the PropagationPolicy and the OverridePolicy of an instance."""
    return instance


def replset_name(instance: str) -> str:
    return instance


def member_name(instance: str, ordinal: int) -> str:
    """The StatefulSet and the NodePort Service of one member."""
    return f"{instance}-replset-{ordinal}"


def short_member_name(ordinal: int) -> str:
    """How a member is called inside its instance and cluster, in status and in plans."""
    return f"replset-{ordinal}"


def binding_name(instance: str) -> str:
    """The ResourceBinding that Karmada makes for the template MongoDB of an instance."""
    return f"{instance}-mongodb"
