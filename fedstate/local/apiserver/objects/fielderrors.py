"""What is wrong with one field of an object, in the words of kube-apiserver. Knows no schema."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldError:
    """One cause of a 422: `message` is what stands after the field, such as `Required value`."""

    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"

    def cause(self) -> dict[str, str]:
        """The entry of `Status.details.causes`."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


def required(field: str, detail: str = "") -> FieldError:
    return FieldError(field, "FieldValueRequired", _with("Required value", detail))


def invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError(field, "FieldValueInvalid", _with(f"Invalid value: {shown(value)}", detail))


def type_invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError(field, "FieldValueTypeInvalid", _with(f"Invalid value: {shown(value)}", detail))


def not_supported(field: str, value: Any, supported: Iterable[Any]) -> FieldError:
    values = ", ".join(json.dumps(str(v) if isinstance(v, str) else _compact(v), ensure_ascii=False) for v in supported)
    detail = f"supported values: {values}" if values else ""
    return FieldError(field, "FieldValueNotSupported", _with(f"Unsupported value: {shown(value)}", detail))


def forbidden(field: str, detail: str) -> FieldError:
    return FieldError(field, "FieldValueForbidden", _with("Forbidden", detail))


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError(field, "FieldValueDuplicate", f"Duplicate value: {shown(value)}")


def not_found(field: str, value: Any) -> FieldError:
    return FieldError(field, "FieldValueNotFound", f"Not found: {shown(value)}")


def too_long(field: str, limit: int) -> FieldError:
    return FieldError(field, "FieldValueTooLong", f"Too long: may not be more than {limit} bytes")


def too_many(field: str, actual: int, limit: int) -> FieldError:
    items = "item" if limit == 1 else "items"
    return FieldError(field, "FieldValueTooMany", f"Too many: {actual}: must have at most {limit} {items}")


def invalid_message(kind: str, group: str, name: str, errors: Sequence[FieldError]) -> str:
    """The message of the 422 Status, such as `MongoDB.middleware.fedstate.io "x" is invalid: spec.y: Required value`."""
    texts = list(dict.fromkeys(map(str, errors)))
    said = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return f"{kind}{'.' + group if group else ''} {json.dumps(name)} is invalid: {said}"


def shown(value: Any) -> str:
    """A value as Go prints it in a field error: quoted strings, bare numbers, JSON of the rest."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return _compact(value)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _with(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text
