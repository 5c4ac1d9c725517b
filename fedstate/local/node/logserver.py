"""The part of a kubelet's HTTPS server that `kubectl logs` needs; the API server passes such requests on to it."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fedstate.kube.objects import Key, parse_time
from fedstate.local.node.containerlog import LogQuery, LogWriter, read_log
from fedstate.local.node.pod import PodRuntime

PORT = 10250


def query_from(parameters: Mapping[str, str]) -> LogQuery:
    """What a log request asks for; ValueError for a value that makes no sense."""
    since: float | None = None
    if parameters.get("sinceSeconds"):
        since = time.time() - int(parameters["sinceSeconds"])
    if parameters.get("sinceTime"):
        since = parse_time(parameters["sinceTime"]).timestamp()
    return LogQuery(
        tail_lines=_count(parameters.get("tailLines")), since=since, limit_bytes=_count(parameters.get("limitBytes")),
        timestamps=parameters.get("timestamps") == "true", follow=parameters.get("follow") == "true",
    )  # fmt: skip


def _count(text: str | None) -> int | None:
    if not text:
        return None
    number = int(text)
    if number < 0:
        raise ValueError(f"{number} is less than 0")
    return number


class LogServer:
    """Answers /containerLogs/<namespace>/<pod>/<container> and /healthz."""

    def __init__(self, find: Callable[[Key], PodRuntime | None]) -> None:
        self._find = find

    @asynccontextmanager
    async def serving(self, address: str, directory: Path) -> AsyncIterator[int]:
        """Serve while in the block; yields the port: the kubelet's own, or another one if that is taken."""
        application = web.Application()
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            context = server_context(directory, address)
            try:
                await web.TCPSite(runner, address, PORT, ssl_context=context).start()
            except OSError:
                await web.TCPSite(runner, address, 0, ssl_context=context).start()
            yield int(runner.addresses[0][1])
        finally:
            await runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        part = request.match_info
        runtime = self._find(Key(part["namespace"], part["pod"]))
        container = runtime.container(part["container"]) if runtime else None
        if container is None:
            return web.Response(status=404, text=f'container "{part["container"]}" of pod "{part["pod"]}" is not on this node\n')
        try:
            query = query_from(request.query)
        except ValueError as error:
            return web.Response(status=400, text=f"{error}\n")
        previous = request.query.get("previous") == "true"
        found = container.log(previous=previous)
        if found is None:
            which = "previous terminated container" if previous else "container"
            return web.Response(status=400, text=f'{which} "{part["container"]}" in pod "{part["pod"]}" not found\n')
        return await _stream(request, found, query)


async def _stream(request: web.Request, log: tuple[Path, LogWriter | None], query: LogQuery) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    async with aclosing(read_log(log[0], query, log[1])) as pieces:
        async for piece in pieces:
            await response.write(piece)
    await response.write_eof()
    return response


def server_context(directory: Path, address: str) -> ssl.SSLContext:
    """TLS with a certificate of the node's own, made once; API servers do not verify kubelets unless they are told to."""
    certificate, key = directory / "node.crt", directory / "node.key"
    if not certificate.exists():
        _make_certificate(certificate, key, address)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def _make_certificate(certificate: Path, key: Path, address: str) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fedstate-local-node")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=3650))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.parent.mkdir(parents=True, exist_ok=True)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(pem)
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
