"""Pure reads of API objects as the server sends them: identity, metadata, owners, quantities, times.

An object is a plain dict, shared with the caches and read-only outside this package.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

KubeObject: TypeAlias = dict[str, Any]


class Key(NamedTuple):
    """Identity of an object within its resource; `namespace` is empty for cluster-scoped ones."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def _metadata(obj: KubeObject) -> Mapping[str, Any]:
    return obj.get("metadata") or {}


def name_of(obj: KubeObject) -> str:
    return str(_metadata(obj).get("name") or "")


def namespace_of(obj: KubeObject) -> str:
    return str(_metadata(obj).get("namespace") or "")


def key_of(obj: KubeObject) -> Key:
    metadata = _metadata(obj)
    return Key(metadata.get("namespace") or "", metadata.get("name") or "")


def uid_of(obj: KubeObject) -> str:
    return str(_metadata(obj).get("uid") or "")


def labels_of(obj: KubeObject) -> Mapping[str, str]:
    return _metadata(obj).get("labels") or {}


def annotations_of(obj: KubeObject) -> Mapping[str, str]:
    return _metadata(obj).get("annotations") or {}


def resource_version_of(obj: KubeObject) -> str:
    return str(_metadata(obj).get("resourceVersion") or "")


def generation_of(obj: KubeObject) -> int:
    """0 for a kind without generations."""
    return int(_metadata(obj).get("generation") or 0)


def deletion_timestamp_of(obj: KubeObject) -> str | None:
    return _metadata(obj).get("deletionTimestamp") or None


def finalizers_of(obj: KubeObject) -> list[str]:
    return list(_metadata(obj).get("finalizers") or ())


def owner_references_of(obj: KubeObject) -> list[dict[str, Any]]:
    return list(_metadata(obj).get("ownerReferences") or ())


def controller_of(obj: KubeObject) -> dict[str, Any] | None:
    """The owner reference of the one owner that manages this object, if there is one."""
    for reference in _metadata(obj).get("ownerReferences") or ():
        if reference.get("controller"):
            return dict(reference)
    return None


def owner_reference(owner: KubeObject, *, controller: bool = True, block_deletion: bool = True) -> dict[str, Any]:
    """A reference to `owner`, which must be an object as the server returned it (it needs a uid)."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": controller,
        "blockOwnerDeletion": block_deletion,
    }


_QUANTITY = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))(|[numkMGTPE]|[KMGTPE]i|[eE][+-]?\d+)$")
_SUFFIXES = {
    "": Decimal(1),
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}


def parse_quantity(quantity: str | int | float) -> Decimal:
    """The number that a Kubernetes quantity such as `500m`, `2Gi`, `1e3` or `4` means; ValueError if it means none."""
    return _number(str(quantity))


def cpu_millis(quantity: str | int | float) -> int:
    """Thousandths of a core, rounded up as Kubernetes does."""
    return _whole(str(quantity), 1000)


def quantity_bytes(quantity: str | int | float) -> int:
    """Bytes (or any other whole number), rounded up."""
    return _whole(str(quantity), 1)


# The same few texts are read over and over.
@lru_cache(maxsize=4096)
def _number(text: str) -> Decimal:
    match = _QUANTITY.match(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity; write a number with an optional suffix, such as 500m, 2 or 4Gi")
    number, suffix = match.groups()
    factor = _SUFFIXES.get(suffix)
    try:
        return Decimal(number) * factor if factor is not None else Decimal(number + suffix)
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a quantity") from error


@lru_cache(maxsize=4096)
def _whole(text: str, times: int) -> int:
    return int((_number(text) * times).to_integral_value(ROUND_CEILING))


def parse_time(text: str) -> datetime:
    """An API timestamp (Time or MicroTime) as an aware UTC datetime; ValueError if it is none."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.astimezone(UTC)


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as `metadata.creationTimestamp` is written."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(moment: datetime) -> str:
    """RFC 3339 in UTC with six digits, as Leases and Events want it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
