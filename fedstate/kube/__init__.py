"""Speaking to one Kubernetes API server: requests, watches, caches, leases, events.

Knows nothing about MongoDB, Karmada or work queues.
"""
