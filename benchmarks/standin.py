"""An API server for one client, the scheduler: it has clusters, makes instances appear all at once, and takes what is written.

Not a Kubernetes: nothing is checked or stored, so that it is never what is measured; every answer takes as long as over a network.
`python -m benchmarks.standin --clusters 1000 --port P --cert FILE --key FILE`; POST /burst?count=N answers when all is decided.
"""

import argparse
import asyncio
import ssl
import time
from collections.abc import Iterable
from urllib.parse import parse_qs, urlsplit

import orjson
import uvloop
import yaml

from benchmarks import planes
from fedstate.api.karmada import CLUSTERS
from fedstate.api.naming import ANNOTATION_SCHEDULER_RESULT, MULTI_CLOUD_MONGODBS
from fedstate.kube.objects import KubeObject, annotations_of, name_of
from fedstate.local.apiserver.objects.schema import Schema, compile_schema

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
OWNED = [
    {
        "manager": "kubectl-create",
        "operation": "Update",
        "apiVersion": MULTI_CLOUD_MONGODBS.api_version,
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:labels": {".": {}}}, "f:spec": {f"f:field{number}": {".": {}} for number in range(30)}},
    }
]
"""As much of what servers keep for themselves as an instance really has."""


def _instance_schema() -> Schema:
    """Says what a server adds to an instance that leaves things out."""
    (file,) = (planes.ROOT / "manifests/crds").glob(f"*{MULTI_CLOUD_MONGODBS.plural}*.yaml")
    version = yaml.safe_load(file.read_text())["spec"]["versions"][0]
    return compile_schema(version["schema"]["openAPIV3Schema"], keep_unknown=False)


class StandIn:
    """One collection of instances, its watchers, and who waits for a burst to be over."""

    def __init__(self, clusters: int, delay: float) -> None:
        self._delay = delay
        self._version = 1000
        self._clusters = [self._fresh(planes.cluster(number)) for number in range(clusters)]
        self._instances: dict[str, KubeObject] = {}
        self._watchers: list[asyncio.StreamWriter] = []
        self._appeared: dict[str, float] = {}
        self._decided: dict[str, float] = {}
        self._told: set[str] = set()
        self._changed = asyncio.Event()
        self._bursts = 0
        self._schema = _instance_schema()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, target, _ = head.split(" ", 2)
                length = next((int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length:")), 0)
                body = await reader.readexactly(length) if length else b""
                parts = urlsplit(target)
                params = {key: values[-1] for key, values in parse_qs(parts.query).items()}
                if params.get("watch"):
                    self._watch(parts.path, params, writer)
                    await reader.read()
                    return
                answer = orjson.dumps(await self._answer(method, parts.path, params, body))
                writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(answer) + answer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            if writer in self._watchers:
                self._watchers.remove(writer)
            writer.close()

    def _watch(self, path: str, params: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        instances = path.endswith(f"/{MULTI_CLOUD_MONGODBS.plural}")
        held: Iterable[KubeObject] = self._instances.values() if instances else self._clusters
        if params.get("sendInitialEvents"):
            for obj in held if instances or path.endswith(f"/{CLUSTERS.plural}") else ():
                writer.write(_event("ADDED", obj))
            end = {"k8s.io/initial-events-end": "true"}
            writer.write(_event("BOOKMARK", {"metadata": {"resourceVersion": str(self._version), "annotations": end}}))
        if instances:
            self._watchers.append(writer)

    async def _answer(self, method: str, path: str, params: dict[str, str], body: bytes) -> object:
        if path == "/burst":
            return await self._burst(int(params["count"]))
        if path == "/told":
            await self._until(lambda: self._told >= self._appeared.keys())
            return {}
        if path == "/clear":
            for obj in self._instances.values():
                self._tell("DELETED", self._fresh(obj))
            self._instances.clear()
            return {}
        await asyncio.sleep(self._delay)
        if method == "PATCH":
            return self._take(path, orjson.loads(body))
        return (
            orjson.loads(body)
            if body
            else {"gitVersion": "v1.37.0", "metadata": {"resourceVersion": str(self._version)}, "items": []}
        )

    async def _burst(self, count: int) -> dict[str, list[float]]:
        self._bursts += 1
        self._appeared, self._decided, self._told = {}, {}, set()
        for number in range(count):
            obj = self._schema.default(planes.instance(f"db-{self._bursts}-{number:05}", number))
            obj["metadata"] |= {"uid": f"uid-{self._bursts}-{number}", "generation": 1, "managedFields": OWNED}
            self._instances[name_of(obj)] = self._fresh(obj)
            self._appeared[name_of(obj)] = time.perf_counter()
            self._tell("ADDED", obj)
        await self._until(lambda: len(self._decided) == count)
        return {"waits": [self._decided[name] - self._appeared[name] for name in self._appeared]}

    def _take(self, path: str, said: KubeObject) -> KubeObject:
        """What an apply of this leaves."""
        live = self._instances[name_of(said)]
        if path.endswith("/status"):
            obj = {**live, "status": {**live.get("status", {}), **said["status"]}}
            self._told.add(name_of(said))
        else:
            annotations = {**annotations_of(live), **annotations_of(said)}
            obj = {**live, "metadata": {**live["metadata"], "annotations": annotations}}
            if ANNOTATION_SCHEDULER_RESULT in annotations:
                self._decided.setdefault(name_of(said), time.perf_counter())
        self._instances[name_of(said)] = self._fresh(obj)
        self._tell("MODIFIED", obj)
        self._changed.set()
        return obj

    def _fresh(self, obj: KubeObject) -> KubeObject:
        self._version += 1
        obj["metadata"]["resourceVersion"] = str(self._version)
        return obj

    def _tell(self, kind: str, obj: KubeObject) -> None:
        for writer in self._watchers:
            writer.write(_event(kind, obj))

    async def _until(self, holds: planes.Holds) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()


def _event(kind: str, obj: KubeObject) -> bytes:
    line = orjson.dumps({"type": kind, "object": obj}) + b"\n"
    return b"%x\r\n%s\r\n" % (len(line), line)


async def serve(options: argparse.Namespace) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.cert, options.key)
    standin = StandIn(options.clusters, options.delay)
    server = await asyncio.start_server(standin.serve, "127.0.0.1", options.port, ssl=context, limit=2**20)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--delay", type=float, default=0.005, help="seconds until an answer")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--cert", required=True)
    parser.add_argument("--key", required=True)
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
