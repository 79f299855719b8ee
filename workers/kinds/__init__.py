"""Specialised workers, one kind per file."""
