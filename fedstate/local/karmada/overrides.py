"""Override policies: which rules hold for a resource in a cluster, and the resource changed by them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from fedstate.kube.objects import KubeObject, name_of
from fedstate.local.karmada.jsonpatch import PatchError, apply_operation, pointer, value_at
from fedstate.local.karmada.matching import ALL_OF_KIND, matches_cluster, selector_rank

_FIELD_ORDER = ("plaintext", "imageOverrider", "labelsOverrider", "annotationsOverrider")
_ITEM_ORDER = ("path", "predicate", "component", "operator", "value")
_MAPS = {"labelsOverrider": "labels", "annotationsOverrider": "annotations"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedRule:
    """One rule that holds for a resource in a cluster."""

    policy: str
    overriders: Mapping[str, Any]


def rules_for(policies: Iterable[KubeObject], template: KubeObject, cluster: KubeObject) -> list[AppliedRule]:
    """The rules that hold, in the order in which they are applied: the closest selector, then the last name, wins."""
    ranked = sorted(((_rank(policy, template), name_of(policy), policy) for policy in policies), key=lambda item: item[:2])
    return [
        AppliedRule(policy=name, overriders=rule.get("overriders") or {})
        for rank, name, policy in ranked
        if rank
        for rule in policy["spec"].get("overrideRules") or ()
        if matches_cluster(rule.get("targetCluster"), cluster)
    ]


def _rank(policy: KubeObject, template: KubeObject) -> int:
    selectors = policy["spec"].get("resourceSelectors")
    return selector_rank(selectors, template) if selectors else ALL_OF_KIND


def overridden(manifest: KubeObject, rules: Iterable[AppliedRule]) -> KubeObject:
    """A copy of `manifest` with the rules applied; PatchError naming policy and path if one does not apply."""
    result = deepcopy(manifest)
    for rule in rules:
        try:
            for operator, path, value in _operations(result, rule.overriders):
                apply_operation(result, operator, path, deepcopy(value))
        except PatchError as error:
            raise PatchError(f"overridePolicy {rule.policy}: {error}") from error
    return result


def _operations(target: KubeObject, overriders: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Karmada's order: images, labels, annotations, plaintext. Lazy, so that each sees what those before it did."""
    for image in overriders.get("imageOverrider") or ():
        yield from _image_operations(target, image)
    for field, place in _MAPS.items():
        for item in overriders.get(field) or ():
            yield from _map_operations(target, place, item)
    for patch in overriders.get("plaintext") or ():
        yield patch["operator"], patch["path"], patch.get("value")


def _map_operations(target: KubeObject, place: str, item: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    if target["metadata"].get(place) is None:
        if item["operator"] != "add":
            return
        target["metadata"][place] = {}
    for key, value in (item.get("value") or {}).items():
        if item["operator"] == "add" or key in target["metadata"][place]:
            yield item["operator"], pointer("metadata", place, key), value


def _image_operations(target: KubeObject, overrider: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    predicate = overrider.get("predicate")
    for path in [predicate["path"]] if predicate else _image_paths(target):
        yield "replace", path, _changed_image(str(value_at(target, path)), overrider)


def _image_paths(target: KubeObject) -> list[str]:
    prefix = ("spec",) if target["kind"] == "Pod" else ("spec", "template", "spec")
    pod: Any = target
    for token in prefix:
        pod = pod.get(token) or {}
    return [pointer(*prefix, "containers", str(index), "image") for index in range(len(pod.get("containers") or ()))]


def _changed_image(image: str, overrider: Mapping[str, Any]) -> str:
    parts = _image_parts(image)
    component, value = overrider["component"], overrider.get("value") or ""
    match overrider["operator"]:
        case "remove":
            parts[component] = ""
        case "replace":
            parts[component] = value
        case _:
            parts[component] += value
    registry, tag = parts["Registry"], parts["Tag"]
    separator = "@" if tag.startswith("sha256:") else ":"
    return f"{registry}/" * bool(registry) + parts["Repository"] + f"{separator}{tag}" * bool(tag)


def _image_parts(image: str) -> dict[str, str]:
    registry, slash, rest = image.partition("/")
    if not slash or not ("." in registry or ":" in registry or registry == "localhost"):
        registry, rest = "", image
    repository, _, tag = rest.partition("@") if "@" in rest else rest.partition(":")
    return {"Registry": registry, "Repository": repository, "Tag": tag}


def applied_overrides(rules: Iterable[AppliedRule]) -> str:
    """The annotation by which a Work tells what was applied to it; empty if nothing was."""
    record = [{"policyName": rule.policy, "overriders": _recorded(rule.overriders)} for rule in rules]
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False) if record else ""


def _recorded(overriders: Mapping[str, Any]) -> dict[str, Any]:
    return {
        field: [{key: item[key] for key in _ITEM_ORDER if key in item} for item in overriders[field]]
        for field in _FIELD_ORDER
        if overriders.get(field)
    }
