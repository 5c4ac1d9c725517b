"""Versions of MongoDB as statuses show them. Pure."""

from collections.abc import Iterable


def shown_versions(texts: Iterable[str]) -> str:
    """Every version that is named in `texts`, once and the lowest first: "6.0.5", or "6.0.5, 6.0.14" while members differ."""
    found = {part.strip() for text in texts for part in text.split(",")} - {""}
    return ", ".join(sorted(found, key=_order))


def _order(version: str) -> tuple[tuple[int, ...], str]:
    numbers = version.partition("-")[0].split(".")
    return tuple(int(number) for number in numbers if number.isdigit()), version
