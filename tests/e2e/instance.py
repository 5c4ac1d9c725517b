"""One instance in a running system, handled as its user would: by kubectl, its status, and faults from outside."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from fedstate.api.naming import MULTI_CLOUD_MONGODBS, auth_secret_name
from fedstate.errors import FedstateError
from fedstate.kube.errors import NotFound, TransportError
from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import PODS, SECRETS, STATEFUL_SETS
from fedstate.local import demo
from fedstate.local.layout import CONTROL_PLANE
from tests.e2e.system import HEALTHY, System
from tests.e2e.witness import Witness

logger = logging.getLogger(__name__)
POLL = 0.2
LAST_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An instance of its own namespace."""

    system: System
    namespace: str
    name: str

    async def create(self, members: int, spec: KubeObject | None = None) -> KubeObject:
        """kubectl apply, with whatever else of the spec, and wait for Health."""
        wanted = demo.manifest(members)
        wanted["metadata"] = {"name": self.name, "namespace": self.namespace}
        wanted["spec"] |= {"resource": {"requests": {"cpu": "100m", "memory": "128Mi"}}} | (spec or {})
        await self.system.kubectl("create", "namespace", self.namespace)
        await self.system.kubectl("apply", "-f", "-", stdin=json.dumps(wanted))
        return await self.healthy(members)

    async def get(self) -> KubeObject:
        return await self.system.get(self.name, self.namespace)

    async def healthy(self, members: int) -> KubeObject:
        """Wait until the status says Health with that many members."""
        return await self.system.wait_healthy(self.name, self.namespace, members)

    async def until(self, what: str, holds: Callable[[KubeObject], bool], *, timeout: float) -> KubeObject:
        """Wait until the instance looks as described; fails the test with what it says instead."""
        seen: KubeObject = {}
        try:
            async with asyncio.timeout(timeout), self.system.control_plane() as client:
                while True:
                    try:
                        seen = await client.get(MULTI_CLOUD_MONGODBS, self.name, self.namespace)
                    except TransportError:
                        seen = {}
                    if seen and holds(seen):
                        return seen
                    await asyncio.sleep(POLL)
        except TimeoutError:
            raise AssertionError(f"after {timeout:.0f} s not {what}: {demo.summary(seen)}") from None

    async def scale(self, members: int) -> None:
        """kubectl scale."""
        await self.system.kubectl("-n", self.namespace, "scale", f"mcm/{self.name}", f"--replicas={members}")

    async def patch(self, spec: KubeObject) -> None:
        """kubectl patch --type=merge of the spec."""
        patch = json.dumps({"spec": spec})
        await self.system.kubectl("-n", self.namespace, "patch", f"mcm/{self.name}", "--type=merge", "-p", patch)

    async def annotate(self, annotation: str, text: str) -> None:
        """kubectl annotate --overwrite."""
        await self.system.kubectl("-n", self.namespace, "annotate", f"mcm/{self.name}", f"{annotation}={text}", "--overwrite")

    async def password(self) -> str:
        """The administrator's password."""
        async with self.system.control_plane() as client:
            secret = await client.get(SECRETS, auth_secret_name(self.name), self.namespace)
        return base64.b64decode(secret["data"]["rootPassword"]).decode()

    async def kill_primary(self) -> None:
        """SIGKILL to the primary's mongod."""
        await self.system.fedstate("chaos", "kill-member", "primary", "-n", self.namespace, "--instance", self.name)

    async def left_in(self, cluster: str) -> list[str]:
        """Pods and StatefulSets of the instance that a member cluster still has."""
        async with self.system.member(cluster) as client:
            found = [(kind.kind, obj) for kind in (PODS, STATEFUL_SETS) for obj in await client.list_all(kind, self.namespace)]
        return [f"{cluster}: {kind} {obj['metadata']['name']}" for kind, obj in found]

    async def nothing_left_in(self, cluster: str, *, timeout: float) -> None:
        """Wait until a member cluster runs nothing of the instance."""
        begun = time.monotonic()
        while left := await self.left_in(cluster):
            assert time.monotonic() - begun < timeout, f"after {timeout:.0f} s still there: {left}"
            await asyncio.sleep(POLL)

    async def delete(self) -> None:
        """kubectl delete, which returns when the instance is gone; then nothing of it may run anywhere."""
        begun = time.monotonic()
        await self.system.kubectl("-n", self.namespace, "delete", f"mcm/{self.name}", f"--timeout={HEALTHY:.0f}s")
        for cluster in self.system.instance.clusters:
            await self.nothing_left_in(cluster, timeout=60)
        logger.info("deletion took %.1f s", time.monotonic() - begun)


@dataclass(slots=True)
class StatusWitness:
    """Compares what the status says with what the set itself says, all the time, and remembers the longest disagreements in seconds."""

    instance: Instance = field(repr=False)
    witness: Witness = field(repr=False)
    wrong_primary: float = 0.0
    healthy_without_primary: float = 0.0
    healthy_with_dead_members: float = 0.0

    async def run(self) -> None:
        """Look until cancelled."""
        async with self.instance.system.control_plane() as client:
            since: dict[str, float] = {}
            while True:
                seen = await client.get(MULTI_CLOUD_MONGODBS, self.instance.name, self.instance.namespace)
                for name in self._disagreements(seen):
                    began = since.setdefault(name, time.monotonic())
                    setattr(self, name, max(getattr(self, name), time.monotonic() - began))
                since = {name: since[name] for name in self._disagreements(seen)}
                await asyncio.sleep(POLL)

    def _disagreements(self, seen: KubeObject) -> list[str]:
        status, now = seen["status"], self.witness.now
        shown = status.get("primary", {}).get("host")
        healthy = status["state"] == "Health"
        found = {
            "wrong_primary": now.primary is not None and shown != now.primary,
            "healthy_without_primary": healthy and now.primary is None,
            "healthy_with_dead_members": healthy and bool(now.dead),
        }
        return [name for name, holds in found.items() if holds]

    @property
    def longest(self) -> float:
        return max(self.wrong_primary, self.healthy_without_primary, self.healthy_with_dead_members)


@asynccontextmanager
async def comparing(made: Instance, witness: Witness) -> AsyncIterator[StatusWitness]:
    """Compares in the background while the block runs."""
    found = StatusWitness(instance=made, witness=witness)
    task = asyncio.create_task(found.run(), name="status witness")
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.result()


@asynccontextmanager
async def instance(system: System, namespace: str, name: str = "orders") -> AsyncIterator[Instance]:
    """An instance to be created; whatever happens in the block, it is deleted and has to be gone afterwards."""
    made = Instance(system=system, namespace=namespace, name=name)
    try:
        yield made
    except BaseException as error:
        # Where there is nothing to tell of any more, the failure itself still is.
        with suppress(AssertionError, FedstateError, OSError):
            await _keep_evidence(made, error)
        # The failure of the block is what is to be told; the instance goes without anybody waiting for it.
        async with system.control_plane() as client:
            with suppress(NotFound, TransportError):
                await client.delete(MULTI_CLOUD_MONGODBS, name, namespace=namespace)
        raise
    await made.delete()


async def _keep_evidence(made: Instance, error: BaseException) -> None:
    """What runs is told with the failure; logs and objects are kept where `FEDSTATE_EVIDENCE` says, for the system goes away."""
    error.add_note(await made.system.fedstate("status"))
    error.add_note(_last_lines(made.system.layout.directory / CONTROL_PLANE / "operator.log"))
    seen = await made.get()
    for address in filter(None, str(seen.get("status", {}).get("externalAddr") or "").split(",")):
        error.add_note(await asyncio.to_thread(_hello, address))
    directory = os.environ.get("FEDSTATE_EVIDENCE")
    if directory is None:
        return
    source, target = made.system.layout.directory, Path(directory)
    for log in source.rglob("*.log"):
        kept = target / log.relative_to(source)
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(log.read_bytes())
    (target / "instance.json").write_text(json.dumps(seen, indent=1))
    for cluster in made.system.instance.clusters:
        with suppress(AssertionError):
            kinds = "mongodbs.middleware.fedstate.io,statefulsets,pods,services,persistentvolumeclaims,events"
            text = await made.system.kubectl(
                "-n", made.namespace, "get", kinds, "-o", "yaml", "--ignore-not-found", cluster=cluster
            )
            (target / f"{cluster}.yaml").write_text(text)


def _last_lines(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LAST_LINES:] if log.exists() else ["(none)"]
    return "\n".join([f"{log.parent.name}/{log.name}:", *(line[:400] for line in lines)])


def _hello(address: str) -> str:
    """What a member says of its set to anybody who asks."""
    options: dict[str, Any] = {"directConnection": True, "serverSelectionTimeoutMS": 1000, "socketTimeoutMS": 1000}
    try:
        with MongoClient[dict[str, Any]](f"mongodb://{address}", **options) as client:
            said = client.admin.command("hello")
    except PyMongoError as error:
        return f"{address}: {type(error).__name__}"
    known = {name: said.get(name) for name in ("isWritablePrimary", "secondary", "primary", "setVersion")}
    return f"{address}: {known}"
