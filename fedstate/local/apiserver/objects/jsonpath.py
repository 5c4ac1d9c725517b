"""The part of JSONPath that printer columns and selectable fields may use: members, indexes, wildcards and filters."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

Step = Callable[[Any], Iterator[Any]]

_TOKEN = re.compile(
    r"""\.\.(?P<deep>[A-Za-z0-9_$@-]+)
    |\.(?P<name>(?:\\.|[^.\[\]\\])+)
    |\[(?P<quoted>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")\]
    |\[(?P<index>-?\d+)\]
    |(?P<all>\[\*\])
    |\[\?\(\s*@(?P<left>[^=!<>]*?)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<right>'[^']*'|"[^"]*"|[^'")\s]+)\s*)?\)\]""",
    re.VERBOSE,
)


def first(path: str, obj: Any) -> Any:
    """The first value at `path` in `obj`, or None. ValueError if it is not a path of the subset."""
    return next(iter(found(path, obj)), None)


def found(path: str, obj: Any) -> list[Any]:
    """Every value at `path` in `obj`, in document order."""
    values = [obj]
    for step in _steps(path):
        values = [result for value in values for result in step(value)]
    return values


@lru_cache(maxsize=512)
def _steps(path: str) -> tuple[Step, ...]:
    steps: list[Step] = []
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"{path!r} is not a JSON path of the supported kind, at {text[position:]!r}")
        steps.append(_step(match))
        position = match.end()
    return tuple(steps)


def _step(match: re.Match[str]) -> Step:
    if match["name"] is not None:
        name = re.sub(r"\\(.)", r"\1", match["name"])
        return _everything if name == "*" else _member(name)
    if match["quoted"] is not None:
        return _member(re.sub(r"\\(.)", r"\1", match["quoted"][1:-1]))
    if match["index"] is not None:
        return _item(int(match["index"]))
    if match["all"] is not None:
        return _everything
    if match["deep"] is not None:
        return _deep(match["deep"])
    return _filter(match["left"], match["op"], match["right"])


def _member(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and value.get(name) is not None:
            yield value[name]

    return step


def _item(index: int) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]

    return step


def _everything(value: Any) -> Iterator[Any]:
    yield from value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _deep(name: str) -> Step:
    def step(value: Any) -> Iterator[Any]:
        if isinstance(value, dict) and name in value:
            yield value[name]
        for child in _everything(value):
            yield from step(child)

    return step


def _filter(left: str, operator: str | None, right: str | None) -> Step:
    steps = _steps(left)
    wanted = _literal(right) if right is not None else None

    def step(value: Any) -> Iterator[Any]:
        for item in _everything(value):
            results = [item]
            for one in steps:
                results = [result for current in results for result in one(current)]
            if results and (operator is None or _holds(results[0], operator, wanted)):
                yield item

    return step


def _literal(text: str) -> Any:
    if text[0] in "'\"":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        return float(text)


def _holds(left: Any, operator: str, right: Any) -> bool:
    if operator == "==":
        return bool(left == right)
    if operator == "!=":
        return bool(left != right)
    try:
        return bool({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator])
    except TypeError:
        return False
