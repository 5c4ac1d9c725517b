"""Secrets: `stringData` is written, `data` is kept."""

from __future__ import annotations

import base64

from fedstate.kube.objects import KubeObject
from fedstate.local.apiserver.strategy import Strategy, Write


class SecretStrategy(Strategy):
    """Folds `stringData` into `data`."""

    def prepare_create(self, obj: KubeObject, write: Write) -> None:
        self._fold(obj)

    def prepare_update(self, obj: KubeObject, old: KubeObject, write: Write) -> None:
        self._fold(obj)
        obj.setdefault("type", old.get("type", "Opaque"))

    @staticmethod
    def _fold(obj: KubeObject) -> None:
        plain = obj.pop("stringData", None)
        if plain:
            encoded = {key: base64.b64encode(str(value).encode()).decode() for key, value in plain.items()}
            obj["data"] = {**(obj.get("data") or {}), **encoded}
        obj.setdefault("type", "Opaque")
