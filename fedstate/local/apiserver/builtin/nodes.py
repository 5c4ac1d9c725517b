"""Nodes: plain, but their status may be given at creation, as kubelets do."""

from __future__ import annotations

from fedstate.local.apiserver.strategy import Strategy


class NodeStrategy(Strategy):
    """Keeps the status that a node registers with."""

    keeps_status_on_create = True
