"""Which agent architecture for which task: a comparison harness, as a command and as a library."""
