"""What is done to pods through their subresources: binding to a node, eviction within a budget, logs from the node; and namespaces' finalize."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from aiohttp import web

from fedstate.kube.objects import Key, KubeObject, format_time, labels_of
from fedstate.local.apiserver import errors
from fedstate.local.apiserver.core import Core
from fedstate.local.apiserver.registry import ResourceType
from fedstate.local.apiserver.selectors import selector_matches
from fedstate.local.apiserver.store import Entry
from fedstate.local.apiserver.strategy import Write
from fedstate.local.apiserver.writes import has_ended, unshared

BUDGETS = "policy/poddisruptionbudgets"


def bind(rtype: ResourceType, key: Key, binding: KubeObject, write: Write) -> None:
    """Put a pod on the node that a Binding names, once."""
    node = (binding.get("target") or {}).get("name")
    entry = write.core.entry(rtype, key)
    if entry is None:
        raise errors.not_found("", "pods", key.name)
    obj = unshared(entry.obj)
    current = obj["spec"].get("nodeName")
    if not node:
        raise errors.StatusError(500, "", "target.name: Required value")
    if current:
        raise errors.conflict("", "pods/binding", key.name, f'pod {key.name} is already assigned to node "{current}"')
    if obj["metadata"].get("deletionTimestamp"):
        raise errors.conflict("", "pods/binding", key.name, f"pod {key.name} is being deleted, cannot be assigned to a host")
    uid = ((binding.get("metadata") or {}).get("uid")) or ""
    if uid and uid != obj["metadata"]["uid"]:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {obj['metadata']['uid']}"
        raise errors.conflict("", "pods", key.name, why)
    obj["spec"]["nodeName"] = node
    obj["metadata"]["annotations"] = {
        **(obj["metadata"].get("annotations") or {}), **((binding.get("metadata") or {}).get("annotations") or {}),
    }  # fmt: skip
    if not obj["metadata"]["annotations"]:
        del obj["metadata"]["annotations"]
    status = obj.setdefault("status", {})
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": format_time(write.now)}
    status["conditions"] = [c for c in status.get("conditions") or [] if c.get("type") != "PodScheduled"] + [scheduled]
    if not write.options.dry_run:
        write.core.store.put(rtype.collection, obj)


def budget_refusal(core: Core, pod: KubeObject) -> errors.StatusError | None:
    """The 429 of a disruption budget that would be broken if this pod went."""
    namespace = pod["metadata"]["namespace"]
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed", "Pending"):
        return None
    for _, entry in core.store.collection(BUDGETS).entries(namespace):
        budget = entry.obj
        if not selector_matches((budget.get("spec") or {}).get("selector"), labels_of(pod)):
            continue
        status, name = budget.get("status") or {}, budget["metadata"]["name"]
        if (status.get("observedGeneration") or 0) < budget["metadata"].get("generation", 0):
            return _refused(f"The disruption budget {name} is still being processed by the server.", {"retryAfterSeconds": 10})
        if (status.get("disruptionsAllowed") or 0) <= 0:
            healthy, wanted = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
            return _refused(f"The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently", {})
    return None


def _refused(why: str, more: dict[str, Any]) -> errors.StatusError:
    details = {"causes": [{"reason": "DisruptionBudget", "message": why}], **more}
    return errors.too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", details)


def set_namespace_finalizers(rtype: ResourceType, key: Key, finalizers: list[str], write: Write) -> Entry:
    """What PUT namespaces/NAME/finalize does; a namespace that is ending goes with its last finalizer."""
    core = write.core
    entry = core.entry(rtype, key)
    if entry is None:
        raise errors.not_found("", "namespaces", key.name)
    obj = unshared(entry.obj)
    obj["spec"] = {**(obj.get("spec") or {}), "finalizers": finalizers}
    if not finalizers:
        obj["spec"].pop("finalizers")
    if write.options.dry_run or obj == entry.obj:
        return entry
    return core.store.remove(rtype.collection, key, obj) if has_ended(rtype, obj) else core.store.put(rtype.collection, obj)


def _container(pod: KubeObject, wanted: str) -> str:
    spec = pod.get("spec") or {}
    names = [c["name"] for c in spec.get("containers") or []]
    name = pod["metadata"]["name"]
    if not wanted:
        if len(names) == 1:
            return str(names[0])
        raise errors.bad_request(f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]")
    if wanted not in [*names, *(c["name"] for c in spec.get("initContainers") or [])]:
        raise errors.bad_request(f"container {wanted} is not valid for pod {name}")
    return wanted


def _kubelet(core: Core, pod: KubeObject, container: str) -> str:
    """The URL of the kubelet that runs a pod; 400 or 500 in kube-apiserver's words if there is none."""
    node_name = (pod.get("spec") or {}).get("nodeName")
    if not node_name:
        raise errors.bad_request(f"pod {pod['metadata']['name']} does not have a host assigned")
    node = core.get("nodes", "", node_name)
    if node is None:
        raise errors.not_found("", "pods", node_name)
    status = node.get("status") or {}
    addresses = {a["type"]: a["address"] for a in status.get("addresses") or []}
    port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port", 10250)
    host = addresses.get("InternalIP") or addresses.get("Hostname")
    if not host:
        raise errors.internal(f"no preferred addresses found; known addresses: {sorted(addresses)}")
    return f"https://{host}:{port}"


async def proxy_log(core: Core, request: web.Request, namespace: str, name: str) -> web.StreamResponse:
    """Pass a container's log on from the node's kubelet, as it comes."""
    await core.store.settled()
    pod = core.get("pods", namespace, name)
    if pod is None:
        raise errors.not_found("", "pods", name)
    container = _container(pod, request.query.get("container", ""))
    url = f"{_kubelet(core, pod, container)}/containerLogs/{namespace}/{name}/{container}"
    query = [(k, v) for k, v in request.query.items() if k != "container"]
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    # A kubelet's certificate is its own; kube-apiserver does not check it by default either.
    connector = aiohttp.TCPConnector(ssl=False)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
            session.get(url, params=query) as upstream,
        ):
            return await _pass_on(request, upstream)
    except (aiohttp.ClientConnectorError, TimeoutError) as error:
        raise errors.internal(f'Get "{url}": {error}') from error


async def _pass_on(request: web.Request, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    if upstream.status >= 400:
        text = (await upstream.text()).strip()
        if upstream.status >= 500:
            raise errors.StatusError(500, "InternalError", text)
        raise errors.StatusError(upstream.status, "NotFound" if upstream.status == 404 else "BadRequest", text)
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await response.prepare(request)
    try:
        async for chunk in upstream.content.iter_any():
            await response.write(chunk)
    except (ConnectionError, aiohttp.ClientError, asyncio.CancelledError):
        if request.transport is None or request.transport.is_closing():
            return response
        raise
    return response
