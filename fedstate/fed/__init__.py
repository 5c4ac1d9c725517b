"""The control plane's operator: from an instance and its placement to Karmada's objects, a member plan and one status.

Knows nothing of how a cluster runs members, and never writes to one.
"""

from fedstate.fed.wiring import build as build
