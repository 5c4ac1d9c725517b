"""TLS both ways against a real server: whom the client trusts, and how it signs in with a certificate."""

import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fedstate.kube.client import KubeClient
from fedstate.kube.config import ClusterConfig
from fedstate.kube.errors import TransportError
from fedstate.kube.resources import PODS


class Pair(NamedTuple):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def issued(name: str, issuer: Pair | None = None) -> Pair:
    """A certificate for 127.0.0.1; without an issuer, an authority that signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("api")]), critical=False
        )
    )
    return Pair(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


class Site(NamedTuple):
    config: ClusterConfig
    authority: Pair


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A server that tells a client the name in the client's certificate."""
    authority = issued("authority")
    pair = issued("server", authority)
    for name, content in (("crt", pair.pem), ("key", pair.key_pem), ("ca", authority.pem)):
        (tmp_path / name).write_bytes(content)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca"))
    tls.verify_mode = ssl.CERT_OPTIONAL
    tls.load_cert_chain(tmp_path / "crt", tmp_path / "key")

    async def answer(request: web.Request) -> web.Response:
        peer = request.get_extra_info("peercert") or {}
        return web.Response(text=dict(part[0] for part in peer.get("subject", ())).get("commonName", "nobody"))

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    yield Site(ClusterConfig(server=f"https://127.0.0.1:{runner.addresses[0][1]}", ca_data=authority.pem), authority)
    await runner.cleanup()


async def whoami(config: ClusterConfig) -> str:
    async with KubeClient(config) as client:
        return await client.text("/")


async def test_a_server_signed_by_the_given_authority_is_trusted(site: Site) -> None:
    assert await whoami(site.config) == "nobody"


async def test_a_client_certificate_signs_in(site: Site) -> None:
    user = issued("admin", site.authority)
    assert await whoami(replace(site.config, client_cert_data=user.pem, client_key_data=user.key_pem)) == "admin"


async def test_any_other_server_is_refused_with_the_reason(site: Site) -> None:
    with pytest.raises(TransportError, match="certificate of https.* is not accepted"):
        await whoami(replace(site.config, ca_data=issued("somebody else").pem))


async def test_the_name_to_verify_can_differ_from_the_address(site: Site) -> None:
    assert await whoami(replace(site.config, tls_server_name="api")) == "nobody"
    with pytest.raises(TransportError, match="is not accepted"):
        await whoami(replace(site.config, tls_server_name="elsewhere"))


async def test_an_unverified_server_is_spoken_to_only_when_asked(site: Site) -> None:
    with pytest.raises(TransportError):
        await whoami(replace(site.config, ca_data=None))
    assert await whoami(replace(site.config, ca_data=None, insecure=True)) == "nobody"


async def watching(config: ClusterConfig) -> None:
    async with KubeClient(config) as client, client.watch(PODS, resource_version="1"):
        pass


async def test_watches_trust_and_sign_in_as_requests_do(site: Site) -> None:
    user = issued("admin", site.authority)
    await watching(replace(site.config, client_cert_data=user.pem, client_key_data=user.key_pem, tls_server_name="api"))
    for distrusted in (replace(site.config, ca_data=issued("other").pem), replace(site.config, tls_server_name="elsewhere")):
        with pytest.raises(TransportError, match="certificate of https.* is not accepted"):
            await watching(distrusted)


async def test_a_watch_of_a_server_that_is_not_there_names_it(site: Site) -> None:
    port = 1
    with pytest.raises(TransportError, match=f"cannot connect to https://127.0.0.1:{port}"):
        await watching(replace(site.config, server=f"https://127.0.0.1:{port}"))
