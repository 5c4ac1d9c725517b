"""Why no node takes a member, in words: the first thing that leaves no node, and how many nodes are left out before. Pure."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from fedstate.kube.records import NodeRecord, Requirement, StorageClassRecord
from fedstate.scheduler.amounts import CPU, PODS, amount_text
from fedstate.scheduler.capacity.arranging import Ints
from fedstate.scheduler.capacity.matching import repelling, selected, within_terms
from fedstate.scheduler.capacity.rooms import MemberShape

_ROWS = (PODS, CPU, "memory", "ephemeral-storage")
_POD_SPEC = "spec.member.podSpec"


def refusal_of(
    nodes: Sequence[NodeRecord],
    free: Ints,
    shape: MemberShape,
    storage: StorageClassRecord | None,
    at_home: Container[str] = (),
) -> str:
    """`free` by resource and node; `at_home`: the nodes on which the member does not bear another one of its own.

    The text names what is missing, the most that there is, and the field that asks for it.
    """
    if not nodes:
        return "it has no nodes"
    left = list(range(len(nodes)))
    gone: list[str] = []
    for passes, nobody, few in _steps(shape, storage, at_home):
        kept = [at for at in left if passes(nodes[at])]
        if not kept:
            return _sentence(nobody([nodes[at] for at in left]), gone, len(nodes))
        if len(kept) < len(left):
            gone.append(f"{len(left) - len(kept)} {few}")
        left = kept
    return _sentence(_too_little(nodes, free, left, shape), gone, len(nodes))


_Step = tuple[Callable[[NodeRecord], bool], Callable[[list[NodeRecord]], str], str]


def _steps(shape: MemberShape, storage: StorageClassRecord | None, at_home: Container[str]) -> list[_Step]:
    wanted = ",".join(f"{key}={value}" for key, value in shape.node_selector)
    terms = " or ".join(" and ".join(map(_requirement, term)) for term in shape.terms)
    steps: list[_Step] = [
        (lambda node: node.ready, lambda _: "no node is ready", "not ready"),
        (lambda node: not node.unschedulable, lambda _: "every ready node is cordoned", "cordoned"),
        (
            lambda node: repelling(node, shape.tolerations) is None,
            lambda nodes: f"no node is without a taint that is not tolerated: {_taints(nodes, shape)} ({_POD_SPEC}.tolerations)",
            "tainted",
        ),
        (
            lambda node: selected(node, shape.node_selector),
            lambda _: f"no node matches nodeSelector {wanted} ({_POD_SPEC}.nodeSelector)",
            "not selected",
        ),
        (
            lambda node: within_terms(node, shape.terms),
            lambda _: f"no node matches the required node affinity {terms} ({_POD_SPEC}.affinity)",
            "outside the node affinity",
        ),
    ]
    if storage is not None:
        name = storage.key.name
        steps.append(
            (
                lambda node: within_terms(node, storage.terms),
                lambda _: f"no node is served by StorageClass {name} (spec.storage.storageClass)",
                f"not served by StorageClass {name}",
            )
        )
    away = (
        lambda node: node.key.name not in at_home,
        lambda _: f"every node has a member of the instance already, and none shares its node ({_POD_SPEC}.affinity)",
        "with another member",
    )
    return [*steps, away]


def _taints(nodes: Sequence[NodeRecord], shape: MemberShape) -> str:
    found = {repelling(node, shape.tolerations) for node in nodes}
    texts = sorted(f"{taint.key}{'=' + taint.value if taint.value else ''}:{taint.effect}" for taint in found if taint)
    return ", ".join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")


def _requirement(one: Requirement) -> str:
    return " ".join(part for part in (one.key, one.operator, ",".join(one.values)) if part)


def _too_little(nodes: Sequence[NodeRecord], free: Ints, left: Sequence[int], shape: MemberShape) -> str:
    """Of the first resource that no node has enough of; or that none has enough of all of them."""
    request = dict(shape.request)
    needs = [(row, 1 if name == PODS else request.get(name, 0), name) for row, name in enumerate(_ROWS)]
    for row, amount, name in needs:
        best = max(left, key=lambda at, row=row: (free[row][at], -at))  # type: ignore[misc]
        most = max(0, int(free[row][best]))
        if amount > most:
            if name == PODS:
                return "no node has a place for one more pod"
            found = f"the most is {amount_text(name, most)} on {nodes[best].key.name}" if most else "none has any"
            return f"no node has {name} {amount_text(name, amount)} free: {found} (spec.resource)"
    wanted = " and ".join(f"{name} {amount_text(name, amount)}" for _, amount, name in needs if amount and name != PODS)
    return f"no node has {wanted or 'a place'} free together (spec.resource)"


def _sentence(reason: str, gone: Sequence[str], nodes: int) -> str:
    return f"{reason}; of {nodes} {'node' if nodes == 1 else 'nodes'}, {', '.join(gone)}" if gone else reason
