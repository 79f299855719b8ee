"""Which agent architecture for which task: the comparison harness, as `orchestrator bench architectures` and as a library."""
