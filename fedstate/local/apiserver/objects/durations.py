"""How long something took, as kubectl prints it. Knows no clock."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fedstate.kube.objects import parse_time

_DAY, _YEAR = 24, 24 * 365


def human_duration(seconds: float) -> str:
    """As kubectl prints ages: `45s`, `3m12s`, `95m`, `5h3m`, `26h`, `3d4h`, `12d`, `2y30d`."""
    whole = int(seconds)
    if seconds < -1:
        return "<invalid>"
    if whole < 120:
        return f"{max(whole, 0)}s"
    minutes = whole // 60
    if minutes < 10:
        return _pair(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    hours = whole // 3600
    if hours < 8:
        return _pair(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if hours < 192:
        return _pair(hours // _DAY, "d", hours % _DAY, "h")
    if hours < 2 * _YEAR:
        return f"{hours // _DAY}d"
    if hours < 8 * _YEAR:
        return _pair(hours // _YEAR, "y", (hours // _DAY) % 365, "d")
    return f"{hours // _YEAR}y"


def _pair(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def age(timestamp: Any, now: datetime) -> str:
    """The time from an API timestamp to `now`; `<unknown>` without one."""
    if not timestamp:
        return "<unknown>"
    try:
        return human_duration((now - parse_time(str(timestamp))).total_seconds())
    except ValueError:
        return "<invalid>"
