"""Speed, growth, memory and start-up of the orchestrator beside its peers and the bare floor, in one run."""
