"""Local mode: the whole system on one machine without containers, for trying, testing and benchmarking. Nothing but the CLI imports it."""
