"""Quantities in the one spelling that the API server stores: `0.5` is `500m`, `1024Mi` is `1Gi`. Reads only numbers."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Any

from fedstate.kube.objects import parse_quantity
from fedstate.local.apiserver.objects.nodes import Node

_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
BAD_QUANTITY = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def canonical(quantity: str | int | float) -> str:
    """The canonical spelling; ValueError if it is not a quantity."""
    number = parse_quantity(quantity)
    text = str(quantity)
    if number == 0:
        return "0"
    if text.endswith("i"):
        if abs(number) >= 1024 and number == number.to_integral_value():
            return _binary(int(number))
        return _decimal(number)
    exponent = text.rstrip("0123456789").rstrip("+-")[-1:] in ("e", "E") and text[-1].isdigit()
    return _scientific(number) if exponent else _decimal(number)


def _binary(number: int) -> str:
    power = 0
    while number % 1024 == 0 and power < len(_BINARY) - 1:
        number, power = number // 1024, power + 1
    return f"{number}{_BINARY[power]}"


def _decimal(number: Decimal) -> str:
    nanos = int((number * 10**9).to_integral_value(ROUND_CEILING))
    power = 0
    while nanos % 1000 == 0 and power < len(_DECIMAL) - 1:
        nanos, power = nanos // 1000, power + 1
    return f"{nanos}{_DECIMAL[power]}"


def _scientific(number: Decimal) -> str:
    nanos = int((number * 10**9).to_integral_value(ROUND_CEILING))
    power = -9
    while nanos % 1000 == 0 and power < 18:
        nanos, power = nanos // 1000, power + 3
    return f"{nanos}e{power}" if power else str(nanos)


def canonicalised(value: Any, node: Node) -> Any:
    """`value` with every quantity that the schema knows of in its canonical spelling; a bad one is left for validation."""
    if node.format == "quantity":
        try:
            return canonical(value) if isinstance(value, (str, int, float)) else value
        except ValueError:
            return value
    if isinstance(value, dict):
        changes: dict[str, Any] = {}
        for name, member in value.items():
            child = node.child(name)
            changed = member if child is None or isinstance(member, (bool, type(None))) else canonicalised(member, child)
            if changed is not member:
                changes[name] = changed
        return {**value, **changes} if changes else value
    if isinstance(value, list) and node.items is not None:
        items = [canonicalised(item, node.items) for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value
