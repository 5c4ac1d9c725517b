"""What an object's conditions say, as the tables write it."""

from __future__ import annotations

from fedstate.kube.objects import KubeObject

Condition = tuple[str, str, str, str]
"""Type, status, reason and message."""


def said(obj: KubeObject) -> list[Condition]:
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return [(c["type"], c["status"], c.get("reason", ""), c.get("message", "")) for c in conditions]
