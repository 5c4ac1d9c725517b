"""Typed reads of the fields of an object, each failure naming the field's path, what is there and what belongs there.

Null counts as absent, as the API server treats it for fields without a default. Knows no kind.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fedstate.errors import TerminalError
from fedstate.kube.objects import parse_quantity

INVALID_SPEC = "InvalidSpec"
_LEAST_BYTES = 2**20
_OBJECT_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretKeyRef:
    """A key of a Secret in the object's own namespace."""

    name: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePullSecret:
    """Either the `name` of a Secret, or a `user` and a `password` to make one of."""

    name: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """A member's volume; no storage class means the cluster's default one."""

    storage_class: str | None
    size: str
    reclaim_policy: str

    @property
    def retained(self) -> bool:
        return self.reclaim_policy == "Retain"


def invalid(path: str, problem: str) -> TerminalError:
    return TerminalError(INVALID_SPEC, f"{path} {problem}")


@dataclass(frozen=True, slots=True)
class Fields:
    """An object of the API at `path`, read field by field."""

    value: Mapping[str, Any]
    path: str

    def _get(self, name: str) -> Any:
        return self.value.get(name)

    def at(self, name: str) -> str:
        return f"{self.path}.{name}"

    def section(self, name: str) -> "Fields":
        """The object under `name`, empty if it is absent."""
        value = self._get(name)
        if value is None:
            return Fields({}, self.at(name))
        if not isinstance(value, Mapping):
            raise invalid(self.at(name), f"must be an object, not {value!r}")
        return Fields(value, self.at(name))

    def has(self, name: str) -> bool:
        return self._get(name) is not None

    def text(self, name: str, default: str = "") -> str:
        return self.optional_text(name) or default

    def optional_text(self, name: str) -> str | None:
        """None for an absent and for an empty text."""
        value = self._get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise invalid(self.at(name), f"must be a text, not {value!r}; put it in quotes")
        return value

    def secret_text(self, name: str) -> str | None:
        """An optional text that no message may quote."""
        value = self._get(name)
        if value is not None and not isinstance(value, str):
            raise invalid(self.at(name), "must be a text; put it in quotes")
        return value or None

    def reference(self, name: str) -> str | None:
        """The name of another object."""
        value = self.optional_text(name)
        if value is not None and not _OBJECT_NAME.match(value):
            raise invalid(self.at(name), f"must be the name of an object, not {value!r}")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self._get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise invalid(self.at(name), f"must be true or false, not {value!r}")
        return value

    def integer(self, name: str, *, default: int | None = None, minimum: int = 0, maximum: int | None = None) -> int:
        """A whole number in the range; one without a default is required."""
        value = self._get(name)
        if value is None:
            if default is None:
                raise invalid(self.at(name), "is required")
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid(self.at(name), f"must be a whole number, not {value!r}")
        if value < minimum or (maximum is not None and value > maximum):
            limit = f"at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
            raise invalid(self.at(name), f"must be {limit}, not {value}")
        return value

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str:
        value = self.optional_text(name) or default
        if value not in allowed:
            raise invalid(self.at(name), f"must be one of {', '.join(allowed)}, not {value!r}")
        return value

    def quantity(self, name: str, *, required: bool = True) -> str:
        """A quantity greater than zero, as it was written."""
        value = self._get(name)
        if value is None or value == "":
            if required:
                raise invalid(self.at(name), "is required, for example 10Gi")
            return ""
        text = _quantity(self.at(name), value, positive=True)
        return _with_unit(self.at(name), text, "10Gi")

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise invalid(self.at(name), "must be a list of texts")
        return tuple(value)

    def text_map(self, name: str) -> dict[str, str]:
        value = self.section(name).value
        for key, item in value.items():
            if not isinstance(item, str):
                raise invalid(f"{self.at(name)}.{key}", f"must be a text, not {item!r}; put it in quotes")
        return dict(value)

    def objects(self, name: str) -> "tuple[Fields, ...]":
        value = self._get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
            raise invalid(self.at(name), "must be a list of objects")
        return tuple(Fields(item, f"{self.at(name)}[{index}]") for index, item in enumerate(value))


def _quantity(path: str, value: Any, *, positive: bool) -> str:
    try:
        number = parse_quantity(value)
    except (ValueError, TypeError) as error:
        raise invalid(path, f"must be a quantity such as 500m, 2 or 10Gi, not {value!r}") from error
    if number < 0 or (positive and number == 0):
        raise invalid(path, f"must be {'more than' if positive else 'at least'} 0, not {value!r}")
    return str(value)


def _with_unit(path: str, value: str, example: str) -> str:
    """`value`, unless it is a number of bytes that nobody means."""
    if 0 < parse_quantity(value) < _LEAST_BYTES:
        raise invalid(path, f"is {value}, less than 1Mi; was the unit forgotten, as in {example}?")
    return value


def read_resources(fields: Fields, name: str) -> dict[str, dict[str, str]]:
    """`limits` and `requests` under `name`, each quantity checked, no request above its limit."""
    section = fields.section(name)
    result: dict[str, dict[str, str]] = {}
    for kind in ("limits", "requests"):
        part = section.section(kind)
        if part.value:
            result[kind] = {key: _quantity(part.at(key), value, positive=False) for key, value in part.value.items()}
            _with_unit(part.at("memory"), result[kind].get("memory", "0"), "512Mi")
    limits = result.get("limits", {})
    for key, value in result.get("requests", {}).items():
        if key in limits and parse_quantity(value) > parse_quantity(limits[key]):
            raise invalid(
                f"{section.path}.requests.{key}", f"is {value}, more than its limit {limits[key]}; lower it or raise the limit"
            )
    return result


def read_storage(fields: Fields, class_name: str, size_name: str, default_size: str) -> Storage:
    return Storage(
        storage_class=fields.reference(class_name),
        size=fields.quantity(size_name, required=False) or default_size,
        reclaim_policy=fields.choice("reclaimPolicy", ("Retain", "Delete"), "Retain"),
    )


def read_image_pull_secret(fields: Fields, name: str, user_name: str, password_name: str) -> ImagePullSecret:
    """Both accepted forms: a Secret's name, or an object with a user and a password."""
    value = fields.value.get(name)
    if value is None or isinstance(value, str):
        return ImagePullSecret(name=fields.reference(name))
    if not isinstance(value, Mapping):
        raise invalid(
            fields.at(name), f"must be the name of a Secret, or an object with {user_name} and {password_name}, not {value!r}"
        )
    section = fields.section(name)
    user, password = section.optional_text(user_name), section.secret_text(password_name)
    if (user is None) != (password is None):
        missing = user_name if user is None else password_name
        raise invalid(section.at(missing), "is missing; give both a user and a password, or the name of a Secret instead of them")
    return ImagePullSecret(user=user, password=password)


def read_root_password(fields: Fields, inline_name: str, key_default: str) -> tuple[str | None, SecretKeyRef | None]:
    """The inline password or the reference to one, never both, and never an empty one."""
    inline, reference = fields.secret_text(inline_name), fields.section("rootPasswordSecretRef")
    if fields.value.get(inline_name) == "":
        raise invalid(fields.at(inline_name), "must not be empty; remove the field to get a random password")
    if not reference.value:
        return inline, None
    if inline is not None:
        raise invalid(reference.path, f"and {inline_name} are both set; keep the Secret and remove the password")
    name = reference.reference("name")
    if name is None:
        raise invalid(reference.at("name"), "is required")
    return None, SecretKeyRef(name=name, key=reference.text("key", key_default))
