"""Pods: how much time one has to end. Running them is the nodes' work."""

from __future__ import annotations

from fedstate.kube.objects import KubeObject
from fedstate.local.apiserver.requests import DeleteOptions
from fedstate.local.apiserver.strategy import Strategy


class PodStrategy(Strategy):
    """A pod starts Pending and ends when its node says so."""

    returns_deleted = True

    def grace_period(self, obj: KubeObject, options: DeleteOptions) -> int:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
            return 0
        if options.grace_period is not None:
            return options.grace_period
        return int(spec.get("terminationGracePeriodSeconds", 30))
