"""ValidatingAdmissionPolicies: refused if their expressions do not compile, and marked as checked."""

from __future__ import annotations

from fedstate.kube.objects import KubeObject, generation_of
from fedstate.local.apiserver.objects import policies
from fedstate.local.apiserver.objects.fielderrors import FieldError
from fedstate.local.apiserver.strategy import Strategy, Write


class PolicyStrategy(Strategy):
    """Type-checks a policy as it is written."""

    def prepare_create(self, obj: KubeObject, write: Write) -> None:
        obj["status"] = {"observedGeneration": generation_of(obj), "typeChecking": {}}

    def validate(self, obj: KubeObject, old: KubeObject | None, write: Write) -> list[FieldError]:
        return [*super().validate(obj, old, write), *policies.policy_errors(obj)]
