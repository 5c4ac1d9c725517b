"""Amounts of resources: how they are read, written and compared. Knows no cluster and no instance."""

from collections.abc import Mapping

from fedstate.kube.objects import cpu_millis, quantity_bytes

PODS = "pods"
CPU = "cpu"

Amounts = Mapping[str, int]
"""By resource name: thousandths of a core for cpu, whole units (bytes, pods) for everything else."""


def amounts_of(quantities: Mapping[str, str | int | float]) -> dict[str, int]:
    return {name: cpu_millis(value) if name == CPU else quantity_bytes(value) for name, value in quantities.items()}


def amount_text(name: str, amount: int) -> str:
    """`amount` as a human writes it: 0.5 for half a core, 512Mi for memory."""
    if name == CPU:
        return f"{amount / 1000:.3f}".rstrip("0").rstrip(".")
    for suffix, size in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if abs(amount) >= size and name != PODS:
            return f"{amount / size:.1f}".removesuffix(".0") + suffix
    return str(amount)


def members_that_fit(free: Amounts, request: Amounts) -> int | None:
    """How many times `request` fits into `free`; None means there is no limit. A pod slot is part of every request."""
    least = free.get(PODS)
    for name, amount in request.items():
        if amount > 0:
            limit = free.get(name, 0) // amount
            if least is None or limit < least:
                least = limit
    return least if least is None or least > 0 else 0


def shortage(free: Amounts, request: Amounts) -> str:
    """What of `free` is too little for one more `request`: `needs cpu 1, free 0.5`."""
    needs = {PODS: 1} if PODS in free else {}
    needs.update({name: amount for name, amount in request.items() if amount > 0})
    parts = [
        f"needs {name} {amount_text(name, amount)}, free {amount_text(name, max(0, free.get(name, 0)))}"
        for name, amount in sorted(needs.items())
        if free.get(name, 0) < amount
    ]
    return "; ".join(parts)
