"""Which reconcile the running code belongs to, for log records. Set by controllers, read by whoever formats logs."""

from contextvars import ContextVar

CONTROLLER: ContextVar[str] = ContextVar("controller", default="")
OBJECT: ContextVar[str] = ContextVar("object", default="")
RECONCILE_ID: ContextVar[str] = ContextVar("reconcile_id", default="")
