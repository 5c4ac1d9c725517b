"""What is measured: `python -m benchmarks.clients NAME WORK KUBECONFIG --count N` does it and prints its CPU time as JSON.

Every client imports only its own library, and is measured from after its imports to its last event.
"""

import argparse
import asyncio
import gc
import importlib
import json
import os
import resource
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

Measure = Callable[[argparse.Namespace], Awaitable[dict[str, float]]]


class Meter:
    """CPU and wall time since `start`."""

    def __init__(self) -> None:
        self._cpu = self._wall = 0.0

    def start(self) -> None:
        gc.collect()
        self._cpu, self._wall = cpu(), time.perf_counter()

    def read(self, done: int) -> dict[str, float]:
        return {"done": done, "cpu": cpu() - self._cpu, "wall": time.perf_counter() - self._wall, "rss_mb": rss_mb()}


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def rss_mb() -> float:
    """What is resident now; where the system does not say, the most it ever was."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


async def in_flight(count: int, parallel: int, request: Callable[[int], Awaitable[Any]]) -> None:
    """`count` requests, `parallel` of them at a time."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await request(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(parallel):
            group.create_task(worker())


MODULES = {
    "ours": "benchmarks.peers.ours",
    "kubernetes_asyncio": "benchmarks.peers.kubernetes_asyncio_peer",
    "kopf": "benchmarks.peers.kopf_peer",
    "kr8s": "benchmarks.peers.kr8s_peer",
    "lightkube": "benchmarks.peers.lightkube_peer",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("work", choices=("watch", "informer", "fill", "api"))
    parser.add_argument("kubeconfig")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--parallel", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    library, _, options.kind = options.name.partition(" ")
    measure: Measure = getattr(importlib.import_module(MODULES[library]), options.work)

    async def report() -> None:
        print(json.dumps(await measure(options)), flush=True)
        # How long a library takes to stop is not what is measured.
        os._exit(0)

    # What a library's users can have without changing it, it gets.
    uvloop.run(report())


if __name__ == "__main__":
    main()
