"""Speaking to one mongod at a time, and reading what it says about its replica set.

Owns the driver (only `driver` imports it). Knows nothing about Kubernetes objects.
"""
