"""Which reconcile the running code belongs to, for log records. Set by controllers, read by whoever formats logs."""

from contextvars import ContextVar
from typing import NamedTuple

from fedstate.kube.objects import Key


class Reconciling(NamedTuple):
    """One run of a controller. Its texts are made only when something is logged."""

    controller: str
    key: Key
    number: int

    @property
    def object(self) -> str:
        return str(self.key)

    @property
    def id(self) -> str:
        return f"{self.number:012x}"


CURRENT: ContextVar[Reconciling | None] = ContextVar("reconciling", default=None)
