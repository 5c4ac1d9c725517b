"""The part of Karmada that FedState uses, for local mode: from templates and policies to member objects, and their status back.

True to Karmada where that is unpleasant, too. Knows namespaced templates and explicit, duplicated placement; runs no Lua: interpreter
customizations are stored, every applied object counts as healthy, and no template gets a status of its own.
"""

from fedstate.local.karmada.joining import install_crds, join, unjoin
from fedstate.local.karmada.standin import KarmadaStandIn

__all__ = ["KarmadaStandIn", "install_crds", "join", "unjoin"]
