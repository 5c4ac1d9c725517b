"""A user's mongod configuration in a ConfigMap: which entry it is, and what keeps it from being one. Knows no option of mongod."""

from collections.abc import Mapping
from typing import Any

import yaml

FILE_NAME = "mongod.conf"


def custom_text(data: Mapping[str, str]) -> str | None:
    """The configuration file in a user's ConfigMap: under its usual name, or the only entry there is."""
    for name in (FILE_NAME, "mongo.conf"):
        if name in data:
            return data[name]
    return next(iter(data.values())) if len(data) == 1 else None


def read_config(text: str) -> tuple[dict[str, Any], str]:
    """The settings, empty if there are none or they cannot be read; and why not, to be put behind the name of the file."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return {}, f"is not YAML ({_place_of(error)})"
    if document is None:
        return {}, ""
    if not isinstance(document, dict):
        return {}, "is not a map of settings"
    return document, ""


def config_problem(data: Mapping[str, str]) -> str:
    """What is wrong with a ConfigMap that is to hold a configuration, to be put behind its name; empty if nothing is."""
    text = custom_text(data)
    if text is None:
        return f"has no key {FILE_NAME}; put the configuration there"
    problem = read_config(text)[1]
    return f"holds a {FILE_NAME} that {problem}; correct it" if problem else ""


def _place_of(error: yaml.YAMLError) -> str:
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    return where + str(problem or "it cannot be read").split("\n", maxsplit=1)[0]
