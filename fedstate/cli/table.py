"""Aligned columns, as kubectl prints them."""

from __future__ import annotations

from collections.abc import Sequence

GAP = "   "


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Header and rows, every column as wide as its widest cell; no trailing spaces."""
    lines = [header, *rows]
    widths = [max(len(str(line[column])) for line in lines) for column in range(len(header))]
    return "\n".join(
        GAP.join(str(cell).ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
