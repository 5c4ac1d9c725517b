"""How this scheduler filters, scores, spreads and divides: a profile, from a file or the built-in one.

Plugins of others come by entry points, under the name that a profile then uses.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

import yaml

from fedstate.api.placement import Placement
from fedstate.errors import FedstateError
from fedstate.scheduler.divisions import DIVISIONS, UNIFORM, WEIGHTING, Divide
from fedstate.scheduler.filters import FILTERS, OPTIONAL, Context, Filter
from fedstate.scheduler.middleware import Demand
from fedstate.scheduler.scores import SCORES, UNKNOWN, ClusterScore, KeptScore, ResourceScore, Score, within
from fedstate.scheduler.snapshot import ClusterSnapshot

HEAVIEST_SCORES = 100
HEAVIEST_TOPOLOGY = 15
MOST_FILTERS = 200


class ProfileError(FedstateError):
    """A profile that cannot be used; the message names the field and what would do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """The last word on a placement: why it may not be written, or None."""

    name: str
    check: Callable[[Demand, Placement], str | None]


def survives_any_loss(demand: Demand, placement: Placement) -> str | None:
    """Refuses placements that the loss of one cluster can stop."""
    arbiter = placement.arbiter_cluster
    outcome = demand.quorum.survivals(demand.quorum.votes(placement.members, arbiter), arbiter)
    fatal = [name for name, survival in outcome.items() if not survival.full]
    return f"the set would not survive the loss of {' or '.join(fatal)}" if fatal else None


PERMITS: tuple[Permit, ...] = (Permit(name="SurvivesAnyLoss", check=survives_any_loss),)

_TOPOLOGIES: Mapping[str, Callable[[ClusterSnapshot], str]] = {
    "region": lambda cluster: cluster.region,
    "provider": lambda cluster: cluster.provider,
    "zone": lambda cluster: f"{cluster.region}/{','.join(sorted(cluster.zones))}" if cluster.zones else "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What takes part in a decision. Scores and topologies have weights, whole numbers of at least 1."""

    filters: tuple[Filter, ...]
    scores: tuple[tuple[Score, int], ...]
    topology: tuple[tuple[str, int], ...]
    """A member anywhere in a region, provider or zone makes its clusters less wanted by this much."""
    resources: tuple[str, ...]
    divide: Mapping[str, Divide]
    """By the `schedulerMode` of instances."""
    permits: tuple[Permit, ...] = ()

    @property
    def resource_scores(self) -> tuple[tuple[ResourceScore, int], ...]:
        return tuple((score, weight) for score, weight in self.scores if isinstance(score, ResourceScore))

    @property
    def cluster_scores(self) -> tuple[tuple[ClusterScore, int], ...]:
        return tuple((score, weight) for score, weight in self.scores if isinstance(score, ClusterScore))

    @property
    def bonus(self) -> int:
        """What a member is worth that may stay where it runs."""
        return sum(weight * within(score.score(1)) for score, weight in self.scores if isinstance(score, KeptScore))

    @property
    def worth(self) -> tuple[int, int]:
        """The weight of all scores, and what a member has that may stay where it runs."""
        return sum(weight for _, weight in self.scores), self.bonus

    def liked(self, cluster: ClusterSnapshot, context: Context) -> int:
        """The part of a cluster's score that resources do not change."""
        return sum(weight * within(score.score(cluster, context)) for score, weight in self.cluster_scores)

    def resourced(self, shares: list[int] | None) -> int:
        """The part of a cluster's score that its free resources make; None stands for unknown ones."""
        from_shares = self.resource_scores
        if shares is None:
            return sum(weight * UNKNOWN for _, weight in from_shares)
        return sum(weight * within(score.score(shares)) for score, weight in from_shares)

    def domains(self, cluster: ClusterSnapshot) -> tuple[tuple[str, int], ...]:
        """The failure domains of the cluster, and what a member in each of them weighs."""
        found = ((key, _TOPOLOGIES[key](cluster), weight) for key, weight in self.topology)
        return tuple((f"{key}={value}", weight) for key, value, weight in found if value)


_Plugin = TypeVar("_Plugin", Filter, Score, Divide, Permit)


def _named(kind: str, built_in: Iterable[_Plugin], cls: Any) -> dict[str, _Plugin]:
    """The plugins of a kind by name: the built-in ones and those of the entry points `fedstate.scheduler.<kind>`."""
    found = {plugin.name: plugin for plugin in built_in}
    for entry in entry_points(group=f"fedstate.scheduler.{kind}"):
        plugin = entry.load()
        if not isinstance(plugin, cls):
            raise ProfileError(f"entry point {entry.name} of fedstate.scheduler.{kind} is no {kind} plugin but {plugin!r}")
        if plugin.name in found:
            raise ProfileError(f"entry point {entry.name}: there is a {kind} plugin {plugin.name} already; choose another name")
        found[plugin.name] = plugin
    return found


DEFAULTS: Mapping[str, Any] = {
    "filters": [each.name for each in FILTERS],
    "scores": {
        "ResourcesLeastAllocated": 4,
        "ResourcesBalancedAllocation": 1,
        "TaintToleration": 4,
        "ClusterAffinity": 8,
        "Stickiness": 6,
    },
    "topology": {"region": 4, "provider": 2, "zone": 1},
    "resources": ["cpu", "memory"],
    "divide": {"Uniform": UNIFORM.name, "Weighting": WEIGHTING.name},
    "permits": [],
}


def profile_of(said: Mapping[str, Any]) -> Profile:
    """The profile that `said` describes; what it does not say is as by default. ProfileError names the field that is wrong."""
    for name in said:
        if name not in DEFAULTS:
            raise ProfileError(f"{name}: there is no such field; there are {', '.join(DEFAULTS)}")
    values = {**DEFAULTS, **said}
    filters, scores = _named("filter", FILTERS, Filter), _named("score", SCORES, (ResourceScore, ClusterScore, KeptScore))
    divisions, permits = _named("divide", DIVISIONS, Divide), _named("permit", PERMITS, Permit)
    wanted = _texts("filters", values["filters"])
    if len(wanted) > MOST_FILTERS:
        raise ProfileError(f"filters: at most {MOST_FILTERS} can be used together")
    for each in FILTERS:
        if each.name not in wanted and each.name not in OPTIONAL:
            raise ProfileError(f"filters: {each.name} cannot be left out; only {', '.join(OPTIONAL[:-1])} and {OPTIONAL[-1]} can")
    modes = values["divide"]
    if not isinstance(modes, Mapping) or set(modes) - {"Uniform", "Weighting"}:
        raise ProfileError("divide: must map Uniform and Weighting (spec.scheduler.schedulerMode) to divide plugins")
    return Profile(
        filters=tuple(_one("filters", filters, name) for name in wanted),
        scores=tuple((_one("scores", scores, n), w) for n, w in _weights("scores", values["scores"], HEAVIEST_SCORES)),
        topology=tuple(
            (_key("topology", _TOPOLOGIES, n), w) for n, w in _weights("topology", values["topology"], HEAVIEST_TOPOLOGY)
        ),
        resources=tuple(_texts("resources", values["resources"])),
        divide={mode: _one(f"divide.{mode}", divisions, str(name)) for mode, name in {**DEFAULTS["divide"], **modes}.items()},
        permits=tuple(_one("permits", permits, name) for name in _texts("permits", values["permits"])),
    )


def load_profile(path: str) -> Profile:
    """The profile in a YAML file; without a file the built-in one."""
    if not path:
        return profile_of({})
    try:
        said = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ProfileError(f"--scheduler-profile {path}: {error}") from error
    if said is not None and not isinstance(said, Mapping):
        raise ProfileError(f"--scheduler-profile {path}: must hold a mapping with {', '.join(DEFAULTS)}")
    try:
        return profile_of(said or {})
    except ProfileError as error:
        raise ProfileError(f"--scheduler-profile {path}: {error}") from error


def _key(field: str, known: Mapping[str, Any], name: str) -> str:
    if name not in known:
        raise ProfileError(f"{field}: there is no {name}; there are {', '.join(known)}")
    return name


def _one(field: str, known: Mapping[str, _Plugin], name: str) -> _Plugin:
    return known[_key(field, known, name)]


def _texts(field: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value) or len(set(value)) != len(value):
        raise ProfileError(f"{field}: must be a list of different names")
    return value


def _weights(field: str, value: object, most: int) -> list[tuple[str, int]]:
    good = isinstance(value, Mapping) and all(type(weight) is int and weight >= 0 for weight in value.values())
    if not isinstance(value, Mapping) or not good or sum(value.values()) > most:
        raise ProfileError(f"{field}: must map names to whole numbers of at least 0, at most {most} together")
    return [(str(name), weight) for name, weight in value.items() if weight]


@cache
def default_profile() -> Profile:
    return profile_of({})
