"""Namespaces: their label, their phase, and the finalizer in `spec` that keeps one until its content is gone."""

from __future__ import annotations

from fedstate.kube.objects import KubeObject, labels_of, name_of
from fedstate.local.apiserver.errors import forbidden
from fedstate.local.apiserver.strategy import Strategy, Write

INITIAL = ("default", "kube-system", "kube-public", "kube-node-lease")
_PROTECTED = ("default", "kube-system", "kube-public")


class NamespaceStrategy(Strategy):
    """A namespace lives until `spec.finalizers` is empty; `finalization` empties it."""

    returns_deleted = True

    def prepare_create(self, obj: KubeObject, write: Write) -> None:
        obj["spec"] = {"finalizers": ["kubernetes"]}
        obj["status"] = {"phase": "Active"}
        self._label(obj)

    def prepare_update(self, obj: KubeObject, old: KubeObject, write: Write) -> None:
        obj["spec"] = old["spec"]
        self._label(obj)

    @staticmethod
    def _label(obj: KubeObject) -> None:
        obj["metadata"]["labels"] = {**labels_of(obj), "kubernetes.io/metadata.name": name_of(obj)}

    def check_delete(self, obj: KubeObject, write: Write) -> None:
        if name_of(obj) in _PROTECTED:
            raise forbidden("", "namespaces", name_of(obj), "this namespace may not be deleted")

    def prepare_deletion(self, obj: KubeObject, write: Write) -> None:
        obj["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
        obj["metadata"].pop("deletionGracePeriodSeconds", None)

    def holds(self, obj: KubeObject) -> bool:
        return bool((obj.get("spec") or {}).get("finalizers"))
