"""FedState runs stateful middleware across many Kubernetes clusters as one instance."""

__version__ = "0.1.0"
