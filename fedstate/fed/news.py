"""What is worth an Event: the difference between two statuses of an instance. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class News(NamedTuple):
    """One Event: "Normal" or "Warning", a reason, and a sentence."""

    type: str
    reason: str
    note: str


def news(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[News]:
    """What happened between the two; nothing for a status that is written for the first time, but for its problems."""
    return [*_state(before, after), *_primary(before, after), *_conditions(before, after), *_clusters(before, after)]


def _state(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[News]:
    old, new = before.get("state"), after.get("state")
    if old and new and old != new:
        yield News("Normal" if new == "Health" else "Warning", "StateChanged", f"State went from {old} to {new}")


def _primary(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[News]:
    old, new = (before.get("primary") or {}).get("name"), (after.get("primary") or {}).get("name")
    if new and old != new:
        yield News("Normal", "PrimaryChanged", f"The primary is {new}" + (f", it was {old}" if old else ""))
    elif old and not new:
        yield News("Warning", "PrimaryLost", f"There is no primary; it was {old}")


def _conditions(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[News]:
    old = {entry["type"]: entry for entry in before.get("conditions") or ()}
    for entry in after.get("conditions") or ():
        was = old.get(entry["type"], {})
        changed = was.get("status") != entry["status"] or was.get("message") != entry.get("message")
        if entry["type"] in ("Stalled", "MajorityLost", "RecoveryRequired") and entry["status"] == "True" and changed:
            yield News("Warning", entry["type"], entry.get("message", ""))
        if entry["type"] == "ServerWaitingScaleDown" and was and was.get("status") != entry["status"]:
            note = entry.get("message", "") if entry["status"] == "True" else "Every member that had to leave has left"
            yield News("Normal", "ScaleDown", note)


def _clusters(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[News]:
    old = {entry["cluster"]: entry for entry in before.get("result") or ()}
    new = {entry["cluster"]: entry for entry in after.get("result") or ()}
    for cluster, entry in new.items():
        was = old.get(cluster)
        if was is not None and was.get("reachable") and not entry.get("reachable"):
            yield News("Warning", "ClusterLost", entry.get("message") or f"Cluster {cluster} is not reachable")
        if was is not None and was.get("reachable") is False and entry.get("reachable"):
            yield News("Normal", "ClusterReturned", f"Cluster {cluster} is reachable again")
    for cluster in sorted(set(old) - set(new)):
        yield News("Normal", "ClusterReleased", f"Cluster {cluster} no longer holds anything of the instance")
