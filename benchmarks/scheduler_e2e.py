"""What a placement costs the scheduler with everything that belongs to it: the watch, the decision, the request that writes it.

`fedstate run --components scheduler` in a process of its own, on an API server in another. The figure is the CPU time of the
scheduler's process from the first creation to the last decision shown; a watcher sees both.
"""

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from benchmarks import planes
from benchmarks.clients import in_flight
from benchmarks.harness import Report, Target, finish, progress
from benchmarks.report import RESULTS
from fedstate.api.karmada import CLUSTERS
from fedstate.api.naming import ANNOTATION_SCHEDULER_RESULT, MULTI_CLOUD_MONGODBS
from fedstate.kube.client import KubeClient
from fedstate.kube.config import load_kubeconfig
from fedstate.kube.objects import KubeObject, annotations_of, name_of, resource_version_of
from fedstate.local.kubernetes import find_assets
from fedstate.local.ports import any_free_port

STANDIN = "stand-in"
CREATING = 64
DEADLINE = 300.0
TOLD_WITHIN = 120.0
WRITES = re.compile(r'^rest_client_requests_total\{.*method="(?:PATCH|POST|PUT)".*\} (\S+)$', re.MULTILINE)


@dataclass
class Seen:
    """When a watcher saw instances appear and be decided upon, and which of them have been told about."""

    created: dict[str, float] = field(default_factory=dict)
    decided: dict[str, float] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, obj: KubeObject) -> None:
        name, now = name_of(obj), time.perf_counter()
        self.created.setdefault(name, now)
        if ANNOTATION_SCHEDULER_RESULT in annotations_of(obj):
            self.decided.setdefault(name, now)
        if "scheduling" in (obj.get("status") or {}):
            self.told.add(name)
        self.changed.set()

    async def until(self, count: int, what: set[str] | dict[str, float], within: float) -> None:
        try:
            async with asyncio.timeout(within):
                while len(what) < count:
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            raise SystemExit(
                f"of {count} instances {len(self.created)} were seen, {len(self.decided)} decided upon and {len(self.told)} told about"
            ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """What one burst cost and how long it took."""

    cpu: float
    wall: float
    waits: list[float]
    writes: float
    writes_in_all: float


class Scheduler:
    """The process that is measured."""

    def __init__(self, pid: int, port: int) -> None:
        self._pid = pid
        self._url = f"http://127.0.0.1:{port}/metrics"

    def cpu(self) -> float:
        """Of all its threads since they began."""
        tasks = Path(f"/proc/{self._pid}/task")
        if not (tasks / str(self._pid) / "schedstat").exists():
            said = subprocess.run(["ps", "-o", "time=", "-p", str(self._pid)], capture_output=True, text=True, check=True).stdout
            return float(sum(float(part) * 60**power for power, part in enumerate(reversed(said.strip().split(":")))))
        total = 0
        for task in tasks.iterdir():
            with suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    async def writes(self) -> float:
        """The requests that it has counted itself, without those that only read."""

        def read() -> str:
            with urllib.request.urlopen(self._url, timeout=30) as answer:
                return str(answer.read().decode())

        return sum(float(count) for count in WRITES.findall(await asyncio.to_thread(read)))


@asynccontextmanager
async def running_scheduler(kubeconfig: Path, log: Path, profile: Path | None) -> AsyncIterator[Scheduler]:
    """Ready: its caches are filled."""
    port = any_free_port()
    argv = ["-m", "cProfile", "-o", str(profile)] if profile is not None else []
    argv += ["-m", "fedstate", "run", "--role=control-plane", "--components=scheduler", f"--kubeconfig={kubeconfig}"]
    argv += ["--no-leader-elect", f"--http-port={port}", "--capacity-sources=summary", "--log-format=json"]
    async with planes.child(argv, log) as process:
        await planes.answers(f"http://127.0.0.1:{port}/readyz", process, log)
        yield Scheduler(process.pid, port)


async def burst(client: KubeClient, scheduler: Scheduler, prefix: str, count: int) -> Burst:
    """So many instances at once; returns when all of them are decided upon and told about, and removed."""
    seen = Seen()
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch(client, seen, ready), name="watcher")
        await ready.wait()
        writes = await scheduler.writes()
        await asyncio.sleep(1)  # what went before is over
        cpu, began = scheduler.cpu(), time.perf_counter()

        async def create(number: int) -> None:
            await client.create(MULTI_CLOUD_MONGODBS, planes.instance(f"{prefix}-{number:05}", number))

        await in_flight(count, CREATING, create)
        await seen.until(count, seen.decided, DEADLINE)
        cpu, wall = scheduler.cpu() - cpu, time.perf_counter() - began
        writes_then = await scheduler.writes()
        await seen.until(count, seen.told, TOLD_WITHIN)
        writes_at_last = await _settled(scheduler)
        watching.cancel()
    await planes.remove(client, MULTI_CLOUD_MONGODBS)
    waits = [seen.decided[name] - seen.created[name] for name in seen.decided]
    return Burst(
        cpu=cpu,
        wall=wall,
        waits=waits,
        writes=(writes_then - writes) / count,
        writes_in_all=(writes_at_last - writes) / count,
    )


async def standin_burst(client: KubeClient, scheduler: Scheduler, _: str, count: int) -> Burst:
    """As `burst`, of instances that the stand-in makes appear all at once by itself."""
    writes = await scheduler.writes()
    await asyncio.sleep(1)
    cpu, began = scheduler.cpu(), time.perf_counter()
    found = await client.request("POST", "/burst", params={"count": str(count)}, timeout=DEADLINE)
    cpu, wall = scheduler.cpu() - cpu, time.perf_counter() - began
    writes_then = await scheduler.writes()
    await client.request("POST", "/told", timeout=TOLD_WITHIN)
    writes_at_last = await _settled(scheduler)
    await client.request("POST", "/clear")
    return Burst(
        cpu=cpu,
        wall=wall,
        waits=found["waits"],
        writes=(writes_then - writes) / count,
        writes_in_all=(writes_at_last - writes) / count,
    )


async def _settled(scheduler: Scheduler) -> float:
    """The writes once there are no more."""
    before = -1.0
    while (now := await scheduler.writes()) != before:
        before = now
        await asyncio.sleep(1)
    return now


async def _watch(client: KubeClient, seen: Seen, ready: asyncio.Event) -> None:
    version = (await client.list(MULTI_CLOUD_MONGODBS, planes.NAMESPACE, limit=1))["metadata"]["resourceVersion"]
    while True:
        async with client.watch(MULTI_CLOUD_MONGODBS, planes.NAMESPACE, resource_version=version) as stream:
            ready.set()
            async for event in stream:
                version = resource_version_of(event.object)
                if event.type in ("ADDED", "MODIFIED"):
                    seen.take(event.object)


async def measure(engine: str, plane: AbstractAsyncContextManager[Path], said: argparse.Namespace) -> list[Burst]:
    """The bursts on one API server, all by one scheduler."""
    clusters, count = round(said.clusters * said.scale), round(said.instances * said.scale)
    bursts = []
    log = said.output / f"scheduler-e2e-{engine}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    async with plane as kubeconfig, KubeClient(await load_kubeconfig(str(kubeconfig))) as client:
        if engine != STANDIN:
            progress(f"{engine}: putting {clusters:,} clusters ...")
            await planes.put_clusters(client, clusters)
        async with running_scheduler(kubeconfig, log, said.profile) as scheduler:
            for turn in range(1, said.rounds + 1):
                once = standin_burst if engine == STANDIN else burst
                found = await once(client, scheduler, f"db-{os.getpid()}-{turn}", count)
                progress(
                    f"{engine}, round {turn} of {said.rounds}: {count / found.cpu:,.0f} per CPU-second, {count / found.wall:,.0f} per"
                    f" second, {found.writes:.2f} writes each, {found.writes_in_all:.2f} in all"
                )
                bursts.append(found)
        if engine != STANDIN:
            await planes.remove(client, CLUSTERS)
    log.unlink()
    return bursts


def tell(report: Report, engine: str, count: int, bursts: list[Burst]) -> None:
    """The median of the bursts; of the waits, those of all instances together."""
    waits = sorted(wait for each in bursts for wait in each.waits)
    rate = statistics.median(count / each.cpu for each in bursts)
    report.alone(
        f"{engine}, placements with their write", "per CPU-second", rate, Target(of="ours", min=3000), Target(of="ours", min=5000)
    )
    writes = max(each.writes for each in bursts)
    report.alone(f"{engine}, writes until all are placed", "per placement", writes, Target(of="ours", max=1))
    report.alone(f"{engine}, writes until all is told", "per placement", max(each.writes_in_all for each in bursts))
    report.alone(f"{engine}, creation to decision, p50", "ms", 1000 * statistics.median(waits))
    report.alone(f"{engine}, creation to decision, p99", "ms", 1000 * waits[round(0.99 * (len(waits) - 1))])
    report.alone(f"{engine}, placements", "per second", statistics.median(count / each.wall for each in bursts))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--engine",
        choices=("standin", "embedded", "kubernetes", "both", "all"),
        default="all",
        help="standin: a server that is never the bottleneck; both: embedded and kubernetes",
    )
    parser.add_argument("--kubeconfig", type=Path, help="on this API server instead, which has the kinds already")
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--instances", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3, help="bursts on each API server")
    parser.add_argument("--scale", type=float, default=1.0, help="of both numbers; below 1 to try whether it runs")
    parser.add_argument(
        "--profile", type=Path, help="write a profile of the scheduler (cProfile) to this file; its figures are none"
    )
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the JSON and the plot go")
    said = parser.parse_args(argv)
    report = Report("scheduler-e2e")
    count, clusters = round(said.instances * said.scale), round(said.clusters * said.scale)
    for engine, plane in _planes(said, clusters, report):
        tell(report, engine, count, uvloop.run(measure(engine, plane, said)))
    report.notes += [
        f"{count:,} instances of 1 to 7 members, {clusters:,} clusters, over TLS; the scheduler as it is run, with its log and metrics",
        f"stand-in: all instances appear at once, every answer takes 5 ms; elsewhere {CREATING} creations at a time, and the API server"
        " is the bottleneck: the scheduler sleeps most of the time, and wakes for every placement by itself",
    ]
    return finish(report, said.output)


def _planes(said: argparse.Namespace, clusters: int, report: Report) -> Iterator[tuple[str, AbstractAsyncContextManager[Path]]]:
    if said.kubeconfig is not None:
        yield "given API server", planes.given(said.kubeconfig)
        return
    if said.engine in ("standin", "all"):
        yield STANDIN, planes.standin(clusters)
    if said.engine in ("embedded", "both", "all"):
        yield "embedded", planes.embedded()
    if said.engine == "kubernetes" or (said.engine in ("both", "all") and find_assets() is not None):
        report.versions["kube-apiserver"] = planes.version_of_assets()
        yield "kube-apiserver", planes.kubernetes()
    elif said.engine in ("both", "all"):
        report.notes.append("not on a kube-apiserver: KUBEBUILDER_ASSETS names none")


if __name__ == "__main__":
    sys.exit(main())
