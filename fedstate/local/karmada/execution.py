"""From a Work to the member's object: creates, overwrites, takes back hand edits, cleans up; reports into the Work's status."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fedstate.api.karmada import WORKS
from fedstate.control.reconciler import DONE, Result
from fedstate.kube.errors import ApiError, Conflict, NotFound, ServerError, TooManyRequests
from fedstate.kube.objects import (
    Key,
    KubeObject,
    annotations_of,
    deletion_timestamp_of,
    generation_of,
    key_of,
    labels_of,
    name_of,
    namespace_of,
    parse_time,
    resource_version_of,
)
from fedstate.kube.resources import Resource
from fedstate.local.karmada import names
from fedstate.local.karmada.aggregate import manifest_status
from fedstate.local.karmada.conditions import Verdict, with_verdict
from fedstate.local.karmada.member import Member
from fedstate.local.karmada.plane import ControlPlane, now
from fedstate.local.karmada.work import clean_up_patch, conflict_message, may_apply, retained
from fedstate.local.karmada.writes import let_go

_log = logging.getLogger(__name__)

NOT_SERVED = "the server could not find the requested resource"
APPLY_RETRY = 1.0
# The namespace of an object comes by a Work of its own, usually a moment later.
MISSING_RETRY = 0.1
CLEAN_UP_RETRY = (0.5, 60.0)

_DISPATCHING = Verdict(
    type="Dispatching", status=True, reason="Dispatching", message="Work is being dispatched to member clusters."
)
_APPLIED = Verdict(type="Applied", status=True, reason="AppliedSuccessful", message="Manifest has been successfully applied")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What was applied last, and the version that the member's object had afterwards."""

    manifest: KubeObject
    version: str


class Refused(Exception):
    """The manifest cannot be applied now; the message belongs into the Work's status."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Execution:
    """The Works of one member. While the member is not ready they wait; it being ready again brings them all back here."""

    def __init__(self, plane: ControlPlane, member: Member) -> None:
        self._plane = plane
        self._member = member
        self._seen: dict[Key, _Seen] = {}

    async def reconcile(self, key: Key) -> Result:
        work = self._plane.works.store.get(key)
        if work is None:
            self._seen.pop(key, None)
            return DONE
        if deletion_timestamp_of(work):
            return await self._finish(work)
        if not self._member.ready:
            return DONE
        manifest = work["spec"]["workload"]["manifests"][0]
        try:
            observed = await self._applied(key, manifest)
        except Refused as refusal:
            await self._report(work, _failed(str(refusal)))
            return Result(requeue_after=refusal.retry_after)
        await self._report(work, _APPLIED, [manifest_status(manifest, observed)])
        return DONE

    async def _applied(self, key: Key, manifest: KubeObject) -> KubeObject:
        """The member's object after it was made what the manifest says."""
        resource = await self._member.kinds.find(manifest["apiVersion"], manifest["kind"])
        if resource is None:
            raise Refused(NOT_SERVED, retry_after=APPLY_RETRY)
        cached = (await self._member.managed(resource)).store.get(key_of(manifest))
        observed = cached or await self._read(resource, manifest)
        if observed is not None and self._is_as_left(key, manifest, observed):
            return observed
        try:
            written = await self._write(resource, manifest, observed)
        except (Conflict, TooManyRequests, ServerError):
            raise
        except ApiError as error:
            self._member.kinds.forget(resource)
            soon = MISSING_RETRY if isinstance(error, NotFound) else APPLY_RETRY
            raise Refused(error.message, retry_after=soon) from error
        self._seen[key] = _Seen(manifest=manifest, version=_version(written))
        return written

    async def _write(self, resource: Resource, manifest: KubeObject, observed: KubeObject | None) -> KubeObject:
        if observed is not None:
            if not may_apply(manifest, observed):
                raise Refused(conflict_message(manifest, self._member.name), retry_after=APPLY_RETRY)
            try:
                return await self._member.client.replace(resource, retained(manifest, observed))
            except NotFound:
                _log.debug("an object went away while it was applied", extra={"object": str(key_of(manifest))})
        return await self._member.client.create(resource, manifest)

    def _is_as_left(self, key: Key, manifest: KubeObject, observed: KubeObject) -> bool:
        """Whether neither the manifest nor the object changed since the last apply, status and foreign metadata apart."""
        seen = self._seen.get(key)
        return (
            seen is not None
            and seen.manifest == manifest
            and seen.version == _version(observed)
            and labels_of(manifest).items() <= labels_of(observed).items()
            and annotations_of(manifest).items() <= annotations_of(observed).items()
        )

    async def _read(self, resource: Resource, manifest: KubeObject) -> KubeObject | None:
        try:
            return await self._member.client.get(resource, name_of(manifest), namespace_of(manifest))
        except NotFound:
            return None

    async def _report(self, work: KubeObject, applied: Verdict, statuses: list[dict[str, Any]] | None = None) -> None:
        before = work.get("status") or {}
        conditions = with_verdict(before.get("conditions"), _DISPATCHING, now())
        status = before | {"conditions": with_verdict(conditions, applied, now())}
        if statuses is not None:
            status["manifestStatuses"] = statuses
        if status == before:
            return
        key = key_of(work)
        try:
            await self._plane.client.merge_patch(
                WORKS, key.name, {"status": status}, namespace=key.namespace, subresource="status"
            )
        except NotFound:
            return

    async def _finish(self, work: KubeObject) -> Result:
        """Clean up in the member, then let the Work go; a cluster that is leaving is not waited for.

        When it leaves, its namespaces go, too, perhaps before the objects in them could be cleaned.
        """
        cluster = self._plane.cluster(self._member.name)
        leaving = cluster is None or deletion_timestamp_of(cluster) is not None
        if self._member.ready:
            manifest = work["spec"]["workload"]["manifests"][0]
            try:
                await self._clean_up(manifest, preserve=bool(work["spec"].get("preserveResourcesOnDeletion")))
            except ApiError as error:
                if not (leaving and isinstance(error, NotFound)):
                    return self._try_later(work, error)
        elif not leaving:
            return DONE
        await let_go(self._plane.client, WORKS, work, names.WORK_FINALIZER)
        return DONE

    async def _clean_up(self, manifest: KubeObject, *, preserve: bool) -> None:
        """A preserved object loses Karmada's marks, and must be there to lose them; any other is deleted if it is managed."""
        resource = await self._member.kinds.find(manifest["apiVersion"], manifest["kind"])
        name, namespace = name_of(manifest), namespace_of(manifest)
        if preserve:
            if resource is None:
                raise NotFound(404, "NotFound", NOT_SERVED)
            await self._member.client.merge_patch(resource, name, clean_up_patch(), namespace=namespace)
            return
        observed = await self._read(resource, manifest) if resource else None
        if resource is not None and observed is not None and labels_of(observed).get(names.MANAGED) == "true":
            await self._member.client.delete(resource, name, namespace=namespace)

    def _try_later(self, work: KubeObject, error: ApiError) -> Result:
        # As in Karmada a Work whose object is gone is retried for ever, ever later, until an object of that name exists.
        age = (datetime.now(UTC) - parse_time(work["metadata"]["deletionTimestamp"])).total_seconds()
        delay = min(max(age, CLEAN_UP_RETRY[0]), CLEAN_UP_RETRY[1])
        self._plane.events.event(
            work, "Warning", "CleanupWorkFailed", f"Failed to remove annotations and labels or to delete: {error.message}"
        )
        _log.info("a Work cannot go yet", extra={"work": str(key_of(work)), "error": error.message, "retry_after": delay})
        return Result(requeue_after=delay)


def _failed(message: str) -> Verdict:
    return Verdict(
        type="Applied", status=False, reason="AppliedFailed", message=f"Failed to apply all manifests (0/1): {message}"
    )


def _version(obj: KubeObject) -> str:
    generation = generation_of(obj)
    return f"generation {generation}" if generation else f"version {resource_version_of(obj)}"
