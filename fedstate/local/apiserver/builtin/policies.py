"""Policies of two kinds: ValidatingAdmissionPolicies and PodDisruptionBudgets, and the status that each starts with."""

from __future__ import annotations

from fedstate.kube.objects import KubeObject, generation_of
from fedstate.local.apiserver.strategy import Strategy, Write


class PolicyStrategy(Strategy):
    """A policy is type-checked as it is written."""

    def prepare_create(self, obj: KubeObject, write: Write) -> None:
        obj["status"] = {"observedGeneration": generation_of(obj), "typeChecking": {}}


class BudgetStrategy(Strategy):
    """A disruption budget allows nothing until a controller has counted."""

    def prepare_create(self, obj: KubeObject, write: Write) -> None:
        obj["status"] = {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}
