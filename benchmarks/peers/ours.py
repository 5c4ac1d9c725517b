"""FedState's own streams."""

import argparse
import asyncio
import gc
import time

from benchmarks.clients import Meter, in_flight, rss_mb
from fedstate.control.controller import Controller
from fedstate.control.reconciler import DONE, Result
from fedstate.control.triggers import watch_self
from fedstate.kube.client import KubeClient
from fedstate.kube.config import load_kubeconfig
from fedstate.kube.decoding import OBJECTS, Decoder
from fedstate.kube.informer import RecordInformer
from fedstate.kube.objects import Key
from fedstate.kube.recordkinds import POD_RECORDS
from fedstate.kube.resources import CONFIG_MAPS, PODS
from fedstate.kube.transport import DirectTransport


async def _client(options: argparse.Namespace) -> KubeClient:
    config = await load_kubeconfig(options.kubeconfig)
    if "aiohttp" not in options.kind:
        return KubeClient(config, transport=DirectTransport(config, "bench"))
    # As it is done behind a proxy.
    from fedstate.kube.proxied import ProxiedTransport

    return KubeClient(config, transport=ProxiedTransport(config, "bench"))


async def watch(options: argparse.Namespace) -> dict[str, float]:
    meter = Meter()
    seen = 0
    decoder: Decoder[object] = OBJECTS if "dicts" in options.kind else POD_RECORDS  # type: ignore[assignment]
    async with await _client(options) as client:
        meter.start()
        async with client.watch_as(decoder, PODS, resource_version="0") as stream:
            while seen < options.count:
                seen += len(await stream.batch())
        return meter.read(seen)


class _Nothing:
    def __init__(self, count: int) -> None:
        self.left = count
        self.done = asyncio.Event()

    async def reconcile(self, key: Key) -> Result:
        self.left -= 1
        if self.left == 0:
            self.done.set()
        return DONE


async def informer(options: argparse.Namespace) -> dict[str, float]:
    """Stream, store, queue, and a reconcile that does nothing, with all metrics on."""
    meter = Meter()
    async with await _client(options) as client:
        reconciler = _Nothing(options.count)
        controller = Controller("bench", reconciler, workers=4)
        pods = RecordInformer(client, POD_RECORDS)
        watch_self(pods, controller)
        async with asyncio.TaskGroup() as group:
            meter.start()
            tasks = [group.create_task(pods.run()), group.create_task(controller.run())]
            await reconciler.done.wait()
            found = meter.read(options.count)
            for task in tasks:
                task.cancel()
        return found


async def fill(options: argparse.Namespace) -> dict[str, float]:
    """The cache of a great many pods, as the process does it: collector off, frozen afterwards; then changes for a while."""
    meter = Meter()
    stall = Stalls()
    async with await _client(options) as client:
        pods = RecordInformer(client, POD_RECORDS)
        begun_with = rss_mb()
        gc.freeze()
        gc.disable()
        async with asyncio.TaskGroup() as group:
            ticking = group.create_task(stall.run())
            meter.start()
            running = group.create_task(pods.run())
            await pods.synced.wait()
            found = meter.read(len(pods.store))
            filling = stall.worst
            gc.enable()
            begun = time.perf_counter()
            gc.collect()
            collecting = time.perf_counter() - begun
            gc.freeze()
            gc.set_threshold(50_000, 20, 50)
            await asyncio.sleep(0.1)
            meter.start()
            stall.restart()
            await asyncio.sleep(options.seconds)
            churn = meter.read(0)
            for task in (ticking, running):
                task.cancel()
    per_pod = (found["rss_mb"] - begun_with) * 1e6 / max(1, options.count)
    return found | {
        "bytes_per_pod": per_pod,
        "stall_filling_ms": filling * 1e3,
        "collection_ms": collecting * 1e3,
        "stall_ms": stall.worst * 1e3,
        "churn_cpu": churn["cpu"] / options.seconds,
    }


class Stalls:
    """How late, at worst, a timer came; of that only what this process worked meanwhile, for others use the CPU too."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._due = self._worked = 0.0

    def restart(self) -> None:
        """Forgets what was, also of the timer that is awaited now."""
        self.worst = 0.0
        self._begin()

    def _begin(self) -> None:
        self._due = time.perf_counter() + 0.002
        self._worked = time.process_time()

    async def run(self) -> None:
        while True:
            self._begin()
            await asyncio.sleep(0.002)
            late, worked = time.perf_counter() - self._due, time.process_time() - self._worked
            self.worst = max(self.worst, min(late, worked))


async def api(options: argparse.Namespace) -> dict[str, float]:
    meter = Meter()
    async with await _client(options) as client:

        async def patch(number: int) -> None:
            body = {"metadata": {"annotations": {"bench": str(number)}}}
            changed = await client.merge_patch(CONFIG_MAPS, "bench", body, namespace="default")
            assert changed["metadata"]["resourceVersion"]

        await patch(0)
        meter.start()
        await in_flight(options.count, options.parallel, patch)
        return meter.read(options.count)
