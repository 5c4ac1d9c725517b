"""The operator of a member cluster: runs members of MongoDB replica sets there, alone or as a part of a federated instance.

Talks to the rest of FedState through API objects only.
"""

from fedstate.dataplane.wiring import build as build
