"""Probes of a container: when to look and what the answers mean (ProbeState), and how to look (Prober)."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from fedstate.kube.objects import KubeObject
from fedstate.local.node.commands import CannotRun, Launch, Place, launch_in
from fedstate.local.node.process import run

_SHOWN = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeTiming:
    """The numbers of a probe, defaults filled in as the API server would."""

    initial_delay: float
    period: float
    timeout: float
    successes: int
    failures: int


def timing_of(probe: Mapping[str, Any]) -> ProbeTiming:
    return ProbeTiming(
        initial_delay=float(probe.get("initialDelaySeconds") or 0),
        period=float(probe.get("periodSeconds") or 10),
        timeout=float(probe.get("timeoutSeconds") or 1),
        successes=int(probe.get("successThreshold") or 1),
        failures=int(probe.get("failureThreshold") or 3),
    )


@dataclass(slots=True)
class ProbeState:
    """Turns single answers into a verdict: it changes after as many equal answers in a row as the thresholds say."""

    timing: ProbeTiming
    passed: bool
    """What holds before enough answers came: a readiness or startup probe has not passed yet, a liveness probe has."""
    _successes: int = 0
    _failures: int = 0

    def note(self, ok: bool) -> bool:
        """Count an answer; True if it completed a row that decides (the verdict may be the same as before)."""
        self._successes = self._successes + 1 if ok else 0
        self._failures = 0 if ok else self._failures + 1
        decided = self._successes >= self.timing.successes if ok else self._failures >= self.timing.failures
        if decided:
            self.passed = ok
        return decided


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One look at a container."""

    ok: bool
    message: str = ""


class Prober:
    """Looks at containers the ways that a probe or a hook may say."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def look(self, probe: Mapping[str, Any], container: KubeObject, values: Mapping[str, str], place: Place) -> Answer:
        """One answer; never raises for what the container does."""
        timeout = timing_of(probe).timeout
        if "exec" in probe:
            return await look_exec(launch_in(probe["exec"].get("command") or (), values, place), timeout)
        if "tcpSocket" in probe:
            target = probe["tcpSocket"]
            return await look_tcp(target.get("host") or place.address, port_of(target["port"], container, place), timeout)
        if "httpGet" in probe:
            return await self._look_http(probe["httpGet"], container, place, timeout)
        return Answer(ok=False, message="a local node knows exec, tcpSocket and httpGet probes only")

    async def _look_http(self, action: Mapping[str, Any], container: KubeObject, place: Place, timeout: float) -> Answer:
        scheme = str(action.get("scheme") or "HTTP").lower()
        path = "/" + str(action.get("path") or "/").lstrip("/")
        host, port = action.get("host") or place.address, port_of(action["port"], container, place)
        headers = {header["name"]: header["value"] for header in action.get("httpHeaders") or ()}
        try:
            async with (
                asyncio.timeout(timeout),
                self._session.get(f"{scheme}://{host}:{port}{path}", headers=headers, ssl=_unverified()) as response,
            ):
                ok = 200 <= response.status < 400
                return Answer(ok=ok, message="" if ok else f"HTTP probe failed with statuscode: {response.status}")
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            return Answer(ok=False, message=f"Get {scheme}://{host}:{port}{path}: {error or 'deadline exceeded'}")


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def look_exec(launch: Launch, timeout: float) -> Answer:
    """Run a command; its exit code is the answer."""
    try:
        code, output = await run(launch, timeout=timeout)
    except TimeoutError:
        return Answer(ok=False, message=f'command timed out: "{" ".join(launch.argv)}" timed out after {timeout:g}s')
    except (CannotRun, OSError) as error:
        return Answer(ok=False, message=str(error))
    return Answer(ok=code == 0, message="" if code == 0 else output.strip()[:_SHOWN])


async def look_tcp(host: str, port: int, timeout: float) -> Answer:
    """Open and close a connection."""
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Answer(ok=False, message=f"dial tcp {host}:{port}: i/o timeout")
    except OSError as error:
        return Answer(ok=False, message=f"dial tcp {host}:{port}: {error.strerror or error}")
    writer.transport.abort()
    return Answer(ok=True)


def port_of(port: int | str, container: KubeObject, place: Place) -> int:
    """A probe's port, by number or by the name of one of the container's ports, as it is on this machine."""
    number = port if isinstance(port, int) else next(
        (p["containerPort"] for p in container.get("ports") or () if p.get("name") == port), int(port) if port.isdigit() else 0
    )  # fmt: skip
    return place.ports.get(number, number)
