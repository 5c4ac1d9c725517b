"""The probe loops of one run of a container, and what they say together: started, ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from fedstate.kube.objects import KubeObject
from fedstate.local.node.probes import Answer, Prober, ProbeState, timing_of
from fedstate.local.node.surroundings import Ground

EAGER = 0.5
"""Seconds between looks that cost little (tcpSocket, httpGet) while a container starts, should its period be longer."""


class Probing:
    """Looks at one run until stopped. Calls back with ("", "") on a change, or with an event's reason and note."""

    def __init__(self, spec: KubeObject, ground: Ground, prober: Prober, say: Callable[[str, str], None]) -> None:
        self._spec = spec
        self._ground = ground
        self._prober = prober
        self._say = say
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._startup = asyncio.Event()
        self._readiness: ProbeState | None = None
        if not spec.get("startupProbe"):
            self._startup.set()
        if spec.get("readinessProbe"):
            self._readiness = ProbeState(timing_of(spec["readinessProbe"]), passed=False)

    @property
    def started(self) -> bool:
        return self._startup.is_set()

    @property
    def ready(self) -> bool:
        return self.started and (self._readiness is None or self._readiness.passed)

    def start(self, tasks: asyncio.TaskGroup, name: str) -> None:
        """Begin the loops of the probes that the container has."""
        loops = {"startup": self._look_startup, "readiness": self._look_readiness, "liveness": self._look_liveness}
        for kind, loop in loops.items():
            probe = self._spec.get(f"{kind}Probe")
            if probe:
                self._tasks[kind] = tasks.create_task(loop(probe), name=f"{kind} probe {name}")

    def stop(self) -> None:
        """End the loops; the run is over."""
        for task in self._tasks.values():
            task.cancel()

    def stop_liveness(self) -> None:
        """A container that is being stopped is not restarted for being slow about it."""
        for kind in ("startup", "liveness"):
            if kind in self._tasks and self._tasks[kind] is not asyncio.current_task():
                self._tasks[kind].cancel()

    async def _look_startup(self, probe: Mapping[str, Any]) -> None:
        state = ProbeState(timing_of(probe), passed=False)
        await asyncio.sleep(state.timing.initial_delay)
        since_counted = state.timing.period
        pause = _pause(probe, eager=True)
        while True:
            answer = await self._look(probe)
            counts = answer.ok or since_counted >= state.timing.period  # eager looks must not use up the failures
            decided = state.note(answer.ok) if counts else False
            if decided and answer.ok:
                self._startup.set()
                self._say("", "")
                return
            if counts:
                since_counted = 0.0
                self._unhealthy("Startup", answer)
            if decided:
                self._say("Killing", "startup probe")
                return
            await asyncio.sleep(pause)
            since_counted += pause

    async def _look_readiness(self, probe: Mapping[str, Any]) -> None:
        state = self._readiness
        if state is None:
            return
        await self._startup.wait()
        await asyncio.sleep(state.timing.initial_delay)
        said = False
        while True:
            answer = await self._look(probe)
            before = state.passed
            state.note(answer.ok)
            if state.passed != before:
                self._say("", "")
            if not answer.ok and not said:
                self._unhealthy("Readiness", answer)
            said = not answer.ok
            await asyncio.sleep(_pause(probe, eager=not state.passed))

    async def _look_liveness(self, probe: Mapping[str, Any]) -> None:
        state = ProbeState(timing_of(probe), passed=True)
        await self._startup.wait()
        await asyncio.sleep(state.timing.initial_delay)
        while True:
            answer = await self._look(probe)
            decided = state.note(answer.ok)
            self._unhealthy("Liveness", answer)
            if decided and not answer.ok:
                self._say("Killing", "liveness probe")
                return
            await asyncio.sleep(state.timing.period)

    async def _look(self, probe: Mapping[str, Any]) -> Answer:
        return await self._prober.look(probe, self._spec, self._ground.values, self._ground.place)

    def _unhealthy(self, kind: str, answer: Answer) -> None:
        if not answer.ok:
            self._say("Unhealthy", f"{kind} probe failed: {answer.message}")


def _pause(probe: Mapping[str, Any], *, eager: bool) -> float:
    period = timing_of(probe).period
    return min(period, EAGER) if eager and "exec" not in probe else period
