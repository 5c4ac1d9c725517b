"""Status of a pod from the states of its containers: phase, conditions, container statuses. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fedstate.kube.objects import format_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Not running, but going to, or trying to."""

    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A process runs."""

    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminated:
    """A run that ended, or could not begin."""

    exit_code: int
    signal: int = 0
    reason: str
    message: str = ""
    started_at: datetime | None
    finished_at: datetime
    container_id: str = ""


State = Waiting | Running | Terminated


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerView:
    """What the status of one container is written from."""

    name: str
    image: str
    state: State
    last: Terminated | None = None
    restarts: int = 0
    ready: bool = False
    started: bool = False
    container_id: str = ""
    image_id: str = ""
    always: bool = False
    """An init container that goes on beside the others (restartPolicy Always)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """What the status of a pod is written from."""

    init: Sequence[ContainerView]
    main: Sequence[ContainerView]
    restart_policy: str
    host_ip: str
    pod_ip: str
    started_at: datetime
    stopping: bool = False
    """All that runs has been told to end, and nothing is started any more."""


def status_of(view: PodView, old: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """The whole status; transition times of `old` are kept where a condition did not change, and conditions of others are kept as they are."""
    phase = phase_of(view)
    initialized = all(is_done(c) for c in view.init)
    ready = phase == "Running" and initialized and all(c.ready for c in view.main) and all(c.ready for c in view.init if c.always)
    conditions = [
        ("PodReadyToStartContainers", bool(view.pod_ip) and not _finished(phase), "", ""),
        ("Initialized", initialized or phase == "Succeeded", *_why_not_initialized(view)),
        ("Ready", ready, *_why_not_ready(view, phase)),
        ("ContainersReady", ready, *_why_not_ready(view, phase)),
        ("PodScheduled", True, "", ""),
    ]
    status: dict[str, Any] = {
        "phase": phase,
        "conditions": _merged(old.get("conditions") or (), conditions, now),
        "hostIP": view.host_ip,
        "hostIPs": [{"ip": view.host_ip}],
        "podIP": view.pod_ip,
        "podIPs": [{"ip": view.pod_ip}],
        "startTime": old.get("startTime") or format_time(view.started_at),
        "qosClass": old.get("qosClass") or "Burstable",
        "containerStatuses": [container_status(c) for c in view.main],
    }
    if view.init:
        status["initContainerStatuses"] = [container_status(c) for c in view.init]
    return status


def is_done(init: ContainerView) -> bool:
    """Whether an init container lets the next one begin."""
    if init.always:
        return init.started
    return isinstance(init.state, Terminated) and init.state.exit_code == 0


def phase_of(view: PodView) -> str:
    """Pending until the init containers are done and every container has begun; ended by the restart policy."""
    failed_init = [c for c in view.init if isinstance(c.state, Terminated) and c.state.exit_code and not c.always]
    if failed_init and (view.restart_policy == "Never" or view.stopping):
        return "Failed"
    if view.init and not all(is_done(c) for c in view.init) and not any(_has_run(c) for c in view.main):
        return "Failed" if view.stopping and not _any_running(view) and failed_init else "Pending"
    states = [c.state for c in view.main]
    if any(isinstance(state, Running) for state in states):
        return "Running"
    ended = [state for state in states if isinstance(state, Terminated)]
    if len(ended) == len(states) and (view.stopping or view.restart_policy != "Always"):
        if all(state.exit_code == 0 for state in ended):
            return "Succeeded"
        if view.restart_policy == "Never" or view.stopping:
            return "Failed"
    return "Running" if any(_has_run(c) for c in view.main) else "Pending"


def _has_run(container: ContainerView) -> bool:
    return not isinstance(container.state, Waiting) or container.last is not None or container.restarts > 0


def _any_running(view: PodView) -> bool:
    return any(isinstance(c.state, Running) for c in (*view.init, *view.main))


def _finished(phase: str) -> bool:
    return phase in ("Succeeded", "Failed")


def _why_not_initialized(view: PodView) -> tuple[str, str]:
    waiting = [c.name for c in view.init if not is_done(c)]
    return ("ContainersNotInitialized", f"containers with incomplete status: [{' '.join(waiting)}]") if waiting else ("", "")


def _why_not_ready(view: PodView, phase: str) -> tuple[str, str]:
    if phase == "Succeeded":
        return "PodCompleted", ""
    if phase == "Failed":
        return "PodFailed", ""
    unready = [c.name for c in view.main if not c.ready]
    return ("ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]") if unready else ("", "")


def _merged(
    old: Sequence[Mapping[str, Any]], conditions: Sequence[tuple[str, bool, str, str]], now: datetime
) -> list[dict[str, Any]]:
    before = {condition["type"]: condition for condition in old}
    merged = []
    for kind, holds, reason, message in conditions:
        status = "True" if holds else "False"
        known = before.pop(kind, None)
        since = known.get("lastTransitionTime") if known and known.get("status") == status else None
        condition = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since or format_time(now)}
        if not holds and reason:
            condition.update(reason=reason, message=message)
        merged.append(condition)
    return [*merged, *(dict(condition) for condition in before.values())]


def container_status(view: ContainerView) -> dict[str, Any]:
    """One entry of `containerStatuses`."""
    return {
        "name": view.name,
        "image": view.image,
        "imageID": view.image_id,
        "containerID": view.container_id,
        "ready": view.ready,
        "started": view.started,
        "restartCount": view.restarts,
        "state": _state(view.state),
        "lastState": _state(view.last) if view.last else {},
    }


def _state(state: State) -> dict[str, Any]:
    match state:
        case Waiting():
            return {"waiting": {"reason": state.reason, **({"message": state.message} if state.message else {})}}
        case Running():
            return {"running": {"startedAt": format_time(state.started_at)}}
        case Terminated():
            found: dict[str, Any] = {
                "exitCode": state.exit_code,
                "reason": state.reason,
                "startedAt": format_time(state.started_at) if state.started_at else None,
                "finishedAt": format_time(state.finished_at),
            }
            found.update({"signal": state.signal} if state.signal else {})
            found.update({"message": state.message} if state.message else {})
            found.update({"containerID": state.container_id} if state.container_id else {})
            return {"terminated": found}
