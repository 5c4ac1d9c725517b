"""kubernetes_asyncio, as its documentation uses it."""

import argparse
from typing import Any

from kubernetes_asyncio import client, config
from kubernetes_asyncio.watch import Watch

from benchmarks.clients import Meter, in_flight


async def watch(options: argparse.Namespace) -> dict[str, float]:
    await config.load_kube_config(options.kubeconfig)
    meter = Meter()
    seen = 0
    async with client.ApiClient() as api:
        pods = client.CoreV1Api(api).list_pod_for_all_namespaces
        watching = Watch(return_type="object") if options.kind == "object" else Watch()
        meter.start()
        async for _ in watching.stream(pods, resource_version="0"):
            seen += 1
            if seen == options.count:
                break
        return meter.read(seen)


async def informer(options: argparse.Namespace) -> dict[str, float]:
    """It has no informer: the events go into a dict, by name."""
    await config.load_kube_config(options.kubeconfig)
    meter = Meter()
    found: dict[tuple[str, str], object] = {}
    async with client.ApiClient() as api:
        meter.start()
        async for event in Watch().stream(client.CoreV1Api(api).list_pod_for_all_namespaces, resource_version="0"):
            metadata = event["object"].metadata
            found[(metadata.namespace, metadata.name)] = event["object"]
            if len(found) == options.count:
                break
        return meter.read(len(found))


async def api(options: argparse.Namespace) -> dict[str, float]:
    await config.load_kube_config(options.kubeconfig)
    meter = Meter()
    async with client.ApiClient() as api_client:
        typed, custom = client.CoreV1Api(api_client), client.CustomObjectsApi(api_client)

        async def patch(number: int) -> None:
            body = {"metadata": {"annotations": {"bench": str(number)}}}
            if options.kind == "custom":
                # Without this it sends what it has under the name of another kind of patch, which a kube-apiserver refuses.
                merge: dict[str, Any] = {"_content_type": "application/merge-patch+json"}
                await custom.patch_namespaced_custom_object(
                    "bench.example.org", "v1", "default", "things", "bench", body, **merge
                )
            else:
                await typed.patch_namespaced_config_map("bench", "default", body)

        await patch(0)
        meter.start()
        await in_flight(options.count, options.parallel, patch)
        return meter.read(options.count)
