"""lightkube, its asynchronous client."""

import argparse

from lightkube import AsyncClient, KubeConfig
from lightkube.resources.core_v1 import ConfigMap, Pod

from benchmarks.clients import Meter, in_flight


async def watch(options: argparse.Namespace) -> dict[str, float]:
    client = AsyncClient(config=KubeConfig.from_file(options.kubeconfig))
    meter = Meter()
    seen = 0
    meter.start()
    async for _ in client.watch(Pod, namespace="*", resource_version="0"):
        seen += 1
        if seen == options.count:
            break
    found = meter.read(seen)
    await client.close()
    return found


async def api(options: argparse.Namespace) -> dict[str, float]:
    client = AsyncClient(config=KubeConfig.from_file(options.kubeconfig))
    meter = Meter()

    async def patch(number: int) -> None:
        await client.patch(ConfigMap, "bench", {"metadata": {"annotations": {"bench": str(number)}}}, namespace="default")

    await patch(0)
    meter.start()
    await in_flight(options.count, options.parallel, patch)
    found = meter.read(options.count)
    await client.close()
    return found
