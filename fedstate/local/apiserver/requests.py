"""What a request asks for: path, options and body, read once and checked. Knows no kinds and no storage."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote

import orjson
import yaml

from fedstate.local.apiserver import protobuf
from fedstate.local.apiserver.errors import StatusError, bad_request, invalid, unsupported_media_type
from fedstate.local.apiserver.objects.fielderrors import not_supported

FieldValidation = Literal["Ignore", "Warn", "Strict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The resource, object or subresource that a path names."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""


def parse_path(path: str) -> Target | None:
    """The target of `/api/v1/...` or `/apis/GROUP/VERSION/...`; None if the path names none."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and not (len(rest) == 3 and rest[2] in ("status", "finalize")):
        namespace, rest = rest[1], rest[2:]
    name, subresource = (rest[1] if len(rest) > 1 else ""), (rest[2] if len(rest) > 2 else "")
    return Target(
        group=group,
        version=version,
        plural=rest[0],
        namespace=namespace,
        name=name,
        subresource=subresource,
        rest="/".join(rest[3:]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """The options of create, update and patch."""

    dry_run: bool
    field_manager: str
    field_validation: FieldValidation
    force: bool


def manager_of(query: Mapping[str, str], user_agent: str) -> str:
    """The field manager: as asked for, or the first word of the client's name."""
    return query.get("fieldManager") or user_agent.split("/", 1)[0][:128] or "unknown"


def write_options(query: Mapping[str, str], user_agent: str, kind: str) -> WriteOptions:
    """`kind` is CreateOptions, UpdateOptions or PatchOptions, for the error message."""
    validation = query.get("fieldValidation") or "Warn"
    causes = []
    if validation not in ("Ignore", "Warn", "Strict"):
        causes.append(not_supported("fieldValidation", validation, ("", "Ignore", "Strict", "Warn")))
    if query.get("dryRun", "") not in ("", "All"):
        causes.append(not_supported("dryRun", [query["dryRun"]], ("All",)))
    if causes:
        raise invalid(kind, "meta.k8s.io", "", causes)
    return WriteOptions(
        dry_run=query.get("dryRun") == "All",
        field_manager=manager_of(query, user_agent),
        field_validation=validation,  # type: ignore[arg-type]
        force=query.get("force") in ("true", "1"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """How an object should go."""

    grace_period: int | None = None
    uid: str = ""
    resource_version: str = ""
    propagation: str = ""
    dry_run: bool = False


_PROPAGATION = ("Foreground", "Background", "Orphan")


def delete_options(query: Mapping[str, str], body: Mapping[str, Any] | None) -> DeleteOptions:
    """From the body if there is one, else from the query."""
    source: Mapping[str, Any] = body or query
    propagation = source.get("propagationPolicy") or ""
    if not propagation and source.get("orphanDependents") is not None:
        propagation = "Orphan" if source["orphanDependents"] in (True, "true") else "Background"
    if propagation and propagation not in _PROPAGATION:
        cause = not_supported("propagationPolicy", propagation, (*_PROPAGATION, "nil"))
        raise invalid("DeleteOptions", "meta.k8s.io", "", [cause])
    grace = source.get("gracePeriodSeconds")
    preconditions = source.get("preconditions") if body else None
    conditions: Mapping[str, Any] = preconditions if isinstance(preconditions, dict) else {}
    return DeleteOptions(
        grace_period=parse_int(str(grace)) if grace is not None else None,
        uid=conditions.get("uid") or "",
        resource_version=conditions.get("resourceVersion") or "",
        propagation=propagation,
        dry_run="All" in (source.get("dryRun") or query.get("dryRun") or ()),
    )


def decode(raw: bytes, content_type: str) -> Any:
    """The body as JSON values; 400 if it is none, 415 if its type is not spoken here."""
    media = content_type.split(";", 1)[0].strip().lower()
    if media.endswith("yaml"):
        return _decode_yaml(raw)
    if media == protobuf.MEDIA_TYPE:
        return protobuf.decode_protobuf(raw)
    if media and not media.endswith("json"):
        raise unsupported_media_type()
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"the object provided is unrecognized: couldn't get version/kind; json parse error: {error}") from error


def _decode_yaml(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass
    try:
        # Timestamps and the like must stay strings, as they do for a server that goes through JSON.
        return yaml.load(raw, Loader=_JsonLoader)  # noqa: S506
    except yaml.YAMLError as error:
        raise bad_request(f"error decoding YAML: {error}") from error


class _JsonLoader(yaml.SafeLoader):
    """YAML limited to the values that JSON has."""


_JsonLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Pairs(list[tuple[str, Any]]):
    """An object of the body as its pairs, so that none hides another."""


def duplicate_fields(raw: bytes) -> list[str]:
    """Paths such as `data.a` of what a JSON body has twice; empty if it is no JSON."""
    try:
        return list(_duplicates(json.loads(raw, object_pairs_hook=_Pairs), ""))
    except ValueError:
        return []


def _duplicates(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, member in value:
            where = f"{path}.{key}" if path else key
            if key in seen:
                yield where
            seen.add(key)
            yield from _duplicates(member, where)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _duplicates(item, f"{path}[{index}]")


def parse_version(text: str, field: str = "resourceVersion") -> int | None:
    """A resource version as a number; None if it is not given."""
    if not text:
        return None
    if not text.isdigit():
        raise _bad_version(text, field)
    return int(text)


def parse_int(text: str) -> int:
    """A whole number of a query; 400 if it is none."""
    try:
        return int(text)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _bad_version(text: str, field: str) -> StatusError:
    why = f'{field}: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
    return bad_request(f"invalid resource version: {why}")


def truthy(text: str | None) -> bool:
    """How Kubernetes reads a boolean query parameter: present and not false."""
    return text is not None and text.lower() not in ("false", "0")
