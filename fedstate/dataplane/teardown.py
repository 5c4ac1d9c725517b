"""Takes an instance's members out of a cluster and says when nothing is left. Repeats harmlessly until then.

Owns the order: processes first, volumes by their policy after them, what Karmada brought is left to Karmada.
"""

from __future__ import annotations

from collections.abc import Sequence

from fedstate.api.mongodb import MongoDB
from fedstate.api.naming import (
    KARMADA_MANAGED_LABEL,
    LABEL_INSTANCE_UID,
    LABEL_MEMBER,
    LABEL_RETAINED,
    auth_secret_name,
    hostconf_name,
)
from fedstate.dataplane.holdings import Holdings, OwnMember
from fedstate.dataplane.inputs import Inputs
from fedstate.dataplane.naming import mongod_conf_name
from fedstate.dataplane.writer import Writer
from fedstate.kube.objects import Key, KubeObject, deletion_timestamp_of, labels_of, name_of
from fedstate.kube.resources import (
    CONFIG_MAPS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
    Resource,
)


class Teardown:
    """Removes members, one or all."""

    def __init__(self, inputs: Inputs, writer: Writer) -> None:
        self._inputs = inputs
        self._writer = writer

    async def remove_member(self, mongo: MongoDB, member: OwnMember) -> None:
        """Stop a member; when it has stopped, give up its address and its volume."""
        if member.stateful_set is not None:
            if deletion_timestamp_of(member.stateful_set) is None:
                await self._writer.delete(STATEFUL_SETS, member.stateful_set)
            return
        if member.pod is not None:
            # Garbage collection takes it, unless somebody has orphaned it.
            if deletion_timestamp_of(member.pod) is None:
                await self._writer.delete(PODS, member.pod)
            return
        if member.claim is not None:
            await self._release(mongo, member.claim)
        if member.service is not None and deletion_timestamp_of(member.service) is None:
            await self._writer.delete(SERVICES, member.service)

    async def remove_all(self, key: Key, mongo: MongoDB, instance_uid: str, holdings: Holdings) -> None:
        """Stop all members, then let go of what they shared."""
        for member in holdings.members:
            await self.remove_member(mongo, member)
        if holdings.empty:
            for resource, obj in self._shared(key, mongo, instance_uid):
                await self._writer.delete(resource, obj)

    async def remove_what_was_brought(self, key: Key, mongo: MongoDB, instance_uid: str) -> bool:
        """Delete the passwords and plans that Karmada has brought and let go of; True once none are left, its own included."""
        left = False
        for resource in (SECRETS, CONFIG_MAPS):
            for obj in self._inputs.of_instance(resource, key):
                if (
                    not _is_brought(mongo.name, name_of(obj))
                    or labels_of(obj).get(LABEL_INSTANCE_UID, instance_uid) != instance_uid
                ):
                    continue
                left = True
                if labels_of(obj).get(KARMADA_MANAGED_LABEL) != "true":
                    await self._writer.delete(resource, obj)
        return not left

    def protects_namespace(self, namespace: str) -> bool:
        """True while members of any instance are in the namespace."""
        return any(LABEL_MEMBER in labels_of(obj) for obj in self._inputs.owned[STATEFUL_SETS].store.list(namespace))

    async def _release(self, mongo: MongoDB, claim: KubeObject) -> None:
        if mongo.storage.retained:
            await self._writer.patch(PERSISTENT_VOLUME_CLAIMS, claim, {"metadata": {"labels": {LABEL_RETAINED: "true"}}})
        elif deletion_timestamp_of(claim) is None:
            await self._writer.delete(PERSISTENT_VOLUME_CLAIMS, claim)

    def _shared(self, key: Key, mongo: MongoDB, instance_uid: str) -> Sequence[tuple[Resource, KubeObject]]:
        names = {mongod_conf_name(mongo.name), f"{mongo.name}-metrics", f"{mongo.name}-pull"}
        if not mongo.federated:
            names |= {auth_secret_name(mongo.name), hostconf_name(mongo.name)}
        return [
            (resource, obj)
            for resource in (CONFIG_MAPS, SECRETS, SERVICES)
            for obj in self._inputs.of_instance(resource, key)
            if name_of(obj) in names and labels_of(obj).get(LABEL_INSTANCE_UID) == instance_uid
        ]


def _is_brought(instance: str, name: str) -> bool:
    """Whether a Secret or ConfigMap of that name is one that the federation distributes beside the MongoDB."""
    return name in (auth_secret_name(instance), hostconf_name(instance), f"{instance}-pull") or name.startswith(
        f"{instance}-config-"
    )
