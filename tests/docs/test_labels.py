"""docs/reference/labels.md against the names in the code: none missing, none that nobody uses."""

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fedstate.api import naming
from fedstate.dataplane import naming as dataplane_naming
from fedstate.fed.cleanup import cleanup_name
from fedstate.fed.members import pull_secret_name

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "labels.md").read_text()
QUOTED = frozenset(re.findall(r"`([^`]+)`", PAGE))

CONSTANT = re.compile(r"(LABEL|ANNOTATION|FINALIZER|FIELD_MANAGER|KARMADA_MANAGED|AUTH|HOSTCONF)_[A-Z_]+")
PACKAGES = ("api", "scheduler", "fed", "dataplane")


def names_in_code() -> dict[str, str]:
    """Value and where it stands, of every name that is a constant of a component."""
    found = {}
    for path in sorted(path for package in PACKAGES for path in (ROOT / "fedstate" / package).glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(value))) if CONSTANT.fullmatch(name):
                    found[value] = f"{path.name}: {name}"
    return found


def object_names() -> dict[str, str]:
    """What the naming functions give, with the placeholders of the page."""
    arguments = {"instance": "NAME", "ordinal": "N"}
    functions: dict[str, Callable[..., str]] = {
        f"{module.__name__}.{name}": function
        for module in (naming, dataplane_naming)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and set(inspect.signature(function).parameters) <= set(arguments)
    }
    functions |= {"cleanup_name": cleanup_name, "pull_secret_name": pull_secret_name}
    return {
        name: function(**{key: arguments[key] for key in inspect.signature(function).parameters})
        for name, function in functions.items()
    }


def test_every_name_of_the_code_is_on_the_page() -> None:
    names = names_in_code()
    assert len(names) > 20
    assert not {name: where for name, where in names.items() if name not in QUOTED}


@pytest.mark.parametrize(("function", "name"), sorted(object_names().items()))
def test_every_object_name_is_on_the_page(function: str, name: str) -> None:
    assert name in QUOTED, function


def test_volume_claims_are_named_as_the_page_says() -> None:
    digest = dataplane_naming.claim_template_name("some uid").removeprefix("data-")
    assert dataplane_naming.claim_name("NAME", 7, "some uid").replace(digest, "HASH").replace("-7-", "-N-") in QUOTED


def test_the_page_has_no_name_that_the_code_lacks() -> None:
    known = set(names_in_code()) | {"prometheus.io/scrape", "prometheus.io/port"}
    assert not {name for name in QUOTED if re.fullmatch(r"[a-zA-Z.]+\.io/[a-z-]+", name)} - known


def test_the_page_tells_the_longest_name_of_an_instance() -> None:
    assert f"at most {naming.LONGEST_INSTANCE_NAME} characters" in PAGE
