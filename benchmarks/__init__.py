"""Measurements of FedState beside its peers; see docs/benchmarks.md. Not part of the product."""
