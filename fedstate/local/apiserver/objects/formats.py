"""The string formats a CRD may name, as kube-apiserver checks them. An unknown format accepts every string."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime
from urllib.parse import urlsplit

_DURATION = re.compile(r"^[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*$")
_WORDS = re.compile(r"^\d+\s*(ns|nano(s|second|seconds)?|us|µs|ms|s|sec|seconds?|m|min|minutes?|h|hr|hours?|d|days?|w|weeks?)$")
_UUID = re.compile(r"^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$")
_HOST_LABEL = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$")
_DATE_TIME = re.compile(r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$")


def matches(name: str, text: str) -> bool:
    """Whether `text` has the format called `name`."""
    check = _CHECKS.get(name)
    return check is None or check(text)


def _parses(parse: Callable[[str], object]) -> Callable[[str], bool]:
    def check(text: str) -> bool:
        try:
            parse(text)
        except (ValueError, binascii.Error):
            return False
        return True

    return check


def _date_time(text: str) -> object:
    if not _DATE_TIME.match(text):
        raise ValueError(text)
    return datetime.fromisoformat(text.upper())


def _is_host(text: str) -> bool:
    return 0 < len(text) <= 255 and all(_HOST_LABEL.match(label) for label in text.rstrip(".").split("."))


def _is_uri(text: str) -> bool:
    if not text or re.search(r"[\s\x00-\x1f\x7f]", text):
        return False
    parts = urlsplit(text)
    return bool(parts.scheme) or text.startswith("/")


def _byte(text: str) -> object:
    return base64.b64decode(text, validate=True)


_CHECKS: dict[str, Callable[[str], bool]] = {
    "date-time": _parses(_date_time),
    "datetime": _parses(_date_time),
    "date": lambda text: len(text) == 10 and _parses(date.fromisoformat)(text),
    "duration": lambda text: text == "0" or bool(_DURATION.match(text) or _WORDS.match(text)),
    "byte": _parses(_byte),
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "ip": _parses(ipaddress.ip_address),
    "cidr": lambda text: "/" in text and _parses(lambda t: ipaddress.ip_network(t, strict=False))(text),
    "mac": lambda text: bool(re.match(r"^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$", text)),
    "uuid": lambda text: bool(_UUID.match(text)),
    "uuid3": lambda text: bool(_UUID.match(text)),
    "uuid4": lambda text: bool(_UUID.match(text)),
    "uuid5": lambda text: bool(_UUID.match(text)),
    "hostname": _is_host,
    "email": lambda text: bool(re.match(r"^[^@\s]+@[^@\s]+$", text)),
    "uri": _is_uri,
    "hexcolor": lambda text: bool(re.match(r"^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$", text)),
}
