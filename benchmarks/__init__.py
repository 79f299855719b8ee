"""Benchmarks of the orchestrator: never imported by the product."""
