"""How good a cluster is for one more member, 0 to 100, in whole numbers so that no order of additions changes a tie."""

from fedstate.scheduler.snapshot import Amounts

UNKNOWN = 50
"""Of a cluster whose resources are not known."""

_SCORED = ("cpu", "memory")


def free_share(allocatable: Amounts | None, free: Amounts | None) -> int:
    """The share of the scarcer of cpu and memory that is free, in percent."""
    if allocatable is None or free is None:
        return UNKNOWN
    shares = [100 * max(0, free.get(name, 0)) // allocatable[name] for name in _SCORED if allocatable.get(name, 0) > 0]
    return min(shares) if shares else 0
