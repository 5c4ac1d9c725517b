"""A witness of a replica set's life: asks every mongod several times a second who is primary and what the configuration is.

Knows nothing of FedState: what it says of a set, the set itself has said. Asks with the driver's client that has threads: closing
the asyncio one while it connects leaves a socket open.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

PAUSE = 0.2
ANSWER = 1.0
MEMBERS = 16
"""As many are asked at once, on threads of their own: one that does not answer delays nobody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A live configuration as a primary gave it."""

    term: int
    version: int
    hosts: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What the members said at one moment. Of several primaries only the one of the newest term is one."""

    at: float
    primary: str | None
    configuration: Configuration | None
    dead: frozenset[str] = frozenset()
    """Members of that configuration that gave no answer."""


@dataclass(slots=True)
class Witness:
    """Everything seen since it began to look. Members are found through the configuration itself."""

    user: str
    password: str = field(repr=False)
    hosts: set[str]
    samples: list[Sample] = field(default_factory=list, repr=False)
    ending: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _clients: dict[str, MongoClient[dict[str, Any]]] = field(default_factory=dict, repr=False)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(MEMBERS, "witness"), repr=False)

    async def run(self) -> None:
        """Look until `ending` is set."""
        try:
            while not self.ending.is_set():
                self.samples.append(await self._look())
                with suppress(TimeoutError):
                    async with asyncio.timeout(PAUSE):
                        await self.ending.wait()
        finally:
            await asyncio.to_thread(self._close)

    @property
    def now(self) -> Sample:
        return self.samples[-1]

    async def wait_term(self, term: int, *, timeout: float) -> Sample:
        """The first sample with a primary of this term or a later one."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    found = (s for s in self.samples if s.configuration is not None and s.configuration.term >= term)
                    first = next(found, None)
                    if first is not None:
                        return first
                    await asyncio.sleep(PAUSE)
        except TimeoutError:
            raise AssertionError(f"no primary of term {term} after {timeout:.0f} s; the last sight: {self.now}") from None

    def gaps(self, since: float = 0.0, until: float = float("inf")) -> list[float]:
        """The lengths of the times without a primary that began within these moments, in seconds."""
        lengths, begun = [], None
        for sample in self.samples:
            if sample.primary is None and begun is None:
                begun = sample.at
            elif sample.primary is not None and begun is not None:
                if since <= begun <= until:
                    lengths.append(sample.at - begun)
                begun = None
        return lengths

    def configurations(self) -> list[Configuration]:
        """Every configuration seen, once each, in the order in which they came into force."""
        found: list[Configuration] = []
        for sample in self.samples:
            if sample.configuration is not None and (not found or found[-1] != sample.configuration):
                found.append(sample.configuration)
        return found

    def handed_over(self, host: str, since: float) -> bool:
        """Whether the member was seen in the configuration with another one as its primary."""
        later = (sample for sample in self.samples if sample.at > since and sample.configuration is not None)
        return any(s.configuration is not None and host in s.configuration.hosts and s.primary != host for s in later)

    def removed_as_primary(self) -> set[str]:
        """Members that left the configuration and were not seen to hand the lead to another before."""
        culprits = set()
        for before, after in zip(self.samples, self.samples[1:], strict=False):
            if before.configuration is None or after.configuration is None:
                continue
            gone = before.configuration.hosts - after.configuration.hosts
            if before.primary in gone and before.primary == after.primary:
                culprits.add(str(before.primary))
        return culprits

    async def _look(self) -> Sample:
        at = time.monotonic()
        hosts = sorted(self.hosts)
        loop = asyncio.get_running_loop()
        asked = [loop.run_in_executor(self._threads, self._ask, host) for host in hosts]
        answers = dict(zip(hosts, await asyncio.gather(*asked), strict=True))
        given = {host: answer for host, answer in answers.items() if isinstance(answer, Configuration)}
        if not given:
            return Sample(at=at, primary=None, configuration=None)
        host, configuration = max(given.items(), key=lambda item: (item[1].term, item[1].version))
        self.hosts |= configuration.hosts
        dead = frozenset(host for host in configuration.hosts if answers.get(host, True) is False)
        return Sample(at=at, primary=host, configuration=configuration, dead=dead)

    def _ask(self, host: str) -> Configuration | bool:
        """The configuration of a member if it is primary, else whether it answers."""
        client = self._clients.get(host)
        if client is None:
            client = self._clients[host] = MongoClient(
                host, username=self.user, password=self.password, directConnection=True, heartbeatFrequencyMS=500,
                serverSelectionTimeoutMS=int(ANSWER * 1000), connectTimeoutMS=int(ANSWER * 1000), socketTimeoutMS=int(ANSWER * 1000),
                retryReads=False, maxPoolSize=1, serverMonitoringMode="poll",
            )  # fmt: skip
        try:
            if not client.admin.command("hello").get("isWritablePrimary"):
                return True
            config = client.admin.command("replSetGetConfig")["config"]
        except PyMongoError:
            return False
        return Configuration(
            term=int(config["term"]), version=int(config["version"]), hosts=frozenset(m["host"] for m in config["members"])
        )

    def _close(self) -> None:
        self._threads.shutdown()
        for client in self._clients.values():
            client.close()


@asynccontextmanager
async def witnessing(hosts: Iterable[str], *, user: str, password: str) -> AsyncIterator[Witness]:
    """A witness that looks in the background while the block runs."""
    witness = Witness(user=user, password=password, hosts=set(hosts))
    witness.samples.append(await witness._look())
    task = asyncio.create_task(witness.run(), name="witness")
    try:
        yield witness
    finally:
        witness.ending.set()
        await asyncio.wait([task])
    task.result()
