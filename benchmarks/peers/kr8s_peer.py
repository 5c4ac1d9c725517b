"""kr8s, its asynchronous side."""

import argparse

import kr8s.asyncio
from kr8s.asyncio.objects import ConfigMap

from benchmarks.clients import Meter, in_flight


async def watch(options: argparse.Namespace) -> dict[str, float]:
    api = await kr8s.asyncio.api(kubeconfig=options.kubeconfig)
    meter = Meter()
    seen = 0
    meter.start()
    async for _ in api.async_watch("pods", namespace=kr8s.ALL, since="0"):
        seen += 1
        if seen == options.count:
            break
    return meter.read(seen)


async def api(options: argparse.Namespace) -> dict[str, float]:
    session = await kr8s.asyncio.api(kubeconfig=options.kubeconfig)
    meter = Meter()
    thing = await ConfigMap({"metadata": {"name": "bench", "namespace": "default"}}, api=session)

    async def patch(number: int) -> None:
        await thing.async_patch({"metadata": {"annotations": {"bench": str(number)}}})

    await patch(0)
    meter.start()
    await in_flight(options.count, options.parallel, patch)
    return meter.read(options.count)
