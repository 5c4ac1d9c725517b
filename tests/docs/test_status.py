"""docs/reference/status.md against the schemas, the lists of conditions and reasons, and the modules that write statuses."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedstate.api.conditions import ConditionType, InstanceState, MemberState, Reason
from fedstate.api.fields import INVALID_SPEC
from fedstate.dataplane.status import ALARMS, FOR_HUMANS
from fedstate.fed.verdicts import OWNED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "status.md").read_text()

KINDS = {
    "MultiCloudMongoDB": ("multicloudmongodbs", ("fed/status.py", "scheduler/report.py", "scheduler/reconciler.py")),
    "MongoDB": ("mongodbs", ("dataplane/status.py", "dataplane/reporting.py")),
}


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> list[list[str]]:
    lines = [line for line in section(title).splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines]


def first_cells(title: str) -> list[str]:
    return [row[0].strip(" `") for row in rows(title)]


def schema_paths(schema: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, child in (schema.get("properties") or {}).items():
        yield prefix + name
        yield from schema_paths(child, f"{prefix}{name}.")
        yield from schema_paths(child.get("items") or {}, f"{prefix}{name}[].")


def status_schema(plural: str) -> Mapping[str, Any]:
    definition = yaml.safe_load((ROOT / "manifests" / "crds" / f"{plural}.yaml").read_text())
    schema: Mapping[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    return schema


def texts_in(*files: str) -> set[str]:
    """Every string constant of the modules."""
    trees = [ast.parse((ROOT / "fedstate" / file).read_text()) for file in (*files, "api/conditions.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_the_schema_is_on_the_page_and_no_other(kind: str) -> None:
    assert first_cells(f"Fields of {kind}") == list(schema_paths(status_schema(KINDS[kind][0])))


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_of_the_schema_is_written_by_somebody(kind: str) -> None:
    texts = texts_in(*KINDS[kind][1])
    assert not [path for path in schema_paths(status_schema(KINDS[kind][0])) if path.rpartition(".")[2] not in texts]


def test_every_condition_type_is_described() -> None:
    instance, member = first_cells("Conditions of MultiCloudMongoDB"), rows("Conditions of MongoDB")
    assert set(instance) == {*map(str, OWNED), ConditionType.SCHEDULED}
    described = {*instance, *(row[0].strip(" `") for row in member if len(row) > 2)}
    assert described == set(map(str, ConditionType))


def test_every_reason_is_described() -> None:
    assert first_cells("All reasons") == [str(reason) for reason in Reason]


def test_every_reason_is_given_by_somebody() -> None:
    sources = [
        path.read_text() for package in ("scheduler", "fed", "dataplane") for path in (ROOT / "fedstate" / package).glob("*.py")
    ]
    given = {reason for reason in Reason for text in sources if f"Reason.{reason.name}" in text or f'"{reason}"' in text}
    given |= {Reason(reason) for reason in (INVALID_SPEC, "PlacementInvalid")}
    assert given == set(Reason)


def test_every_reason_of_a_data_plane_that_stalls_is_described() -> None:
    given = set()
    for path in (ROOT / "fedstate" / "dataplane").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Problem", "Stance"):
                values = [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
                given |= {value.value for value in values if isinstance(value, ast.Constant)}
    table = section("Conditions of MongoDB").partition("Reasons of `Stalled`")[2]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == given | (FOR_HUMANS - set(ALARMS))
    assert given | FOR_HUMANS <= set(map(str, Reason)), "every reason of a condition is in the closed list"


def test_every_state_is_described() -> None:
    states = {*map(str, InstanceState), *map(str, MemberState)}
    assert set(first_cells("State")) == {"MultiCloudMongoDB", "MongoDB"} | states
