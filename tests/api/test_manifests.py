"""The manifests that come with FedState: schemas that read well, rights without wildcards, names that the code uses."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedstate.api import naming
from fedstate.api.federated import MultiCloudMongoDB
from fedstate.api.mongodb import MongoDB
from fedstate.api.naming import MONGODBS, MULTI_CLOUD_MONGODBS

MANIFESTS = Path(__file__).parents[2] / "manifests"
FILES = sorted(MANIFESTS.rglob("*.yaml"))


def documents(*parts: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(MANIFESTS.joinpath(*parts).read_text()) if document]


def schema(plural: str) -> dict[str, Any]:
    (definition,) = documents("crds", f"{plural}.yaml")
    properties: dict[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    return properties


def fields(properties: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, field in properties.items():
        yield f"{path}.{name}", field
        inner = field.get("items", field)
        yield from fields(inner.get("properties", {}), f"{path}.{name}")


@pytest.mark.parametrize("resource", [MULTI_CLOUD_MONGODBS, MONGODBS], ids=str)
def test_a_schema_describes_every_field_in_a_sentence_and_fits_an_annotation(resource: Any) -> None:
    (definition,) = documents("crds", f"{resource.plural}.yaml")
    names = definition["spec"]["names"]
    assert (definition["spec"]["group"], names["plural"], names["kind"]) == (resource.group, resource.plural, resource.kind)
    bare = [
        path
        for part in ("spec", "status")
        for path, field in fields(schema(resource.plural)[part]["properties"], part)
        if not field.get("description", "").endswith(".")
    ]
    assert bare == []
    assert MANIFESTS.joinpath("crds", f"{resource.plural}.yaml").stat().st_size < 256 * 1024


def test_defaults_of_the_schema_are_those_of_the_code() -> None:
    spec = schema("multicloudmongodbs")["spec"]["properties"]
    assert spec["scheduler"]["properties"]["schedulerName"]["default"] == naming.DEFAULT_SCHEDULER_NAME
    assert spec["imageSetting"]["properties"]["image"]["default"] == naming.DEFAULT_IMAGE
    assert schema("mongodbs")["spec"]["properties"]["image"]["default"] == naming.DEFAULT_IMAGE
    (definition,) = documents("crds", "mongodbs.yaml")
    rules = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"]
    assert any(f"<= {naming.LONGEST_INSTANCE_NAME}" in rule["rule"] for rule in rules)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(MANIFESTS)))
def test_nobody_gets_a_right_by_wildcard_or_into_pods(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        for rule in document.get("rules") or ():
            granted = [*rule.get("apiGroups", ()), *rule["resources"], *rule["verbs"]]
            assert "*" not in granted
            assert "pods/exec" not in granted
            assert not {"escalate", "bind", "impersonate", "deletecollection"} & set(granted)


@pytest.mark.parametrize("path", sorted(MANIFESTS.joinpath("deploy").glob("*.yaml")), ids=lambda path: path.stem)
def test_processes_run_without_rights_on_their_nodes(path: Path) -> None:
    (deployment,) = [one for one in yaml.safe_load_all(path.read_text()) if one["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        context = container["securityContext"]
        assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert not [variable["name"] for variable in container["env"] if "PASS" in variable["name"]]


def test_the_guard_reads_the_label_that_the_data_plane_sets() -> None:
    policy, binding = documents("member", "namespace-guard.yaml")
    assert naming.LABEL_HOLDS_INSTANCE in policy["spec"]["validations"][0]["expression"]
    assert binding["spec"]["policyName"] == policy["metadata"]["name"]


def test_karmada_is_told_nothing_of_replicas() -> None:
    (interpreter,) = documents("karmada", "interpreter.yaml")
    assert interpreter["spec"]["target"] == {"apiVersion": MONGODBS.api_version, "kind": MONGODBS.kind}
    assert set(interpreter["spec"]["customizations"]) == {"statusReflection", "healthInterpretation"}


def test_the_samples_are_read_without_complaint() -> None:
    (federated,) = documents("samples", "multicloudmongodb.yaml")
    assert MultiCloudMongoDB.from_object(federated).replicaset == 5
    (alone,) = documents("samples", "mongodb.yaml")
    assert MongoDB.from_object(alone).members == 3
