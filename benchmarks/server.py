"""An API server that sends what a measurement needs and does nothing else, fast enough never to be what is measured.

`python -m benchmarks.server --events 20000 [--tls DIR] ...` prints its port. It knows pods, and answers any PATCH.
"""

import argparse
import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import uvloop

from benchmarks.payload import Lines

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
END = {"resourceVersion": "900000000", "annotations": {"k8s.io/initial-events-end": "true"}}
BLOCK = 128
EXTENSIONS = "apiextensions.k8s.io"
VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def answer(value: object) -> bytes:
    body = json.dumps(value).encode()
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def discovery(path: str) -> bytes | None:
    """What libraries ask before they ask for what they want."""

    def resource(plural: str, kind: str, *, namespaced: bool = True) -> dict[str, object]:
        return {"name": plural, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind, "verbs": VERBS}

    core = [resource("pods", "Pod"), resource("configmaps", "ConfigMap"), resource("events", "Event")]
    core.append(resource("namespaces", "Namespace", namespaced=False))
    definitions = [resource("customresourcedefinitions", "CustomResourceDefinition", namespaced=False)]
    version = {"groupVersion": f"{EXTENSIONS}/v1", "version": "v1"}
    group = {"name": EXTENSIONS, "versions": [version], "preferredVersion": version}
    found: dict[str, object] = {
        "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]},
        "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": core},
        f"/apis/{EXTENSIONS}/v1": {"kind": "APIResourceList", "groupVersion": f"{EXTENSIONS}/v1", "resources": definitions},
    }
    return answer(found[path]) if path in found else None


class Api:
    """`events` pods; after them, with `churn`, so many changes a second; without `hold` the watch ends."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._added = Lines(options.size, "ADDED")
        self._modified = Lines(options.size, "MODIFIED")
        self._item = Lines(options.size)
        self._small = Lines("small")(1)
        self._block = b"".join(chunk(self._added(number) + b"\n") for number in range(BLOCK))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, target, _ = head.split(" ", 2)
                length = next((int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:")), 0)
                if length:
                    await reader.readexactly(length)
                await self._answer(writer, method, target)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, method: str, target: str) -> None:
        parts = urlsplit(target)
        params = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        if method == "PATCH":
            writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(self._small) + self._small)
            return
        known = discovery(parts.path.rstrip("/"))
        if known is not None:
            writer.write(known)
        elif params.get("watch", "").lower() in ("1", "true"):
            writer.write(CHUNKED)
            async for data in self._events(params) if parts.path.endswith("/pods") else _nothing():
                writer.write(data)
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        else:
            await self._list(writer, params if parts.path.endswith("/pods") else None)

    async def _events(self, params: dict[str, str]) -> AsyncIterator[bytes]:
        options = self._options
        fresh = params.get("resourceVersion", "0") in ("", "0") or params.get("sendInitialEvents") == "true"
        if not options.hold:
            # The same pods over and over: for the decoder that makes no difference, and for the server it does.
            for _ in range(0, options.events, BLOCK):
                yield self._block
        elif params.get("sendInitialEvents") == "true" or fresh:
            for start in range(0, options.events, 64):
                stop = min(start + 64, options.events)
                yield b"".join(chunk(self._added(number) + b"\n") for number in range(start, stop))
        if params.get("sendInitialEvents") == "true":
            end = {"type": "BOOKMARK", "object": {"kind": "Pod", "apiVersion": "v1", "metadata": END}}
            yield chunk(json.dumps(end).encode() + b"\n")
        number = 0
        while options.hold:
            await asyncio.sleep(0.05)
            for _ in range(int(options.churn * 0.05)):
                number += 1
                changed = self._modified(number % max(1, options.events))
                yield chunk(changed.replace(b'"resourceVersion":"1', b'"resourceVersion":"%d' % (number + 2), 1) + b"\n")

    async def _list(self, writer: asyncio.StreamWriter, params: dict[str, str] | None) -> None:
        start = int((params or {}).get("continue", 0))
        count = 0 if params is None else self._options.events
        stop = min(start + int((params or {}).get("limit", 0) or count), count)
        token = b',"continue":"%d"' % stop if stop < count else b""
        kind = b"PodList" if params is not None else b"List"
        body = b'{"kind":"%s","apiVersion":"v1","metadata":{"resourceVersion":"900000000"%s},"items":[' % (kind, token)
        body += b",".join(self._item(number) for number in range(start, stop)) + b"]}"
        writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()


async def _nothing() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def serve(options: argparse.Namespace) -> None:
    context = None
    if options.tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(Path(options.tls) / "crt", Path(options.tls) / "key")
    server = await asyncio.start_server(Api(options).serve, "127.0.0.1", 0, ssl=context, limit=2**20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1000)
    parser.add_argument("--size", choices=("full", "small"), default="full")
    parser.add_argument("--hold", action="store_true")
    parser.add_argument("--churn", type=float, default=0)
    parser.add_argument("--tls", default="")
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
