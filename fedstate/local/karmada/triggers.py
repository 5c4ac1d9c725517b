"""From a changed object of the control plane to the keys that may be concerned. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from fedstate.control.triggers import intent_changed
from fedstate.kube.objects import Key, KubeObject, annotations_of, controller_of, name_of, namespace_of
from fedstate.local.karmada import names


def binding_of_template(template: KubeObject) -> Key:
    """The binding that a template has, if it has one."""
    return Key(namespace_of(template), names.binding_name(template["kind"], name_of(template)))


def binding_of_work(work: KubeObject) -> Iterable[Key]:
    """The binding that a Work belongs to."""
    marks = annotations_of(work)
    if names.BINDING_NAME in marks:
        yield Key(marks.get(names.BINDING_NAMESPACE, ""), marks[names.BINDING_NAME])


def namespace_of_work(work: KubeObject) -> Iterable[Key]:
    """The namespace that a Work brings to its cluster."""
    owner = controller_of(work)
    if owner is not None and owner["kind"] == "Namespace":
        yield Key("", owner["name"])


def places_differently(old: KubeObject | None, new: KubeObject | None) -> bool:
    """Whether a cluster changed in a way that scheduling looks at: more than its health and its room."""
    if old is None or new is None:
        return True
    return intent_changed(old, new) or _enablements(old) != _enablements(new)


def _enablements(cluster: KubeObject) -> object:
    return (cluster.get("status") or {}).get("apiEnablements")
