"""FedState runs stateful middleware across many Kubernetes clusters as one instance."""

