"""One of several processes leads: a Lease taken, renewed, and given back.

Like client-go's election it does not fence: a leader that stalls may act once more after another has taken over, so whatever
destroys must carry a precondition. Clocks are never compared between machines; only their rates are trusted.
"""

import asyncio
import logging
import random
import socket
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NoReturn, Self

from fedstate.errors import FedstateError
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import ApiError, Conflict, NotFound, TransportError
from fedstate.kube.metrics import LEADING
from fedstate.kube.objects import KubeObject, format_micro_time
from fedstate.kube.resources import LEASES

_log = logging.getLogger(__name__)

ACQUIRE_JITTER = 1.2
RELEASE_TIMEOUT = 5.0
HEALTH_TOLERANCE = 20.0


class LeadershipLost(FedstateError):
    """The lease could not be renewed in time, or somebody else holds it: stop at once, and let the process end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """Seconds. Others wait `duration` after our last sign of life; we stop leading after `renew_deadline` without success."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0

    def __post_init__(self) -> None:
        if not self.duration > self.renew_deadline > ACQUIRE_JITTER * self.retry_period > 0:
            raise ValueError("a lease needs duration > renew_deadline > 1.2 * retry_period > 0")

    @property
    def request_timeout(self) -> float:
        return max(1.0, self.renew_deadline / 2)


def unique_identity() -> str:
    """A name for this process that no other has, and that shows where it runs."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


class Leadership:
    """`async with` returns once this process leads, and gives the lease back at the end.

    Meanwhile `keep` has to run; it raises LeadershipLost before anybody else can lead.
    """

    def __init__(
        self, client: KubeClient, lease_namespace: str, lease_name: str, identity: str, *, times: LeaseTimes = LeaseTimes()
    ) -> None:
        self._client = client
        self._namespace = lease_namespace
        self._name = lease_name
        self._identity = identity
        self._times = times
        self._lease: KubeObject | None = None
        self._observed: dict[str, Any] | None = None
        self._observed_at = 0.0
        self._renewed_at: float | None = None
        self._leading = LEADING.labels(lease_name)
        self._leading.set(0)

    @property
    def leads(self) -> bool:
        return self._renewed_at is not None

    def healthy(self) -> bool:
        """False if this process believes that it leads, though its lease ran out some time ago."""
        if self._renewed_at is None:
            return True
        return _now() - self._renewed_at <= self._times.duration + HEALTH_TOLERANCE

    async def __aenter__(self) -> Self:
        while True:
            if await self._try(renewing=False):
                break
            await asyncio.sleep(self._times.retry_period * (1 + ACQUIRE_JITTER * random.random()))
        self._leading.set(1)
        _log.info("leading", extra={"lease": self._name, "identity": self._identity})
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._leading.set(0)
        if self._renewed_at is None:
            return
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT):
                await self._release()
        except (TimeoutError, ApiError, TransportError) as failed:
            _log.warning("the lease was not given back; it runs out by itself", extra={"error": str(failed)})
        finally:
            self._renewed_at = None

    async def keep(self) -> NoReturn:
        """Renews the lease for as long as it can be."""
        while True:
            await asyncio.sleep(self._times.retry_period)
            assert self._renewed_at is not None
            try:
                async with asyncio.timeout_at(self._renewed_at + self._times.renew_deadline):
                    await self._renew()
            except TimeoutError as error:
                self._lose("it could not be renewed in time", error)

    async def _renew(self) -> None:
        while True:
            if await self._try(renewing=True):
                return
            await asyncio.sleep(self._times.retry_period)

    def _lose(self, why: str, cause: Exception | None = None) -> NoReturn:
        self._leading.set(0)
        self._renewed_at = None
        raise LeadershipLost(f"lease {self._namespace}/{self._name} is lost: {why}") from cause

    async def _try(self, *, renewing: bool) -> bool:
        """One attempt to have the lease now; False to try again later."""
        try:
            async with asyncio.timeout(self._times.request_timeout):
                return await self._acquire_or_renew(renewing=renewing)
        except TimeoutError:
            _log.warning("the lease was not answered in time", extra={"lease": self._name})
        except Conflict:
            # What is remembered is old, or an answer was lost: read it again next time.
            self._lease = None
        except (ApiError, TransportError) as error:
            self._lease = None
            _log.warning("the lease cannot be had, trying again", extra={"lease": self._name, "error": str(error)})
        return False

    async def _acquire_or_renew(self, *, renewing: bool) -> bool:
        if self._lease is not None and self._holder() == self._identity:
            try:
                return await self._write(self._lease)
            except Conflict:
                self._lease = None
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace)
        except NotFound:
            return await self._create()
        self._observe(lease)
        holder = self._holder()
        if holder and holder != self._identity:
            if renewing:
                self._lose(f"{holder} holds it")
            if not self._expired():
                return False
        return await self._write(lease)

    def _observe(self, lease: KubeObject) -> None:
        spec = lease.get("spec") or {}
        if spec != self._observed:
            self._observed, self._observed_at = spec, _now()
        self._lease = lease

    def _holder(self) -> str:
        return str((self._observed or {}).get("holderIdentity") or "")

    def _expired(self) -> bool:
        # The duration is the record's own: its holder counts with that one.
        duration = float((self._observed or {}).get("leaseDurationSeconds") or self._times.duration)
        return _now() >= self._observed_at + duration

    async def _create(self) -> bool:
        moment = format_micro_time(datetime.now(UTC))
        lease = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._spec(acquired=moment, transitions=0),
        }
        # Anchored before sending: the server counts from later, so we stop before others start.
        before = _now()
        self._taken(await self._client.create(LEASES, lease), before)
        return True

    async def _write(self, lease: KubeObject) -> bool:
        old = lease.get("spec") or {}
        transitions = int(old.get("leaseTransitions") or 0)
        if old.get("holderIdentity") == self._identity:
            spec = self._spec(acquired=old.get("acquireTime"), transitions=transitions)
        else:
            spec = self._spec(acquired=format_micro_time(datetime.now(UTC)), transitions=transitions + 1)
        before = _now()
        self._taken(await self._client.replace(LEASES, lease | {"spec": spec}), before)
        return True

    def _spec(self, *, acquired: str | None, transitions: int) -> dict[str, Any]:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": round(self._times.duration),
            "acquireTime": acquired,
            "renewTime": format_micro_time(datetime.now(UTC)),
            "leaseTransitions": transitions,
        }

    def _taken(self, lease: KubeObject, before: float) -> None:
        self._observe(lease)
        self._renewed_at = before

    async def _release(self) -> None:
        while True:
            lease = await self._client.get(LEASES, self._name, self._namespace)
            if (lease.get("spec") or {}).get("holderIdentity") != self._identity:
                return
            moment = format_micro_time(datetime.now(UTC))
            free = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": moment, "acquireTime": moment}
            try:
                await self._client.replace(LEASES, lease | {"spec": lease["spec"] | free})
            except Conflict:
                await asyncio.sleep(0.1)
            else:
                return


def _now() -> float:
    return asyncio.get_running_loop().time()
