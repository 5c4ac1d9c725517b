"""Capacity from karmada-scheduler-estimator, which knows every node of its cluster: who serves which cluster, and its answers.

`Estimators` asks, `EstimatedRooms` is what it heard.
"""

from fedstate.scheduler.capacity.estimator.client import Credentials
from fedstate.scheduler.capacity.estimator.discovery import Address, Directory
from fedstate.scheduler.capacity.estimator.estimators import Estimators, Timing
from fedstate.scheduler.capacity.estimator.rooms import EstimatedRooms

__all__ = ["Address", "Credentials", "Directory", "EstimatedRooms", "Estimators", "Timing"]
