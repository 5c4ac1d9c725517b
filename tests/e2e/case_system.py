"""What the kubectl-facing end-to-end tests share: a system per module, and questions asked as a user would ask them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml
from pymongo import MongoClient

from fedstate.kube.objects import KubeObject
from fedstate.local.layout import Layout
from fedstate.local.processes import alive, read_record
from tests.e2e.system import System, dump, environment_of

MANIFESTS = Path(__file__).parent / "manifests"
ASSETS = Path(os.environ.get("KUBEBUILDER_ASSETS") or "/usr/local/kubebuilder/bin")
ENGINES = [
    "embedded",
    pytest.param(
        "kubernetes",
        marks=[
            pytest.mark.kubernetes,
            pytest.mark.skipif(not (ASSETS / "kube-apiserver").exists(), reason="KUBEBUILDER_ASSETS names no kube-apiserver"),
        ],
    ),
]
T = TypeVar("T")


@contextmanager
def started(home: Path, *arguments: str) -> Iterator[System]:
    """`fedstate local up --detach --no-demo`; at the end `local down`, after which no file and no process is left."""
    system = System(Layout(home / "local" / "default"), environment_of(home))
    try:
        asyncio.run(system.fedstate("up", "--detach", "--no-demo", *arguments))
        yield system
    finally:
        asyncio.run(system.fedstate("down"))
    assert not system.layout.directory.exists()
    assert processes_of(home) == []


def manifest(name: str) -> KubeObject:
    """One of the announcement's manifests."""
    loaded: KubeObject = yaml.safe_load((MANIFESTS / name).read_text())
    return loaded


async def until(what: Callable[[], Awaitable[T]], seconds: float, *, every: float = 0.3) -> T:
    """What `what` gives as soon as it is true; the assertion that fails otherwise shows what it gave last."""
    deadline = time.monotonic() + seconds
    while not (found := await what()):
        assert time.monotonic() < deadline, f"not true after {seconds} s, last seen: {dump(found)}"
        await asyncio.sleep(every)
    return found


async def get(system: System, *what: str, cluster: str = "control-plane") -> KubeObject:
    """`kubectl get … -o json`."""
    found: KubeObject = json.loads(await system.kubectl("get", *what, "-o", "json", cluster=cluster))
    return found


async def items(system: System, *what: str, cluster: str = "control-plane") -> list[KubeObject]:
    """The items of `kubectl get … -o json`."""
    found: list[KubeObject] = (await get(system, *what, cluster=cluster))["items"]
    return found


async def make_namespace(system: System, name: str, cluster: str = "control-plane") -> None:
    """A namespace, whether it is there or not."""
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    await system.kubectl("apply", "-f", "-", cluster=cluster, stdin=text)


def condition(obj: KubeObject, type_: str) -> Mapping[str, Any]:
    """The condition of this type; empty while there is none."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == type_), {})


def missing_paths(announced: Any, actual: Any, path: str = "") -> list[str]:
    """The paths that `announced` has and `actual` lacks. Entries of lists are paired by type, cluster, name or `_id`, else by place."""
    if isinstance(announced, dict):
        if not isinstance(actual, dict):
            return [path]
        gone = [f"{path}.{key}" for key in announced if key not in actual]
        return gone + [
            hole for key in announced if key in actual for hole in missing_paths(announced[key], actual[key], f"{path}.{key}")
        ]
    if isinstance(announced, list):
        if not isinstance(actual, list):
            return [path]
        holes = []
        for place, entry in enumerate(announced):
            other = _counterpart(entry, actual, place)
            label = f"{path}[{place}]"
            holes += [label] if other is None else missing_paths(entry, other, label)
        return holes
    return [path] if isinstance(actual, dict | list) else []


def _counterpart(entry: Any, actual: list[Any], place: int) -> Any:
    for key in ("type", "cluster", "_id"):
        if isinstance(entry, dict) and key in entry:
            return next((other for other in actual if other.get(key) == entry[key]), None)
    return actual[place] if place < len(actual) else None


async def replica_set_status(uri: str) -> Mapping[str, Any]:
    """`replSetGetStatus` through a plain client."""
    return await with_client(uri, lambda client: client.admin.command("replSetGetStatus"))


async def documents(uri: str, database: str, collection: str) -> list[Any]:
    """The ids of all documents of a collection, as a plain client reads them."""
    return await with_client(
        uri, lambda client: [document["_id"] for document in client[database][collection].find({}, {"_id": 1}).sort("_id")]
    )


async def insert(uri: str, database: str, collection: str, ids: list[Any]) -> None:
    """Documents with these ids, acknowledged by a majority (the replica set's default)."""
    await with_client(uri, lambda client: client[database][collection].insert_many([{"_id": number} for number in ids]))


async def with_client(uri: str, work: Callable[[MongoClient[dict[str, Any]]], T]) -> T:
    """What a plain client, opened for this and closed again, gives."""

    def run() -> T:
        with MongoClient[dict[str, Any]](uri, serverSelectionTimeoutMS=10_000) as client:
            return work(client)

    return await asyncio.to_thread(run)


async def refuses(address: str) -> bool:
    """Whether nobody listens at `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return True
    writer.close()
    return False


def processes_of(home: Path, word: str = "") -> list[str]:
    """Command lines of living processes that name a path below `home`, and `word` besides; not those of the tests themselves."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            argv = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(home) in argv and word in argv and state not in "ZX":
            found.append(f"{entry.name}: {argv}")
    return found


def processes_of_pods(system: System, namespace: str) -> list[str]:
    """Names of the living processes that stand for containers of pods in a namespace, of all clusters, by the nodes' records."""
    records = [read_record(path) for path in system.layout.directory.rglob("*.pid")]
    return [r.name for r in records if r is not None and r.name.startswith(f"{namespace}/") and alive(r)]


async def no_process(home: Path, seconds: float = 15.0) -> None:
    """Wait until no process of this home is left; what remains fails the test, and is ended."""

    async def gone() -> bool:
        return not processes_of(home)

    try:
        await until(gone, seconds, every=0.1)
    except AssertionError:
        left = processes_of(home)
        for line in left:
            os.kill(int(line.partition(":")[0]), signal.SIGKILL)
        pytest.fail(f"processes were left: {left}")
