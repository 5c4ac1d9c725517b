"""What names, labels and the rest of ObjectMeta must look like, for every kind, in the words of apimachinery's validation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fedstate.local.apiserver.objects.fielderrors import FieldError, forbidden, invalid, required
from fedstate.local.apiserver.objects.nodes import Obj

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_DNS1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?\Z")
_PATH_SEGMENT = re.compile(r"(?!\.{1,2}\Z)[^/%]+\Z")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]\Z")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?\Z")

_LABEL_SAYS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric "
    "character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_SAYS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_DNS1035_SAYS = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an "
    "alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_QUALIFIED_SAYS = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_LABEL_VALUE_SAYS = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_STANDARD_FINALIZERS = ("orphan", "foregroundDeletion", "kubernetes")
_IMMUTABLE = "field is immutable"
_ANNOTATIONS_LIMIT = 256 * 1024


def label_errors(text: str) -> list[str]:
    """Why `text` is not an RFC 1123 label; empty when it is."""
    return _name_errors(text, 63, _LABEL, _LABEL_SAYS)


def subdomain_errors(text: str) -> list[str]:
    """Why `text` is not an RFC 1123 subdomain, which most object names must be."""
    return _name_errors(text, 253, _SUBDOMAIN, _SUBDOMAIN_SAYS)


def dns1035_errors(text: str) -> list[str]:
    """Why `text` is not a DNS-1035 label, which the name of a Service must be."""
    return _name_errors(text, 63, _DNS1035, _DNS1035_SAYS)


def path_segment_errors(text: str) -> list[str]:
    """Why `text` cannot be one step of a URL, which is all that names of RBAC kinds must be."""
    return [] if _PATH_SEGMENT.match(text) else ["may not contain '/' or '%', or be '.' or '..'"]


def qualified_name_errors(text: str) -> list[str]:
    """Why `text` is not a key such as `example.com/MyName`."""
    prefix, slash, name = text.rpartition("/")
    errors: list[str] = []
    if slash:
        errors += [f"prefix part {why}" for why in (subdomain_errors(prefix) if prefix else ["must be non-empty"])]
    if not name:
        return [*errors, "name part must be non-empty"]
    if len(name) > 63:
        errors.append("name part must be no more than 63 bytes")
    if not _QUALIFIED.match(name):
        errors.append(_QUALIFIED_SAYS)
    return errors


def label_value_errors(text: str) -> list[str]:
    return _name_errors(text, 63, _LABEL_VALUE, _LABEL_VALUE_SAYS)


def _name_errors(text: str, limit: int, pattern: re.Pattern[str], says: str) -> list[str]:
    errors = [f"must be no more than {limit} bytes"] if len(text.encode()) > limit else []
    return errors if pattern.match(text) else [*errors, says]


_NAME_RULES = {
    "subdomain": subdomain_errors,
    "label": label_errors,
    "dns1035": dns1035_errors,
    "path": path_segment_errors,
}


def metadata_errors(
    obj: Obj, old: Obj | None = None, *, name_rule: str = "subdomain", any_finalizer: bool = False
) -> list[FieldError]:
    """What is wrong with the metadata of any object; with `old`, also what of it may not change.

    `any_finalizer` lets finalizers go without a domain, as definitions and custom resources may.
    """
    metadata = obj.get("metadata") or {}
    errors = list(_name_field_errors(metadata, name_rule)) if old is None else []
    errors += _map_errors(metadata)
    errors += _owner_errors(metadata)
    errors += _finalizer_errors(metadata, any_finalizer)
    if old is not None:
        errors += _change_errors(metadata, old.get("metadata") or {})
    return errors


def _name_field_errors(metadata: Obj, rule: str) -> Iterator[FieldError]:
    name = metadata.get("name") or ""
    if not name and not metadata.get("generateName"):
        yield required("metadata.name", "name or generateName is required")
    elif name:
        for why in _NAME_RULES[rule](name):
            yield invalid("metadata.name", name, why)


def _map_errors(metadata: Obj) -> Iterator[FieldError]:
    for key, value in sorted((metadata.get("labels") or {}).items()):
        yield from (invalid("metadata.labels", key, why) for why in qualified_name_errors(key))
        yield from (invalid("metadata.labels", value, why) for why in label_value_errors(str(value)))
    size = 0
    for key, value in sorted((metadata.get("annotations") or {}).items()):
        yield from (invalid("metadata.annotations", key, why) for why in qualified_name_errors(key.lower()))
        size += len(key.encode()) + len(str(value).encode())
    if size > _ANNOTATIONS_LIMIT:
        yield FieldError(
            "metadata.annotations", "FieldValueTooLong", f"Too long: may not be more than {_ANNOTATIONS_LIMIT} bytes"
        )


def _owner_errors(metadata: Obj) -> Iterator[FieldError]:
    controllers: list[str] = []
    for index, owner in enumerate(metadata.get("ownerReferences") or ()):
        for key in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(key):
                yield required(f"metadata.ownerReferences[{index}].{key}", "must not be empty")
        if owner.get("controller"):
            controllers.append(f"{owner.get('kind')}/{owner.get('name')}")
    if len(controllers) > 1:
        says = f'Only one reference can have Controller set to true. Found "true" in references for {controllers[0]} and {controllers[1]}'
        yield invalid("metadata.ownerReferences", metadata["ownerReferences"], says)


def _finalizer_errors(metadata: Obj, any_finalizer: bool) -> Iterator[FieldError]:
    for index, name in enumerate(metadata.get("finalizers") or ()):
        yield from (invalid("metadata.finalizers", name, why) for why in qualified_name_errors(name))
        if not any_finalizer and "/" not in name and name not in _STANDARD_FINALIZERS:
            says = "name is neither a standard finalizer name nor is it fully qualified"
            yield invalid(f"metadata.finalizers[{index}]", name, says)


def _change_errors(metadata: Obj, old: Obj) -> Iterator[FieldError]:
    for key in ("name", "namespace", "uid", "creationTimestamp"):
        new: Any = metadata.get(key)
        if new is not None and old.get(key) is not None and new != old[key]:
            yield invalid(f"metadata.{key}", new, _IMMUTABLE)
    if old.get("deletionTimestamp"):
        added = [name for name in metadata.get("finalizers") or () if name not in (old.get("finalizers") or ())]
        if added:
            shown = ", ".join(f'"{name}"' for name in added)
            says = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{shown}}}"
            yield forbidden("metadata.finalizers", says)
