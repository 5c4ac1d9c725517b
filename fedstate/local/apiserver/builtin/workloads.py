"""StatefulSets and ReplicaSets: the status each starts with. Running them is a controller's work."""

from __future__ import annotations

from fedstate.kube.objects import KubeObject
from fedstate.local.apiserver.strategy import Strategy, Write


class CountedStrategy(Strategy):
    """Starts with counts of nothing."""

    def __init__(self, *counts: str) -> None:
        self._counts = counts

    def prepare_create(self, obj: KubeObject, write: Write) -> None:
        obj["status"] = dict.fromkeys(self._counts, 0)
