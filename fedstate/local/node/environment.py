"""Environment of a container and the `$(NAME)` references to it: pure, from the pod, its Secrets and ConfigMaps."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_CEILING
from typing import Any

from fedstate.errors import FedstateError
from fedstate.kube.objects import KubeObject, parse_quantity

Lookup = Callable[[str, str], KubeObject | None]
"""(kind, name) -> the Secret or ConfigMap of that name in the pod's namespace."""

_REFERENCE = re.compile(r"\$(\$|\(([A-Za-z_.-][\w.-]*)\))")
_SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['([^']+)'\]")


class NotYetThere(FedstateError):
    """Something the pod refers to does not exist (yet); the sentence names it."""


def field_value(pod: KubeObject, path: str, facts: Mapping[str, str]) -> str:
    """What a `fieldRef` means; `facts` are the paths that the node knows (`status.podIP`, …). NotYetThere for an unknown path."""
    if path in facts:
        return facts[path]
    metadata = pod["metadata"]
    if path in ("metadata.labels", "metadata.annotations"):
        entries = metadata.get(path.partition(".")[2]) or {}
        return "\n".join(f'{key}="{_escaped(entries[key])}"' for key in sorted(entries))
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript:
        return str((metadata.get(subscript.group(1).partition(".")[2]) or {}).get(subscript.group(2), ""))
    if path in ("metadata.name", "metadata.namespace", "metadata.uid"):
        return str(metadata.get(path.partition(".")[2], ""))
    if path in ("spec.nodeName", "spec.serviceAccountName"):
        return str(pod["spec"].get(path.partition(".")[2], ""))
    raise NotYetThere(f"fieldPath {path!r} is not one that a local node knows")


def resource_value(container: KubeObject, reference: Mapping[str, Any]) -> str:
    """What a `resourceFieldRef` means, in units of its divisor, rounded up; 0 where nothing is set."""
    kind, _, resource = str(reference.get("resource", "")).partition(".")
    quantity = ((container.get("resources") or {}).get(kind) or {}).get(resource, "0")
    divisor = parse_quantity(reference.get("divisor") or "1") or parse_quantity("1")
    return str(int((parse_quantity(quantity) / divisor).to_integral_value(ROUND_CEILING)))


def expand(text: str, values: Mapping[str, str]) -> str:
    """Replace `$(NAME)`; unknown names stay as they are and `$$` becomes `$`, as the kubelet does it."""

    def value(match: re.Match[str]) -> str:
        if match.group(1) == "$":
            return "$"
        return values.get(match.group(2), match.group(0))

    return _REFERENCE.sub(value, text)


def environment_of(pod: KubeObject, container: KubeObject, lookup: Lookup, facts: Mapping[str, str]) -> dict[str, str]:
    """The variables that the container's `envFrom` and `env` give, in order; NotYetThere names a Secret, ConfigMap or key that is missing."""
    values: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        values.update(_from_source(source, lookup))
    for entry in container.get("env") or ():
        value = _value_of(pod, container, entry, (lookup, facts, values))
        if value is not None:
            values[entry["name"]] = value
    return values


def _value_of(
    pod: KubeObject, container: KubeObject, entry: KubeObject, context: tuple[Lookup, Mapping[str, str], Mapping[str, str]]
) -> str | None:
    lookup, facts, values = context
    source = entry.get("valueFrom")
    if not source:
        return expand(str(entry.get("value") or ""), values)
    if "fieldRef" in source:
        return field_value(pod, source["fieldRef"]["fieldPath"], facts)
    if "resourceFieldRef" in source:
        return resource_value(
            _container_named(pod, source["resourceFieldRef"].get("containerName")) or container, source["resourceFieldRef"]
        )
    for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
        if field in source:
            return _key_of(lookup, kind, source[field])
    return None


def _key_of(lookup: Lookup, kind: str, reference: Mapping[str, Any]) -> str | None:
    found = lookup(kind, reference["name"])
    content = data_of(kind, found)
    if reference["key"] in content:
        return content[reference["key"]].decode(errors="surrogateescape")
    if reference.get("optional"):
        return None
    if found is None:
        raise NotYetThere(f'{kind.lower()} "{reference["name"]}" not found')
    raise NotYetThere(f"couldn't find key {reference['key']} in {kind} {reference['name']}")


def _from_source(source: KubeObject, lookup: Lookup) -> Iterable[tuple[str, str]]:
    for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
        reference = source.get(field)
        if not reference:
            continue
        found = lookup(kind, reference["name"])
        if found is None and not reference.get("optional"):
            raise NotYetThere(f'{kind.lower()} "{reference["name"]}" not found')
        for key, value in data_of(kind, found).items():
            yield f"{source.get('prefix') or ''}{key}", value.decode(errors="surrogateescape")


def data_of(kind: str, obj: KubeObject | None) -> dict[str, bytes]:
    """The content of a Secret or ConfigMap, decoded; nothing if there is none."""
    if obj is None:
        return {}
    if kind == "ConfigMap":
        content = {key: str(value).encode() for key, value in (obj.get("data") or {}).items()}
        return content | {key: base64.b64decode(value) for key, value in (obj.get("binaryData") or {}).items()}
    return {key: base64.b64decode(value) for key, value in (obj.get("data") or {}).items()}


def _container_named(pod: KubeObject, name: str | None) -> KubeObject | None:
    if not name:
        return None
    return next((c for c in pod["spec"].get("containers") or () if c["name"] == name), None)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
