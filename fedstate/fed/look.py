"""From API objects and answers to one Observed. Pure; who fetched them, and from where, is the reconciler's business."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from fedstate.api.federated import MultiCloudMongoDB
from fedstate.api.naming import ANNOTATION_SCHEDULER_RESULT
from fedstate.errors import TerminalError
from fedstate.fed.cleanup import pending_of
from fedstate.fed.observed import ClusterFacts, Karmada, Observed, References, ReplsetView, reports_of
from fedstate.fed.policies import plan_in_force
from fedstate.kube.objects import Key, KubeObject, annotations_of, name_of, uid_of

_PLACEMENT_REASON = "PlacementInvalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """An instance's object, and what keeps its spec or its placement from being read."""

    raw: KubeObject | None = field(repr=False)
    instance: MultiCloudMongoDB | None = None
    spec_problem: str | None = None
    placement_problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is not among the instance's own objects."""

    clusters: Mapping[str, KubeObject]
    now: datetime
    silent: frozenset[str] = frozenset()
    references: References = field(default_factory=References)
    view: ReplsetView | None = None
    works_follow: bool = True


def parse(raw: KubeObject | None) -> Parsed:
    """Reads the instance; a bad placement annotation is told apart from a bad spec and leaves the rest readable."""
    if raw is None:
        return Parsed(raw=None)
    try:
        return Parsed(raw=raw, instance=MultiCloudMongoDB.from_object(raw))
    except TerminalError as error:
        if error.reason != _PLACEMENT_REASON:
            return Parsed(raw=raw, spec_problem=error.message)
        problem = error.message
    annotations = {key: value for key, value in annotations_of(raw).items() if key != ANNOTATION_SCHEDULER_RESULT}
    unplaced = {**raw, "metadata": {**raw["metadata"], "annotations": annotations}}
    try:
        return Parsed(raw=raw, instance=MultiCloudMongoDB.from_object(unplaced), placement_problem=problem)
    except TerminalError as error:
        return Parsed(raw=raw, spec_problem=error.message)


def look(key: Key, parsed: Parsed, objects: Karmada, around: Surroundings) -> Observed:
    """One look at one instance, complete."""
    pending = pending_of(objects.cleanup)
    former = next(iter(sorted(entry.instance_uid for entry in pending.values())), "")
    return Observed(
        namespace=key.namespace,
        name=key.name,
        raw=parsed.raw,
        instance=parsed.instance,
        spec_problem=parsed.spec_problem,
        placement_problem=parsed.placement_problem,
        references=around.references,
        clusters={name_of(cluster): ClusterFacts.from_object(cluster) for cluster in around.clusters.values()},
        reports=reports_of(objects.binding, around.silent),
        objects=objects,
        plan=plan_in_force(objects.hostconf, objects.override, uid_of(parsed.raw) if parsed.raw is not None else former),
        pending=pending,
        view=around.view,
        works_follow=around.works_follow,
        now=around.now,
    )
