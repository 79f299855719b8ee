"""Specialised workers: pools, the functions and agents that run in them, and their registry."""
