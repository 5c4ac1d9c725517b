"""`fedstate explain-placement`: reads a control plane, decides as its scheduler would, and prints why. Writes nothing."""

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import click
import yaml

from fedstate.api.karmada import CLUSTERS
from fedstate.api.naming import ANNOTATION_SCHEDULER_RESULT
from fedstate.cli.capacity import capacity_options, take_capacity
from fedstate.cli.table import table
from fedstate.control.component import CapacitySettings
from fedstate.errors import FedstateError
from fedstate.kube.client import KubeClient
from fedstate.kube.config import load_kubeconfig
from fedstate.kube.objects import KubeObject, annotations_of, name_of, namespace_of
from fedstate.scheduler.capacity.sources import read_once
from fedstate.scheduler.explain import ClusterExplanation, ControlPlane, Explanation, explained
from fedstate.scheduler.middleware import MONGODB
from fedstate.scheduler.profile import load_profile

Runner: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What was said on the command line."""

    name: str
    namespace: str
    kubeconfig: str
    context: str
    dry_run_with: str
    scheduler_profile: str
    output: str
    capacity: CapacitySettings


@click.command("explain-placement")
@click.argument("name")
@click.option("--namespace", "-n", default="", help="Namespace of the instance; default: that of the kubeconfig's context.")
@click.option(
    "--kubeconfig", default="", metavar="FILE", help="Of the Karmada control plane; default: KUBECONFIG, else ~/.kube/config."
)
@click.option("--context", default="", help="Context of the kubeconfig; default: its current one.")
@click.option(
    "--dry-run-with",
    default="",
    metavar="FILE",
    help="YAML of the instance as it might be, or of Clusters that might join or change: decide as if they were there.",
)
@click.option(
    "--scheduler-profile", default="", metavar="FILE", help="The profile that the scheduler runs with, or another one to try."
)
@capacity_options(click.option)
@click.option(
    "--output", "-o", type=click.Choice(["text", "json"]), default="text", show_default=True, help="A table to read, or JSON."
)
@click.pass_obj
def explain_placement(runner: Runner, /, **said: Any) -> None:
    """Why an instance's members are where they are: per cluster the rule that rejects it or what fits, the score by plugin, the
    source and age of its data; and which losses the set survives, for elections and for majority writes. Reads the nodes, pods
    and storage classes of the member clusters as the scheduler does, as far as the kubeconfig's user may.
    """
    try:
        runner(_answer(Question(capacity=take_capacity(said), **said)))
    except FedstateError as error:
        raise click.ClickException(str(error)) from error


async def _answer(question: Question) -> None:
    profile = load_profile(question.scheduler_profile)
    supposed = _documents(question.dry_run_with) if question.dry_run_with else []
    config = await load_kubeconfig(question.kubeconfig or None, question.context or None)
    namespace = question.namespace or config.namespace or "default"
    async with KubeClient(config, user_agent="fedstate-explain-placement") as client:
        clusters = await client.list_all(CLUSTERS)
        instances = await client.list_all(MONGODB.instances)
        instance, clusters = suppose(question.name, namespace, instances, clusters, supposed)
        readings = await read_once(client, clusters, MONGODB.demand_of(instance), namespace, question.capacity)
    others = [one for one in instances if (namespace_of(one), name_of(one)) != (namespace, question.name)]
    plane = ControlPlane(clusters=clusters, others=others, now=datetime.now(UTC), readings=readings)
    found = explained(instance, plane, MONGODB, profile)
    click.echo(json.dumps(as_json(found), indent=2) if question.output == "json" else as_text(found))


def suppose(
    name: str, namespace: str, instances: list[KubeObject], clusters: list[KubeObject], supposed: list[KubeObject]
) -> tuple[KubeObject, list[KubeObject]]:
    """The instance and the clusters as they are, changed to what is `supposed`; what is placed already stays placed."""
    live = next((one for one in instances if (namespace_of(one), name_of(one)) == (namespace, name)), None)
    by_name = {name_of(cluster): cluster for cluster in clusters}
    wanted = live
    for obj in supposed:
        if obj.get("kind") == CLUSTERS.kind:
            by_name[name_of(obj)] = {**by_name.get(name_of(obj), {}), **obj}
        elif obj.get("kind") == MONGODB.instances.kind and name_of(obj) == name:
            before = annotations_of(live).get(ANNOTATION_SCHEDULER_RESULT) if live else None
            kept = {ANNOTATION_SCHEDULER_RESULT: before} if before else {}
            metadata = {**obj["metadata"], "namespace": namespace}
            metadata["annotations"] = {**kept, **(metadata.get("annotations") or {})}
            wanted = {**obj, "metadata": metadata, "status": (live or {}).get("status") or {}}
        else:
            raise FedstateError(
                f"--dry-run-with: {obj.get('kind')} {name_of(obj)} is neither a Cluster nor the {MONGODB.instances.kind} {name}"
            )
    if wanted is None:
        raise FedstateError(f"there is no {MONGODB.instances.kind} {name} in namespace {namespace}; -n NAMESPACE gives another")
    return wanted, list(by_name.values())


def _documents(path: str) -> list[KubeObject]:
    try:
        found = [one for one in yaml.safe_load_all(Path(path).read_text(encoding="utf-8")) if one is not None]
    except (OSError, yaml.YAMLError) as error:
        raise FedstateError(f"--dry-run-with {path}: {error}") from error
    if not found or not all(isinstance(one, dict) and isinstance(one.get("metadata"), dict) for one in found):
        raise FedstateError(f"--dry-run-with {path}: must hold objects with apiVersion, kind and metadata")
    return found


def as_text(found: Explanation) -> str:
    """For a terminal."""
    plugins = list(found.weights)
    header = [
        "CLUSTER",
        "MEMBERS",
        "VOTES",
        "FITS",
        "VERDICT",
        "SCORE",
        *(f"{name}x{found.weights[name]}" for name in plugins),
        "DATA",
    ]
    rows = [_cells(row, plugins) for row in found.clusters]
    parts = [found.message, "", table(header, rows)]
    rejected = [
        f"  {row.verdict.cluster}: {row.verdict.rule}: {row.verdict.reason}" for row in found.clusters if row.verdict.reason
    ]
    if rejected:
        parts += ["", "Clusters that take no member more, and why:", *rejected]
    booked = [f"  {row.verdict.cluster}: {row.reserved}" for row in found.clusters if row.reserved]
    if booked:
        parts += ["", "Taken off what is free, for members that are placed and not counted yet:", *booked]
    if found.losses:
        answers = [[name, _yes(loss.election), _yes(loss.majority_write)] for name, loss in found.losses.items()]
        parts += ["", table(["WITHOUT", "ELECTS A PRIMARY", "COMMITS MAJORITY WRITES"], answers)]
    return "\n".join(parts)


def _cells(row: ClusterExplanation, plugins: list[str]) -> list[str]:
    verdict = row.verdict
    members = f"{row.members}{' + arbiter' if row.arbiter else ''}"
    fits = "any" if verdict.room is None else str(verdict.room)
    scores = [str(row.scores.get(name, "-")) for name in plugins]
    judged = "fits" if verdict.feasible else f"rejected by {verdict.rule}"
    return [verdict.cluster, members, str(row.votes), fits, judged, str(verdict.score), *scores, _data(row)]


def _data(row: ClusterExplanation) -> str:
    source = row.source + (f"{':' if row.source == 'none' else ','} {row.note}" if row.note else "")
    return source if row.age is None else f"{source}, changed {_age(row.age)} ago"


def _age(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def _yes(value: bool) -> str:
    return "yes" if value else "NO"


def as_json(found: Explanation) -> dict[str, Any]:
    """For programs; names as in `status.scheduling`."""
    return {
        "message": found.message,
        "complete": found.decision.complete,
        "missing": found.decision.missing,
        "clusters": [_entry(row) for row in found.clusters],
        "scoreWeights": dict(found.weights),
        "losses": {
            name: {"electsPrimary": loss.election, "commitsMajorityWrites": loss.majority_write}
            for name, loss in found.losses.items()
        },
    }


def _entry(row: ClusterExplanation) -> dict[str, Any]:
    verdict = row.verdict
    return {
        "cluster": verdict.cluster,
        "members": row.members,
        "votes": row.votes,
        "arbiter": row.arbiter,
        "feasible": verdict.feasible,
        "fits": verdict.room,
        "rule": verdict.rule,
        "reason": verdict.reason,
        "score": verdict.score,
        "scores": dict(row.scores),
        "reserved": row.reserved,
        "source": row.source,
        "sourceNote": row.note,
        "changedSecondsAgo": None if row.age is None else round(row.age),
    }
