"""CEL expressions, compiled once and evaluated over plain values. The only module that speaks to the engine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_bindings, ext_encoders, ext_math, ext_optional, ext_strings

from fedstate.local.apiserver.objects.cel_library import functions

_STATUS = re.compile(r"^[A-Z_]+: (.*?)(?: \[[A-Z_]+\])?$", re.DOTALL)
_NO_KEY = re.compile(r'^Key not found in map : "?(.*?)"?$')


class CompileError(ValueError):
    """The expression is not CEL, or of the wrong type. str() is what the API server says."""


class EvaluationError(ValueError):
    """The expression has no value for these variables."""


def _plain_message(error: object) -> str:
    text = str(error)
    match = _STATUS.match(text)
    text = match.group(1) if match else text
    missing = _NO_KEY.match(text)
    if missing:
        return f"no such key: {missing.group(1)}"
    return "no such overload" if text.startswith("No matching overloads found") else text


class Program:
    """One compiled expression."""

    __slots__ = ("_expression", "source")

    def __init__(self, source: str, variables: Mapping[str, str], *, returns: str = "", wanted: str = "", text: str = "") -> None:
        """`variables` are names with CEL type signatures; `returns` is the type name the value must have, `wanted` the complaint.

        `text` is what is compiled when it is not `source` itself. Raises CompileError.
        """
        self.source = source
        environment = _environment(tuple(sorted(variables.items())))
        try:
            self._expression = environment.compile(text or source)
        except RuntimeError as error:
            raise CompileError("compilation failed: " + _plain_message(error)) from error
        found = self._expression.return_type().name()
        if returns and found not in (returns, "DYN"):
            raise CompileError(wanted)

    def value(self, variables: Mapping[str, Any]) -> Any:
        """The value as plain Python; EvaluationError if there is none."""
        try:
            result = self._expression.eval(data=variables)
        except RuntimeError as error:
            raise EvaluationError(_plain_message(error)) from error
        if result.type().name() in ("ERROR", "UNKNOWN"):
            raise EvaluationError(_plain_message(result.value()))
        return result.plain_value()


@lru_cache(maxsize=64)
def _environment(variables: tuple[tuple[str, str], ...]) -> Any:
    return cel.NewEnv(
        variables={name: _type(signature) for name, signature in variables},
        extensions=[
            ext_strings.ExtStrings(),
            ext_optional.ExtOptional(),
            ext_bindings.ExtBindings(),
            ext_math.ExtMath(),
            ext_encoders.ExtEncoders(),
            cel.CelExtension("kubernetes", functions()),
        ],
    )


def _type(signature: str) -> Any:
    """`string`, `int`, `double`, `bool`, `timestamp`, `duration`, `bytes`, `dyn`, `list(X)` or `map(X)` with string keys."""
    if signature.startswith("list("):
        return cel.Type.List(_type(signature[5:-1]))
    if signature.startswith("map("):
        return cel.Type.Map(cel.Type.STRING, _type(signature[4:-1]))
    return getattr(cel.Type, signature.upper())
