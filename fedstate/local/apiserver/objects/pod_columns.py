"""How the state of a pod is summed up in a word, as `kubectl get pods` does."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fedstate.local.apiserver.objects.durations import age
from fedstate.local.apiserver.objects.nodes import Obj


def _status(pod: Obj) -> Obj:
    return pod.get("status") or {}


def _template(obj: Obj) -> list[Obj]:
    spec = obj.get("spec") or {}
    return ((spec.get("template") or {}).get("spec") or {}).get("containers") or []


def containers(workload: Obj) -> str:
    return ",".join(str(one.get("name")) for one in _template(workload))


def images(workload: Obj) -> str:
    return ",".join(str(one.get("image")) for one in _template(workload))


def _beside(pod: Obj) -> set[str]:
    """Names of init containers that keep running beside the others."""
    inits = (pod.get("spec") or {}).get("initContainers") or ()
    return {one.get("name") for one in inits if one.get("restartPolicy") == "Always"}


def ready(pod: Obj) -> str:
    """Ready containers of all, such as `1/2`."""
    beside = _beside(pod)
    total = len((pod.get("spec") or {}).get("containers") or ()) + len(beside)
    statuses = [*(_status(pod).get("containerStatuses") or ())]
    statuses += [one for one in _status(pod).get("initContainerStatuses") or () if one.get("name") in beside]
    return f"{sum(1 for one in statuses if one.get('ready') and (one.get('state') or {}).get('running') is not None)}/{total}"


def restarts(pod: Obj, now: datetime) -> str:
    """Number of restarts, and when the last one was."""
    statuses = [*(_status(pod).get("containerStatuses") or ())]
    count = sum(one.get("restartCount") or 0 for one in statuses)
    ended = [((one.get("lastState") or {}).get("terminated") or {}).get("finishedAt") for one in statuses]
    last = max(filter(None, ended), default=None)
    return f"{count} ({age(last, now)} ago)" if count and last else str(count)


def state(pod: Obj) -> str:
    """The STATUS column: the phase, or the reason that says more."""
    status = _status(pod)
    word = status.get("reason") or status.get("phase") or ""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            word = "SchedulingGated"
    waiting = _init_state(pod)
    word = waiting or _containers_state(status, word)
    if (pod.get("metadata") or {}).get("deletionTimestamp"):
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return str(word)


def _init_state(pod: Obj) -> str:
    statuses = _status(pod).get("initContainerStatuses") or ()
    beside = _beside(pod)
    for index, one in enumerate(statuses):
        current = one.get("state") or {}
        terminated, waiting = current.get("terminated"), current.get("waiting")
        if terminated is not None and terminated.get("exitCode") == 0:
            continue
        if one.get("name") in beside and one.get("started"):
            continue
        if terminated is not None:
            return f"Init:{_ended(terminated)}"
        if waiting is not None and waiting.get("reason") not in (None, "", "PodInitializing"):
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{len((pod.get('spec') or {}).get('initContainers') or ())}"
    return ""


def _containers_state(status: Obj, word: str) -> str:
    running = False
    for one in reversed(status.get("containerStatuses") or []):
        current = one.get("state") or {}
        waiting, terminated = current.get("waiting"), current.get("terminated")
        if waiting is not None and waiting.get("reason"):
            word = waiting["reason"]
        elif terminated is not None:
            word = _ended(terminated)
        elif one.get("ready") and current.get("running") is not None:
            running = True
    if word == "Completed" and running:
        is_ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in status.get("conditions") or ())
        return "Running" if is_ready else "NotReady"
    return word


def _ended(terminated: Any) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    return f"Signal:{terminated['signal']}" if terminated.get("signal") else f"ExitCode:{terminated.get('exitCode', 0)}"
