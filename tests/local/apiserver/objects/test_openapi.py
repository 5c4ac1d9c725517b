"""OpenAPI documents: complete in themselves, and with what kubectl looks for in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fedstate.local.apiserver.objects import openapi
from fedstate.local.apiserver.objects.builtin_schemas import builtin_kinds

CRD = {
    "spec": {
        "group": "t.example.io",
        "names": {"plural": "things", "kind": "Thing"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {"type": "object", "description": "A thing.", "properties": {"spec": {"type": "object"}}}
                },
            },
            {"name": "v0", "served": False, "storage": False},
        ],
    }
}
VERSIONS = sorted({kind.resource.api_version for kind in builtin_kinds()} | {"t.example.io/v1"})


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for member in value.values():
            yield from references(member)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_document_holds_everything_it_refers_to(version: str) -> None:
    document = openapi.document(version, [CRD])
    names = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert names
    assert set(references(document)) <= names


def test_kubectl_finds_the_kind_and_the_validation_parameter_in_the_paths() -> None:
    paths = openapi.document("t.example.io/v1", [CRD])["paths"]
    patch = paths["/apis/t.example.io/v1/namespaces/{namespace}/things/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "t.example.io", "kind": "Thing", "version": "v1"}
    assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]
    assert "/apis/t.example.io/v1/namespaces/{namespace}/things/{name}/status" in paths


def test_a_custom_kind_is_described_by_its_own_schema_and_the_metadata_of_all() -> None:
    schemas = openapi.document("t.example.io/v1", [CRD])["components"]["schemas"]
    thing = schemas["io.example.t.v1.Thing"]
    assert thing["description"] == "A thing."
    assert thing["x-kubernetes-group-version-kind"] == [{"group": "t.example.io", "kind": "Thing", "version": "v1"}]
    assert list(references(thing)) == ["#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]
    assert openapi.document("t.example.io/v0", [CRD])["components"]["schemas"] == {}


def test_the_index_names_documents_by_hash() -> None:
    assert openapi.index(["api/v1"], {"api/v1": "AB"}) == {
        "paths": {"api/v1": {"serverRelativeURL": "/openapi/v3/api/v1?hash=AB"}}
    }


def test_the_old_document_has_every_kind_and_no_new_words() -> None:
    swagger = openapi.swagger([CRD])
    assert {"io.k8s.api.core.v1.Pod", "io.example.t.v1.Thing"} <= swagger["definitions"].keys()
    assert all(reference.startswith("#/definitions/") for reference in references(swagger))
