"""A small language model on this machine: its weights, its server process, and how both are started and ended."""
