"""What a rule says of fields of `self`, held against the schema: do they exist, and are they used as what they are?

The engine sees objects as maps of anything; this is how a mistaken rule is refused when the CRD is created.
"""

from __future__ import annotations

import re

from fedstate.local.apiserver.objects.cel_programs import CompileError, Program
from fedstate.local.apiserver.objects.cel_values import escaped, signature_of
from fedstate.local.apiserver.objects.nodes import Node

_STRINGS = re.compile(r"r?'''.*?'''|r?\"\"\".*?\"\"\"|r?'(?:\\.|[^'\\])*'|r?\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_SELECTION = re.compile(r"(?<![\w.])(self|oldSelf)((?:\.[A-Za-z_]\w*)+)(\s*\()?")
_OLD_SELF = re.compile(r"\boldSelf\b")
_HAS = re.compile(r"\bhas\(\s*[\w.\[\]]+\s*\)")
_POSITION = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*?)\n \| ", re.DOTALL)


def refers_to_old(source: str) -> bool:
    return bool(_OLD_SELF.search(_without_strings(source)))


def _without_strings(source: str) -> str:
    return _STRINGS.sub(lambda match: " " * len(match.group()), source)


def check_fields(source: str, node: Node) -> None:
    """Raise CompileError for a field of `self` that the schema does not have; the engine itself knows no schemas."""
    for match in _SELECTION.finditer(_without_strings(source)):
        names = match.group(2)[1:].split(".")
        if match.group(3):
            names.pop()
        here: Node | None = node
        position = match.end(1)
        for name in names:
            if here is None or here.preserve_unknown or here.type != "object" or here.additional is not None:
                break
            below = next((child for field, child in here.properties.items() if escaped(field) == name), None)
            if below is None and not here.embedded:
                raise CompileError(_located(source, position, f"undefined field '{name}'"))
            here, position = below, position + len(name) + 1


def _located(source: str, position: int, text: str) -> str:
    """An error as the engine words it, pointing at a column."""
    before = source[:position]
    line, column = before.count("\n") + 1, position - (before.rfind("\n") + 1)
    shown_line = source.split("\n")[line - 1]
    return f"compilation failed: ERROR: <input>:{line}:{column + 1}: {text}\n | {shown_line}\n | {'.' * column}^"


def check_types(source: str, node: Node, returns: str, wanted: str) -> None:
    """Raise CompileError where fields with a type are used as another: they are declared as variables with dots in their names."""
    variables = {"self": signature_of(node), "oldSelf": signature_of(node)}
    plain = _without_strings(source)
    for match in _SELECTION.finditer(plain):
        names = match.group(2)[1:].split(".")
        variables |= _typed_prefix(match.group(1), names[:-1] if match.group(3) else names, node)
    # has() wants the selection itself, which a variable of that name would hide.
    text = source
    for match in _HAS.finditer(plain):
        text = text[: match.start()] + "true".ljust(match.end() - match.start()) + text[match.end() :]
    try:
        Program(source, variables, returns=returns, wanted=wanted, text=text)
    except CompileError as error:
        found = _POSITION.search(str(error))
        if found is None:
            raise
        line, column = int(found.group(1)), int(found.group(2))
        before = sum(len(one) + 1 for one in source.split("\n")[: line - 1])
        raise CompileError(_located(source, before + column - 1, found.group(3))) from error


def _typed_prefix(root: str, names: list[str], node: Node) -> dict[str, str]:
    here: Node | None = node
    name = root
    for step in names:
        if here is None or not here.properties:
            return {}
        here = next((child for field, child in here.properties.items() if escaped(field) == step), None)
        name = f"{name}.{step}"
        if here is not None and not here.nullable and signature_of(here) != "dyn":
            return {name: signature_of(here)}
    return {}


def is_field_path(path: str, node: Node) -> bool:
    here: Node | None = node
    steps = re.findall(r"\.([A-Za-z_][\w-]*)|\['([^']+)'\]", path)
    if not steps or not path.startswith((".", "[")):
        return False
    for plain, quoted in steps:
        here = here.child(plain or quoted) if here is not None else None
        if here is None:
            return False
    return True
