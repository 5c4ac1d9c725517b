"""The metadata that the server keeps: names, uid, times, generation; and what clients may write there. Pure but for randomness."""

from __future__ import annotations

import re
import secrets
import uuid
from typing import Any

from fedstate.kube.objects import KubeObject, format_time, name_of
from fedstate.local.apiserver.objects.fielderrors import FieldError, forbidden, invalid, required
from fedstate.local.apiserver.registry import ResourceType
from fedstate.local.apiserver.strategy import Write

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_NAME = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    f"with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    f"alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_LABEL_1035_RULE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end "
    f"with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '{_LABEL_1035}')"
)
_LABEL_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with "
    "an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_QUALIFIED_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_RULES = {
    "subdomain": (re.compile(_SUBDOMAIN), 253, SUBDOMAIN_RULE),
    "label": (re.compile(_LABEL), 63, _LABEL_RULE),
    "label1035": (re.compile(_LABEL_1035), 63, _LABEL_1035_RULE),
    "path": (re.compile(r"(?!\.\.?$)[^/%]+"), 253, "may not be '.' or '..', nor contain '/' or '%'"),
}
_SERVER_OWNED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation")


def generated_name(base: str) -> str:
    """A name for `generateName`: the base and five random characters."""
    return base[:58] + "".join(secrets.choice(_ALPHABET) for _ in range(5))


def new_metadata(obj: KubeObject, rtype: ResourceType, namespace: str, write: Write) -> None:
    """Give a new object the metadata that the server decides."""
    metadata = obj["metadata"]
    for field in (*_SERVER_OWNED, "resourceVersion"):
        metadata.pop(field, None)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generated_name(metadata["generateName"])
    if rtype.namespaced:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = format_time(write.now)
    if rtype.has_generation:
        metadata["generation"] = 1


def kept_metadata(obj: KubeObject, old: KubeObject) -> None:
    """Put back into an updated object the metadata that only the server changes."""
    metadata, before = obj["metadata"], old["metadata"]
    for field in _SERVER_OWNED:
        if field in before:
            metadata[field] = before[field]
        else:
            metadata.pop(field, None)
    if before.get("generateName"):
        metadata.setdefault("generateName", before["generateName"])


def name_errors(obj: KubeObject, rtype: ResourceType) -> list[FieldError]:
    """What is wrong with the name of a new object."""
    name = name_of(obj)
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    pattern, limit, rule = _RULES[rtype.strategy.name_rule]
    errors = []
    if not pattern.fullmatch(name):
        errors.append(invalid("metadata.name", name, rule))
    if len(name) > limit:
        errors.append(invalid("metadata.name", name, f"must be no more than {limit} characters"))
    return errors


def metadata_errors(obj: KubeObject) -> list[FieldError]:
    """What is wrong with labels, annotations, finalizers and owner references."""
    metadata = obj["metadata"]
    errors: list[FieldError] = []
    for key, value in (metadata.get("labels") or {}).items():
        errors += _key_errors("metadata.labels", key)
        if not re.fullmatch(rf"({_NAME})?", str(value)):
            errors.append(invalid("metadata.labels", value, _LABEL_VALUE_RULE))
        if len(str(value)) > 63:
            errors.append(invalid("metadata.labels", value, "must be no more than 63 bytes"))
    annotations = metadata.get("annotations") or {}
    for key in annotations:
        errors += _key_errors("metadata.annotations", str(key).lower())
    if sum(len(str(k)) + len(str(v)) for k, v in annotations.items()) > 256 * 1024:
        message = "Too long: may not be more than 262144 bytes"
        errors.append(FieldError("metadata.annotations", "FieldValueTooLong", message))
    errors += [e for f in metadata.get("finalizers") or () for e in _key_errors("metadata.finalizers", str(f))]
    return errors + _owner_errors(metadata.get("ownerReferences") or ())


def _key_errors(field: str, key: str) -> list[FieldError]:
    prefix, slash, name = key.rpartition("/")
    errors = []
    if slash and not re.fullmatch(_SUBDOMAIN, prefix):
        errors.append(invalid(field, key, f"prefix part {SUBDOMAIN_RULE}"))
    if not re.fullmatch(_NAME, name):
        errors.append(invalid(field, key, _QUALIFIED_RULE))
    if len(name) > 63:
        errors.append(invalid(field, key, "name part must be no more than 63 bytes"))
    return errors


def _owner_errors(references: Any) -> list[FieldError]:
    errors: list[FieldError] = []
    controllers = [reference for reference in references if reference.get("controller")]
    for reference in references:
        errors += [
            invalid(f"metadata.ownerReferences.{field}", reference.get(field) or "", f"{said} must not be empty")
            for field, said in (("apiVersion", "version"), ("kind", "kind"), ("name", "name"), ("uid", "uid"))
            if not reference.get(field)
        ]
    if len(controllers) > 1:
        why = "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}"
        said = why.format(*(f"{c.get('kind')}/{c.get('name')}" for c in controllers[:2]))
        errors.append(invalid("metadata.ownerReferences", references, said))
    return errors


def changed_identity(obj: KubeObject, old: KubeObject) -> list[FieldError]:
    """Finalizers that were added to an object already ending."""
    if not old["metadata"].get("deletionTimestamp"):
        return []
    before = set(old["metadata"].get("finalizers") or ())
    added = sorted(set(obj["metadata"].get("finalizers") or ()) - before)
    if not added:
        return []
    listed = ", ".join(f'"{name}"' for name in added)
    why = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{listed}}}"
    return [forbidden("metadata.finalizers", why)]


def spec_changed(obj: KubeObject, old: KubeObject, *, has_status: bool) -> bool:
    """Whether anything but metadata (and status, where that is a subresource) differs."""
    ignored = {"metadata", "apiVersion", "kind"} | ({"status"} if has_status else set())
    return {k: v for k, v in obj.items() if k not in ignored} != {k: v for k, v in old.items() if k not in ignored}
