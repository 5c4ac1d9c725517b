"""One pod on this machine: its volumes, then its init containers one by one, then its containers; and its end. Knows nothing of the API server."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedstate.kube.objects import Key, KubeObject, deletion_timestamp_of, key_of, parse_time, uid_of
from fedstate.local.node.addresses import PodAddress
from fedstate.local.node.commands import Place
from fedstate.local.node.container import LOOK_AGAIN, ContainerRuntime
from fedstate.local.node.environment import Lookup, NotYetThere, environment_of, expand
from fedstate.local.node.paths import Translation
from fedstate.local.node.podstatus import PodView, Running, State, Terminated, Waiting, is_done
from fedstate.local.node.surroundings import Ground, Surroundings
from fedstate.local.node.volumes import Sources, mounts_of, realise

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What pods may refer to: Secrets and ConfigMaps of their namespace, and directories of its claims."""

    lookup: Callable[[str], Lookup]
    claim_directory: Callable[[str, str], Path]


class PodRuntime:
    """A pod bound to a node of this agent. `sync` brings it on, `view` says how it is."""

    def __init__(
        self, pod: KubeObject, directory: Path, address: PodAddress, host_ip: str, belongings: tuple[Surroundings, Stock]
    ) -> None:
        self.uid = uid_of(pod)
        self.key: Key = key_of(pod)
        self.address = address
        self.pod = pod
        self._directory = directory
        self._host_ip = host_ip
        self._around, self._stock = belongings
        self._volumes: dict[str, Path] | None = None
        self._said = ""
        self._started_at = datetime.now(UTC)
        spec = pod["spec"]
        policy = spec.get("restartPolicy") or "Always"
        for_init = "Never" if policy == "Never" else "OnFailure"
        self.init = [self._container(c, c.get("restartPolicy") or for_init) for c in spec.get("initContainers") or ()]
        self.main = [self._container(c, policy) for c in spec["containers"]]
        self._remember(pod.get("status") or {})

    def _container(self, spec: KubeObject, restarts_on: str) -> ContainerRuntime:
        return ContainerRuntime(self.pod, spec, self._directory, self._around, restarts_on=restarts_on)

    def _remember(self, status: Mapping[str, Any]) -> None:
        known = {entry["name"]: entry for entry in status.get("containerStatuses") or ()}
        for container in self.main:
            entry = known.get(container.name)
            if entry is not None:
                last = state_from(entry.get("lastState") or {})
                container.remember(
                    state_from(entry.get("state") or {}),
                    last if isinstance(last, Terminated) else None,
                    entry.get("restartCount") or 0,
                )

    @property
    def containers(self) -> list[ContainerRuntime]:
        return [*self.init, *self.main]

    @property
    def running(self) -> bool:
        return any(container.running for container in self.containers)

    @property
    def deleting(self) -> bool:
        return deletion_timestamp_of(self.pod) is not None

    def container(self, name: str) -> ContainerRuntime | None:
        return next((c for c in self.containers if c.name == name), None)

    def view(self) -> PodView:
        return PodView(
            init=[c.view() for c in self.init], main=[c.view() for c in self.main], host_ip=self._host_ip, pod_ip=self.address.ip,
            restart_policy=self.pod["spec"].get("restartPolicy") or "Always", started_at=self._started_at, stopping=self.deleting,
        )  # fmt: skip

    # --- bringing it on

    async def sync(self, pod: KubeObject) -> float | None:
        """Take the next step; seconds after which to look again, if time alone will change something."""
        self.pod = pod
        if self.deleting:
            self._stop(float(pod["metadata"].get("deletionGracePeriodSeconds") or 0))
            return None
        try:
            self._volumes = await asyncio.to_thread(self._realise_volumes)
        except (NotYetThere, OSError) as error:
            if self._volumes is None:
                self._say_once(f"MountVolume.SetUp failed for volume: {error}")
                return LOOK_AGAIN
        return await self._step_containers()

    async def _step_containers(self) -> float | None:
        waits: list[float] = []
        for container in self.init:
            if not is_done(container.view()) and not container.running or container.view().always:
                wait = await container.step(self.pod, self._ground)
                waits += [wait] if wait is not None else []
            if not is_done(container.view()):
                for other in self.main:
                    other.wait_for("PodInitializing")
                return min(waits, default=None)
        for container in self.main:
            wait = await container.step(self.pod, self._ground)
            waits += [wait] if wait is not None else []
        return min(waits, default=None)

    def _say_once(self, note: str) -> None:
        if note != self._said:
            self._said = note
            self._around.say(self.pod, "Warning", "FailedMount", note)

    def _realise_volumes(self) -> dict[str, Path]:
        namespace = self.key.namespace
        sources = Sources(
            pod=self.pod, lookup=self._stock.lookup(namespace), facts=self._facts(),
            claim_directory=lambda claim: self._stock.claim_directory(namespace, claim),
        )  # fmt: skip
        directory = self._directory / "volumes"
        return {volume["name"]: realise(volume, directory, sources) for volume in self.pod["spec"].get("volumes") or ()}

    def _facts(self) -> dict[str, str]:
        return {
            "status.podIP": self.address.ip,
            "status.podIPs": self.address.ip,
            "status.hostIP": self._host_ip,
            "status.hostIPs": self._host_ip,
        }

    def _ground(self, container: KubeObject) -> Ground:
        """What a container stands on; NotYetThere names what its environment lacks."""
        hostname = self.pod["spec"].get("hostname") or self.key.name
        values = {
            "HOSTNAME": hostname,
            **environment_of(self.pod, container, self._stock.lookup(self.key.namespace), self._facts()),
        }
        mounts = mounts_of(container, self._volumes or {}, lambda text: expand(text, values))
        scratch = self._directory / "containers" / _UNSAFE.sub("_", container["name"]) / "root"
        scratch.mkdir(parents=True, exist_ok=True)
        place = Place(
            translation=Translation(mounts, self.address.ip), address=self.address.ip, scratch=scratch, tools=self._around.tools,
            mongod=self._around.mongod, ports=self.address.ports,
        )  # fmt: skip
        return Ground(values=values, place=place)

    # --- ending it

    def _stop(self, grace: float) -> None:
        for container in self.containers:
            container.stop(grace)

    def kill(self) -> None:
        """End everything at once: the pod's object is gone."""
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Send a signal to every container."""
        for container in self.containers:
            container.signal(number)

    async def ended(self) -> None:
        """Wait until no container runs."""
        for container in self.containers:
            await container.ended()

    def remove(self) -> None:
        """Delete the pod's own files; volumes of claims lie elsewhere."""
        shutil.rmtree(self._directory, ignore_errors=True)


def state_from(entry: Mapping[str, Any]) -> State:
    """A container's state as an earlier status says it."""
    if "running" in entry:
        return Running(started_at=parse_time(entry["running"]["startedAt"]))
    if "terminated" in entry:
        ended = entry["terminated"]
        return Terminated(
            exit_code=int(ended.get("exitCode") or 0), signal=int(ended.get("signal") or 0), reason=str(ended.get("reason") or ""),
            message=str(ended.get("message") or ""), container_id=str(ended.get("containerID") or ""),
            started_at=parse_time(ended["startedAt"]) if ended.get("startedAt") else None,
            finished_at=parse_time(ended["finishedAt"]) if ended.get("finishedAt") else datetime.now(UTC),
        )  # fmt: skip
    waiting = entry.get("waiting") or {}
    return Waiting(reason=str(waiting.get("reason") or "ContainerCreating"), message=str(waiting.get("message") or ""))
