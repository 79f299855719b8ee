"""Hierarchical multi-agent orchestration: plans as data, checked outputs, runs that survive any crash."""
