"""What an instance's own set sees of its members, whatever Karmada sees of their clusters. Pure; decides nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedstate.api.conditions import ConditionType, conditions_of, find_condition
from fedstate.kube.objects import KubeObject

_DOWN, _UNSEEN = "DOWN", ("UNKNOWN", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """`led`: there is a primary, and a majority behind it. In clusters that are `serving` some member is up, in `unknown` ones
    nobody can tell; in all others the set has no member, or has lost sight of all of them.
    """

    led: bool = False
    serving: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Clusters that carry members and that Karmada does not reach: those `lost` for long enough to be given up, and `spared`
    ones with the reason, in words, why their members stay. `led` as in Sight.
    """

    lost: frozenset[str] = frozenset()
    spared: Mapping[str, str] = field(default_factory=dict)
    led: bool = True


NO_LOSSES = Losses()


def mongodb_sight(obj: KubeObject) -> Sight:
    """As the status of a MultiCloudMongoDB tells: a member that is neither seen nor configured cannot serve anybody."""
    status = obj.get("status") or {}
    serving, unknown = set(), set()
    for member in (status.get("replicaSet") or {}).get("members") or ():
        cluster, role = str(member.get("cluster") or ""), str(member.get("role") or "")
        if role in _UNSEEN:
            if member.get("configured"):
                unknown.add(cluster)
        elif role != _DOWN:
            serving.add(cluster)
    majority = find_condition(conditions_of(obj), ConditionType.MAJORITY_LOST)
    led = bool(status.get("primary")) and majority is not None and majority.status == "False"
    return Sight(led=led, serving=frozenset(serving), unknown=frozenset(unknown - serving))
