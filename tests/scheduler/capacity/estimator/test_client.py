"""One estimator, asked over a real connection: what it answers, and every way in which it may not."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from fedstate.scheduler.capacity.estimator.client import Credentials, Estimator, NoAnswer
from fedstate.scheduler.capacity.estimator.codec import encode_request
from fedstate.scheduler.capacity.estimator.discovery import Address
from tests.scheduler.capacity.estimator.certificates import Authority
from tests.scheduler.capacity.estimator.server import EstimatorServer, Listener, Version, no_such_name
from tests.scheduler.capacity.estimator.shapes import CHOOSY, GI, shape

FREE = {"cpu": 4000, "memory": 64 * GI}
QUESTION = encode_request("member1", shape(), "shop")


async def answer_of(
    port: int, credentials: Credentials | None = None, *, question: bytes = QUESTION, timeout: float = 3.0
) -> int:
    estimator = Estimator(Address(host="127.0.0.1", port=port), credentials, timeout=timeout)
    try:
        return await asked(estimator, question)
    finally:
        estimator.close()


async def asked(estimator: Estimator, question: bytes = QUESTION) -> int:
    """In a task of its own, as the client wants it."""
    return await asyncio.create_task(estimator.ask(question))


@pytest.mark.parametrize("version", Version)
async def test_an_estimator_of_every_version_counts_what_was_asked_for(version: Version) -> None:
    async with EstimatorServer("member1", FREE, version) as server:
        assert await answer_of(server.port) == 8
        assert await answer_of(server.port, question=encode_request("member1", shape(memory=20 * GI), "shop")) == 3
        assert await answer_of(server.port, question=encode_request("member1", shape(cpu=5000), "shop")) == 0


@pytest.mark.parametrize("version", Version)
async def test_selector_affinity_tolerations_and_namespace_arrive_whole(version: Version) -> None:
    async with EstimatorServer("member1", FREE, version) as server:
        await answer_of(server.port, question=encode_request("member1", CHOOSY, "shop"))
    (asked,) = server.asked
    assert (asked.cluster, asked.namespace) == ("member1", "shop")
    assert asked.amounts == {"cpu": "500m", "memory": "1073741824"}
    assert asked.node_selector == {"disk": "ssd", "zone": "a"}
    assert asked.terms == CHOOSY.terms
    assert asked.tolerations == CHOOSY.tolerations


async def test_questions_share_one_connection() -> None:
    async with EstimatorServer("member1", FREE) as server:
        estimator = Estimator(Address(host="127.0.0.1", port=server.port))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(estimator.ask(QUESTION)) for _ in range(20)]
            assert [task.result() for task in tasks] == [8] * 20
            assert await asked(estimator) == 8
            assert server.connections == 1
        finally:
            estimator.close()


async def test_an_estimator_of_another_cluster_refuses_and_its_words_are_passed_on() -> None:
    async with EstimatorServer("member2", FREE) as server:
        with pytest.raises(NoAnswer) as caught:
            await answer_of(server.port)
    assert str(caught.value) == (
        f"estimator at 127.0.0.1:{server.port} refuses: cluster name does not match, got: member1, desire: member2"
    )


async def test_minus_one_is_no_answer() -> None:
    async with EstimatorServer("member1", FREE, answer=lambda: -1) as server:
        with pytest.raises(NoAnswer, match="does not know how much room there is: it answered -1"):
            await answer_of(server.port)


async def test_a_slow_estimator_is_not_waited_for_and_the_next_question_takes_a_new_connection() -> None:
    async with EstimatorServer("member1", FREE, stuck=True) as server:
        estimator = Estimator(Address(host="127.0.0.1", port=server.port), timeout=0.1)
        try:
            with pytest.raises(NoAnswer, match=r"gave no answer in 0\.1 s$"):
                await asked(estimator)
            server.stuck = False
            assert await asked(estimator) == 8
            assert server.connections == 2
        finally:
            estimator.close()


async def test_an_estimator_that_was_killed_is_asked_again_when_it_is_back() -> None:
    async with EstimatorServer("member1", FREE) as server:
        estimator = Estimator(Address(host="127.0.0.1", port=server.port))
        try:
            assert await asked(estimator) == 8
            await server.kill()
            with pytest.raises(NoAnswer, match="cannot be reached: Connection refused"):
                await asked(estimator)
            await server.start()
            assert await asked(estimator) == 8
        finally:
            estimator.close()


async def test_an_estimator_that_starts_anew_while_it_is_asked_still_answers() -> None:
    async with EstimatorServer("member1", FREE, stuck=True) as server:
        estimator = Estimator(Address(host="127.0.0.1", port=server.port))
        try:
            async with asyncio.TaskGroup() as group:
                question = group.create_task(estimator.ask(QUESTION))
                await server.reached.wait()
                server.stuck = False
                server.reset()
            assert question.result() == 8
        finally:
            estimator.close()


async def test_a_question_that_is_cancelled_leaves_nothing_behind() -> None:
    async with EstimatorServer("member1", FREE, stuck=True) as server:
        estimator = Estimator(Address(host="127.0.0.1", port=server.port))
        question = asyncio.create_task(estimator.ask(QUESTION))
        await server.reached.wait()
        question.cancel()
        with pytest.raises(asyncio.CancelledError):
            await question
        estimator.close()


@pytest.mark.parametrize(
    ("says", "closes", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", True, "broke the connection off"),
        (b"", True, "broke the connection off|cannot be reached"),
        (b"", False, "gave no answer"),
    ],
)
async def test_what_is_no_estimator_is_told_from_one(says: bytes, closes: bool, reason: str) -> None:
    async with Listener(says, closes=closes) as port:
        with pytest.raises(NoAnswer, match=reason):
            await answer_of(port, timeout=0.3)


async def test_a_name_that_leads_nowhere_is_a_failure_only_where_somebody_gave_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    for guessed in (False, True):
        estimator = Estimator(Address(host="no-such-estimator.invalid", port=1, guessed=guessed))
        with pytest.raises(NoAnswer, match="no such name|Name or service not known") as caught:
            await asked(estimator)
        assert caught.value.absent is guessed
        estimator.close()


def server_tls(authority: Authority, *, client_authority: Authority | None = None) -> ssl.SSLContext:
    """As Karmada's estimator sets it up: TLS 1.3, and a client certificate where it has an authority for them."""
    signed = authority.sign("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(signed.cert, signed.key)
    context.set_alpn_protocols(["h2"])
    if client_authority is not None:
        context.load_verify_locations(client_authority.cert)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_tls_with_the_authority_of_its_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with EstimatorServer("member1", FREE, tls=server_tls(authority)) as server:
        assert await answer_of(server.port, Credentials(ca_file=authority.cert)) == 8
        assert await answer_of(server.port, Credentials(verify=False)) == 8


async def test_a_certificate_of_another_authority_or_name_is_not_accepted(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    async with EstimatorServer("member1", FREE, tls=server_tls(authority)) as server:
        with pytest.raises(NoAnswer, match="shows a certificate that is not accepted: .*issuer"):
            await answer_of(server.port, Credentials(ca_file=other.cert))
        estimator = Estimator(Address(host="localhost", port=server.port), Credentials(ca_file=authority.cert))
        with pytest.raises(NoAnswer, match="shows a certificate that is not accepted: .*localhost"):
            await asked(estimator)
        estimator.close()


async def test_a_client_shows_its_own_certificate_to_those_who_ask_for_it(tmp_path: Path) -> None:
    authority, clients = Authority(tmp_path), Authority(tmp_path, "clients")
    client = clients.sign("client")
    async with EstimatorServer("member1", FREE, tls=server_tls(authority, client_authority=clients)) as server:
        shown = Credentials(ca_file=authority.cert, cert_file=client.cert, key_file=client.key)
        assert await answer_of(server.port, shown) == 8
        with pytest.raises(NoAnswer, match=r"estimator at 127\.0\.0\.1:\d+ (broke|and this client)"):
            await answer_of(server.port, Credentials(ca_file=authority.cert))


async def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.crt").write_text("")
    for file, words in (("missing.crt", "No such file"), ("empty.crt", "the files for TLS cannot be used")):
        with pytest.raises(NoAnswer, match=words):
            await answer_of(1, Credentials(ca_file=str(tmp_path / file)))


async def test_plaintext_to_an_estimator_with_tls_and_the_other_way_round(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with EstimatorServer("member1", FREE, tls=server_tls(authority)) as server:
        with pytest.raises(NoAnswer, match="broke the connection off"):
            await answer_of(server.port)
    async with EstimatorServer("member1", FREE) as server:
        with pytest.raises(NoAnswer, match="do not agree on TLS|cannot be reached"):
            await answer_of(server.port, Credentials(ca_file=authority.cert))
