"""What the API server refuses: the message is the one in the table, and nothing of the object has been stored or changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from fedstate.api.naming import MONGODBS, MULTI_CLOUD_MONGODBS
from fedstate.kube.client import KubeClient
from fedstate.kube.errors import ApiError, NotFound, TooManyRequests
from fedstate.kube.objects import KubeObject
from fedstate.kube.resources import CUSTOM_RESOURCE_DEFINITIONS, Resource
from tests.badinput.rejected import REJECTED, Rejected, instance
from tests.servers import Server

MANIFESTS = Path(__file__).parents[2] / "manifests" / "crds"
STRICT = "strict decoding error"


@pytest.fixture
async def kinds(client: KubeClient) -> None:
    """Both kinds are served."""
    for resource in (MULTI_CLOUD_MONGODBS, MONGODBS):
        try:
            await client.list(resource, limit=1)
        except NotFound:
            await client.apply(CUSTOM_RESOURCE_DEFINITIONS, yaml.safe_load((MANIFESTS / f"{resource.plural}.yaml").read_text()))
            await _served(client, resource)


async def _served(client: KubeClient, resource: Resource) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await client.list(resource, limit=1)
            except (NotFound, TooManyRequests):
                await asyncio.sleep(0.02)
            else:
                return


def causes(error: ApiError) -> set[str]:
    """What an author has to put right. A server's remarks on its own procedure, and those on the scale subresource, repeat the rest."""
    found = (error.details or {}).get("causes") or ()
    if not found:
        return {error.message[error.message.index(STRICT) :]} if STRICT in error.message else {error.message}
    told = {f"{cause['field']}: {cause['message']}" for cause in found if not cause["field"].startswith(".")}
    return {text for text in told if not text.startswith("<nil>: Invalid value: null: some validation rules were not checked")}


def described(row: Rejected) -> str:
    return f"{row.resource.kind}-{row.name}-{row.change}-{'later' if row.later else 'new'}"[:80]


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize("row", [row for row in REJECTED if not row.later], ids=described)
async def test_a_new_object_with_a_mistake_is_refused_whole(client: KubeClient, namespace: str, row: Rejected) -> None:
    with pytest.raises(ApiError) as caught:
        await client.request("POST", row.resource.path(namespace), params={"fieldValidation": "Strict"}, body=row.manifest)
    assert causes(caught.value) == set(row.messages)
    assert await client.list_all(row.resource, namespace) == []


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize("row", [row for row in REJECTED if row.later], ids=described)
async def test_a_change_that_cannot_be_made_is_refused_whole(client: KubeClient, namespace: str, row: Rejected) -> None:
    before = await client.create(row.resource, row.valid, namespace=namespace)
    with pytest.raises(ApiError) as caught:
        await client.merge_patch(row.resource, row.name, {"spec": row.change}, namespace=namespace)
    assert causes(caught.value) == set(row.messages)
    assert await client.get(row.resource, row.name, namespace) == before


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize("resource", [MULTI_CLOUD_MONGODBS, MONGODBS], ids=str)
async def test_what_the_mistakes_were_made_in_is_accepted(client: KubeClient, namespace: str, resource: Resource) -> None:
    row = next(row for row in REJECTED if row.resource is resource)
    await client.request("POST", resource.path(namespace), params={"fieldValidation": "Strict"}, body=row.valid)


@pytest.mark.usefixtures("kinds")
async def test_kubectl_shows_every_message_and_stores_nothing(server: Server, client: KubeClient, namespace: str) -> None:
    """All wrong manifests in one file."""
    new = [row for row in REJECTED if not row.later]
    answer = server.kubectl("-n", namespace, "create", "-f", "-", stdin=file_of(new), check=False)
    assert answer.returncode != 0
    assert answer.stdout == ""
    missing = [message for row in new for message in row.messages if message not in answer.stderr]
    assert missing == []
    assert await client.list_all(MULTI_CLOUD_MONGODBS, namespace) == []
    assert await client.list_all(MONGODBS, namespace) == []


@pytest.mark.usefixtures("kinds")
def test_kubectl_says_it_in_a_line(server: Server, namespace: str) -> None:
    def applied(row: Rejected) -> str:
        return server.kubectl("-n", namespace, "apply", "-f", "-", stdin=file_of([row]), check=False).stderr

    row = instance({"storage": {"storageSize": 10}}, "")
    assert applied(row) == (
        'The MultiCloudMongoDB "orders" is invalid: '
        "spec.storage.storageSize: Invalid value: 10: is less than 1Mi; was the unit forgotten, as in 10Gi?\n"
    )
    assert applied(instance({"replicas": 3}, "")) == (
        'Error from server (BadRequest): error when creating "STDIN": MultiCloudMongoDB in version "v1alpha1" cannot be handled '
        'as a MultiCloudMongoDB: strict decoding error: unknown field "spec.replicas"\n'
    )


@pytest.mark.usefixtures("kinds")
async def test_kubectl_scale_to_nothing_is_refused(server: Server, client: KubeClient, namespace: str) -> None:
    before = await client.create(MULTI_CLOUD_MONGODBS, REJECTED[0].valid, namespace=namespace)
    answer = server.kubectl("-n", namespace, "scale", "multicloudmongodb/orders", "--replicas=0", check=False)
    assert "spec.replicaset in body should be greater than or equal to 1" in answer.stderr
    assert await client.get(MULTI_CLOUD_MONGODBS, "orders", namespace) == before


def file_of(rows: list[Rejected]) -> str:
    documents: list[KubeObject] = [row.manifest for row in rows]
    return yaml.safe_dump_all(documents)
