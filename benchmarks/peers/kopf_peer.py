"""kopf: its client for the watch and the requests, and a whole operator with a handler that does nothing."""

import argparse
import asyncio
import logging
import os
from typing import Any

import kopf
from kopf._cogs.clients import api as kopf_api
from kopf._cogs.clients import auth, watching
from kopf._cogs.structs import credentials, references

from benchmarks.clients import Meter, in_flight

PODS = references.Resource(group="", version="v1", plural="pods", namespaced=True)


def _signed_in(options: argparse.Namespace) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    auth.vault_var.set(credentials.Vault({credentials.VaultKey("bench"): _connection(options, settings)}))
    return settings


def _connection(options: argparse.Namespace, settings: kopf.OperatorSettings) -> kopf.ConnectionInfo:
    os.environ["KUBECONFIG"] = options.kubeconfig
    found = kopf.login_with_kubeconfig(logger=logging.getLogger("bench"), settings=settings)
    assert found is not None
    return found


async def watch(options: argparse.Namespace) -> dict[str, float]:
    settings = _signed_in(options)
    meter = Meter()
    seen = 0
    paused: Any = asyncio.get_running_loop().create_future()
    meter.start()
    stream = watching.watch_objs(settings=settings, resource=PODS, namespace=None, since="0", operator_pause_waiter=paused)
    async for _ in stream:
        seen += 1
        if seen == options.count:
            break
    return meter.read(seen)


async def informer(options: argparse.Namespace) -> dict[str, float]:
    registry = kopf.OperatorRegistry()
    # It logs each event, unless told not to: both are how people run it.
    kopf.configure(quiet=options.kind == "quiet")
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    done = asyncio.Event()
    seen: set[tuple[str, str]] = set()

    async def nothing(namespace: str, name: str, **_: Any) -> None:
        seen.add((namespace, name))
        if len(seen) == options.count:
            done.set()

    def login(**_: Any) -> kopf.ConnectionInfo:
        return _connection(options, settings)

    kopf.on.event("", "v1", "pods", registry=registry)(nothing)
    kopf.on.login(registry=registry)(login)
    meter = Meter()
    meter.start()
    stop = asyncio.Event()
    operator = asyncio.create_task(
        kopf.operator(registry=registry, settings=settings, clusterwide=True, standalone=True, stop_flag=stop)
    )
    finished = asyncio.create_task(done.wait())
    await asyncio.wait({operator, finished}, return_when=asyncio.FIRST_COMPLETED)
    if not finished.done():
        raise RuntimeError(f"kopf ended early: {operator.exception()!r}")
    found = meter.read(len(seen))
    operator.cancel()
    return found


async def api(options: argparse.Namespace) -> dict[str, float]:
    settings = _signed_in(options)
    meter = Meter()
    logger = logging.getLogger("bench")

    async def patch(number: int) -> None:
        await kopf_api.patch(
            "/api/v1/namespaces/default/configmaps/bench",
            settings=settings,
            payload={"metadata": {"annotations": {"bench": str(number)}}},
            headers={"Content-Type": "application/merge-patch+json"},
            logger=logger,
        )

    await patch(0)
    meter.start()
    await in_flight(options.count, options.parallel, patch)
    return meter.read(options.count)
